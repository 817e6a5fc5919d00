"""Histories that are cut short: whose, by how much, and what stays out of the labels."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from ranker.cold_users import cut_short, taken_before
from ranker.labelling import label_candidates
from tests.logs import history_of, make_log
from tests.recommenders import small
from tests.test_training import DEPTHS, LABELS, SNAPSHOT, assert_same, relevant_pairs

HISTORY = history_of(make_log("datetime", n_users=300, n_events=3_000))


def events_of(history, user_id):
    row = int(history.users.encode(pl.Series([user_id]))[0])
    first, end = history.indptr[row : row + 2]
    return list(zip(history.item[first:end], history.time[first:end], strict=True))


def test_the_last_events_stay():
    cut = cut_short(HISTORY, 0.5, 0)
    assert set(cut.lengths) == {0, 1, 2}
    assert 100 < cut.n_users < 200
    for user_id in cut.users.values:
        whole, kept = events_of(HISTORY, user_id), events_of(cut, user_id)
        assert kept == whole[len(whole) - len(kept) :]
        assert len(kept) < len(whole)
    np.testing.assert_array_equal(cut.now, HISTORY.select(cut.users.values).now)
    np.testing.assert_array_equal(cut.row, HISTORY.select(cut.users.values).row)


def test_who_it_is_depends_on_events_and_seed_alone():
    cut = cut_short(HISTORY, 0.3, 0)
    some = HISTORY.users.values.gather(np.random.default_rng(0).permutation(300)[:150])
    part = cut_short(HISTORY.select(some), 0.3, 0)
    assert set(part.users.values) == set(cut.users.values) & set(some)
    for user_id in part.users.values:
        assert events_of(part, user_id) == events_of(cut, user_id)
    assert set(cut_short(HISTORY, 0.3, 1).users.values) != set(cut.users.values)
    assert set(cut_short(HISTORY, 0.2, 0).users.values) < set(cut.users.values)


def test_nobody_and_everybody():
    assert cut_short(HISTORY, 0.0, 0).n_users == 0
    everybody = cut_short(HISTORY, 1.0, 0)
    assert everybody.n_users == 300, "all of them have ten events or so"
    without_events = everybody.select(everybody.users.values.filter(everybody.lengths == 0))
    assert without_events.n_users > 50
    again = cut_short(without_events, 1.0, 0)
    assert again.n_users == 0, "who has no more events than that is not shown twice"


@pytest.mark.parametrize("repeats", [True, False])
def test_labels_of_cut_users(repeats):
    found = label_candidates(
        *(SNAPSHOT, LABELS, DEPTHS),
        repeats=repeats,
        max_groups=1000,
        random_state=0,
        cold_share=0.6,
        n_judged=1000,
    )
    n_known = int((np.diff(found.judged.indptr) > 0).sum())
    new = found.learned.groups(np.arange(found.learned.n_groups) >= n_known)
    users = pl.Series(sorted({user for user, _ in relevant_pairs(repeats)}))
    cut = cut_short(SNAPSHOT.history.select(users), 0.6, 0)
    assert 0 < new.n_groups <= cut.n_users
    assert set(new.n_events) <= {0, 1, 2}
    candidates = SNAPSHOT.candidates(cut, DEPTHS, exclude_seen=not repeats)
    whole = SNAPSHOT.history.select(cut.users.values)
    was_taken = taken_before(candidates, whole)
    pairs = candidates.frame().select("user_id", "item_id").rows()
    seen = set(whole.interactions().select("user_id", "item_id").rows())
    assert was_taken.tolist() == [pair in seen for pair in pairs]
    assert was_taken.any(), "the sources propose what the cut hides"
    hits = sum(pair in relevant_pairs(repeats) for pair in pairs)
    assert int(new.label.sum()) == hits


def test_what_judges_does_not_change():
    options = {"repeats": True, "max_groups": 1000, "n_judged": 1000, "random_state": 0}
    plain = label_candidates(SNAPSHOT, LABELS, DEPTHS, **options)
    found = label_candidates(SNAPSHOT, LABELS, DEPTHS, cold_share=0.5, **options)
    assert_same(found.judged, plain.judged)
    assert plain.recall == found.recall
    n_known = plain.learned.n_groups
    assert_same(found.learned.groups(np.arange(found.learned.n_groups) < n_known), plain.learned)
    assert found.learned.n_groups > n_known


def test_the_gate_judges_by_real_users_alone():
    log = make_log("datetime", n_users=60, n_events=900)
    plain, cold = (small(cold_share=share).fit(log) for share in (0.0, 0.8))
    assert cold.gate_.n_users == plain.gate_.n_users
    assert cold._state.model.text != plain._state.model.text
    assert small(cold_share=0.8, n_threads=2).fit(log).fingerprint == cold.fingerprint


@pytest.mark.parametrize("share", [-0.1, 1.1, True, "much", None])
def test_a_share_is_a_number_from_0_to_1(share):
    with pytest.raises(ConfigError, match=r"cold_share=.*expected a number from 0 to 1"):
        small(cold_share=share).fit(make_log("datetime"))
