"""A layer, its data and a loss for the tests of backpropagation through time."""

import numpy as np
import pytest

from layer_case import LAYERS, as_tuple, make_case

each_cell = pytest.mark.parametrize("cell", LAYERS)
T, N, H = 23, 4, 5
LENGTHS = [23, 0, 14, 9]
RESETS = np.random.default_rng(5).random((T, N)) < 0.1


def setting(cell="lstm", **options):
    """A layer, x, hx, and a loss that reads every step: sum of w y + y^2 / 2 over it."""
    case = make_case(cell, T, N, 3, H, 2, **options)

    def loss(y, steps):
        w = case.dy[:, steps] if case.layer.batch_first else case.dy[steps]
        return float((w * y + y * y / 2).sum()), w + y

    return case.layer, case.x, case.hx, loss


def by_hand(layer, x, hx, loss, begin, end, first, **rows):
    """The gradient of the loss of the steps first..end, from the state hx before step `begin`."""
    y, _, cache = layer.forward(x[begin:end], hx, **rows)
    dy = np.zeros_like(y)
    value, dy[first - begin :] = loss(y[first - begin :], slice(first, end))
    return value, layer.backward(cache, dy)


def same_states(ours, theirs):
    for one, other in zip(as_tuple(ours), as_tuple(theirs), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
