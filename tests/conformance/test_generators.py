"""What every candidate generator must do, on every kind of clock."""

from __future__ import annotations

import copy
import functools
import io
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_limits

from features.errors import NotFittedError
from features.history import History
from ranker.candidates.als import ALS
from ranker.candidates.audience import Audience
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.bpr import BPR
from ranker.candidates.content import EmbeddingSimilarity, TextSimilarity
from ranker.candidates.covisitation import CoVisitation
from ranker.candidates.ease import EASE
from ranker.candidates.item_knn import ItemKNN
from ranker.candidates.own_history import OwnHistory
from ranker.candidates.popularity import Popularity
from ranker.candidates.random_walk import RandomWalk
from ranker.candidates.segments import CategoryPopularity, SegmentPopularity
from ranker.candidates.transitions import Transitions
from ranker.candidates.user_knn import UserKNN
from ranker.neural import (
    DeepMatrixFactorization,
    Hybrid,
    ImageContent,
    MatrixFactorization,
    NeuralCollaborativeFiltering,
    SequenceEncoder,
    SequenceHybrid,
    TextContent,
    TwoTower,
)
from ranker.parallel import map_chunks
from tests.content import with_catalogue, with_people
from tests.logs import CLOCKS, history_of, make_log

UNSEEN_ITEMS = ("a-cold", "i007b", "z-cold")  # before, between and behind those with events
SILENT_USERS = ("u-silent", "zz-silent")


@dataclass(frozen=True)
class Subject:
    """A generator under test, and where it may differ from the others.

    Parameters
    ----------
    make : callable
    serves_silent : bool
        Proposes something to users without any event.
    ties_by_row : bool
        Equal scores stand in the order of item rows.
    proposes_cold : bool
        Proposes items without any event, by their content.
    knows_people : bool
        Tells users without events apart by their attributes.
    knows_cold : bool
        An item without events says something of others, by its content.
    negative_similarity : bool
        Similarities below zero speak against an item.
    """

    make: Callable[[], Generator]
    serves_silent: bool = False
    ties_by_row: bool = True
    proposes_cold: bool = False
    knows_people: bool = False
    knows_cold: bool = False
    negative_similarity: bool = False


