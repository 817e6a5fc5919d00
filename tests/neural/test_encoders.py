"""Encoders of attributes, by themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ranker.neural.encoders import _Bag


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize(
    "codes",
    [
        [[3, 1, 3, 0], [0, 0, 0, 0], [2, 0, 0, 0], [1, 2, 4, 4]],  # a row without words
        [[0, 0], [0, 0]],
        np.zeros((0, 4)),
    ],
)
def test_a_bag_is_the_mean_of_its_words(codes, dtype):
    torch.manual_seed(0)
    bag = _Bag(5, 3)
    codes = torch.as_tensor(np.asarray(codes)).to(dtype)
    weight = torch.randn(len(codes), 3)
    found = bag(codes)
    (found * weight).sum().backward()
    gradient = bag.words.weight.grad

    table = bag.words.weight.detach().clone().requires_grad_()
    means = [table[row[row > 0].long()].sum(0) / max((row > 0).sum(), 1) for row in codes]
    expected = torch.stack(means) if means else torch.zeros((0, 3)) * table.sum()
    (expected * weight).sum().backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, table.grad)
    assert (gradient[0] == 0).all()
