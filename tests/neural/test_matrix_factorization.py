"""Vectors for each user: what they recover, and how strangers get theirs."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
import torch

from features.errors import ConfigError, NotFittedError
from ranker import TwoStageRecommender
from ranker.candidates.user_keys import event_keys
from ranker.neural import DeepMatrixFactorization, MatrixFactorization
from ranker.neural import matrix_factorization as module
from ranker.neural.fold_in import Ridge
from ranker.neural.pairs import Pairs
from tests.logs import history_from, history_of, make_log

LOSSES = ("mse", "softmax", "sampled", "bpr", "bce")


def planted_ratings(n_users=120, n_items=60, rank=2, seed=0):
    """Noisy ratings of a matrix of low rank with biases; half is shown."""
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(n_users, rank)), rng.normal(size=(n_items, rank))
    biases = 0.4 * rng.normal(size=(n_users, 1)) + 0.4 * rng.normal(size=(1, n_items))
    full = 6.0 + biases + u @ v.T / np.sqrt(rank) + 0.05 * rng.normal(size=(n_users, n_items))
    full = full.clip(0.0)
    shown = rng.random(full.shape) < 0.5
    user, item = np.nonzero(np.ones(full.shape))
    table = pl.DataFrame({"user_id": user, "item_id": item, "weight": full.ravel()})
    return table.filter(shown.ravel()), table.filter(~shown.ravel())


def rmse(generator, hidden):
    guess = generator.predict(hidden["user_id"], hidden["item_id"])
    return float(((guess - hidden["weight"]) ** 2).mean() ** 0.5)


@pytest.fixture(scope="module")
def ratings():
    return planted_ratings()


@pytest.fixture(scope="module")
def converged(ratings):
    model = MatrixFactorization(
        factors=2, epochs=500, patience=500, learning_rate=0.02, regularization=0.005
    )
    return model.fit(ratings[0])


class TestRatings:
    def test_a_planted_matrix_is_recovered(self, ratings, converged):
        spread = ratings[1]["weight"].std()
        assert spread > 1.0
        assert rmse(converged, ratings[1]) < 0.25

    def test_towers_recover_it_too(self, ratings):
        model = DeepMatrixFactorization(
            towers=(32, 4), epochs=120, patience=120, batch_size=512, regularization=0.0
        )
        biases = MatrixFactorization(factors=1, epochs=60, regularization=1.0).fit(ratings[0])
        towers = rmse(model.fit(ratings[0]), ratings[1])
        assert towers < 0.75 * rmse(biases, ratings[1])

    def test_embeddings_of_the_deep_model_are_those_of_the_plain_one(self, ratings):
        settings = {"factors": 3, "epochs": 3}
        plain = MatrixFactorization(**settings).fit(ratings[0])
        deep = DeepMatrixFactorization(**settings).fit(ratings[0])
        np.testing.assert_array_equal(plain.item_vectors, deep.item_vectors)

    def test_unknown_users_and_items_count_as_average(self, ratings, converged):
        mean, bias = converged.average_[0, -2], converged.vectors_[5, -1]
        found = converged.predict([10**6, 10**6, 3], [5, 10**6, 10**6]).to_list()
        own = converged.user_vectors(converged._border.asked([3], None))[0, -2]
        np.testing.assert_allclose(found, [mean + bias, mean, own], rtol=1e-5)

    def test_ratings_stay_within_those_of_the_log(self, ratings):
        log = ratings[0].with_columns(pl.col("weight").clip(5.5, 6.0))
        found = MatrixFactorization(epochs=1, factors=30).fit(log).predict([0] * 60, range(60))
        assert found.dtype == pl.Float32
        assert found.name == "score"
        assert found.is_between(5.5, 6.0).all()

    def test_predict_says_what_is_wrong(self, converged):
        with pytest.raises(ConfigError, match="2 user_ids and 1 item_ids"):
            converged.predict([1, 2], [3])
        with pytest.raises(NotFittedError, match="not fitted on a frame"):
            MatrixFactorization().fit(history_of(make_log("date"))).predict(["u001"], ["i001"])
        assert converged.predict([], []).to_list() == []

    def test_a_pair_is_the_same_in_any_company(self, converged):
        many = converged.predict([1, 2, 3, 1], [4, 4, 9, 8])
        assert many[2] == converged.predict([3], [9])[0]


class TestFoldIn:
    def test_of_ratings_it_is_what_training_converges_to(self, ratings, converged):
        history = converged._border.history
        learned = ~Pairs(history, converged.item_, 0).held_out
        later = _only(history, learned)
        trained, folded = converged.user_vectors(history), converged.user_vectors(later)
        scores = trained @ converged.vectors_.T, folded @ converged.vectors_.T
        assert np.sqrt(np.square(scores[0] - scores[1]).mean()) < 0.02

    @pytest.mark.parametrize("loss", LOSSES)
    def test_strangers_with_the_taste_of_a_user_get_his_items(self, loss):
        rng = np.random.default_rng(1)
        rows = [rng.choice(20, 12, replace=False) + 20 * (user % 2) for user in range(60)]
        history = history_from(rows, 40)
        model = MatrixFactorization(
            factors=4, epochs=40, loss=loss, batch_size=128, learning_rate=0.02, n_negatives=4
        ).fit(history)
        strangers = history_from([[0, 3, 6, 9], [21, 24, 27, 30]], 40)
        found = model.retrieve(strangers, 8, exclude_seen=True)
        assert (found.item[0] < 20).all()
        assert (found.item[1] >= 20).all()

    def test_ridge_solves_the_normal_equations_over_all_items(self):
        rng = np.random.default_rng(2)
        x, offsets = rng.normal(size=(9, 3)).astype("f"), rng.normal(size=9).astype("f")
        ridge = Ridge(x, offsets, Ridge.gram_of(x, offsets), 0.3, 2, 0.7)
        places = np.array([4, 1, 4])
        found = ridge.solve(np.array([0, 3]), places, np.full(3, 1.4), np.array([0]))[0]
        others = [0, 2, 3, 5, 6, 7, 8]
        rows = np.concatenate((places, others))
        weight = np.concatenate((np.ones(3), np.full(7, 2 * 3 / 7)))
        target = np.concatenate((np.full(3, 1.4), np.full(7, 0.3))) - offsets[rows]
        left = (x[rows] * weight[:, None]).T @ x[rows] + 0.7 * 9 * np.eye(3)
        expected = np.linalg.solve(left, (x[rows] * weight[:, None]).T @ target)
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_the_very_events_of_a_user_give_what_training_found(self, converged):
        history = converged._border.history
        table = converged.network_.state_dict()["user.weight"].numpy()
        np.testing.assert_array_equal(converged.user_vectors(history)[:, :2], table)


class TestKeys:
    def test_any_change_of_the_events_changes_the_key(self):
        rows, times = [[1, 2, 3], [1, 2, 3], [2, 1, 3], [1, 2], []], [[1, 2, 3]] * 3 + [[1, 2], []]
        keys = event_keys(history_from(rows, 4, time=times, now=9))
        assert keys[0] == keys[1]
        assert len(set(keys.tolist())) == 4
        later = event_keys(history_from(rows, 4, time=[[1, 2, 4]] * 3 + [[1, 2], []], now=9))
        assert later[0] != keys[0]
        assert later[3] == keys[3]

    def test_weights_take_part(self):
        history = history_from([[1, 2]], 4)
        before = event_keys(history)
        history.weight[0] = 2.0
        assert event_keys(history)[0] != before[0]


class TestPairs:
    def test_what_is_drawn_is_uniform_among_the_rest(self):
        history = history_from([[1, 3, 4], [0, 1, 2, 3, 4, 5, 6], [6], [0, 1, 2, 3, 4, 5]], 7)
        pairs = Pairs(history, np.arange(7, dtype=np.int32), 0)
        drawn = pairs.draw(np.arange(4), 7_000, np.random.default_rng(0))
        counts = np.stack([np.bincount(row, minlength=7) for row in drawn])
        rest = ([0, 2, 5, 6], range(7), range(6), [6])
        for row, items in enumerate(rest):
            expected = np.bincount(list(items), minlength=7) * 7_000 / len(items)
            np.testing.assert_allclose(counts[row], expected, atol=150)

    def test_what_is_drawn_was_never_taken(self):
        history = history_of(make_log("date"))
        pairs = Pairs(history, np.unique(history.item), 0)
        taken = set(zip(pairs.user.tolist(), pairs.item.tolist(), strict=True))
        for batch in pairs.batches(np.random.default_rng(0), 64, 5):
            for user, drawn in zip(batch.user.tolist(), batch.negative.tolist(), strict=True):
                assert not {(user, item) for item in drawn} & taken

    def test_last_events_are_held_out_and_never_learned(self):
        history = history_of(make_log("datetime"))
        pairs = Pairs(history, np.unique(history.item), 0)
        events = np.flatnonzero(pairs.held_out)
        assert 0 < len(events) <= history.n_events // 20
        assert np.isin(events, history.indptr[1:] - 1).all()
        n = sum(len(b.user) for b in pairs.batches(np.random.default_rng(0), 64, 0))
        assert n == history.n_events - len(events)

    def test_ndcg_by_hand(self):
        history = history_from([[0, 1, 2]] * 20, 5, time=[[1, 2, 3]] * 20, now=9)
        pairs = Pairs(history, np.arange(5, dtype=np.int32), 0)
        # Items 0 and 1 are of the past; 3 stands before 2.
        scores = np.array([9.0, 8.0, 5.0, 6.0, 1.0], np.float32)
        found = pairs.ndcg(lambda users: np.tile(scores, (len(users), 1)), 10)
        assert found == pytest.approx(1 / np.log2(3))

    @pytest.mark.parametrize("score", [0.0, np.nan, np.inf, -np.inf])
    def test_who_says_the_same_of_all_items_is_not_perfect(self, score):
        history = history_from([[0, 1, 2]] * 20, 15, time=[[1, 2, 3]] * 20, now=9)
        pairs = Pairs(history, np.arange(15, dtype=np.int32), 0)
        scores = np.full((20, 15), score, np.float32)
        last = 0.0 if np.isnan(score) else 1 / np.log2(14)  # of the 13 that are not of the past
        assert pairs.ndcg(lambda users: scores[users], 10) == pytest.approx(last)


class TestTraining:
    @pytest.mark.parametrize("loss", LOSSES)
    def test_gradients_reach_what_the_loss_depends_on(self, loss):
        history = history_from([[0, 1, 2, 3], [2, 3, 4, 5], [5, 6, 7, 0]], 8)
        model = MatrixFactorization(loss=loss, factors=3, n_negatives=2, regularization=0.0)
        model._begin(history)
        model.n_users_ = np.array(3)
        network = model._seeded()
        lesson = module._Lesson(model, network, Pairs(history, model.item_, 0), is_rating=False)
        drawn = next(iter(lesson.batches(np.random.default_rng(0))))
        value = lesson.loss(drawn)
        assert torch.isfinite(value)
        value.backward()
        for name in ("user.weight", "item.weight", "item_bias"):
            assert network.get_parameter(name).grad.abs().sum() > 0
        by_user = network.user_bias.grad
        assert (by_user is not None and by_user.abs().sum() > 1e-8) == (loss in ("mse", "bce"))

    @pytest.mark.parametrize("make", [MatrixFactorization, DeepMatrixFactorization])
    def test_two_fits_are_the_same_and_seeds_differ(self, make):
        history = history_of(make_log("date"))
        kwargs = {"towers": (8, 4)} if make is DeepMatrixFactorization else {"factors": 4}
        fits = [make(epochs=2, random_state=s, **kwargs).fit(history) for s in (0, 0, 1)]
        np.testing.assert_array_equal(fits[0].item_vectors, fits[1].item_vectors)
        assert (fits[0].item_vectors != fits[2].item_vectors).any()

    @pytest.mark.parametrize(
        "model",
        [
            MatrixFactorization(factors=4, epochs=4, patience=9),
            MatrixFactorization(factors=4, epochs=4, patience=9, loss="sampled"),
            DeepMatrixFactorization(towers=(8, 4), epochs=4, patience=9, dropout=0.3),
        ],
        ids=["ratings", "sampled", "towers"],
    )
    def test_a_training_that_broke_off_goes_on(self, model, tmp_path, monkeypatch):
        history = history_of(make_log("date"))
        unbroken = model.unfitted(0).fit(history)
        broken = model.unfitted(0)
        broken.checkpoints = str(tmp_path)
        validations = _break_at(monkeypatch, type(model), 3)
        with pytest.raises(KeyboardInterrupt):
            broken.fit(history)
        validations.undo()
        assert len(list(tmp_path.iterdir())) == 1
        broken.fit(history)
        assert not list(tmp_path.iterdir())
        np.testing.assert_array_equal(broken.item_vectors, unbroken.item_vectors)
        assert broken.n_epochs_ == unbroken.n_epochs_

    def test_losses_that_are_not_known(self):
        history = history_from([[0, 1]], 2)
        with pytest.raises(ConfigError, match="loss='nce' is not known"):
            MatrixFactorization(loss="nce").fit(history)
        with pytest.raises(ConfigError, match="no towers"):
            DeepMatrixFactorization(loss="nce").fit(history)
        with pytest.raises(ConfigError, match="loss='bpr' is not known to towers"):
            DeepMatrixFactorization(loss="bpr", towers=(4,)).fit(history)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: MatrixFactorization(factors=0), "factors=0 must be at least 1"),
            (lambda: MatrixFactorization(epochs=0), "epochs=0 must be at least 1"),
            (lambda: MatrixFactorization(batch_size=0), "batch_size=0 must be at least 1"),
            (lambda: MatrixFactorization(patience=0), "patience=0 must be at least 1"),
            (
                lambda: MatrixFactorization(learning_rate=0),
                "learning_rate=0; expected a number",
            ),
            (lambda: MatrixFactorization(weight_decay=-1), "weight_decay=-1 must be at least 0"),
            (lambda: MatrixFactorization(averaging=1), "averaging=1 must be at least 0 and below"),
            (lambda: MatrixFactorization(n_negatives=-1), "n_negatives=-1 must be at least 0"),
            (
                lambda: MatrixFactorization(n_negatives=0, loss="bpr"),
                "n_negatives=0 must be at least 1",
            ),
            (lambda: MatrixFactorization(regularization=-1), "regularization=-1 must be at least"),
            (lambda: MatrixFactorization(init_std=0), "init_std=0; expected a number above 0"),
            (
                lambda: DeepMatrixFactorization(towers=(4, 0)),
                r"towers=\(4, 0\) must be widths of at least 1",
            ),
            (lambda: DeepMatrixFactorization(dropout=1.0), "dropout=1.0 must be at least 0"),
        ],
    )
    def test_parameters_out_of_range(self, make, message):
        with pytest.raises(ConfigError, match=message):
            make().fit(history_from([[0, 1]], 2))

    @pytest.mark.parametrize("loss", ["mse", "bce"])
    def test_a_learning_rate_that_diverges_is_named(self, loss):
        model = MatrixFactorization(factors=4, loss=loss, learning_rate=1e30)
        with pytest.raises(ConfigError, match=r"learning_rate=1e\+30 is too large"):
            model.fit(history_of(make_log("date")))


@pytest.mark.parametrize(
    "make",
    [
        lambda: MatrixFactorization(factors=4, epochs=1),
        lambda: DeepMatrixFactorization(towers=(8, 4), epochs=1),
    ],
)
def test_users_of_unknown_items_alone_have_no_vector(make):
    model = make().fit(history_from([[0, 1, 2], [1, 2, 3], [0, 3]], 6))
    sessions = history_from([[4, 5], [1, 5]], 6)
    vectors = model.user_vectors(sessions)
    assert not vectors[0].any()
    assert vectors[1].any()
    found = model.retrieve(sessions, 2, exclude_seen=False)
    assert (found.item[0] == -1).all()
    assert (found.item[1] >= 0).all()
    average = model.score_pairs(history_from([[]], 6), np.array([0]), np.array([2]))
    assert model.score_pairs(sessions, np.array([0]), np.array([2])) == average


class TestTowers:
    # Wide towers learn small data by heart under squared error; of narrow ones the cosine's
    # rectified units fall silent.
    @pytest.mark.parametrize(("loss", "towers"), [("mse", (16, 8)), ("nce", (64, 32))])
    def test_taste_is_learned_from_events_without_ratings(self, loss, towers):
        rng = np.random.default_rng(1)
        rows = [
            rng.choice(20, rng.integers(3, 13), replace=False) + 20 * (user % 2)
            for user in range(120)
        ]
        strangers = history_from([[0, 3, 6], [21, 24, 27]], 40)
        shares = []
        for seed in range(3):  # of a stranger with three events one seed says little
            model = DeepMatrixFactorization(
                towers=towers,
                epochs=30,
                patience=30,
                loss=loss,
                batch_size=128,
                learning_rate=0.01,
                init_std=0.3,
                random_state=seed,
            ).fit(history_from(rows, 40))
            retrieved = model.retrieve(strangers, 8, exclude_seen=True)
            found = retrieved.item
            shares += [(found[0] < 20).mean(), (found[1] >= 20).mean()]
        assert np.mean(shares) > 0.9
        if loss == "nce":
            assert (retrieved.score <= 1.0 + 1e-6).all()

    def test_the_cell_to_be_predicted_is_not_read(self):
        history = history_of(make_log("date"))
        model = DeepMatrixFactorization(towers=(8, 4), epochs=1).fit(history)
        from ranker.neural import deep_matrix_factorization as deep

        lesson = deep._Lesson(model, model.network_, Pairs(history, model.item_, 0))
        rows, tower = lesson.sides.users, model.network_.user
        user, item = np.array([0]), rows.column[:1]
        value = rows.at(user, item)
        without, _ = lesson._encoded(tower, rows, user, item, value)
        keep = np.arange(len(rows.column)) != 0
        own = np.repeat(np.arange(history.n_users), np.diff(rows.indptr))
        cut = type(rows).of(own[keep], rows.column[keep], rows.value[keep], lesson.shape)
        expected, _ = tower(tower.sums(cut.bags(user)))
        torch.testing.assert_close(without, expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_no_events_at_all(loss):
    nobody = history_from([[], []], 3)
    model = MatrixFactorization(epochs=1, loss=loss).fit(nobody)
    assert (model.retrieve(nobody, 2, exclude_seen=True).item == -1).all()
    towers = DeepMatrixFactorization(epochs=1, towers=(4, 2)).fit(nobody)
    assert (towers.retrieve(nobody, 2, exclude_seen=True).item == -1).all()


class TestRecommender:
    @pytest.mark.parametrize(
        "generator",
        [
            MatrixFactorization(factors=4, epochs=2),
            DeepMatrixFactorization(towers=(8, 4), epochs=2),
        ],
        ids=["mf", "towers"],
    )
    def test_saved_and_loaded_it_gives_the_same_lists(self, generator, tmp_path):
        log = make_log("datetime")
        model = TwoStageRecommender(generators=[("neural", generator)], random_state=0).fit(log)
        model.save(tmp_path / "model")
        loaded = TwoStageRecommender.load(tmp_path / "model")
        assert loaded.recommend(k=5).equals(model.recommend(k=5))


def _only(history, keeps):
    """Some of the events: nobody whom training knew, if of each user one is missing."""
    indptr = np.concatenate(([0], np.cumsum(keeps)))[history.indptr]
    columns = {name: getattr(history, name)[keeps] for name in ("item", "time", "weight", "event")}
    return dataclasses.replace(history, indptr=indptr, **columns)


def _break_at(monkeypatch, kind, n):
    """Interrupt the n-th validation."""
    from ranker.neural import deep_matrix_factorization as deep

    lesson = deep._Lesson if kind is DeepMatrixFactorization else module._Lesson
    context, calls, validate = pytest.MonkeyPatch(), [], lesson.validate

    def broken(self):
        calls.append(1)
        if len(calls) == n:
            raise KeyboardInterrupt
        return validate(self)

    context.setattr(lesson, "validate", broken)
    return context
