"""Labelled candidates against loops, what thinning promises, and the whole training of stage 2."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.candidates import Candidates
from features.errors import ConfigError
from features.history import LogFacts
from features.schema import check_interactions
from features.source import SourceScores
from features.stage import FeatureStage
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.item_knn import ItemKNN
from ranker.candidates.merge import merge
from ranker.candidates.own_history import OwnHistory
from ranker.candidates.popularity import Popularity
from ranker.holdout import Fold, LabelWindows, LastInteractions, RandomHoldout, n_judging
from ranker.labelling import Labelled, label_candidates, mark_relevant
from ranker.negatives import Negatives, thin_out
from ranker.rerank.first_stage import FUSION
from ranker.rerank.gate import TWO_STAGE
from ranker.rerank.lambdarank import LambdaRank
from ranker.rerank.table import LabelledTable
from ranker.snapshot import Snapshot, Taught
from ranker.training import Windows, label_windows, train_reranker
from tests.logs import history_from, make_log
from tests.recommenders import small
from tests.rerank.tables import table_of

GENERATORS = {"popular": Popularity(), "own": OwnHistory(), "knn": ItemKNN(neighbours=5)}
DEPTHS = {"popular": 6, "own": 20, "knn": 5}
STAGE = FeatureStage(blocks=(SourceScores(),))
LOG = check_interactions(make_log("datetime", n_users=60, n_items=50, n_events=900))
FACTS = LogFacts.of(LOG)
FOLDS = LabelWindows("14d", 3).folds(LOG, FACTS, random_state=0)


def build(
    fold: Fold,
    label: str = "test",
    former: Taught | None = None,
    *,
    facts: LogFacts = FACTS,
    generators: Mapping[str, Generator] = GENERATORS,
) -> Snapshot:
    return Snapshot.build(
        fold.history,
        as_of=fold.as_of,
        facts=facts,
        generators=generators,
        stage=STAGE,
        label=label,
        former=former,
    )


SNAPSHOT = build(FOLDS[0])
# A new user, a new item, and both: nobody can propose them, and they count all the same.
LABELS = pl.concat(
    [
        FOLDS[0].labels,
        pl.DataFrame(
            {"user_id": ["u000", "new", "new"], "item_id": ["new item", "i000", "new item"]}
        ),
    ]
).unique()


def label(snapshot: Snapshot = SNAPSHOT, labels: pl.DataFrame = LABELS, **options):
    defaults = {"repeats": True, "max_groups": 1000, "n_judged": 1000, "random_state": 0}
    found = label_candidates(snapshot, labels, DEPTHS, **(defaults | options))
    if found is None:
        return None
    return found.learned if found.judged is None else found.judged


def assert_same(found: LabelledTable, expected: LabelledTable) -> None:
    for field in dataclasses.fields(found):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))


def relevant_pairs(repeats: bool) -> set[tuple[str, str]]:
    known = set(FOLDS[0].history.select("user_id", "item_id").rows())
    return set(LABELS.rows()) - (set() if repeats else known)


def of_hits(candidates: Candidates, relevant: set[tuple[str, str]]) -> Candidates:
    """The candidates of those users who took one of them."""
    pairs = candidates.frame().select("user_id", "item_id").rows()
    with_hit = {user for user, item in pairs if (user, item) in relevant}
    return candidates.of_users(candidates.users.values.is_in(sorted(with_hit)).to_numpy())


@pytest.mark.parametrize("repeats", [True, False])
def test_labels_equal_a_loop_over_candidates(repeats):
    table = label(repeats=repeats)
    relevant = relevant_pairs(repeats)
    users = sorted({user for user, _ in relevant})
    history = SNAPSHOT.history.select(pl.Series(users))
    candidates = SNAPSHOT.candidates(history, DEPTHS, exclude_seen=not repeats)
    pairs = candidates.frame().select("user_id", "item_id").rows()
    with_hit = {user for user, item in pairs if (user, item) in relevant}
    assert 0 < len(with_hit) < len(users)
    assert table.n_groups == len(users), "those without a hit count too"
    rows = np.flatnonzero([user in with_hit for user, _ in pairs])
    assert table.n_rows == len(rows), "a row for each candidate and no other: nothing is put in"
    assert table.label.tolist() == [int(pairs[row] in relevant) for row in rows]
    assert table.label.dtype == np.int8
    has_hit = [user in with_hit for user in users]
    np.testing.assert_array_equal(np.diff(table.indptr), candidates.lengths * has_hit)
    np.testing.assert_array_equal(table.rank, candidates.rank[rows])
    features = SNAPSHOT.features(history, candidates)
    np.testing.assert_array_equal(table.features, features[rows])
    assert table.is_cold.tolist() == [user == "new" for user in users]


@pytest.mark.parametrize("repeats", [True, False])
def test_n_relevant_counts_what_nobody_proposed(repeats):
    table = label(repeats=repeats)
    relevant = relevant_pairs(repeats)
    users = sorted({user for user, _ in relevant})
    expected = [sum(who == user for who, _ in relevant) for user in users]
    assert table.n_relevant.tolist() == expected
    assert table.n_relevant.dtype == np.int64
    found = [
        table.label[start:stop].sum()
        for start, stop in zip(table.indptr[:-1], table.indptr[1:], strict=True)
    ]
    assert (np.array(found) <= table.n_relevant).all()
    assert sum(found) < sum(expected), "the log has items that nobody proposes"


def test_some_users_judge_and_all_teach():
    options = {"repeats": True, "max_groups": 1000, "random_state": 3}
    everybody = label_candidates(SNAPSHOT, LABELS, DEPTHS, n_judged=1000, **options)
    some = label_candidates(SNAPSHOT, LABELS, DEPTHS, n_judged=20, chunk_size=7, **options)
    alike = label_candidates(SNAPSHOT, LABELS, DEPTHS, n_judged=20, **options)
    assert some.judged.n_groups == 20 < everybody.judged.n_groups
    assert_same(some.judged, alike.judged)
    among = np.isin(everybody.judged.user, some.judged.user)
    assert_same(some.judged, everybody.judged.groups(among))
    assert among[: len(among) // 2].any()
    assert among[len(among) // 2 :].any(), "not the first by id"
    assert_same(alike.learned, everybody.learned)
    assert some.recall == everybody.recall
    assert label_candidates(SNAPSHOT, LABELS, DEPTHS, **options).judged is None


def test_an_unknown_item_is_no_hit_for_anybody():
    """Row number -1 of one user must not be read as the last item of the user before."""
    history = history_from([[], []], 4)
    every = Retrieved(np.tile(np.arange(4, dtype=np.int32), (2, 1)), np.ones((2, 4), np.float32))
    relevant = pl.DataFrame({"user_id": [1, 1, 7], "item_id": [99, 2, 0]})
    label, n_relevant = mark_relevant(merge({"all": every}, history), relevant)
    assert label.tolist() == [0, 0, 0, 0, 0, 0, 1, 0]
    assert n_relevant.tolist() == [0, 2]


def test_seen_items_are_neither_candidates_nor_relevant_where_nothing_is_taken_again():
    table = label(repeats=False)
    seen = set(FOLDS[0].history.select("user_id", "item_id").rows())
    users = sorted({user for user, _ in relevant_pairs(repeats=False)})
    history = SNAPSHOT.history.select(pl.Series(users))
    candidates = SNAPSHOT.candidates(history, DEPTHS, exclude_seen=True)
    assert not set(candidates.frame().select("user_id", "item_id").rows()) & seen
    assert table.n_rows == of_hits(candidates, relevant_pairs(repeats=False)).n_rows


def test_nothing_relevant():
    assert label(labels=LABELS.clear()) is None
    only_seen = FOLDS[0].history.select("user_id", "item_id").unique().head(5)
    assert label(labels=only_seen, repeats=False) is None
    assert label(labels=only_seen, repeats=True) is not None


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_chunks_and_threads_change_nothing(chunk_size, n_threads):
    assert_same(label(chunk_size=chunk_size, n_threads=n_threads), label())


@pytest.mark.parametrize("chunk_size", [7, 512])
def test_threads_change_nothing_where_rows_are_thinned(chunk_size):
    one, two = (label(n_judged=0, chunk_size=chunk_size, n_threads=n) for n in (1, 2))
    assert_same(one, two)
    assert not np.array_equal(one.rank, label(n_judged=0, random_state=1).rank)


def test_trap_polars_the_order_of_label_rows_changes_nothing():
    mixed = LABELS.sample(fraction=1.0, shuffle=True, seed=3)
    assert_same(label(labels=mixed), label())
    assert_same(label(labels=mixed, repeats=False), label(repeats=False))


def test_trap_lightgbm_rows_of_a_user_stand_together_items_ascending():
    """And nothing about the label in their order, which is what decides between equal scores."""
    table = label(chunk_size=7)
    users = LABELS["user_id"].unique().sort()
    candidates = SNAPSHOT.candidates(SNAPSHOT.history.select(users), DEPTHS, exclude_seen=False)
    candidates = of_hits(candidates, relevant_pairs(repeats=True))
    np.testing.assert_array_equal(table.rank, candidates.rank)
    for start, stop in zip(candidates.indptr[:-1], candidates.indptr[1:], strict=True):
        assert (np.diff(candidates.item[start:stop]) > 0).all()


def test_trap_lightgbm_labels_are_zero_or_one_and_trap_rectools_repeats_make_no_second_row():
    """Above 30 LightGBM fails; RecTools repeats the row of a pair for each purchase."""
    log = pl.DataFrame(
        {
            "user_id": ["a"] * 3 + ["b"] + ["a"] * 50,
            "item_id": ["x", "y", "z", "y"] + ["x"] * 50,
            "timestamp": [0, 3, 5, 7] + [100 + 3 * n for n in range(50)],
        }
    )
    facts = LogFacts.of(log)
    fold = LabelWindows(200, 1).folds(log, facts, random_state=0)[0]
    table = label(build(fold, facts=facts), fold.labels)
    assert table.label.tolist() == [1, 0, 0]
    assert table.n_relevant.tolist() == [1]


def test_too_many_users_are_sampled():
    few = label(max_groups=9)
    assert few.n_groups == 9
    assert_same(few, label(max_groups=9))
    assert not np.array_equal(few.rank, label(max_groups=9, random_state=1).rank)
    assert_same(label(max_groups=LABELS["user_id"].n_unique()), label())


# ----------------------------------------------------------------- thinning

GROUPS = st.lists(st.lists(st.sampled_from([0, 0, 0, 0, 1]), max_size=40), min_size=1, max_size=6)


@given(
    labels=GROUPS,
    share=st.sampled_from([0.0, 0.3, 0.99, 1.0]),
    per_positive=st.sampled_from([0, 1, 3, 10]),
    at_most=st.sampled_from([0, 1, 7, 300]),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_thinning_keeps_all_positives_and_the_promised_number_of_others(
    labels, share, per_positive, at_most, seed
):
    if not at_most or not (share or per_positive):
        with pytest.raises(ConfigError, match="leaves no candidate that was not taken"):
            Negatives(share, per_positive, at_most)
        return
    negatives = Negatives(share, per_positive, at_most)
    table = table_of(labels, n_relevant=[50 + at for at in range(len(labels))])
    thin = thin_out(table, seed, negatives)
    kept_groups = [at for at, group in enumerate(labels) if any(group)]
    assert thin.n_relevant.tolist() == [50 + at for at in kept_groups]
    for place, at in enumerate(kept_groups):
        group = labels[at]
        rows = thin.features[thin.indptr[place] : thin.indptr[place + 1], 0]
        assert (np.diff(rows) > 0).all(), "the order of rows stays"
        inside = (rows - table.indptr[at]).astype(int).tolist()
        positive = [row for row, value in enumerate(group) if value]
        negative = [row for row in inside if not group[row]]
        assert [row for row in inside if group[row]] == positive
        n_negative = len(group) - len(positive)
        wanted = max(share * n_negative, per_positive * len(positive))
        assert len(negative) == math.floor(min(wanted, at_most, n_negative))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 1.5}, r"share=1.5; expected a number from 0 to 1"),
        ({"share": True}, r"share=True"),
        ({"share": "a third"}, r"share='a third'"),
        ({"share": float("nan")}, r"share=nan"),
        ({"per_positive": -1}, r"per_positive=-1; expected a whole number, from 0"),
        ({"at_most": 2.5}, r"at_most=2.5"),
        ({"at_most": 0}, r"leaves no candidate that was not taken"),
    ],
)
def test_negatives_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        Negatives(**settings)


def test_negatives_are_a_keyword_of_the_recommender():
    log = make_log("datetime")
    few, many = (small(negatives=Negatives(0.0, n, n)).fit(log) for n in (1, 20))
    assert few._state.model.text != many._state.model.text
    assert few.gate_.n_users == many.gate_.n_users
    with pytest.raises(ConfigError, match=r"negatives=0.3; expected an object such as Negatives"):
        small(negatives=0.3).fit(log)


def test_thinning_by_hand():
    #  one hit and 99 others: 30 % of them; four hits and 46 others: ten for each hit;
    #  one hit and 1,999 others: at most 100; no hit: nothing
    labels = [[1] + [0] * 99, [1] * 4 + [0] * 46, [1] + [0] * 1999, [0] * 10]
    thin = thin_out(table_of(labels), 0, Negatives())
    assert np.diff(thin.indptr).tolist() == [1 + 29, 4 + 40, 1 + 100]


def test_the_same_seed_keeps_the_same_rows():
    table = table_of([[1] + [0] * 99] * 5)
    assert_same(thin_out(table, 4, Negatives()), thin_out(table, 4, Negatives()))
    assert not np.array_equal(
        thin_out(table, 4, Negatives()).features, thin_out(table, 5, Negatives()).features
    )


def test_trap_negatives_are_drawn_from_the_whole_list_and_not_from_its_top():
    """Only the best-ranked ones turn the model upside down."""
    n, n_seeds = 60, 400
    table = table_of([[0] * 30 + [1] + [0] * 30])
    kept = np.zeros(n + 1)
    for seed in range(n_seeds):
        kept[thin_out(table, seed, Negatives(0.5, 0)).features[:, 0].astype(int)] += 1
    assert kept[30] == n_seeds
    shares = np.delete(kept, 30) / n_seeds
    assert shares.mean() == pytest.approx(0.5)
    assert np.abs(shares - 0.5).max() < 5 * math.sqrt(0.25 / n_seeds)
    assert shares[:30].mean() == pytest.approx(shares[30:].mean(), abs=0.03)


# ------------------------------------------------------------------- stage 2


def windows(folds: list[Fold], *, facts: LogFacts = FACTS, **options):
    return label_windows(
        folds,
        lambda fold, text, former: build(fold, text, former, facts=facts),
        DEPTHS,
        **({"repeats": True, "max_groups": 1000, "random_state": 0, "n_threads": 1} | options),
    )


def train(folds: list[Fold], *, facts: LogFacts = FACTS, **options):
    defaults = {"random_state": 0, "n_threads": 1}
    return train_reranker(
        windows(folds, facts=facts, **(defaults | options)),
        LambdaRank(n_trees=30, patience=5),
        list(DEPTHS),
        fill="popular",
        **(defaults | options),
    )


class SlowPopularity(Popularity):
    """Writes down how many events it has learned from and how many it has heard of later."""

    is_shared = True
    events: ClassVar[list[tuple[str, int]]] = []

    def _learn(self, history, *, items, users):
        self.events.append(("learned", history.n_events))
        super()._learn(history, items=items, users=users)

    def refreshed(self, growth, *, items, users):
        assert (growth.before.lengths <= growth.after.lengths[growth.user_row]).all()
        self.events.append(("heard", growth.after.n_events))
        return self


@pytest.mark.parametrize(
    ("clock", "holdout", "kinds"),
    [
        ("datetime", LabelWindows("2d", 4), ["learned", "heard", "heard", "learned"]),
        ("datetime", LabelWindows("2d", 4, n_validation=2), ["learned", "heard", *["learned"] * 2]),
        ("datetime", LabelWindows("14d", 3), ["learned"] * 3),
        ("sequence", LastInteractions(1, 3), ["learned", "heard", "learned"]),
        ("none", RandomHoldout(0.02, 3), ["learned"] * 3),
    ],
)
def test_windows_share_what_an_earlier_one_has_learned_that_knows_nearly_as_much(
    clock, holdout, kinds
):
    log = check_interactions(make_log(clock, n_users=60, n_items=50, n_events=900))
    facts = LogFacts.of(log)
    folds = holdout.folds(log, facts, random_state=0)
    sources = {**GENERATORS, "slow": SlowPopularity()}
    SlowPopularity.events.clear()
    label_windows(
        folds,
        lambda fold, text, former: build(fold, text, former, facts=facts, generators=sources),
        DEPTHS | {"slow": 6},
        repeats=True,
        max_groups=1000,
        random_state=0,
        n_threads=1,
        n_validation=n_judging(holdout, len(folds)),
    )
    known = [int(fold.is_known.sum()) for fold in reversed(folds)]
    assert [n for _, n in SlowPopularity.events] == known, "each window, the earliest first"
    assert [kind for kind, _ in SlowPopularity.events] == kinds


def test_the_gate_looks_at_all_users_of_the_freshest_labels():
    trained = train(FOLDS)
    assert trained.gate.n_users == FOLDS[0].labels["user_id"].n_unique()
    assert set(trained.gate.ndcg) == {TWO_STAGE, FUSION, *DEPTHS}
    assert trained.model.names == SNAPSHOT.tables.names
    assert 1 <= trained.model.n_trees <= 30


def test_cut_users_and_the_freshest_labels_are_learned_from_in_the_end():
    plain, cold = windows(FOLDS), windows(FOLDS, cold_share=0.5)
    assert [len(part.everything()) for part in (plain, cold)] == [3, 3], "a table per window"
    for one, two in zip(plain.everything(), cold.everything(), strict=True):
        assert two.n_groups > one.n_groups
        assert_same(two.groups(np.arange(two.n_groups) < one.n_groups), one)
        assert set(two.n_events[one.n_groups :]) <= {0, 1, 2}
    assert cold.split()[1].n_groups == plain.split()[1].n_groups, "nobody is validated by them"
    assert len(plain.recall) == 3


def test_several_of_the_freshest_folds_validate_together():
    one, two = windows(FOLDS), windows(FOLDS, n_validation=2)
    train_tables, validation = two.split()
    assert len(train_tables) == 1
    wholes = [windows(FOLDS[at:]).split()[1] for at in (0, 1)]
    assert validation.n_groups == sum(whole.n_groups for whole in wholes)
    assert_same(validation.groups(np.arange(validation.n_groups) < wholes[0].n_groups), wholes[0])
    for early, late in zip(one.everything(), two.everything(), strict=True):
        assert early.n_groups == late.n_groups, "in the end all is learned from, as ever"
    # Where no older fold is left, those there are are parted by user.
    some = windows(FOLDS[:2], n_validation=2).split()[1]
    assert 0 < some.n_groups < validation.n_groups


def test_the_gate_looks_at_all_validation_windows():
    holdout = LabelWindows("14d", 3, n_validation=2)
    fitted = small(holdout=holdout).fit(LOG)
    assert fitted.gate_.n_users > small(holdout=LabelWindows("14d", 3)).fit(LOG).gate_.n_users
    folds = holdout.folds(LOG, FACTS, random_state=0)[:2]
    users = pl.concat([fold.labels["user_id"] for fold in folds])
    assert (
        fitted.gate_.n_users
        == users.n_unique()
        < sum(fold.labels["user_id"].n_unique() for fold in folds)
    )


def test_more_validation_windows_than_the_log_has():
    with pytest.raises(ConfigError, match=r"n_validation=8, but the log has \d label windows"):
        small(holdout=LabelWindows("14d", n_validation=8)).fit(LOG)
    fitted = small(holdout=LabelWindows("14d", 3, n_validation=2)).fit(LOG)
    assert "3 label windows of 14.0 days at the end of the log, the latest 2" in fitted.choices_[0]


def test_training_twice_gives_the_same_model():
    one, two = train(FOLDS), train(FOLDS, n_threads=2)
    assert one.model.text == two.model.text
    assert one.gate == two.gate
    assert train(FOLDS, random_state=1).model.text != one.model.text


def test_a_single_fold_is_parted_by_user():
    trained = train(FOLDS[:1])
    n_users = FOLDS[0].labels["user_id"].n_unique()
    assert 0.1 * n_users < trained.gate.n_users < 0.6 * n_users


def test_random_folds_are_parted_by_user():
    """What a user never took is a negative in all of them: by heart it would be right in each."""
    log = check_interactions(make_log("none", n_users=60, n_items=50, n_events=900))
    facts = LogFacts.of(log)
    folds = RandomHoldout().folds(log, facts, random_state=0)
    assert n_judging(RandomHoldout(), len(folds)) == len(folds) == 10
    windows = label_windows(
        folds,
        partial(build, facts=facts),
        DEPTHS,
        repeats=False,
        max_groups=1000,
        random_state=0,
        n_threads=1,
        n_validation=len(folds),
        cold_share=0.5,
    )
    train, validation = windows.split()
    assert len(train) == len(folds)
    teachers, judges = np.unique(np.concatenate([one.user for one in train])), validation.user
    assert not np.isin(judges, teachers).any()
    assert len(judges) > len(np.unique(judges)) > 5, "of several folds"
    everybody = np.unique(np.concatenate([one.user for one in windows.everything()]))
    assert np.isin(everybody, np.concatenate([teachers, judges])).all()
    assert sum(one.n_groups for one in windows.everything()) > sum(one.n_groups for one in train)


@pytest.mark.parametrize(("n_users", "n_judges"), [(1, None), (2, 1), (3, 1), (10, 3)])
def test_of_users_with_a_hit_some_judge_and_some_teach(n_users, n_judges):
    of_users = table_of([[0, 1]] * n_users + [[]] * 5)
    judged = dataclasses.replace(of_users, user=np.arange(n_users + 5))
    learned = judged.groups(np.diff(judged.indptr) > 0)
    for seed in range(20):
        windows = Windows((Labelled(judged, learned, 1.0),), ("x",), None, seed)
        split = windows.split()
        if n_judges is None:
            assert split is None, "nobody is left to teach"
            continue
        (train,), validation = split
        assert int((np.diff(validation.indptr) > 0).sum()) == n_judges
        assert validation.n_groups == n_judges + 2, "those without a hit judge, too"
        assert sorted({*train.user} | {*validation.user[validation.user < n_users]}) == [
            *range(n_users)
        ]
        assert train.n_groups == n_users - n_judges


@pytest.mark.parametrize(
    ("clock", "holdout"), [("sequence", LastInteractions()), ("none", RandomHoldout())]
)
def test_other_kinds_of_labels(clock, holdout):
    log = check_interactions(make_log(clock, n_users=60, n_items=50, n_events=900))
    facts = LogFacts.of(log)
    folds = holdout.folds(log, facts, random_state=0)
    trained = train(folds, facts=facts)
    assert trained.gate.n_users == folds[0].labels["user_id"].n_unique()


def test_nothing_to_learn_from():
    assert train([]) is None
    unknown = pl.DataFrame({"user_id": ["u000"], "item_id": ["nobody proposes it"]})
    nothing = dataclasses.replace(FOLDS[0], labels=unknown)
    assert train([nothing]) is None
    assert train([nothing, *FOLDS[1:]]) is None, "the freshest labels decide, so it needs some"
    assert train([FOLDS[0], nothing]) is not None


def test_users_without_events_alone_teach_nothing():
    """The trees serve users with events, of whom they would know nothing."""
    log = check_interactions(make_log("none", n_users=300, n_items=10, n_events=3000))
    log = log.unique("user_id", keep="first", maintain_order=True)
    facts = LogFacts.of(log)
    folds = RandomHoldout().folds(log, facts, random_state=0)
    assert train(folds, facts=facts) is None