SUBJECTS = {
    # Popularity orders equal shares by the number of all events before it looks at the rows.
    "popular": Subject(Popularity, serves_silent=True, ties_by_row=False),
    "popular-window": Subject(
        lambda: Popularity(window=0.25), serves_silent=True, ties_by_row=False
    ),
    "own": Subject(OwnHistory),
    "als": Subject(lambda: ALS(factors=8, iterations=3)),
    "als-narrow": Subject(lambda: ALS(factors=3, iterations=2, alpha=20.0, random_state=7)),
    "knn-cosine": Subject(ItemKNN),
    "knn-tfidf": Subject(lambda: ItemKNN(weighting="tfidf", neighbours=5)),
    "knn-bm25": Subject(lambda: ItemKNN(weighting="bm25", neighbours=7, bm25_b=0.2)),
    "knn-shrunk": Subject(lambda: ItemKNN(shrink=3.0, half_life=None)),
    "user-knn": Subject(UserKNN),
    "user-knn-few": Subject(lambda: UserKNN(neighbours=3, half_life=None, own=0.0, power=2.0)),
    "audience": Subject(Audience),
    "audience-few": Subject(
        lambda: Audience(window=0.25, n_current=6, neighbours=4, discount=0.0, half_life=0.3)
    ),
    "random-walk": Subject(RandomWalk),
    "random-walk-few": Subject(lambda: RandomWalk(alpha=1.0, beta=0.0, neighbours=3)),
    "transitions": Subject(Transitions),
    "transitions-last": Subject(
        lambda: Transitions(max_lag=1, n_last=1, half_life=0.3, neighbours=4, shrink=0.0)
    ),
    "covisitation": Subject(CoVisitation),
    "covisitation-forward": Subject(
        lambda: CoVisitation(forward_only=True, max_steps=1, discount=0.0)
    ),
    "covisitation-short": Subject(
        lambda: CoVisitation(max_events=2, neighbours=3, shrink=0.0, discount=0.5)
    ),
    "covisitation-of-late": Subject(lambda: CoVisitation(window=0.5)),
    "ease": Subject(EASE, negative_similarity=True),
    "ease-few": Subject(
        lambda: EASE(neighbours=5, max_items=12, half_life=0.25, regularization=5.0),
        negative_similarity=True,
    ),
    "bpr": Subject(lambda: BPR(factors=8, iterations=5)),
    "segments": Subject(with_people(SegmentPopularity), serves_silent=True, knows_people=True),
    "categories": Subject(with_catalogue(CategoryPopularity), knows_cold=True),
    "mf-ratings": Subject(lambda: MatrixFactorization(factors=4, epochs=2)),
    "mf-softmax": Subject(lambda: MatrixFactorization(factors=4, epochs=2, loss="softmax")),
    "mf-bce": Subject(lambda: MatrixFactorization(factors=4, epochs=2, loss="bce")),
    "deep-mf": Subject(lambda: DeepMatrixFactorization(factors=4, epochs=2)),
    "deep-mf-towers": Subject(
        lambda: DeepMatrixFactorization(towers=(8, 4), epochs=2, dropout=0.2)
    ),
    "deep-mf-cosine": Subject(
        lambda: DeepMatrixFactorization(towers=(8, 4), epochs=2, loss="nce", random_state=3)
    ),
    "ncf-gmf": Subject(
        lambda: NeuralCollaborativeFiltering(architecture="gmf", factors=4, epochs=2)
    ),
    "ncf-mlp": Subject(
        lambda: NeuralCollaborativeFiltering(architecture="mlp", layers=(8, 4), epochs=2)
    ),
    "ncf-neumf": Subject(lambda: NeuralCollaborativeFiltering(factors=4, layers=(8, 4), epochs=2)),
    "attention": Subject(lambda: SequenceEncoder(factors=8, epochs=2, max_length=12)),
    "attention-sampled": Subject(
        lambda: SequenceEncoder(
            factors=8,
            epochs=1,
            max_length=5,
            n_layers=1,
            loss="sampled",
            n_negatives=4,
            temperature=0.2,
            time_gaps=True,
            random_state=3,
        )
    ),
    "gru": Subject(
        lambda: SequenceEncoder(
            architecture="gru", factors=8, epochs=2, max_length=12, n_layers=1, batch_size=160
        )
    ),
}

_BRIEF = {"factors": 8, "epochs": 2, "n_negatives": 8}
SUBJECTS |= {
    name: Subject(functools.partial(with_catalogue(cls), **parameters), proposes_cold=True)
    for name, cls, parameters in (
        ("text", TextSimilarity, {}),
        ("text-takers", TextSimilarity, {"interactions_weight": 1.0, "columns": ["tags"]}),
        ("text-svd", TextSimilarity, {"factors": 6}),
        ("embeddings", EmbeddingSimilarity, {"centre": True}),
        ("text-cnn", TextContent, _BRIEF),
        ("text-gru", TextContent, {**_BRIEF, "encoder": "gru"}),
        ("image-cnn", ImageContent, _BRIEF),
        ("two-tower", TwoTower, _BRIEF),
        ("hybrid", Hybrid, _BRIEF),
        ("sequence-hybrid", SequenceHybrid, {**_BRIEF, "n_negatives": None, "max_length": 12}),
        (
            "sequence-hybrid-gru",
            SequenceHybrid,
            {**_BRIEF, "architecture": "gru", "time_gaps": True, "loss": "sampled"},
        ),
    )
}


@functools.cache
def full_history(clock: str) -> History:
    """The log's users, two without events, and items that nobody took."""
    return history_of(make_log(clock), users=SILENT_USERS, items=UNSEEN_ITEMS)


@functools.cache
def fitted(name: str, clock: str) -> Generator:
    return SUBJECTS[name].make().fit(full_history(clock))


