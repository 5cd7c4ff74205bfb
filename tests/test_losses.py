"""Mean squared error: values, gradients, masks, weights, errors."""

import numpy as np
import pytest

from rnncore.losses import mean_squared_error


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


MASK, WEIGHTS = draw(5, 4, seed=2) > 0, np.abs(draw(5, seed=3))


@pytest.mark.parametrize(("mask", "weights"), [
    (None, None), (MASK, None), (None, WEIGHTS), (MASK, WEIGHTS), (draw(5, 4, 3) > 0, np.abs(draw(5, 4, 3, seed=4))),
])  # fmt: skip
def test_value_and_gradient_are_those_of_the_formula(mask, weights):
    p, t = draw(5, 4, 3), draw(5, 4, 3, seed=1)

    def formula(p):
        w = np.ones((5, 4, 3))
        for factor in (mask, weights):
            if factor is not None:
                w = w * factor.reshape(factor.shape + (1,) * (3 - factor.ndim))
        return (w * (p - t) ** 2).sum() / w.sum()

    loss, gradient = mean_squared_error(p, t, mask=mask, weights=weights)
    assert type(loss) is float
    assert loss == pytest.approx(formula(p), rel=1e-13)
    for k in range(p.size):  # a central difference of a parabola is exact
        step = np.zeros(p.size)
        step[k] = 0.5
        step = step.reshape(p.shape)
        assert gradient.flat[k] == pytest.approx(formula(p + step) - formula(p - step), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_has_the_dtype_of_the_prediction(dtype):
    p = draw(5, 3).astype(dtype)
    loss, gradient = mean_squared_error(p, draw(5, 3, seed=1), mask=np.ones(5, bool), weights=np.ones(5))
    assert gradient.dtype == dtype
    assert gradient.shape == p.shape
    assert loss == pytest.approx(((p - draw(5, 3, seed=1)) ** 2).mean(), rel=1e-6)


def test_what_a_masked_element_holds_does_not_matter():
    p, t = draw(5, 4, 3), draw(5, 4, 3, seed=1)
    loss, gradient = mean_squared_error(p, t, mask=MASK)
    p[~MASK], t[~MASK] = np.nan, np.inf
    poisoned = mean_squared_error(p, t, mask=MASK)
    assert poisoned[0] == loss
    np.testing.assert_array_equal(poisoned[1], gradient)
    assert not gradient[~MASK].any()


def test_nan_outside_the_mask_is_seen():
    loss, _ = mean_squared_error([1.0, np.nan], [0.0, 0.0])
    assert np.isnan(loss)


@pytest.mark.parametrize("given", [
    {"mask": np.zeros(5, bool)}, {"weights": np.zeros((5, 3))}, {"mask": np.zeros(5, int), "weights": WEIGHTS},
])  # fmt: skip
def test_nothing_left_gives_zero(given):
    loss, gradient = mean_squared_error(draw(5, 3), draw(5, 3, seed=1), **given)
    assert loss == 0
    np.testing.assert_array_equal(gradient, np.zeros((5, 3)))
    assert mean_squared_error(np.zeros((0, 3)), np.zeros((0, 3)))[0] == 0


def test_many_float32_numbers_are_summed_without_loss():
    p = np.full(3_000_000, 0.1, np.float32)
    loss, _ = mean_squared_error(p, np.zeros_like(p))
    assert loss == pytest.approx(0.01, rel=1e-6)


def test_arguments_are_unchanged():
    arrays = draw(5, 3), draw(5, 3, seed=1), draw(5, 3) > 0, np.abs(draw(5, 3))
    before = [a.copy() for a in arrays]
    mean_squared_error(arrays[0], arrays[1], mask=arrays[2], weights=arrays[3])
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(("target", "given", "error", "message"), [
    (np.ones((5, 2)), {}, ValueError, r"target: expected shape \(5, 3\), got \(5, 2\)"),
    (np.ones(3), {}, ValueError, r"target: expected shape \(5, 3\), got \(3,\)"),
    ("text", {}, TypeError, "target must hold real numbers, got str .*"),
    (np.ones((5, 3)), {"mask": np.ones(3, bool)}, ValueError, r"mask: expected shape \(5,\) or \(5, 3\), got \(3,\)"),
    (np.ones((5, 3)), {"mask": np.ones(5)}, TypeError, "mask must hold bools, got dtype float64"),
    (np.ones((5, 3)), {"mask": True}, ValueError, r"mask: expected shape \(5,\) or \(5, 3\), got \(\)"),
    (np.ones((5, 3)), {"weights": np.ones(4)}, ValueError, r"weights: expected shape .* got \(4,\)"),
    (np.ones((5, 3)), {"weights": -np.ones(5)}, ValueError, "weights must not be negative or NaN"),
    (np.ones((5, 3)), {"weights": np.full(5, np.nan)}, ValueError, "weights must not be negative or NaN"),
])  # fmt: skip
def test_wrong_arguments(target, given, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        mean_squared_error(np.ones((5, 3)), target, **given)
