"""LeakyRNN: its limits, the leak that is learned, and connectivity that holds in training."""

import copy

import numpy as np
import pytest

import rnncore
from layer_case import make_case
from rnncore.reference import gradcheck
from rnncore.reference.constraints import constrain, pull_back

T, N, I, H = 12, 4, 3, 10  # noqa: E741
SIGNS = np.where(np.arange(H) < 8, 1, -1)
MASK = (np.random.default_rng(3).random((H, H)) < 0.6) & ~np.eye(H, dtype=bool)


def data(dtype="float64"):
    return np.random.default_rng(0).normal(size=(T, N, I)).astype(dtype)


def constrained(**options):
    return rnncore.LeakyRNN(I, H, mask_hh=MASK.astype(int), dale=SIGNS, **{"seed": 0, "dtype": "float64", **options})


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_a_leak_it_is_an_rnn(nonlinearity, dtype):
    options = {"nonlinearity": nonlinearity, "dtype": dtype, "seed": 0, "num_layers": 2}
    leaky, plain = rnncore.LeakyRNN(I, H, alpha=1.0, **options), rnncore.RNN(I, H, **options)
    tolerance = 0 if nonlinearity == "tanh" else 1e-6 if dtype == "float32" else 1e-14  # relu is scaled in between
    np.testing.assert_allclose(leaky(data())[0], plain(data())[0], rtol=tolerance, atol=tolerance)


def test_a_small_alpha_follows_the_differential_equation():
    """tau dh/dt = -h + tanh(W x + b + R h + b): half the step, twice as often, comes near the same place."""
    rough = rnncore.LeakyRNN(I, H, alpha=0.02, dtype="float64", seed=0)
    fine = rnncore.LeakyRNN(I, H, alpha=0.01, dtype="float64", seed=0)
    x = np.repeat(data()[:1], 100, axis=0)
    _, once = rough(x)
    _, twice = fine(np.repeat(x, 2, axis=0))
    assert 0 < np.abs(once - twice).max() < 0.02 * np.abs(once).max()


def test_a_learned_alpha_begins_at_alpha_and_stays_between_0_and_1():
    fixed = rnncore.LeakyRNN(I, H, alpha=0.3, dtype="float64", seed=0)
    learned = rnncore.LeakyRNN(I, H, alpha=0.3, learned_alpha=True, dtype="float64", seed=0)
    learned.load_state_dict({**learned.state_dict(), **fixed.state_dict()})
    np.testing.assert_allclose(learned(data())[0], fixed(data())[0], rtol=0, atol=1e-14)
    learned.alpha_logit_l0[...] = np.linspace(-800, 800, H)
    y, _ = learned(data())
    assert np.isfinite(y).all()
    assert not y[:, :, 0].any()  # alpha is 0 in double precision: the unit never moves


def test_a_leak_is_learned_from_a_signal_that_has_one():
    """The output of a teacher with other leaks: the student's come near them."""
    teacher = rnncore.LeakyRNN(I, 6, learned_alpha=True, dtype="float64", seed=1)
    teacher.alpha_logit_l0[...] = np.linspace(-2, 2, 6)
    student = copy.deepcopy(teacher)
    student.alpha_logit_l0[...] = 0
    x = np.random.default_rng(2).normal(size=(40, 10, I))
    target, _ = teacher(x)
    optimizer = rnncore.optim.Adam(student.parameters, lr=0.05)
    for _ in range(400):
        y, _, cache = student.forward(x)
        optimizer.step(student.backward(cache, 2 * (y - target) / y.size).parameters)
    np.testing.assert_allclose(student.alpha_logit_l0, teacher.alpha_logit_l0, atol=0.5)


@pytest.mark.parametrize("learned_alpha", [False, True])
def test_the_gradient_with_mask_and_signs_is_the_derivative(learned_alpha):
    layer = constrained(num_layers=2, bidirectional=True, learned_alpha=learned_alpha)
    for name, view in layer.named_parameters().items():  # an optimiser may have left any sign
        if name.startswith("weight_hh"):
            view *= np.random.default_rng(5).choice([-1, 1], view.shape)
    assert gradcheck(layer, data(), directions=5) < 1e-6


@pytest.mark.parametrize("make", [rnncore.optim.SGD, rnncore.optim.Adam, rnncore.optim.AdamW, rnncore.optim.RMSprop])
def test_mask_and_signs_hold_in_training(make):
    layer = constrained(learned_alpha=True)
    optimizer = make(layer.parameters, lr=0.05)
    start = layer.recurrent_weight()
    for _ in range(30):
        y, _, cache = layer.forward(data())
        optimizer.step(layer.backward(cache, np.sin(y)).parameters)
    weight = layer.recurrent_weight()
    assert np.abs(weight - start)[MASK].max() > 0.01
    assert not weight[~MASK].any()
    assert not layer.weight_hh_l0[~MASK].any()
    assert (weight * SIGNS >= 0).all()


