"""Item-kNN against implicit's own recommender, and its cosine against the formula."""

from __future__ import annotations

import numpy as np
import pytest
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

from features.decay import decay_weights
from features.errors import ConfigError
from ranker.candidates.item_knn import ItemKNN
from tests.logs import history_from, history_of, make_log

PEERS = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender, "bm25": BM25Recommender}


def binary(history):
    matrix = history.matrix()
    matrix.data[:] = 1.0
    return matrix


# implicit warns of a conversion that it makes itself; ours does not let that through.
@pytest.mark.filterwarnings("ignore:Method expects CSR input")
@pytest.mark.parametrize("options", [{}, {"K1": 0.3, "B": 0.1}], ids=str)
@pytest.mark.parametrize("weighting", PEERS)
def test_equals_implicit(weighting, options):
    history = history_of(make_log("datetime", n_users=80, n_items=60, n_events=900))
    options = options if weighting == "bm25" else {}
    peer = PEERS[weighting](K=history.n_items, num_threads=1, **options)
    peer.fit(binary(history), show_progress=False)
    bm25 = {f"bm25_{name.lower()}": value for name, value in options.items()}
    generator = ItemKNN(weighting=weighting, neighbours=history.n_items, **bm25).fit(history)
    weights = decay_weights(history, float(generator.half_life_ticks_))
    queries = history.matrix(weights)
    found = generator.retrieve(history, history.n_items, exclude_seen=True)
    for user in range(history.n_users):
        items, scores = peer.recommend(user, queries[user], N=history.n_items)
        # implicit goes on with unreachable and with masked items; ours ends.
        expected = {i: s for i, s in zip(items, scores, strict=True) if s > 0}
        items, scores = found.item[user], found.score[user]
        ours = dict(zip(items[items >= 0], scores[items >= 0], strict=True))
        assert set(ours) == set(expected)
        np.testing.assert_allclose(
            [ours[item] for item in expected], list(expected.values()), rtol=1e-5
        )


def test_cosine_is_the_cosine():
    history = history_of(make_log("shared"))
    matrix = binary(history).toarray()
    norms = np.sqrt(matrix.sum(axis=0))
    expected = matrix.T @ matrix / np.outer(norms, norms)
    np.fill_diagonal(expected, 0.0)
    similarity = ItemKNN(neighbours=history.n_items).fit(history).similarity
    np.testing.assert_allclose(similarity.toarray(), expected, rtol=1e-5, atol=1e-7)


def test_repeats_and_weights_do_not_change_the_similarity():
    once = history_from([[0, 1], [1, 2], [0, 2], [0]], 3)
    often = history_from([[0, 0, 0, 1], [1, 2, 2], [0, 2], [0, 0]], 3)
    for weighting in PEERS:
        first, second = (ItemKNN(weighting=weighting).fit(h).similarity for h in (once, often))
        np.testing.assert_array_equal(first.toarray(), second.toarray())


@pytest.mark.parametrize("weighting", PEERS)
def test_an_item_is_proposed_by_its_nearest_neighbours_ties_by_row(weighting):
    history = history_of(make_log("datetime", n_users=80, n_events=900))
    full, few = (
        ItemKNN(weighting=weighting, neighbours=n).fit(history).similarity.toarray().T
        for n in (history.n_items, 4)
    )
    for item, (row, kept) in enumerate(zip(full, few, strict=True)):
        nearest = np.lexsort((np.arange(len(row)), -row))[:4]
        expected = np.zeros_like(row)
        expected[nearest] = row[nearest]
        np.testing.assert_array_equal(kept, expected)
        assert kept[item] == 0, "the item is none of its neighbours"


@pytest.mark.parametrize("weighting", PEERS)
def test_shrunk_by_the_number_of_people_in_common(weighting):
    history = history_of(make_log("shared"))
    plain, shrunk = (
        ItemKNN(weighting=weighting, neighbours=100, shrink=shrink)
        .fit(history)
        .similarity.toarray()
        for shrink in (0, 7.5)
    )
    common = binary(history).toarray().T @ binary(history).toarray()
    np.testing.assert_allclose(shrunk, plain * common / (common + 7.5), rtol=1e-6)


@pytest.mark.parametrize("taken", [[[0], [1]], [[0, 1], [2]], [[0, 1], [0, 2], [1, 2]]])
def test_trap_implicit_tfidf_is_no_number_for_items_of_people_who_took_all_but_one(taken):
    # The weight of such a user is log(n_items) - log(1 + n_taken) = 0, and the norm is too.
    n_items = 1 + max(max(items) for items in taken)
    similarity = ItemKNN(weighting="tfidf").fit(history_from(taken, n_items)).similarity
    assert similarity.nnz == 0


def test_trap_implicit_negative_idf_makes_no_negative_similarity():
    history = history_from([[0, 1, 2], [0, 1, 2], [0]], 3)
    for weighting in PEERS:
        generator = ItemKNN(weighting=weighting).fit(history)
        assert (generator.similarity.data >= 0).all()
        assert np.isfinite(generator.similarity.data).all()


def test_recent_events_count_more_when_a_user_is_served():
    # 0 goes with 1, and 2 with 3; the user took 2 long ago and 0 just now.
    groups = [[0, 1]] * 3 + [[2, 3]] * 3
    times = [[1, 2]] * 6
    history = history_from([*groups, [2, 0]], 4, time=[*times, [0, 99]], now=100)
    found = ItemKNN(half_life=10).fit(history).retrieve(history, 2, exclude_seen=True)
    assert found.item[-1].tolist() == [1, 3]
    assert found.score[-1, 0] > 100 * found.score[-1, 1]


def test_an_unknown_weighting():
    with pytest.raises(ConfigError, match=r"weighting='bm52' is not known; expected one of \['bm2"):
        ItemKNN(weighting="bm52").fit(history_of(make_log("none")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": 0}, "neighbours=0; expected a whole number, 1 or more"),
        ({"shrink": -1.0}, "shrink=-1.0; expected a number from 0 on"),
        ({"bm25_k1": float("inf")}, "bm25_k1=inf; expected a number from 0 on"),
        ({"bm25_b": 1.5}, "bm25_b=1.5; expected a number from 0 to 1"),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        ItemKNN(**options).fit(history_of(make_log("none")))


def test_without_half_life_all_events_of_a_user_count_the_same():
    history = history_of(make_log("datetime"))
    generator = ItemKNN(half_life=None, neighbours=100).fit(history)
    found = generator.retrieve(history, 5, exclude_seen=False)
    expected = history.matrix(np.ones(history.n_events)) @ generator.similarity
    for user in range(history.n_users):
        np.testing.assert_allclose(
            found.score[user], np.sort(expected[user].toarray()[0])[::-1][:5], rtol=1e-5
        )
