"""Losses: values, gradients, masks, weights, errors."""

import numpy as np
import pytest

from rnncore import losses
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


# ---- the other losses

LOGITS = draw(5, 4, 6)
CASES = {
    "mae": (losses.mean_absolute_error, draw(5, 4, 3), draw(5, 4, 3, seed=1), {}),
    "huber": (losses.huber, 3 * draw(5, 4, 3), draw(5, 4, 3, seed=1), {"delta": 0.7}),
    "pinball": (losses.pinball, draw(5, 4, 6), draw(5, 4, 2, seed=1), {"quantiles": [0.1, 0.5, 0.9]}),
    "gaussian_nll": (losses.gaussian_nll, draw(5, 4, 6), draw(5, 4, 3, seed=1), {"eps": 0.01}),
    "cross_entropy": (losses.cross_entropy, LOGITS, np.random.default_rng(0).integers(0, 6, (5, 4)), {}),
}
EVERY = pytest.mark.parametrize("name", CASES)


@EVERY
@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_gradients_equal_differences(name, mask, weights):
    loss, p, t, options = CASES[name]
    value, gradient = loss(p, t, mask=mask, weights=weights, **options)
    assert type(value) is float
    assert gradient.shape == p.shape
    for k in range(p.size):
        step = np.zeros(p.size)
        step[k] = 1e-6
        step = step.reshape(p.shape)
        up, down = (loss(q, t, mask=mask, weights=weights, **options)[0] for q in (p + step, p - step))
        assert gradient.flat[k] == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-8)


@EVERY
def test_a_masked_mean_is_that_of_what_is_left(name):
    loss, p, t, options = CASES[name]
    value, gradient = loss(p, t, mask=MASK, **options)
    alone, own = loss(p[MASK], t[MASK], **options)
    assert value == pytest.approx(alone, rel=1e-13)
    np.testing.assert_allclose(gradient[MASK], own, rtol=1e-12)
    assert not gradient[~MASK].any()
    whole = loss(p, t, mask=MASK, weights=np.ones(5), **options)
    assert whole[0] == pytest.approx(value, rel=1e-13)


@EVERY
def test_what_is_masked_does_not_matter(name):
    loss, p, t, options = CASES[name]
    value, gradient = loss(p, t, mask=MASK, **options)
    p, t = p.copy(), t.copy()
    p[~MASK] = np.nan
    t[~MASK] = 99 if t.dtype.kind == "i" else np.nan
    poisoned = loss(p, t, mask=MASK, **options)
    assert poisoned[0] == value
    np.testing.assert_array_equal(poisoned[1], gradient)
    assert loss(p, t, mask=np.zeros((5, 4), bool), **options)[0] == 0


@EVERY
def test_nan_is_seen_where_it_stands(name):
    loss, p, t, options = CASES[name]
    p = p.copy()
    p[2, 1, 0] = np.nan
    value, gradient = loss(p, t, **options)
    assert np.isnan(value)
    assert np.isnan(gradient[2, 1, 0])
    assert not np.isnan(np.delete(gradient.reshape(20, -1), 9, 0)).any()


@EVERY
def test_float32_stays_float32(name):
    loss, p, t, options = CASES[name]
    value, gradient = loss(p.astype("float32"), t, **options)
    assert gradient.dtype == np.float32
    assert value == pytest.approx(loss(p, t, **options)[0], rel=1e-5)


def test_values_are_those_of_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def tensor(array):
        return torch.from_numpy(np.array(array))

    p, t = draw(5, 4, 3), draw(5, 4, 3, seed=1)
    assert losses.mean_absolute_error(p, t)[0] == pytest.approx(float(functional.l1_loss(tensor(p), tensor(t))))
    assert losses.huber(p, t, delta=0.7)[0] == pytest.approx(
        float(functional.huber_loss(tensor(p), tensor(t), delta=0.7))
    )
    spread = np.exp(LOGITS[..., 3:])
    theirs = functional.gaussian_nll_loss(tensor(LOGITS[..., :3]), tensor(t), tensor(spread))
    assert losses.gaussian_nll(LOGITS, t, eps=0.0)[0] == pytest.approx(float(theirs))
    labels = CASES["cross_entropy"][2]
    theirs = functional.cross_entropy(tensor(LOGITS.reshape(20, 6)), tensor(labels.ravel()))
    assert losses.cross_entropy(LOGITS, labels)[0] == pytest.approx(float(theirs))


def test_logits_may_be_large():
    loss, gradient = losses.cross_entropy([[1000.0, 0.0], [-1000.0, 0.0]], [0, 0])
    assert loss == 500
    assert gradient.tolist() == [[0, 0], [-0.5, 0.5]]


@pytest.mark.parametrize(("call", "message"), [
    (lambda: losses.cross_entropy(LOGITS, np.full((5, 4), 6)), r"target\[0, 0\] is 6, expected 0 to 5"),
    (lambda: losses.cross_entropy(LOGITS, np.zeros(5, int)), r"target: expected shape \(5, 4\), got \(5,\)"),
    (lambda: losses.huber([1.0], [1.0], delta=0), "delta must be finite and greater than 0, got 0.0"),
    (lambda: losses.pinball(draw(3, 2), draw(3, 1), quantiles=[0.5, 1.0]),
     "quantiles must be numbers between 0 and 1.*"),
    (lambda: losses.gaussian_nll(draw(3, 3), draw(3, 1)), r"prediction: expected a last axis of a multiple of 2.*"),
])  # fmt: skip
def test_other_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()
