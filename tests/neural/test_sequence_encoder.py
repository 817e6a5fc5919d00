"""Sequence models learn the order of events, and look at nothing that comes later."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch

from features.errors import ConfigError, ModelFormatError
from features.history import History
from features.ids import Ids
from ranker.neural import SequenceEncoder, history_model
from ranker.neural.sequences import NextItem, latest, read
from tests.logs import history_from, make_log

N_ITEMS = 60
TINY = {"factors": 16, "max_length": 12, "epochs": 2, "random_state": 0}


@functools.cache
def chain() -> History:
    """Users who nearly always go on to the one successor of an item; all items equally popular."""
    rng = np.random.default_rng(0)
    successor = rng.permutation(N_ITEMS)
    users = []
    for _ in range(400):
        row = [int(rng.integers(N_ITEMS))]
        while len(row) < 13:
            item = successor[row[-1]] if rng.random() < 0.9 else rng.integers(N_ITEMS)
            row.append(int(item))
        users.append(row)
    return history_from(users, N_ITEMS, time=[list(range(13))] * len(users))


def share_found(generator: SequenceEncoder, history: History, k: int) -> float:
    """How often the successor of the last item is among the first ``k``."""
    successor = np.random.default_rng(0).permutation(N_ITEMS)
    found = generator.retrieve(history, k, exclude_seen=False)
    wanted = successor[history.item[history.indptr[1:] - 1]]
    return float((found.item == wanted[:, None]).any(1).mean())


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"architecture": "gru", "n_layers": 1},
        {"loss": "sampled", "n_negatives": 16},
        {"loss": "bpr", "n_negatives": 8},
        {"loss": "mse", "n_negatives": 8},
        {"temperature": 0.1},
        {"time_gaps": True},
    ],
    ids=lambda parameters: "-".join(map(str, parameters.values())) or "attention",
)
def test_a_planted_chain_is_learned(parameters):
    fixed = {"factors": 32, "max_length": 12, "epochs": 25, "batch_size": 768}
    generator = SequenceEncoder(**fixed, learning_rate=5e-3, dropout=0.1, **parameters)
    generator.fit(chain())
    # By chance, and by popularity: 1 in 60.
    assert share_found(generator, chain(), 1) > 0.5


def test_a_sample_as_large_as_the_catalogue_is_the_catalogue():
    def vectors(**parameters):
        return SequenceEncoder(**TINY, **parameters).fit(chain()).vectors_

    every = vectors(loss="softmax")
    for parameters in ({}, {"n_negatives": N_ITEMS}):
        np.testing.assert_array_equal(vectors(**parameters), every)
    assert not np.array_equal(vectors(n_negatives=N_ITEMS - 1), every)


def test_by_default_a_large_catalogue_is_sampled(monkeypatch):
    monkeypatch.setattr(history_model, "_SAMPLE", 16)
    by_default = SequenceEncoder(**TINY).fit(chain())
    same = SequenceEncoder(**TINY, loss="sampled", n_negatives=16).fit(chain())
    np.testing.assert_array_equal(by_default.vectors_, same.vectors_)


def hidden(generator: SequenceEncoder, history: History) -> torch.Tensor:
    start, stop = latest(history, generator.max_length)
    users = np.arange(history.n_users)
    sequences = read(history, users, start, stop, generator.max_length)
    # Places count from the last event: one size for all, so that only the events differ.
    batch = generator._batch(sequences, history)
    with torch.inference_mode():
        return generator.network_.user_vectors(generator.network_.items(batch.item), batch)


@pytest.mark.parametrize("architecture", ["attention", "gru"])
@pytest.mark.parametrize("time_gaps", [False, True])
def test_a_later_event_changes_no_earlier_state(architecture, time_gaps):
    generator = SequenceEncoder(**TINY, architecture=architecture, time_gaps=time_gaps)
    generator.fit(chain())
    history = chain().rows(0, 8)
    item, time = history.item.copy(), history.time.copy()
    changed = history.indptr[:-1] + 9  # the ninth of the twelve events that are read
    item[changed] = (item[changed] + 1) % N_ITEMS
    time[changed] += 1000
    other = dataclasses.replace(history, item=item, time=time)
    before, after = hidden(generator, history), hidden(generator, other)
    torch.testing.assert_close(before[:, :8], after[:, :8], rtol=0, atol=1e-6)
    assert ((before[:, 8:] - after[:, 8:]).abs().amax(-1) > 1e-4).all()


@pytest.mark.parametrize("architecture", ["attention", "gru"])
def test_time_gaps_are_read_only_where_asked_for(architecture):
    history = chain().rows(0, 8)
    slower = dataclasses.replace(history, time=history.time * 1000)
    for time_gaps in (False, True):
        generator = SequenceEncoder(**TINY, architecture=architecture, time_gaps=time_gaps)
        generator.fit(chain())
        same = torch.equal(hidden(generator, history), hidden(generator, slower))
        assert same != time_gaps


def test_seeds_differ_and_an_unbroken_fit_equals_a_resumed_one(tmp_path):
    first = SequenceEncoder(**TINY).fit(chain())
    other = SequenceEncoder(**(TINY | {"random_state": 1})).fit(chain())
    assert not np.array_equal(first.vectors_, other.vectors_)
    interrupt(SequenceEncoder(**TINY, checkpoints=str(tmp_path)), chain())
    assert len(list(tmp_path.iterdir())) == 1
    # Another log, catalogue or other parameters never go on from there.
    for parameters, history in (
        (TINY, chain().rows(0, 300)),
        (TINY | {"dropout": 0.4}, chain()),
        (TINY, larger_catalogue(chain())),
    ):
        interrupt(SequenceEncoder(**parameters, checkpoints=str(tmp_path)), history)
    assert len(list(tmp_path.iterdir())) == 4
    resumed = SequenceEncoder(**TINY, checkpoints=str(tmp_path)).fit(chain())
    np.testing.assert_array_equal(resumed.vectors_, first.vectors_)
    assert len(list(tmp_path.iterdir())) == 3


def interrupt(generator, history):
    """Break off in the second epoch."""
    validate, calls = history_model._Lesson.validate, []

    def breaks(self):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_model._Lesson, "validate", breaks)
        with pytest.raises(KeyboardInterrupt):
            generator.fit(history)


def larger_catalogue(history):
    """The same events among more items."""
    n = history.n_items
    return dataclasses.replace(history, items=Ids(pl.Series(range(n + 5))))


def test_items_that_the_training_did_not_meet_say_nothing():
    model = SequenceEncoder(**TINY).fit(larger_catalogue(chain()))
    rows = [[N_ITEMS + 1, N_ITEMS + 3], [4, N_ITEMS + 2, 5], [4, 5]]
    sessions = history_from(rows, N_ITEMS + 5)
    vectors = model.user_vectors(sessions)
    assert not vectors[0].any()
    np.testing.assert_array_equal(vectors[1], vectors[2])
    assert (model.retrieve(sessions, 3, exclude_seen=True).item[0] == -1).all()


@pytest.mark.parametrize("architecture", ["attention", "gru"])
def test_a_log_of_single_events_teaches_nothing_and_is_served_alike(architecture):
    history = history_from([[user % 5] for user in range(30)], 5)
    model = SequenceEncoder(**TINY, architecture=architecture).fit(history)
    assert model.n_epochs_ == 0
    assert not model.network_.training
    np.testing.assert_array_equal(
        model.user_vectors(history), model.user_vectors(dataclasses.replace(history))
    )
    loaded = SequenceEncoder(**model.parameters()).restore(model.arrays())
    np.testing.assert_array_equal(
        model.user_vectors(history), loaded.user_vectors(dataclasses.replace(history))
    )


def test_a_network_that_tells_nothing_apart_is_not_perfect():
    history = chain()
    model = SequenceEncoder(**TINY).fit(history)
    examples = NextItem(history, model.max_length, model._held_out(history))
    lesson = history_model._Lesson(model, model.network_, examples)
    assert lesson.validate() > 0.0
    with torch.no_grad():
        model.network_.items.weight.zero_()
    assert lesson.validate() == 0.0
    with torch.no_grad():
        model.network_.items.weight.fill_(torch.nan)
    assert lesson.validate() == 0.0


def test_a_learning_rate_that_diverges_is_named():
    model = SequenceEncoder(**(TINY | {"learning_rate": 1e30, "averaging": 0.0}))
    with pytest.raises(ConfigError, match=r"train SequenceEncoder: .*learning_rate=1e\+30"):
        model.fit(chain())


def test_alone_on_a_frame():
    log = make_log("datetime")
    generator = SequenceEncoder(**TINY).fit(log)
    lists = generator.recommend(k=4)
    assert lists.columns == ["user_id", "item_id", "rank", "score"]
    assert lists["user_id"].n_unique() == 40
    seen = lists.join(log, on=["user_id", "item_id"])
    assert seen.is_empty()
    session = log.filter(pl.col("user_id") == "u003").with_columns(user_id=pl.lit("guest"))
    guest = generator.recommend(histories=session, k=4)
    known = generator.recommend(["u003"], k=4)
    assert guest.drop("user_id").equals(known.drop("user_id"))


def test_a_longer_past_than_is_read_changes_nothing():
    generator = SequenceEncoder(**TINY).fit(chain())
    history = chain().rows(0, 1)
    rows = history.item.tolist()
    items = [rows, [*range(20), *rows[-12:]]]
    both = history_from(items, N_ITEMS, time=[list(range(len(row))) for row in items])
    vectors = generator.user_vectors(both)
    np.testing.assert_array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"architecture": "lstm"}, "architecture='lstm' is not known; expected 'attention' or"),
        ({"factors": 10, "n_heads": 4}, "factors=10 cannot be parted among n_heads=4"),
        ({"loss": "hinge"}, "loss='hinge' is not known; expected 'softmax', 'sampled'"),
        ({"temperature": 0.0}, "temperature=0.0; expected a number above 0"),
        ({"averaging": 1.0}, "averaging=1.0 must be at least 0 and below 1"),
        ({"dropout": 1.0}, r"dropout=1.0 must be at least 0 and below 1"),
        ({"max_length": 0}, "max_length=0 must be at least 1"),
        ({"n_layers": 0}, "n_layers=0 must be at least 1"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate=0.0; expected a number above 0"),
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"patience": 0}, "patience=0 must be at least 1"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1 must be at least 0"),
        ({"loss": "sampled", "n_negatives": 0}, "n_negatives=0 must be at least 1"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ConfigError, match=message):
        SequenceEncoder(**parameters).fit(chain())


def test_weights_of_another_shape_are_refused():
    arrays = SequenceEncoder(**TINY).fit(chain()).arrays()
    other = SequenceEncoder(**(TINY | {"factors": 8}))
    with pytest.raises(ModelFormatError, match="weights of SequenceEncoder do not fit"):
        other.restore(arrays)


def test_what_an_object_left_that_is_gone_is_not_taken_for_ones_own():
    fitted, history = SequenceEncoder(**TINY).fit(chain()), chain()
    expected = fitted.user_vectors(chain())
    history._derived[id(fitted)] = "what another object with this id had learned", expected[:0]
    assert np.array_equal(fitted.user_vectors(history), expected)


BLOCKED = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "{library}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import ranker
try:
    import ranker.neural
except ranker.MissingExtraError as error:
    print(error)
"""


@pytest.mark.parametrize("library", ["torch", "safetensors"])
def test_without_torch_the_error_names_the_command(library):
    command = [sys.executable, "-c", BLOCKED.format(library=library)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert library in done.stdout
    assert "pip install 'twostage-ranker[neural]'" in done.stdout
