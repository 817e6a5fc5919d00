"""The training loop: stopping, the best weights, checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from features.errors import ConfigError, ModelFormatError
from ranker.neural.training import Schedule, shuffled, train

SCHEDULE = Schedule(
    epochs=6,
    patience=2,
    learning_rate=0.05,
    weight_decay=0.01,
    seed=3,
    device="cpu",
    checkpoint=None,
    description="train",
)


class Interrupted(Exception):
    """The power failed."""


class Task:
    """A little regression with dropout; knows what every epoch left."""

    def __init__(self, scores=None, fail_in=None):
        rng = np.random.default_rng(0)
        self.x = torch.from_numpy(rng.normal(size=(40, 5)).astype(np.float32))
        self.y = self.x @ torch.arange(5.0)
        torch.manual_seed(1)
        self.network = torch.nn.Sequential(
            torch.nn.Linear(5, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1)
        )
        self.scores, self.fail_in = scores, fail_in
        self.epochs, self.weights = 0, []

    def batches(self, rng):
        self.epochs += 1
        if self.epochs == self.fail_in:
            raise Interrupted
        return shuffled(40, 8, rng)

    def loss(self, rows):
        return (self.network(self.x[rows]).squeeze(1) - self.y[rows]).square().mean()

    def validate(self):
        assert not self.network.training
        self.weights.append(values(self.network))
        if self.scores is None:
            with torch.no_grad():
                return -float((self.network(self.x).squeeze(1) - self.y).square().mean())
        return self.scores[len(self.weights) - 1]

    def train(self, schedule, *, validates=True):
        validate = self.validate if validates else None
        return train(self.network, self.batches, self.loss, schedule, validate=validate)


def values(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_equal(network, expected):
    found = values(network)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_it_learns():
    task = Task()
    task.network.eval()
    before = task.validate()
    task.train(replace(SCHEDULE, epochs=40, patience=40))
    assert task.validate() > before / 10


@pytest.mark.parametrize(
    ("scores", "n_run", "best"),
    [
        ([0.1, 0.3, 0.2, 0.25, 0.9], 4, 2),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 6, 6),
        ([0.5, 0.5, 0.5, 0.9], 3, 1),
        ([0.1, 0.0, 0.2, 0.1, 0.3, 0.2], 6, 5),
    ],
)
def test_patience_and_the_best_weights(scores, n_run, best):
    task = Task(scores)
    assert task.train(SCHEDULE) == best
    assert task.epochs == n_run
    assert not task.network.training
    assert_equal(task.network, task.weights[best - 1])


def test_without_validation_all_epochs_are_run_and_the_last_weights_stay():
    task, other = Task(), Task([0, 1, 2, 3, 4, 5])
    assert task.train(replace(SCHEDULE, patience=1), validates=False) == 6
    other.train(SCHEDULE)
    assert_equal(task.network, values(other.network))


def test_the_same_seed_gives_the_same_weights_and_the_callers_generator_is_left_alone():
    tasks = Task(), Task(), Task()
    torch.manual_seed(8)
    expected = torch.rand(3)
    torch.manual_seed(8)
    tasks[0].train(SCHEDULE)
    assert torch.equal(torch.rand(3), expected)
    tasks[1].train(SCHEDULE)
    tasks[2].train(replace(SCHEDULE, seed=4))
    assert_equal(tasks[1].network, values(tasks[0].network))
    assert not torch.equal(tasks[2].network[0].weight, tasks[0].network[0].weight)


@pytest.mark.parametrize("averaging", [0.9, 0.99])
def test_the_mean_of_all_steps_is_validated_and_kept(averaging):
    task, steps = Task([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), []
    step = torch.optim.AdamW.step

    def recorded(self, *arguments, **more):
        done = step(self, *arguments, **more)
        steps.append(values(task.network))
        return done

    expected = values(task.network)
    with mock.patch.object(torch.optim.AdamW, "step", recorded):
        task.train(replace(SCHEDULE, averaging=averaging))
    assert len(steps) == 6 * 5
    for number, now in enumerate(steps, start=1):
        share = min(averaging, number / (number + 10))
        expected = {n: share * expected[n] + (1 - share) * now[n] for n in now}
    for name, value in values(task.network).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(task.weights[-1][name], value)


@pytest.mark.parametrize("fail_in", [1, 2, 3, 5])
@pytest.mark.parametrize("validates", [True, False])
@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_a_resumed_training_equals_an_unbroken_one(tmp_path, fail_in, validates, averaging):
    scores = [0.1, 0.4, 0.3, 0.5, 0.2, 0.1] if validates else None
    unbroken = Task(scores)
    schedule = replace(SCHEDULE, averaging=averaging)
    best = unbroken.train(schedule, validates=validates)
    schedule = replace(schedule, checkpoint=tmp_path / "new" / "folder.safetensors")
    broken = Task(scores, fail_in)
    with pytest.raises(Interrupted):
        broken.train(schedule, validates=validates)
    resumed = Task(scores[fail_in - 1 :] if validates else None)
    assert resumed.train(schedule, validates=validates) == best
    assert resumed.epochs == unbroken.epochs - (fail_in - 1)
    assert_equal(resumed.network, values(unbroken.network))
    assert not list(schedule.checkpoint.parent.iterdir()), "it has ended: nothing is kept"


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_a_part_that_has_ended_is_kept_on_demand_and_not_run_again(tmp_path, averaging):
    schedule = replace(
        SCHEDULE, averaging=averaging, checkpoint=tmp_path / "one", keeps_checkpoint=True
    )
    first, again = Task(), Task()
    best = first.train(schedule)
    assert again.train(schedule) == best
    assert again.epochs == 0
    assert_equal(again.network, values(first.network))


def interrupted(path: Path, averaging=0.0) -> Schedule:
    """The schedule of a training that left a checkpoint."""
    schedule = replace(SCHEDULE, averaging=averaging, checkpoint=path)
    with pytest.raises(Interrupted):
        Task(fail_in=3).train(schedule)
    return schedule


def test_a_checkpoint_of_another_network_or_none_is_refused(tmp_path):
    schedule = interrupted(tmp_path / "one.safetensors")
    other = Task()
    other.network = torch.nn.Sequential(torch.nn.Linear(5, 1))
    with pytest.raises(ModelFormatError, match="holds the weights of another network; remove"):
        other.train(schedule)
    with pytest.raises(ModelFormatError, match="holds the weights of another network"):
        Task().train(replace(schedule, averaging=0.9))
    schedule.checkpoint.write_bytes(b"half of")
    with pytest.raises(ModelFormatError, match=r"one\.safetensors cannot be read"):
        Task().train(schedule)


def test_the_optimizers_state_is_checked_too(tmp_path, monkeypatch):
    from ranker.neural import training

    save = training.save_file

    def cut(tensors, path, metadata):
        wrong = {"optimizer/0/exp_avg": torch.zeros(2)}
        save(tensors | wrong, path, metadata)

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_file", cut)
        schedule = interrupted(tmp_path / "one.safetensors")
    with pytest.raises(ModelFormatError, match="holds the optimizer of another network"):
        Task().train(schedule)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
@pytest.mark.parametrize("validates", [True, False])
def test_a_training_that_diverges_says_so(averaging, validates):
    schedule = replace(SCHEDULE, learning_rate=1e30, averaging=averaging)
    message = r"train: the (loss|validation score) is -?(nan|inf) in epoch \d; learning_rate=1e\+30"
    with pytest.raises(ConfigError, match=message):
        Task().train(schedule, validates=validates)


def test_a_score_that_is_no_number_is_an_error():
    with pytest.raises(ConfigError, match="the validation score is nan in epoch 2"):
        Task([0.1, float("nan")]).train(SCHEDULE)


def test_without_averaging_no_mean_is_moved(monkeypatch):
    def fails(*_):
        raise AssertionError

    monkeypatch.setattr("ranker.neural.training._follow", fails)
    Task().train(SCHEDULE)


def test_a_write_that_was_cut_off_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    schedule = interrupted(tmp_path / "one.safetensors")
    kept = schedule.checkpoint.read_bytes()

    def cut_off(tensors, path, metadata):
        path.write_bytes(b"half of")
        raise Interrupted

    monkeypatch.setattr("ranker.neural.training.save_file", cut_off)
    with pytest.raises(Interrupted):
        Task().train(schedule)
    assert schedule.checkpoint.read_bytes() == kept


def test_runs_of_shuffled_numbers():
    parts = list(shuffled(10, 4, np.random.default_rng(0)))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
