"""Quantiles that cannot cross: their order, the gradient of their loss, and what a model learns with it."""

import functools
import re

import numpy as np
import pytest

import rnncore
from rnncore import Batch, losses, quantiles

LEVELS = (0.05, 0.2, 0.5, 0.7, 0.95)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_they_ascend_whatever_the_outputs_are(count, dtype):
    raw = (20 * np.random.default_rng(0).standard_normal((6, 4, 3 * count))).astype(dtype)
    found = quantiles.ordered(raw, count)
    assert found.dtype == dtype
    assert found.shape == raw.shape
    each = found.reshape(6, 4, 3, count)
    assert (np.diff(each, axis=-1) >= 0).all()
    assert np.array_equal(each[..., count // 2], raw.reshape(each.shape)[..., count // 2])


@pytest.mark.parametrize("levels", [(0.3,), (0.2, 0.6), LEVELS])
def test_the_gradient_is_that_of_differences(levels):
    random = np.random.default_rng(1)
    raw, target = random.standard_normal((7, 2 * len(levels))), random.standard_normal((7, 2))
    mask = random.random((7, 2)) < 0.8
    value, gradient = quantiles.pinball(raw, target, quantiles=levels, mask=mask)
    ready = quantiles.ordered(raw, len(levels))
    assert value == pytest.approx(losses.pinball(ready, target, quantiles=levels, mask=mask)[0])
    for place in np.ndindex(raw.shape):
        moved = [raw.copy(), raw.copy()]
        moved[0][place] += 1e-6
        moved[1][place] -= 1e-6
        up, down = (quantiles.pinball(each, target, quantiles=levels, mask=mask)[0] for each in moved)
        assert gradient[place] == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_a_model_learns_how_far_values_lie_apart():
    random = np.random.default_rng(2)
    x = random.random((2000, 1)).astype("float32")
    y = (random.standard_normal((2000, 1)) * (0.2 + x)).astype("float32")
    model = rnncore.Sequential(rnncore.Linear(1, 3, seed=0))
    loss = functools.partial(quantiles.pinball, quantiles=(0.1, 0.5, 0.9))
    model.fit([Batch(x, y)], epochs=400, lr=0.02, loss=loss, progress=False)
    for begin in (0.0, 0.5):
        here = (x[:, 0] >= begin) & (x[:, 0] < begin + 0.5)
        low, _, high = quantiles.ordered(model(x[here])[0], 3).T
        assert ((y[here, 0] > low) & (y[here, 0] < high)).mean() == pytest.approx(0.8, abs=0.05)


def test_refusals_say_what_was_expected():
    with pytest.raises(ValueError, match=r"outputs: expected a last axis of a multiple of 3, and not of 0, got shape"):
        quantiles.ordered(np.zeros((2, 4)), 3)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        quantiles.ordered(np.zeros((2, 4)), 0)
    for levels in ((0.9, 0.1), ()):
        with pytest.raises(ValueError, match=rf"quantiles: expected ascending numbers, got {re.escape(repr(levels))}$"):
            quantiles.pinball(np.zeros((2, 2)), np.zeros((2, 1)), quantiles=levels)
