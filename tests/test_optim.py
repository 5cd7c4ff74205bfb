"""Optimisers against their formulas and torch step by step, and clipping."""

import contextlib
import math
import signal
from functools import partial

import numpy as np
import pytest

from rnncore.optim import SGD, Adam, AdamW, RMSprop, clip_grad_norm, clip_grad_value
from rnncore.reference import optim as reference


def draw(size, seed, dtype="float64"):
    return np.random.default_rng(seed).normal(size=size).astype(dtype)


def textbook(parameters, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """Algorithm 1 of Kingma & Ba, one number at a time."""
    p, m, v = parameters.astype(np.float64), np.zeros(parameters.size), np.zeros(parameters.size)
    for t, g in enumerate(gradients, start=1):
        for k in range(p.size):
            gradient = g[k] + weight_decay * p[k]
            m[k] = betas[0] * m[k] + (1 - betas[0]) * gradient
            v[k] = betas[1] * v[k] + (1 - betas[1]) * gradient**2
            p[k] -= lr * (m[k] / (1 - betas[0] ** t)) / (math.sqrt(v[k] / (1 - betas[1] ** t)) + eps)
    return p


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.2}])
def test_adam_is_that_of_the_paper(options, dtype):
    parameters, gradients = draw(20, 0, dtype), [draw(20, seed, dtype) for seed in range(1, 30)]
    expected = textbook(parameters, gradients, **options)
    optimizer = Adam(parameters, **options)
    for gradient in gradients:
        optimizer.step(gradient)
    assert optimizer.steps == 29
    assert parameters.dtype == dtype
    np.testing.assert_allclose(parameters, expected, rtol=0, atol=1e-5 if dtype == "float32" else 1e-14)


def test_several_vectors_step_as_one():
    whole, first, second = draw(50_000, 0), draw(50_000, 0)[:20_000].copy(), draw(50_000, 0)[20_000:].copy()
    one, two = Adam(whole), Adam([first, second])
    for seed in range(1, 4):
        gradient = draw(50_000, seed)
        one.step(gradient)
        two.step([gradient[:20_000], gradient[20_000:]])
    np.testing.assert_array_equal(whole, np.concatenate([first, second]))


def test_gradients_are_unchanged():
    parameters, gradient = draw(20, 0), draw(20, 1)
    before = gradient.copy()
    Adam(parameters, weight_decay=0.1).step(gradient)
    np.testing.assert_array_equal(gradient, before)


def test_the_learning_rate_may_change():
    parameters = draw(20, 0)
    before = parameters.copy()
    optimizer = Adam(parameters, lr=0.0)
    optimizer.step(draw(20, 1))
    np.testing.assert_array_equal(parameters, before)
    optimizer.lr = 0.1
    optimizer.step(draw(20, 2))
    assert (parameters != before).all()


def test_a_loaded_state_goes_on_bit_for_bit():
    whole = draw(20, 0)
    optimizer = Adam(whole)
    for seed in range(1, 4):
        optimizer.step(draw(20, seed))
    resumed = whole.copy()
    twin = Adam(resumed)
    twin.load_state_dict(optimizer.state_dict())
    assert twin.steps == 3
    for each in (optimizer, twin):
        each.step(draw(20, 9))
    np.testing.assert_array_equal(whole, resumed)


def test_wrong_states_change_nothing():
    optimizer = Adam(draw(20, 0))
    optimizer.step(draw(20, 1))
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"^state_dict: expected the names \['m0', 'steps', 'v0'\], got \['m0'\]$"):
        optimizer.load_state_dict({"m0": before["m0"]})
    with pytest.raises(ValueError, match=r"^v0: expected shape \(20,\), got \(3,\)$"):
        optimizer.load_state_dict({**before, "m0": np.zeros(20), "v0": np.zeros(3)})
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    "gradient", [draw(19, 1), draw(20, 1, "float32"), draw(20, 1).reshape(4, 5), [draw(20, 1)] * 2]
)
def test_a_wrong_gradient_changes_nothing(gradient):
    parameters = draw(20, 0)
    before = parameters.copy()
    optimizer = Adam(parameters)
    with pytest.raises(ValueError, match=r"^gradients: expected "):
        optimizer.step(gradient)
    np.testing.assert_array_equal(parameters, before)
    assert optimizer.steps == 0