def test_the_engine_runs_on_the_constrained_weight_in_calls_and_streams():
    layer = constrained()
    layer.weight_hh_l0[...] = np.random.default_rng(7).normal(size=(H, H))
    free = rnncore.LeakyRNN(I, H, dtype="float64", seed=0)
    free.load_state_dict({**layer.state_dict(), "weight_hh_l0": layer.recurrent_weight()})
    np.testing.assert_array_equal(layer(data())[0], free(data())[0])
    np.testing.assert_array_equal(rnncore.Stream(layer, N).run(data()), free(data())[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mask_and_signs_are_those_of_the_twin(dtype):
    """Of the weights, and of the gradient; a model has the bits of its layer, and a fleet those of the model."""
    layer = constrained(dtype=dtype)
    given = np.random.default_rng(7).normal(size=(H, H)).astype(dtype)
    layer.weight_hh_l0[...] = given
    parts = (MASK.astype(dtype), SIGNS.astype(dtype))
    np.testing.assert_array_equal(layer.recurrent_weight(), constrain(given, *parts), strict=True)
    free = rnncore.LeakyRNN(I, H, dtype=dtype, seed=0)
    free.load_state_dict({**layer.state_dict(), "weight_hh_l0": constrain(given, *parts)})
    y, _, cache = layer.forward(data(dtype))
    grads, expected = layer.backward(cache, y), free.backward(free.forward(data(dtype))[2], y)
    slope = pull_back(expected.named["weight_hh_l0"], given, *parts)
    np.testing.assert_array_equal(grads.named["weight_hh_l0"], slope, strict=True)
    np.testing.assert_array_equal(grads.named["weight_ih_l0"], expected.named["weight_ih_l0"])
    fleet = rnncore.Fleet(rnncore.Sequential(copy.deepcopy(layer)), 2)
    together, _, caches = fleet.forward([data(dtype)] * 2)
    np.testing.assert_array_equal(together[1], y)
    np.testing.assert_array_equal(fleet.backward(caches, [y, y]).parameters[1], grads.parameters)


def test_gradients_are_added_to_a_vector_with_a_mask_too():
    layer = constrained()
    y, _, cache = layer.forward(data())
    plain, total = layer.backward(cache, y), np.full_like(layer.parameters, 3)
    grads = layer.backward(cache, y, add_to=total)
    assert grads.parameters is total
    np.testing.assert_allclose(total, 3 + plain.parameters, rtol=1e-12, atol=1e-12)


def test_mask_and_signs_survive_copies_and_files(tmp_path):
    model = rnncore.Sequential(constrained(dtype="float32"), rnncore.Linear(H, 2, seed=0))
    model.save(tmp_path / "model.safetensors")
    for twin in (rnncore.load(tmp_path / "model.safetensors"), copy.deepcopy(model)):
        np.testing.assert_array_equal(twin[0].mask_hh, MASK)
        np.testing.assert_array_equal(twin[0].dale, SIGNS)
        np.testing.assert_array_equal(twin(data("float32"))[0], model(data("float32"))[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"alpha": 0.0}, ValueError, "alpha must be finite and greater than 0, got 0.0"),
        ({"alpha": 1.5}, ValueError, "alpha must be at most 1, got 1.5"),
        ({"alpha": 1.0, "learned_alpha": True}, ValueError, "alpha must be below 1, got 1.0"),
        ({"alpha": "fast"}, TypeError, "alpha should be a number"),
        ({"learned_alpha": 1}, TypeError, "learned_alpha should be of type bool"),
        ({"nonlinearity": "sin"}, ValueError, "Unknown nonlinearity 'sin'"),
        ({"mask_hh": np.ones((H, H + 1))}, ValueError, r"mask_hh: expected shape \(10, 10\), got \(10, 11\)"),
        ({"mask_hh": np.full((H, H), 0.5)}, ValueError, "mask_hh should hold 0 and 1 only, got 0.5"),
        ({"dale": np.zeros(H)}, ValueError, "dale should hold -1 and 1 only, got 0"),
        ({"dale": "all"}, TypeError, "dale"),
    ],
)
def test_what_cannot_be_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        rnncore.LeakyRNN(I, H, **options)


def test_its_options_are_fixed():
    layer = make_case("leaky").layer
    for name in ("alpha", "learned_alpha", "mask_hh", "dale", "nonlinearity"):
        with pytest.raises(AttributeError, match=f"{name} is fixed"):
            setattr(layer, name, None)