def served(clock: str) -> History:
    """Everybody, backwards, with a user in the middle whom nobody knows."""
    users = full_history(clock).users.values.reverse()
    unknown = pl.Series(["unknown"])
    return full_history(clock).select(pl.concat([users[:9], unknown, users[9:]]))


def assert_same(found: Retrieved, expected: Retrieved) -> None:
    """The same to the last bit."""
    np.testing.assert_array_equal(found.item, expected.item)
    np.testing.assert_array_equal(found.score, expected.score)


def assert_sound(found: Retrieved, history: History, n: int, subject: Subject) -> None:
    """Shape, dtypes, padding, order, no duplicates."""
    assert found.item.shape == found.score.shape == (history.n_users, n)
    assert found.item.dtype == np.int32
    assert found.score.dtype == np.float32
    is_padding = found.item == -1
    np.testing.assert_array_equal(np.isnan(found.score), is_padding)
    assert np.isfinite(found.score[~is_padding]).all()
    assert (is_padding[:, :-1] <= is_padding[:, 1:]).all(), "something stands behind the padding"
    for user in range(history.n_users):
        items, scores = found.item[user], found.score[user]
        items, scores = items[items >= 0], scores[items >= 0]
        assert len(set(items.tolist())) == len(items)
        assert ((items >= 0) & (items < history.n_items)).all()
        assert (np.diff(scores) <= 0).all()
        if subject.ties_by_row:
            assert items.tolist() == items[np.lexsort((items, -scores))].tolist()


