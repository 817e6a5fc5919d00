"""Training against serving: figures by hand, and what is out of the ordinary."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from features.drift import population_stability
from ranker import OwnHistory, Popularity
from ranker.candidates.base import Generator, Retrieved
from ranker.labelling import label_candidates
from ranker.skew import Sight, SkewReport, compare_sights, look_at
from tests.logs import make_log
from tests.recommenders import small
from tests.test_training import DEPTHS, LABELS, SNAPSHOT, label, relevant_pairs


class FirstFeature:
    """A model that scores the first feature."""

    def predict(self, features, *, n_threads):
        return features[:, 0]


def sight(shares: dict[str, float], values: np.ndarray, *, n_users=100) -> Sight:
    return Sight(n_users, shares, 10.0, values[:, None].astype(np.float32))


def test_figures_by_hand():
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=500), rng.normal(size=500) + 3
    report = compare_sights(
        sight({"als": 0.5, "popular": 0.2}, old),
        sight({"als": 0.45, "popular": 0.4}, new),
        FirstFeature(),
        [0.4, 0.5, 0.7],
        n_threads=1,
    )
    assert report.recall_ratio == pytest.approx(1.5)
    assert report.most_changed == ("popular", pytest.approx(0.2))
    assert report.score_psi == population_stability(old.astype("f4"), new.astype("f4")) > 1
    lines = report.warnings
    assert len(lines) == 3
    assert "hold 1.50 times" in lines[0]
    assert "popular proposes 20% of the candidates in training and 40% in serving" in lines[1]
    assert "scores in serving differ" in lines[2]
    assert "older windows 1.50x" in str(report)
    few = sight({"als": 0.5, "popular": 0.2}, new, n_users=99)
    quiet = compare_sights(
        sight({"als": 0.5, "popular": 0.2}, old), few, FirstFeature(), [0.4], n_threads=1
    )
    assert quiet.score_psi == report.score_psi
    assert quiet.warnings == [], "of so few users scores differ by chance"


def test_nothing_out_of_the_ordinary():
    values = np.random.default_rng(0).normal(size=500)
    quiet = sight({"als": 0.5}, values)
    report = compare_sights(quiet, quiet, FirstFeature(), [0.4, 0.42], n_threads=1)
    assert report.warnings == []
    assert report.score_psi == 0
    single = compare_sights(quiet, quiet, FirstFeature(), [0.4], n_threads=1)
    assert single.recall_ratio is None
    assert "older" not in str(single)
    assert (
        compare_sights(quiet, quiet, FirstFeature(), [0.0, 0.4], n_threads=1).recall_ratio is None
    )


def test_a_look_at_a_snapshot_equals_its_candidates():
    found = look_at(SNAPSHOT, DEPTHS, exclude_seen=False, random_state=0, n_threads=2)
    has_events = SNAPSHOT.history.users.decode(np.flatnonzero(SNAPSHOT.history.lengths))
    asked = SNAPSHOT.history.select(has_events)
    candidates = SNAPSHOT.candidates(asked, DEPTHS, exclude_seen=False)
    assert found.n_candidates == candidates.n_rows / asked.n_users
    for source, rank in zip(candidates.sources, candidates.rank.T, strict=True):
        assert found.shares[source] == pytest.approx((rank > 0).mean())
    np.testing.assert_array_equal(found.features, SNAPSHOT.features(asked, candidates))


@pytest.mark.parametrize("n_judged", [0, 1000])
def test_recall_counts_users_without_a_hit(n_judged):
    table = label()
    n_hits = [
        int(table.label[start:end].sum())
        for start, end in zip(table.indptr[:-1], table.indptr[1:], strict=True)
    ]
    pairs = relevant_pairs(repeats=True)
    users = sorted({user for user, _ in pairs})
    n_relevant = [sum(who == user for who, _ in pairs) for user in users]
    expected = np.mean([hit / n for hit, n in zip(n_hits, n_relevant, strict=True)])
    assert 0 in n_hits
    found = label_candidates(
        *(SNAPSHOT, LABELS, DEPTHS),
        repeats=True,
        max_groups=1000,
        n_judged=n_judged,
        random_state=0,
    )
    assert found.recall == pytest.approx(expected, rel=1e-12)


@dataclasses.dataclass
class Oracle(Generator):
    """Has seen what comes after all windows but the freshest, as if it were fitted once."""

    learned = ("item_",)
    log: pl.DataFrame | None = None

    def _learn(self, history, *, items, users):
        self.item_ = np.zeros(0, np.int32)
        self.history_ = history

    def retrieve(self, history, n, *, exclude_seen):
        found = Retrieved.empty(history.n_users, n)
        end = self.log["timestamp"].max()
        if self.history_.as_of > end.timestamp() * 1e6 - 20 * 864e8:
            return found  # the freshest window and serving
        pairs = self.log.select("user_id", "item_id").unique(maintain_order=True)
        user = history.users.encode(pairs["user_id"])
        item = history.items.encode(pairs["item_id"])
        for row in range(history.n_users):
            own = np.unique(item[(user == row) & (item >= 0)])[:n]
            found.item[row, : len(own)] = own
            found.score[row, : len(own)] = 1.0
        return found


def test_a_source_that_has_seen_older_labels_is_told(caplog):
    log = make_log("datetime", n_users=60, n_items=50, n_events=900)
    sources = {"popular": Popularity(), "own": OwnHistory()}
    keywords = {"n_candidates": 8, "window_length": "14d", "n_windows": 3}
    clean = small(generators=list(sources.items()), **keywords).fit(log)
    assert 0.7 < clean.skew_.recall_ratio < 1.25
    assert "times the share of relevant items" not in caplog.text
    leaky = small(generators=[*sources.items(), ("oracle", Oracle(log))], **keywords).fit(log)
    assert leaky.skew_.recall_ratio > 1.25
    assert "either a source has seen its labels" in caplog.text
    line = next(line for line in leaky.choices_ if line.startswith("training against serving"))
    assert f"older windows {leaky.skew_.recall_ratio:.2f}x" in line


def test_the_report_is_saved(tmp_path):
    fitted = small().fit(make_log("datetime"))
    assert isinstance(fitted.skew_, SkewReport)
    fitted.save(tmp_path / "model")
    assert type(fitted).load(tmp_path / "model").skew_ == fitted.skew_


@pytest.mark.parametrize("side", ["then", "now"])
def test_nothing_proposed_is_nothing_to_compare(side):
    report = SkewReport(
        recall=[0.5, 0.5],
        recall_ratio=1.0,
        shares_then={"popular": 1.0},
        shares_now={"popular": 0.0},
        n_candidates_then=0.0 if side == "then" else 9.0,
        n_candidates_now=0.0 if side == "now" else 9.0,
        n_users=1000,
        score_psi=9.0,
    )
    assert report.warnings == []
    shifted = dataclasses.replace(report, n_candidates_then=9.0, n_candidates_now=9.0)
    assert len(shifted.warnings) == 2


def test_every_feature_has_its_stability():
    fitted = small().fit(make_log("datetime"))
    psi = fitted.skew_.feature_psi
    assert list(psi) == fitted.describe_features()["name"].to_list()
    assert all(np.isfinite(value) and value >= 0 for value in psi.values())
    drift = fitted.drift(n_users=300).features
    assert set(drift["feature"]) == set(psi)
