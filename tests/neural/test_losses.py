"""Losses against formulas written out, and against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from ranker.neural import losses


def some(n=7, m=11, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    users = torch.randn(n, d, generator=generator, dtype=torch.float64)
    items = torch.randn(m, d, generator=generator, dtype=torch.float64)
    target = torch.randint(0, m, (n,), generator=generator)
    return users.requires_grad_(), items.requires_grad_(), target


@pytest.mark.parametrize("scores_held", [1, 2**20])
@pytest.mark.parametrize("n", [1, 32, 33, 80])
@pytest.mark.parametrize("with_log_q", [False, True])
def test_cross_entropy_and_its_gradients_are_torchs(monkeypatch, scores_held, n, with_log_q):
    monkeypatch.setattr(losses, "_SCORES", scores_held)  # 1: runs of 32 users
    users, items, target = some(n)
    log_q = torch.linspace(-2.0, 0.0, len(items), dtype=torch.float64) if with_log_q else None
    loss = losses.cross_entropy(users, items, target, log_q)
    (3.0 * loss).backward()
    found = loss.item(), users.grad.clone(), items.grad.clone()
    users.grad = items.grad = None
    logits = users @ items.T
    expected = functional.cross_entropy(logits - log_q if with_log_q else logits, target)
    (3.0 * expected).backward()
    assert found[0] == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(found[1], users.grad, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found[2], items.grad, rtol=1e-10, atol=1e-12)


def test_a_sample_that_surely_holds_every_item_is_the_full_softmax():
    users, items, target = some()
    everything = losses.cross_entropy(users, items, target, torch.zeros(len(items)))
    assert everything.item() == losses.cross_entropy(users, items, target, None).item()


def test_log_q_makes_the_sampled_partition_right_on_average():
    # Each item is in the sample with probability q and counts 1/q there.
    rng = np.random.default_rng(0)
    scores, q = rng.normal(size=40), rng.uniform(0.2, 1.0, 40)
    sums = []
    for _ in range(4_000):
        chosen = rng.random(40) < q
        sums.append(np.exp(scores[chosen] - np.log(q[chosen])).sum())
    assert np.mean(sums) == pytest.approx(np.exp(scores).sum(), rel=0.01)


def test_scores_far_apart_stay_finite():
    users = torch.tensor([[1e4]], requires_grad=True)
    items = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = losses.cross_entropy(users, items, torch.tensor([1]), None)
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert torch.isfinite(users.grad).all()
    assert torch.isfinite(items.grad).all()


def test_bpr_by_hand():
    positive = torch.tensor([1.0, 0.0])
    negative = torch.tensor([[0.0, 2.0], [0.0, -1.0]])
    differences = [1.0, -1.0, 0.0, 1.0]
    expected = np.mean([np.log1p(np.exp(-x)) for x in differences])
    assert losses.bpr(positive, negative).item() == pytest.approx(expected)


def test_squared_error_by_hand():
    positive = torch.tensor([1.0, 0.5])
    negative = torch.tensor([[0.0, 2.0], [-1.0, 0.0]])
    assert losses.squared_error(positive, negative).item() == pytest.approx((0.25 + 4 + 1) / 6)
