"""Figures of others on the same splits, to stand beside ours.

They are those that others could reproduce, or that were measured again; where a range is known, its
better end. ``source`` is the paper that describes the system, or says how it was measured here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class PublishedRow:
    """One system under one protocol.

    Attributes
    ----------
    system : str
    figures : mapping of str to float
        By the names of the protocol's metrics; what was not published is left out.
    source : str
    """

    system: str
    figures: Mapping[str, float]
    source: str


_MEASURED = "measured, tuned on an inner split by time"
_UNTUNED = "measured, untuned"
_BPR = "Rendle et al., UAI 2009"
_COUNTS = "popularity"
_DACREMA = "Ferrari Dacrema et al., RecSys 2019"
_EASE = "Steck, WWW 2019"
_LIGHTGCN = "He et al., SIGIR 2020"
_MF = "Rendle et al., RecSys 2020"
_NEUMF = "He et al., WWW 2017"
_SASREC = "Kang, McAuley, ICDM 2018"
_BERT4REC = "Sun et al., CIKM 2019"
_GSASREC = "Petrov, Macdonald, RecSys 2023"
_SASREC_CE = "Klenitskiy, Vasilev, RecSys 2023"
_ESASREC = "Tikhonovich et al., RecSys 2025"
_TIGER = "Rajput et al., NeurIPS 2023"
_S3REC = "Zhou et al., CIKM 2020"
_BSAREC = "Shin et al., AAAI 2024"
_CDL = "Wang, Wang, Yeung, KDD 2015"
_CVAE = "Li, She, KDD 2017"


def _rows(
    names: tuple[str, ...], *rows: tuple[str, tuple[float, ...], str]
) -> tuple[PublishedRow, ...]:
    """Rows whose figures are the first of the metrics, as many as are known."""
    return tuple(
        PublishedRow(system, dict(zip(names, figures, strict=False)), source)
        for system, figures, source in rows
    )


_LAST_ITEM = ("ndcg@10", "hit_rate@10")
_TOP_20 = ("ndcg@20", "recall@20")
_DEEP = ("recall@300", "recall@100", "recall@50")

_P10 = _rows(
    _DEEP,
    ("item-kNN of content and users", (0.4707, 0.3038, 0.2135), _DACREMA),
    ("CVAE", (0.3602, 0.1548, 0.0772), _CVAE),
    ("CDL", (0.2627, 0.1035, 0.0543), _CDL),
)

PUBLISHED: Mapping[str, tuple[PublishedRow, ...]] = MappingProxyType(
    {
        "amazon-beauty": _rows(
            _LAST_ITEM,
            ("two-stage prototype", (0.0669, 0.1116), _UNTUNED),
            ("BSARec, mean of 5 seeds", (0.0609, 0.1004), _BSAREC),
            ("SASRec, cross entropy", (0.0588, 0.0974), _SASREC_CE),
            ("eSASRec", (0.0523, 0.0928), _ESASREC),
            ("EASE and transitions", (0.0510, 0.0821), _UNTUNED),
            ("TIGER", (0.0384, 0.0648), _TIGER),
            ("S3-Rec", (0.0327, 0.0647), _S3REC),
            ("popular", (0.0068, 0.0152), _COUNTS),
        ),
        "amazon-toys": _rows(
            _LAST_ITEM,
            ("two-stage prototype", (0.0773, 0.1218), _UNTUNED),
            ("BSARec", (0.0650, 0.1050), _BSAREC),
            ("EASE and transitions", (0.0627, 0.0974), _UNTUNED),
            ("SASRec, sampled softmax", (0.0580, 0.0970), _SASREC),
            ("eSASRec", (0.0538, 0.0939), _ESASREC),
            ("TIGER", (0.0432, 0.0712), _TIGER),
        ),
        "ml-1m": _rows(
            _LAST_ITEM,
            ("SASRec+", (0.1858, 0.3207), _SASREC_CE),
            ("gSASRec", (0.1726, 0.3003), _GSASREC),
            ("BERT4Rec", (0.162, 0.2921), _BERT4REC),
            ("SASRec, one negative", (0.1341, 0.2500), _SASREC),
            ("MF-BPR", (0.0377, 0.0740), _BPR),
        ),
        "ml-1m-ncf": _rows(
            _LAST_ITEM,
            ("MF", (0.4523, 0.7294), _MF),
            ("iALS", (0.4521, 0.7310), "Rendle et al., RecSys 2022"),
            ("NeuMF, pretrained", (0.445, 0.726), _NEUMF),
            ("NeuMF, run again", (0.4369, 0.7120), _NEUMF),
            ("item-kNN", (0.3900, 0.6596), _DACREMA),
            ("popular", (0.2542, 0.4531), _COUNTS),
        ),
        "gowalla-lightgcn": _rows(
            _TOP_20,
            ("UltraGCN", (0.1580, 0.1862), "Mao et al., UltraGCN, CIKM 2021"),
            ("SimpleX", (0.1557, 0.1872), "Mao et al., SimpleX, CIKM 2021"),
            ("LightGCN", (0.1547, 0.1820), _LIGHTGCN),
            ("GF-CF", (0.1518, 0.1849), "Shen et al., CIKM 2021"),
            ("EASE", (0.1467, 0.1765), _EASE),
            ("MF-BPR", (0.1378, 0.1627), _BPR),
            ("item-kNN", (0.1214, 0.1570), "Sarwar et al., WWW 2001"),
        ),
        "ml-100k": _rows(
            ("ndcg@10", "map_full@10", "precision@10", "recall@10"),
            ("EASE", (0.4806,), _EASE),
            ("BiVAE", (0.4751, 0.1461, 0.4118, 0.2191), "Truong et al., WSDM 2021"),
            ("BPR", (0.4420,), _BPR),
            ("LightGCN", (0.4198,), _LIGHTGCN),
            ("NCF", (0.3961,), _NEUMF),
            ("SAR", (0.3825,), "recommenders of the Linux Foundation"),
            ("popular", (0.2515,), _COUNTS),
        ),
        "ml-100k-ratings": _rows(
            ("rmse u1",),
            ("IGMC", (0.905,), "Zhang, Chen, ICLR 2020"),
            ("GC-MC", (0.905,), "van den Berg et al., 2017"),
            ("biased MF, about", (0.92,), "Koren et al., Computer 2009"),
        ),
        "citeulike-a": _P10,
        "citeulike-a-in-order": _P10,
        "citeulike-a-p1": _rows(
            _DEEP,
            ("CDL", (0.2477, 0.1387, 0.0915), _CDL),
            ("item-kNN of content", (0.2152, 0.1336, 0.0942), _DACREMA),
            ("CVAE", (0.1901, 0.1028, 0.0666), _CVAE),
        ),
        "complete-journey": _rows(
            ("ndcg@10",),
            ("own history, half-life 60 days", (0.410,), _MEASURED),
            ("two-stage of RecTools", (0.387,), _MEASURED),
            ("ALS", (0.228,), _MEASURED),
            ("popular, 7 days", (0.172,), _MEASURED),
            ("item-kNN", (0.131,), _MEASURED),
        ),
        "globo-news": _rows(
            ("ndcg@10",),
            ("popular, 1 hour", (0.073,), _MEASURED),
            ("two-stage of RecTools", (0.067,), _MEASURED),
            ("ALS", (0.002,), _MEASURED),
            ("item-kNN", (0.001,), _MEASURED),
        ),
        "ml-100k-time": _rows(
            ("ndcg@10",),
            ("popular", (0.367,), _MEASURED),
            ("two-stage of RecTools", (0.353,), _MEASURED),
            ("item-kNN", (0.104,), _MEASURED),
            ("ALS", (0.092,), _MEASURED),
        ),
        "ml-latest-small": _rows(
            ("ndcg@10",),
            ("popular", (0.429,), _MEASURED),
            ("two-stage of RecTools", (0.292,), _MEASURED),
            ("item-kNN", (0.058,), _MEASURED),
            ("ALS", (0.049,), _MEASURED),
        ),
    }
)
"""What others reached, by protocol, best first."""