def test_an_interrupt_falls_between_steps():
    """Whenever it comes, parameters, moments and count are those after a whole number of steps."""

    class InterruptError(Exception):
        pass

    def interrupt(*_):
        raise InterruptError

    size = 400_000
    gradients = [draw(size, seed) for seed in range(1, 6)]
    parameters = draw(size, 0)
    optimizer, steps = Adam(parameters), 0
    twin = Adam(parameters.copy())
    previous = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for k in range(60):
            with contextlib.suppress(InterruptError):
                signal.setitimer(signal.ITIMER_REAL, 2e-4 + 5e-5 * (k % 50))
                for _ in gradients:
                    optimizer.step(gradients[optimizer.steps % 5])
                signal.setitimer(signal.ITIMER_REAL, 0)
            interrupted += optimizer.steps % 5 > 0
            while steps < optimizer.steps:
                twin.step(gradients[steps % 5])
                steps += 1
            np.testing.assert_array_equal(parameters, twin._arrays["parameters"][0])
            states = twin.state_dict()
            for name, array in optimizer.state_dict().items():
                np.testing.assert_array_equal(array, states[name])
    finally:
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert interrupted


# ---- all optimisers

FORMS = {
    "sgd": (SGD, reference.sgd, {}),
    "sgd_momentum": (SGD, reference.sgd, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    "sgd_nesterov": (SGD, reference.sgd, {"momentum": 0.9, "nesterov": True}),
    "adam": (Adam, reference.adam, {"weight_decay": 0.1}),
    "amsgrad": (Adam, reference.adam, {"amsgrad": True, "betas": (0.5, 0.6)}),
    "adamw": (AdamW, partial(reference.adam, decoupled=True), {"weight_decay": 0.1}),
    "rmsprop": (RMSprop, reference.rmsprop, {"weight_decay": 0.1}),
    "rmsprop_all": (RMSprop, reference.rmsprop, {"alpha": 0.7, "momentum": 0.5, "centered": True}),
}
EVERY = pytest.mark.parametrize("form", FORMS)


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 7, 16, 1003])
def test_the_engine_equals_its_twin(form, size, dtype):
    kind, twin, options = FORMS[form]
    parameters = draw(size, 0, dtype)
    expected, state = parameters.astype("float64"), {}
    optimizer = kind(parameters, lr=0.05, **options)
    for name, (vector,) in optimizer._arrays.items():
        if name != "parameters":
            state[name] = np.zeros(vector.shape)
    for t in range(1, 12):
        gradient = draw(size, t, dtype)
        optimizer.step(gradient)
        twin(expected, gradient.astype("float64"), state, t, lr=0.05, **options)
    assert optimizer.steps == 11
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(parameters, expected, rtol=tolerance, atol=tolerance)


