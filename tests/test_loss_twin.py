"""The engine's losses against their NumPy twins, with masks and weights, in float64 to 1e-12."""

import functools

import numpy as np
import pytest

from rnncore import losses
from rnncore.reference import losses as twin

R, F = 37, 3
KINDS = {
    "mean_squared_error": ({}, 1),
    "mean_absolute_error": ({}, 1),
    "huber": ({"delta": 0.7}, 1),
    "pinball": ({"quantiles": (0.1, 0.5, 0.75, 0.9)}, 4),
    "gaussian_nll": ({"eps": 1e-3}, 2),
    "cross_entropy": ({}, 7),
}


@pytest.mark.parametrize("weighted", ["not", "mask", "by row", "by feature"])
@pytest.mark.parametrize("features", [1, F, 20])
@pytest.mark.parametrize("name", KINDS)
def test_a_loss_and_its_gradient_are_the_twin_s(name, features, weighted):
    options, outputs = KINDS[name]
    random = np.random.default_rng(0)
    columns = features * outputs
    prediction = random.normal(size=(R, columns)) * 2
    labels = name == "cross_entropy"
    target = random.integers(0, columns, R) if labels else random.normal(size=(R, features))
    mask, weights = None, None
    if weighted == "mask":
        mask = random.random(R) < 0.7
        prediction[~mask], w = np.nan, mask.astype(float)[:, None]
        if labels:
            target[~mask] = -1
    elif weighted == "by row" or (weighted == "by feature" and labels):
        weights = random.random(R) * (random.random(R) < 0.7)
        w = weights[:, None]
    elif weighted == "by feature":
        weights = w = random.random((R, features)) * (random.random((R, features)) < 0.7)
    else:
        w = None
    value, gradient = functools.partial(getattr(losses, name), **options)(
        prediction, target, mask=mask, weights=weights
    )
    with np.errstate(invalid="ignore"):
        expected, d_expected = getattr(twin, name)(prediction, target, w, **options)
    assert abs(value - expected) <= 1e-12 * max(abs(expected), 1)
    assert np.abs(gradient - d_expected).max() <= 1e-12 * max(np.abs(d_expected).max(), 1)


@pytest.mark.parametrize("columns", [1, 3, 8, 9, 1000])
def test_logits_at_the_ends_of_the_range(columns):
    for dtype in ("float32", "float64"):
        logits = np.zeros((4, columns), dtype)
        logits[0, -1] = 1e4  # exp would overflow
        logits[1] = -1e4
        logits[2, 1:] = -np.inf
        logits[3, 0] = np.nan
        value, gradient = losses.cross_entropy(logits[:3], [columns - 1, 0, 0])
        assert value == pytest.approx(np.log(columns) / 3, rel=1e-6)
        assert np.isfinite(gradient).all()
        assert (gradient[2] == 0).all()
        value, gradient = losses.cross_entropy(logits, [0, 0, 0, 0])
        assert np.isnan(value)
        assert np.isnan(gradient[3]).all()
        assert np.isfinite(gradient[:3]).all()


def test_a_masked_row_changes_no_bit_of_the_loss():
    random = np.random.default_rng(0)
    prediction, target = random.normal(size=(2, 50, 3)).astype("float32")
    alone = losses.huber(prediction, target)
    wide = np.insert(prediction, [0, 7, 50], np.nan, axis=0)
    mask = np.isfinite(wide).all(axis=1)
    value, gradient = losses.huber(wide, np.insert(target, [0, 7, 50], 0, axis=0), mask=mask)
    assert value == alone[0]
    assert np.array_equal(gradient[mask], alone[1])