def seen_items(history: History, user: int) -> set[int]:
    return set(history.item[history.indptr[user] : history.indptr[user + 1]].tolist())


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("name", SUBJECTS)
class TestGenerator:
    """One subject on one clock."""

    @pytest.mark.parametrize("exclude_seen", [False, True])
    @pytest.mark.parametrize("n", [1, 4, 20])
    def test_lists_are_sound(self, name, clock, n, exclude_seen):
        history = served(clock)
        found = fitted(name, clock).retrieve(history, n, exclude_seen=exclude_seen)
        assert_sound(found, history, n, SUBJECTS[name])

    @pytest.mark.parametrize("exclude_seen", [False, True])
    def test_trap_implicit_n_above_the_catalogue_pads_with_nothing(self, name, clock, exclude_seen):
        history = served(clock)
        deep = history.n_items + 50
        found = fitted(name, clock).retrieve(history, deep, exclude_seen=exclude_seen)
        assert_sound(found, history, deep, SUBJECTS[name])
        assert (found.item[:, history.n_items :] == -1).all()

    def test_a_shorter_list_is_the_head_of_a_longer_one(self, name, clock):
        history, generator = served(clock), fitted(name, clock)
        for exclude_seen in (False, True):
            long = generator.retrieve(history, history.n_items, exclude_seen=exclude_seen)
            for n in (0, 1, 3, 10):
                short = generator.retrieve(history, n, exclude_seen=exclude_seen)
                assert_same(short, Retrieved(long.item[:, :n], long.score[:, :n]))

    def test_trap_implicit_seen_items_are_left_out_not_masked(self, name, clock):
        history, generator = served(clock), fitted(name, clock)
        deep = history.n_items + 5
        every = generator.retrieve(history, deep, exclude_seen=False)
        unseen = generator.retrieve(history, deep, exclude_seen=True)
        for user in range(history.n_users):
            seen = seen_items(history, user)
            kept = [i for i in every.item[user].tolist() if i >= 0 and i not in seen]
            assert [i for i in unseen.item[user].tolist() if i >= 0] == kept
        # Left out means that the others' scores stay what they were.
        scores = [
            dict(zip(i, s, strict=True)) for i, s in zip(every.item, every.score, strict=True)
        ]
        for user, place in zip(*np.nonzero(unseen.item >= 0), strict=True):
            assert unseen.score[user, place] == scores[user][unseen.item[user, place]]

    def test_trap_implicit_users_without_events_get_no_arbitrary_items(self, name, clock):
        history = full_history(clock).select(pl.Series([*SILENT_USERS, "unknown"]))
        for exclude_seen in (False, True):
            found = fitted(name, clock).retrieve(history, 5, exclude_seen=exclude_seen)
            if SUBJECTS[name].serves_silent:
                assert (found.item >= 0).all()
                if not SUBJECTS[name].knows_people:
                    assert (found.item == found.item[0]).all()
            else:
                assert (found.item == -1).all()

    def test_items_without_events_are_not_proposed(self, name, clock):
        history = served(clock)
        found = fitted(name, clock).retrieve(history, history.n_items, exclude_seen=False)
        cold = history.items.encode(pl.Series(UNSEEN_ITEMS))
        assert np.isin(found.item, cold).any() == SUBJECTS[name].proposes_cold

    def test_no_users(self, name, clock):
        nobody = served(clock).rows(0, 0)
        found = fitted(name, clock).retrieve(nobody, 6, exclude_seen=False)
        assert_sound(found, nobody, 6, SUBJECTS[name])

    @pytest.mark.parametrize("size", [1, 7, 1000])
    @pytest.mark.parametrize("n_threads", [1, 2])
    def test_runs_of_any_length_and_threads_change_nothing(self, name, clock, size, n_threads):
        history, generator = served(clock), fitted(name, clock)
        expected = generator.retrieve(history, 12, exclude_seen=True)
        parts = list(
            map_chunks(
                lambda _, part: generator.retrieve(part, 12, exclude_seen=True),
                history,
                size,
                n_threads,
                description="retrieve",
            )
        )
        items = np.concatenate([part.item for part in parts])
        scores = np.concatenate([part.score for part in parts])
        assert_same(Retrieved(items, scores), expected)

    def test_the_order_of_users_changes_nothing(self, name, clock):
        generator, straight = fitted(name, clock), full_history(clock)
        order = np.random.default_rng(3).permutation(straight.n_users)
        mixed = straight.select(straight.users.decode(order))
        expected = generator.retrieve(straight, 12, exclude_seen=False)
        found = generator.retrieve(mixed, 12, exclude_seen=False)
        assert_same(found, Retrieved(expected.item[order], expected.score[order]))

    def test_users_are_known_by_their_events_alone(self, name, clock):
        log, generator = make_log(clock), fitted(name, clock)
        renamed = log.with_columns("new-" + pl.col("user_id"))
        strangers = history_of(renamed, items=UNSEEN_ITEMS)
        friends = history_of(log, items=UNSEEN_ITEMS)
        assert_same(
            generator.retrieve(strangers, 12, exclude_seen=False),
            generator.retrieve(friends, 12, exclude_seen=False),
        )

    @pytest.mark.parametrize("seed", [1, 2])
    def test_shuffled_rows_give_the_same_lists(self, name, clock, seed):
        mixed = make_log(clock).sample(fraction=1.0, shuffle=True, seed=seed)
        history = history_of(mixed, users=SILENT_USERS, items=UNSEEN_ITEMS)
        found = SUBJECTS[name].make().fit(history).retrieve(history, 12, exclude_seen=False)
        straight = full_history(clock)
        assert_same(found, fitted(name, clock).retrieve(straight, 12, exclude_seen=False))

    def test_trap_openblas_threads_change_nothing(self, name, clock):
        lists = []
        for n_threads in (1, 2):
            with threadpool_limits(n_threads, "blas"):
                generator = SUBJECTS[name].make().fit(served(clock))
                lists.append(generator.retrieve(served(clock), 12, exclude_seen=False))
        assert_same(*lists)

    def test_trap_implicit_second_fit_equals_a_fresh_one(self, name, clock):
        history = served(clock)
        generator = SUBJECTS[name].make()
        other = history_of(make_log(clock, n_users=15, n_items=40, n_events=300, seed=5))
        generator.fit(other)
        generator.retrieve(other, 12, exclude_seen=False)
        again = generator.fit(full_history(clock))
        assert again is generator, "fit returns self"
        expected = fitted(name, clock).retrieve(history, 12, exclude_seen=False)
        assert_same(generator.retrieve(history, 12, exclude_seen=False), expected)

    def test_another_fit_is_seen_by_a_history_that_was_served_before(self, name, clock):
        served_twice, served_once = served(clock), served(clock)
        half = make_log(clock).head(250)
        smaller = history_of(half, items=full_history(clock).items.values)
        generator = SUBJECTS[name].make().fit(full_history(clock))
        generator.retrieve(served_twice, 12, exclude_seen=False)
        generator.fit(smaller)
        fresh = SUBJECTS[name].make().fit(smaller)
        assert_same(
            generator.retrieve(served_twice, 12, exclude_seen=False),
            fresh.retrieve(served_once, 12, exclude_seen=False),
        )

    def test_arrays_through_npz_without_pickle(self, name, clock):
        generator, buffer = fitted(name, clock), io.BytesIO()
        np.savez(buffer, allow_pickle=False, **generator.arrays())
        buffer.seek(0)
        with np.load(buffer, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        restored = SUBJECTS[name].make().restore(arrays)
        for exclude_seen in (False, True):
            assert_same(
                restored.retrieve(served(clock), 12, exclude_seen=exclude_seen),
                generator.retrieve(served(clock), 12, exclude_seen=exclude_seen),
            )
        again = restored.arrays()
        assert list(again) == list(arrays)
        for key, array in arrays.items():
            np.testing.assert_array_equal(again[key], array)

    def test_the_given_history_stays_as_it_was(self, name, clock):
        history = served(clock)
        before = copy.deepcopy(
            (history.indptr, history.item, history.time, history.weight, history.event, history.now)
        )
        generator = SUBJECTS[name].make().fit(history)
        for exclude_seen in (False, True):
            generator.retrieve(history, 9, exclude_seen=exclude_seen)
        after = (
            *(history.indptr, history.item, history.time),
            *(history.weight, history.event, history.now),
        )
        for now, then in zip(after, before, strict=True):
            np.testing.assert_array_equal(now, then)
        assert history.users.values.to_list() == served(clock).users.values.to_list()
        assert history.items.values.to_list() == full_history(clock).items.values.to_list()

    @pytest.mark.parametrize(
        ("n_users", "n_items", "n_events"), [(1, 1, 1), (1, 1, 5), (1, 4, 6), (5, 1, 7), (2, 2, 2)]
    )
    def test_hardly_any_data(self, name, clock, n_users, n_items, n_events):
        log = make_log(clock, n_users=n_users, n_items=n_items, n_events=n_events)
        history = history_of(log)
        generator = SUBJECTS[name].make().fit(history)
        for exclude_seen in (False, True):
            found = generator.retrieve(history, 3, exclude_seen=exclude_seen)
            assert_sound(found, history, 3, SUBJECTS[name])
            if exclude_seen and n_items == 1:
                assert (found.item == -1).all()

    def test_a_user_who_has_seen_everything(self, name, clock):
        log = make_log(clock)
        glutton = log.unique("item_id", keep="first", maintain_order=True).with_columns(
            pl.lit("glutton").alias("user_id")
        )
        if clock == "sequence":
            glutton = glutton.with_columns(pl.int_range(pl.len()).alias("timestamp"))
        history = history_of(pl.concat([log, glutton]))
        alone = history.select(pl.Series(["glutton"]))
        generator = SUBJECTS[name].make().fit(history)
        found = generator.retrieve(alone, 5, exclude_seen=True)
        assert (found.item == -1).all()
        assert_sound(generator.retrieve(alone, 5, exclude_seen=False), alone, 5, SUBJECTS[name])

    def test_vectors_and_similarities_fit_the_catalogue(self, name, clock):
        generator, history = fitted(name, clock), served(clock)
        cold = history.items.encode(pl.Series(UNSEEN_ITEMS))
        similarity = generator.similarity
        if similarity is not None:
            assert similarity.shape == (history.n_items, history.n_items)
            assert similarity.dtype == np.float32
            assert similarity.has_sorted_indices
            assert (similarity.diagonal() == 0).all()
            assert (similarity.data > 0).all() or SUBJECTS[name].negative_similarity
            assert similarity[:, cold].nnz == 0
            assert similarity[cold].nnz == 0 or SUBJECTS[name].knows_cold
        items, users = generator.item_vectors, generator.user_vectors(history)
        assert (items is None) == (users is None)
        if items is not None and users is not None:
            assert items.dtype == users.dtype == np.float32
            assert items.shape == (history.n_items, users.shape[1])
            assert len(users) == history.n_users
            assert items[cold].any() == SUBJECTS[name].proposes_cold
            assert (users[history.lengths == 0] == 0).all()


@pytest.mark.parametrize("name", SUBJECTS)
class TestUnfitted:
    """What needs no data."""

    def test_a_copy_shares_nothing(self, name):
        history = full_history("datetime")
        original = SUBJECTS[name].make().fit(history)
        expected = original.retrieve(history, 8, exclude_seen=False)
        copies = [original.unfitted(seed) for seed in (1, 2)]
        for fresh in copies:
            assert type(fresh) is type(original)
            with pytest.raises(NotFittedError):
                fresh.arrays()
            fresh.fit(history_of(make_log("datetime", n_items=9, seed=4)))
        assert_same(original.retrieve(full_history("datetime"), 8, exclude_seen=False), expected)

    def test_an_open_seed_is_filled_in_and_a_chosen_one_stays(self, name):
        generator = SUBJECTS[name].make()
        chosen = generator.parameters().get("random_state")
        for seed in (0, 5):
            parameters = generator.unfitted(seed).parameters()
            if "random_state" in parameters:
                assert parameters["random_state"] == (seed if chosen is None else chosen)
            expected = generator.parameters()
            parameters.pop("random_state", None)
            expected.pop("random_state", None)
            assert parameters == expected

    def test_parameters_are_json_and_make_an_equal_generator(self, name):
        generator = SUBJECTS[name].make()
        parameters = json.loads(json.dumps(generator.parameters()))
        assert type(generator)(**parameters) == generator

    def test_fit_leaves_the_parameters(self, name):
        generator = SUBJECTS[name].make()
        before = generator.parameters()
        generator.fit(full_history("shared"))
        assert generator.parameters() == before

    @pytest.mark.parametrize(
        "use",
        [
            lambda g: g.retrieve(full_history("datetime"), 3, exclude_seen=False),
            lambda g: g.retrieve(full_history("datetime"), 3, exclude_seen=True),
            lambda g: g.arrays(),
        ],
        ids=["retrieve", "retrieve unseen", "arrays"],
    )
    def test_use_before_fit(self, name, use):
        generator = SUBJECTS[name].make()
        expected = rf"{type(generator).__name__} is not fitted yet; call fit"
        with pytest.raises(NotFittedError, match=expected):
            use(generator)

    def test_vectors_and_similarities_before_fit(self, name):
        generator = SUBJECTS[name].make()
        learned = fitted(name, "datetime")
        for attribute in ("similarity", "item_vectors"):
            if getattr(learned, attribute) is not None:
                with pytest.raises(NotFittedError):
                    getattr(generator, attribute)
        if learned.item_vectors is not None:
            with pytest.raises(NotFittedError):
                generator.user_vectors(full_history("datetime"))

    def test_frames_of_attributes_may_come_along(self, name):
        history = full_history("datetime")
        items = pl.DataFrame({"item_id": history.items.values, "price": 1.5})
        users = pl.DataFrame({"user_id": history.users.values, "age": 30})
        copies = items.clone(), users.clone()
        generator = SUBJECTS[name].make().fit(history, items=items, users=users)
        assert_same(
            generator.retrieve(history, 5, exclude_seen=False),
            fitted(name, "datetime").retrieve(history, 5, exclude_seen=False),
        )
        assert items.equals(copies[0])
        assert users.equals(copies[1])