@EVERY
def test_steps_are_those_of_torch(form):
    torch = pytest.importorskip("torch")
    kind, _, options = FORMS[form]
    parameters = draw(50, 0)
    theirs = torch.nn.Parameter(torch.tensor(parameters.copy()))
    ours, other = (
        kind(parameters, lr=0.05, **options),
        getattr(torch.optim, kind.__name__)([theirs], lr=0.05, **options),
    )
    for t in range(1, 12):
        ours.step(draw(50, t))
        theirs.grad = torch.tensor(draw(50, t))
        other.step()
    np.testing.assert_allclose(parameters, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


@EVERY
def test_maximize_climbs(form):
    kind, _, options = FORMS[form]
    options = {**options, "weight_decay": 0.0}
    up, down = np.zeros(9), np.zeros(9)
    one, other = kind(up, maximize=True, **options), kind(down, **options)
    for t in range(1, 4):
        one.step(draw(9, t))
        other.step(draw(9, t))
    np.testing.assert_array_equal(up, -down)


@EVERY
def test_a_state_goes_on_bit_for_bit(form):
    kind, _, options = FORMS[form]
    parameters = draw(33, 0, "float32")
    optimizer = kind(parameters, **options)
    optimizer.step(draw(33, 1, "float32"))
    resumed = parameters.copy()
    twin = kind(resumed, **options)
    twin.load_state_dict(optimizer.state_dict())
    for each in (optimizer, twin):
        each.step(draw(33, 2, "float32"))
    np.testing.assert_array_equal(parameters, resumed)


@EVERY
def test_nan_stays_where_it_is(form):
    kind, _, options = FORMS[form]
    parameters, gradient = draw(20, 0), draw(20, 1)
    gradient[5] = np.nan
    kind(parameters, **options).step(gradient)
    assert np.isnan(parameters).tolist() == [k == 5 for k in range(20)]


def test_nesterov_needs_a_momentum():
    with pytest.raises(ValueError, match=r"^Nesterov momentum requires a momentum and zero dampening$"):
        SGD(np.zeros(3), nesterov=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_clipped(dtype):
    gradient = np.array([-3, -1, 0.5, 2, np.nan, np.inf], dtype)
    clip_grad_value(gradient, 1.0)
    np.testing.assert_array_equal(gradient, np.array([-1, -1, 0.5, 1, np.nan, 1], dtype))
    with pytest.raises(ValueError, match=r"^clip_value must be at least 0, got -1$"):
        clip_grad_value(gradient, -1)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"lr": -1.0}, ValueError, "lr must be finite and at least 0, got -1.0"),
    ({"lr": math.nan}, ValueError, "lr must be finite and at least 0, got nan"),
    ({"lr": "fast"}, TypeError, "lr should be a number, got: str"),
    ({"betas": (0.9, 1.0)}, ValueError, r"betas must be in \[0, 1\), got \(0.9, 1.0\)"),
    ({"eps": -1}, ValueError, "eps must be finite and at least 0, got -1.0"),
    ({"weight_decay": math.inf}, ValueError, "weight_decay must be finite and at least 0, got inf"),
])  # fmt: skip
def test_wrong_numbers(options, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Adam(np.zeros(3), **options)


def test_parameters_have_to_be_writable_vectors():
    read_only = np.zeros(3)
    read_only.flags.writeable = False
    with pytest.raises(TypeError, match=r"^parameters\[1\] must be a writable contiguous array"):
        Adam([np.zeros(3), read_only])
    with pytest.raises(ValueError, match=r"^parameters\[0\]: expected shape \(4,\), got \(2, 2\)"):
        Adam(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"^dtype should be float32 or float64"):
        Adam(np.zeros(3, int))


# ---- clipping


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipping_keeps_the_direction_and_limits_the_joint_norm(dtype):
    first, second = draw(1000, 0, dtype), draw(7, 1, dtype).reshape(7, 1)
    before = np.concatenate([first, second.ravel()]).astype(np.float64)
    norm = clip_grad_norm([first, second], 2.0)
    after = np.concatenate([first, second.ravel()])
    assert norm == pytest.approx(np.linalg.norm(before), rel=1e-7)
    assert np.linalg.norm(after) == pytest.approx(2.0, rel=1e-5)
    np.testing.assert_allclose(after / 2.0, before / norm, rtol=1e-5)


def test_a_small_gradient_is_left_alone():
    gradient = draw(10, 0)
    before = gradient.copy()
    for limit in (100.0, math.inf):
        assert clip_grad_norm(gradient, limit) == pytest.approx(np.linalg.norm(before), rel=1e-14)
        np.testing.assert_array_equal(gradient, before)
    assert clip_grad_norm(np.zeros(3), 1.0) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_may_be_an_error(bad):
    gradient = np.array([1.0, bad])
    with pytest.raises(FloatingPointError, match=f"^the norm of the gradients is {bad}$"):
        clip_grad_norm(gradient, 1.0, error_if_nonfinite=True)
    assert not math.isfinite(clip_grad_norm(gradient, 1.0))
    np.testing.assert_array_equal(gradient, [1.0, bad])


@pytest.mark.parametrize("limit", [-1.0, math.nan])
def test_a_wrong_limit_is_refused(limit):
    with pytest.raises(ValueError, match=f"^max_norm must be at least 0, got {limit}$"):
        clip_grad_norm(np.ones(3), limit)
