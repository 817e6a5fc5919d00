"""Parameters of sources and blocks that cannot be are refused, with the name and the value."""

from __future__ import annotations

import polars as pl
import pytest

from features import FeatureStage
from features.content import LatestCosine
from features.encoding import AttributeEncoding
from features.errors import ConfigError
from features.item import ItemPopularity
from ranker.candidates import (
    ALS,
    BPR,
    EASE,
    CategoryPopularity,
    CoVisitation,
    ItemKNN,
    RandomWalk,
    SegmentPopularity,
    TextSimilarity,
    UserKNN,
)
from tests.logs import make_log
from tests.recommenders import item_table, user_table

WHOLE, FROM_ZERO, ABOVE = "a whole number, 1 or more", "a number from 0 on", "a number above 0"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (ALS(regularization=-1.0), f"regularization=-1.0; expected {FROM_ZERO}"),
        (ALS(alpha=0.0), f"alpha=0.0; expected {ABOVE}"),
        (BPR(learning_rate=-1.0), f"learning_rate=-1.0; expected {ABOVE}"),
        (BPR(regularization=float("inf")), f"regularization=inf; expected {FROM_ZERO}"),
        (CoVisitation(max_steps=-1), f"max_steps=-1; expected {FROM_ZERO}"),
        (CoVisitation(max_events=0), f"max_events=0; expected {WHOLE}"),
        (CoVisitation(discount=float("nan")), f"discount=nan; expected {FROM_ZERO}"),
        (CoVisitation(shrink=-30.0), f"shrink=-30.0; expected {FROM_ZERO}"),
        (CoVisitation(neighbours=2.5), f"neighbours=2.5; expected {WHOLE}"),
        (ItemKNN(neighbours=2.5), f"neighbours=2.5; expected {WHOLE}"),
        (EASE(neighbours=2.5), f"neighbours=2.5; expected {WHOLE}"),
        (EASE(regularization=0.0), f"regularization=0.0; expected {ABOVE}"),
        (EASE(max_items=0), f"max_items=0; expected {WHOLE}"),
        (UserKNN(neighbours=2.5), f"neighbours=2.5; expected {WHOLE}"),
        (RandomWalk(neighbours=2.5), f"neighbours=2.5; expected {WHOLE}"),
        (TextSimilarity(factors=0), f"factors=0; expected {WHOLE}"),
        (TextSimilarity(interactions_weight=-1), f"interactions_weight=-1; expected {FROM_ZERO}"),
        (TextSimilarity(max_events=-1), f"max_events=-1; expected {FROM_ZERO}"),
        (CategoryPopularity(per_category=0), f"per_category=0; expected {WHOLE}"),
        (SegmentPopularity(smoothing=-3.0), f"smoothing=-3.0; expected {FROM_ZERO}"),
    ],
    ids=str,
)
def test_sources(source, message):
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        source.fit(make_log("datetime"), items=item_table(), users=user_table())


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (ItemPopularity(windows=(0.0,)), "0.0 is no share of the log's length"),
        (ItemPopularity(windows=(-1.0,)), "-1.0 is no share of the log's length"),
        (AttributeEncoding(windows=(0.0,)), "0.0 is no share of the log's length"),
        (AttributeEncoding(windows=(7,)), "7 is no length of time"),
        (LatestCosine(latest=(0,)), "latest=(0,); expected numbers from 1 on"),
    ],
    ids=str,
)
def test_blocks(block, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(").replace(")", r"\)")):
        FeatureStage((block,)).snapshot(make_log("datetime"), items=item_table())


def test_windows_of_values_may_be_lengths_of_time():
    block = AttributeEncoding(columns=("brand",), windows=("7d", 1 / 12))
    log = make_log("datetime")
    found = FeatureStage((block,)).snapshot(log, items=item_table()).describe()
    assert {"encoding_brand_share_7d", "encoding_brand_share_12th"} <= {*found["name"]}
    assert pl.Series(found["meaning"]).str.contains("in the last 7d").any()
