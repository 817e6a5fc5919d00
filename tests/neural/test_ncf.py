"""Networks in place of the inner product."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from features.errors import ConfigError
from ranker import ALS, CoVisitation, ItemKNN, Popularity, TwoStageRecommender
from ranker.components import from_json, to_json
from ranker.neural import NeuralCollaborativeFiltering, ncf
from ranker.neural.pairs import Pairs
from tests.logs import history_from, history_of, make_log

ARCHITECTURES = ("gmf", "mlp", "neumf")
SMALL = {"factors": 4, "layers": (8, 4), "epochs": 2}


def two_tastes():
    """Users of even rows take the first twenty items, the others the rest."""
    rng = np.random.default_rng(1)
    rows = [rng.choice(20, 12, replace=False) + 20 * (user % 2) for user in range(60)]
    return history_from(rows, 40)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
class TestArchitectures:
    def test_taste_is_learned_and_strangers_share_it(self, architecture):
        model = NeuralCollaborativeFiltering(
            architecture=architecture,
            factors=8,
            layers=(16, 8),
            epochs=35,
            patience=35,
            batch_size=64,
            learning_rate=0.003,
            init_std=0.3,
        ).fit(two_tastes())
        strangers = history_from([[0, 3, 6, 9], [21, 24, 27, 30]], 40)
        for history, seen in ((two_tastes(), True), (strangers, True), (strangers, False)):
            found = model.retrieve(history, 6, exclude_seen=seen)
            is_odd = history.item[history.indptr[:-1]] >= 20
            assert ((found.item >= 20) == is_odd[:, None]).mean() > 0.9

    def test_gradients_reach_every_weight(self, architecture):
        history = two_tastes()
        model = NeuralCollaborativeFiltering(architecture=architecture, **SMALL)
        model.item_, model.n_users_ = np.arange(40, dtype=np.int32), np.array(60)
        network = model._seeded()
        lesson = ncf._Lesson(model, network, Pairs(history, model.item_, 0))
        value = lesson.loss(next(iter(lesson.batches(np.random.default_rng(0)))))
        assert value.item() == pytest.approx(np.log(2), abs=0.2)
        value.backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad.abs().sum() > 0, name

    def test_predict_gives_probabilities_in_the_order_of_the_lists(self, architecture):
        model = NeuralCollaborativeFiltering(architecture=architecture, **SMALL)
        model.fit(make_log("datetime"))
        listed = model.recommend(["u003", "u001"], k=8)
        found = model.predict(listed["user_id"], listed["item_id"])
        assert found.is_between(0, 1).all()
        expected = 1 / (1 + np.exp(-listed["score"].to_numpy()))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        strange = model.predict(["nobody", "u001", "nobody"], ["i001", "nothing", "nothing"])
        assert strange.is_between(0, 1).all()


class TestPretraining:
    def test_neumf_begins_as_the_mean_of_its_parts(self):
        torch.manual_seed(0)
        gmf, mlp = ncf._Network(5, 7, 4, (), 0.1), ncf._Network(5, 7, 0, (8, 4), 0.1)
        whole = ncf._Network(5, 7, 4, (8, 4), 0.1)
        whole.begin(gmf, mlp)
        user, item = torch.arange(5), torch.arange(5)
        expected = (gmf(gmf.user(user), gmf.item(item)) + mlp(mlp.user(user), mlp.item(item))) / 2
        torch.testing.assert_close(whole(whole.user(user), whole.item(item)), expected)

    def test_it_changes_what_comes_out(self):
        history = two_tastes()
        with_it, without = (
            NeuralCollaborativeFiltering(pretrain=pretrain, **SMALL).fit(history)
            for pretrain in (True, False)
        )
        assert (with_it.typical_ != without.typical_).any()

    def test_the_layers_read_both_embeddings_side_by_side(self):
        network = ncf._Network(3, 4, 0, (8, 4), 0.1)
        user, item = network.user.weight[:1], network.item.weight
        hidden = torch.cat((user.expand(4, -1), item), dim=1)
        for layer in network.layers:
            hidden = torch.relu(layer(hidden))
        torch.testing.assert_close(network(user, item), network.out(hidden)[:, 0])

    def test_a_training_that_broke_off_goes_on(self, tmp_path, monkeypatch):
        history = history_of(make_log("date"))
        unbroken = NeuralCollaborativeFiltering(**SMALL).fit(history)
        broken = NeuralCollaborativeFiltering(checkpoints=str(tmp_path), **SMALL)
        validate, calls = ncf._Lesson.validate, []

        def breaks(self):
            calls.append(1)
            if len(calls) == 4:  # of MLP, the second part
                raise KeyboardInterrupt
            return validate(self)

        with monkeypatch.context() as patch:
            patch.setattr(ncf._Lesson, "validate", breaks)
            with pytest.raises(KeyboardInterrupt):
                broken.fit(history)
        assert len(list(tmp_path.iterdir())) == 2, "GMF has ended, and MLP has begun"
        broken.fit(history)
        assert not list(tmp_path.iterdir())
        expected = unbroken.arrays()
        for name, array in broken.arrays().items():
            np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"factors": 0}, "factors=0 must be at least 1"),
        ({"layers": (8, 0)}, r"layers=\(8, 0\) must be widths of at least 1"),
        ({"n_negatives": 0}, "n_negatives=0 must be at least 1"),
        ({"depth": 0}, "depth=0 must be at least 1"),
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"regularization": -1.0}, "regularization=-1.0 must be at least 0"),
        ({"init_std": 0.0}, "init_std=0.0; expected a number above 0"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ConfigError, match=message):
        NeuralCollaborativeFiltering(**parameters).fit(two_tastes())


def test_users_of_unknown_items_alone_are_not_served():
    model = NeuralCollaborativeFiltering(**SMALL).fit(history_from([[0, 1, 2], [1, 2, 3]], 6))
    found = model.retrieve(history_from([[4, 5], [1, 5]], 6), 2, exclude_seen=False)
    assert (found.item[0] == -1).all()
    assert (found.item[1] >= 0).all()


@pytest.mark.parametrize(
    "source", [Popularity(), ItemKNN(neighbours=7), CoVisitation(), ALS(factors=4, iterations=2)]
)
class TestRerank:
    def test_it_orders_the_list_of_another_generator(self, source):
        history = history_of(make_log("datetime"))
        model = NeuralCollaborativeFiltering(rerank=source, depth=6, **SMALL).fit(history)
        everything = NeuralCollaborativeFiltering(**SMALL).fit(history)
        for seen in (False, True):
            listed = source.unfitted(0).fit(history).retrieve(history, 6, exclude_seen=seen).item
            found = model.retrieve(history, 10, exclude_seen=seen)
            full = everything.retrieve(history, history.n_items, exclude_seen=seen)
            for user in range(history.n_users):
                expected = [i for i in full.item[user] if i in set(listed[user]) and i >= 0]
                assert [i for i in found.item[user] if i >= 0] == expected

    def test_neither_runs_nor_lengths_matter(self, source):
        history = history_of(make_log("datetime"))
        model = NeuralCollaborativeFiltering(rerank=source, depth=6, **SMALL).fit(history)
        whole = model.retrieve(history, 6, exclude_seen=True)
        for size in (1, 7):
            parts = [model.retrieve(p, 3, exclude_seen=True) for p in history.chunks(size)]
            scores = np.concatenate([part.score for part in parts])
            np.testing.assert_array_equal(scores, whole.score[:, :3])

    def test_it_round_trips(self, source, tmp_path):
        model = NeuralCollaborativeFiltering(rerank=source, depth=6, **SMALL)
        assert from_json(to_json(model)) == model
        log = make_log("datetime")
        engine = TwoStageRecommender(generators=[("ncf", model)], random_state=0).fit(log)
        engine.save(tmp_path / "model")
        loaded = TwoStageRecommender.load(tmp_path / "model")
        assert loaded.recommend(k=5).equals(engine.recommend(k=5))
        with pytest.raises(AttributeError):
            model.source_  # noqa: B018 - the parameter stays unfitted


def test_no_events_at_all():
    nobody = history_from([[], []], 3)
    model = NeuralCollaborativeFiltering(epochs=1).fit(nobody)
    assert (model.retrieve(nobody, 2, exclude_seen=True).item == -1).all()


def test_what_is_not_known():
    history = history_from([[0, 1]], 2)
    with pytest.raises(ConfigError, match="architecture='ncf' is not known"):
        NeuralCollaborativeFiltering(architecture="ncf").fit(history)
    with pytest.raises(ConfigError, match="has no layer"):
        NeuralCollaborativeFiltering(layers=()).fit(history)


def test_a_users_very_events_give_his_embedding():
    log = make_log("datetime")
    model = NeuralCollaborativeFiltering(**SMALL).fit(log)
    vectors = model._vectors(model._border.history)
    np.testing.assert_array_equal(vectors, model.network_.user.weight.detach().numpy())
    sessions = log.with_columns(pl.lit("new").alias("user_id")).head(5)
    history = model._border.asked(None, sessions)
    rows = np.unique(model._places(history.item))
    np.testing.assert_allclose(model._vectors(history)[0], model.typical_[rows].mean(0), rtol=1e-6)
