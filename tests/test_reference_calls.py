"""The NumPy twin: what a call leaves alone, NaN and infinity, dropout, layout and errors."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reference_problem import RAGGED, assert_near, each_cell, make, random_resets
from rnncore.reference import Network
from rnncore.reference.activations import relu, sigmoid, tanh
from rnncore.reference.dropout import dropout, uniform

# ---- calls leave nothing behind


@each_cell
def test_backward_twice_gives_the_same_and_no_input_is_written(cell):
    problem = make(cell, 2, True).but(lengths=RAGGED, resets=random_resets(5, 4), dropout=0.3, key=5)
    dy, dhn = problem.random_dy()
    given = [problem.parameters, problem.x, *problem.h0, problem.lengths, problem.resets, dy, *dhn]
    before = [a.tobytes() for a in given]
    for array in given:
        array.flags.writeable = False
    out = problem.forward()
    y, hn = out.y.copy(), [h.copy() for h in out.hn]
    once = problem.backward(out.cache, dy, dhn)
    twice = problem.backward(out.cache, dy, dhn)
    assert once.parameters.tobytes() == twice.parameters.tobytes()
    assert once.x.tobytes() == twice.x.tobytes()
    assert [h.tobytes() for h in once.h0] == [h.tobytes() for h in twice.h0]
    assert [a.tobytes() for a in given] == before
    assert_array_equal(out.y, y)
    for actual, expected in zip(out.hn, hn, strict=True):
        assert_array_equal(actual, expected)


@each_cell
def test_gradients_of_parameters_are_added_and_none_stands_for_zeros(cell):
    problem = make(cell, 2)
    cache = problem.forward().cache
    dy, dhn = problem.random_dy()
    zeros = np.zeros_like(dy), tuple(np.zeros_like(d) for d in dhn)
    assert_array_equal(problem.backward(cache, dy, None).x, problem.backward(cache, dy, zeros[1]).x)
    assert_array_equal(problem.backward(cache, None, dhn).x, problem.backward(cache, zeros[0], dhn).x)
    total = np.full_like(problem.parameters, 2.5)
    problem.network.backward(cache, problem.parameters, dy, dhn, None, tuple(map(np.empty_like, dhn)), total)
    assert_near(total, problem.backward(cache, dy, dhn).parameters + 2.5)


@each_cell
def test_no_initial_state_is_zeros_and_no_keep_gives_no_cache(cell):
    problem = make(cell, 2)
    zero = problem.but(h0=tuple(np.zeros_like(h) for h in problem.h0)).forward()
    out = problem.outputs()
    assert problem.network.forward(problem.parameters, problem.x, None, out.y, out.hn) is None
    assert_array_equal(out.y, zero.y)


@each_cell
def test_arrays_with_strides_and_a_state_written_over_its_initial_value_give_the_same(cell):
    problem = make(cell, 2, True)
    expected = problem.forward()
    x = np.ascontiguousarray(problem.x.swapaxes(0, 1)).swapaxes(0, 1)
    y = np.full((4, 5, 13), np.nan).swapaxes(0, 1)[:, :, 2:12]
    state = tuple(h.copy() for h in problem.h0)
    problem.network.forward(problem.parameters, x, state, y, state)
    assert_array_equal(y, expected.y)
    for actual, wanted in zip(state, expected.hn, strict=True):
        assert_array_equal(actual, wanted)


# ---- NaN and infinity


@each_cell
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_stays_in_its_row_from_its_step_on(cell, bad):
    problem = make(cell, 2)
    clean = problem.forward().y
    problem.x[2, 1] = bad
    y = problem.forward().y
    others = [0, 2, 3]
    assert_array_equal(y[:, others], clean[:, others])
    assert_array_equal(y[:2, 1], clean[:2, 1])
    if np.isnan(bad):
        assert np.isnan(y[2:, 1]).all()


@each_cell
def test_reset_ends_a_nan(cell):
    problem = make(cell, 2).but(resets=np.arange(5)[:, None] == np.full(4, 3))
    clean = problem.forward().y
    problem.x[1, 1] = np.nan
    y = problem.forward().y
    assert np.isnan(y[1:3, 1]).all()
    assert_array_equal(y[3:], clean[3:])


def test_activations_are_exact_at_their_limits_and_never_warn():
    for dtype in (np.float32, np.float64, np.complex128):
        x = np.array([-np.inf, -1e4, -800, 0, 800, 1e4, np.inf], dtype)
        with np.errstate(all="raise", under="ignore"):
            assert_array_equal(sigmoid(x), [0, 0, 0, 0.5, 1, 1, 1])
            assert_array_equal(tanh(x), [-1, -1, -1, 0, 1, 1, 1])
            assert_array_equal(relu(x).real, [0, 0, 0, 0, 800, 1e4, np.inf])
        nan = np.array([np.nan], dtype)
        with np.errstate(invalid="ignore"):  # complex division says so
            assert all(np.isnan(f(nan)).all() for f in (sigmoid, tanh, relu))
        assert all(f(x).dtype == dtype for f in (sigmoid, tanh, relu))
    assert_allclose(sigmoid(np.array([-50.0, -700.0])), np.exp([-50.0, -700.0]), rtol=1e-13)


# ---- dropout


def splitmix64(state: int) -> int:
    z = state % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


@pytest.mark.parametrize("key", [0, 1, 2**63, 2**64 - 1])
def test_mask_is_a_function_of_key_layer_and_position(key):
    values = np.random.default_rng(0).normal(size=(3, 2, 4))
    dropped = dropout(values, 0.3, key, layer=2)
    for (t, n, j), value in np.ndenumerate(values):
        index = ((2 * 3 + t) * 2 + n) * 4 + j
        u = (splitmix64(key + (index + 1) * 0x9E3779B97F4A7C15) >> 11) * 2.0**-53
        assert dropped[t, n, j] == (value * (1 / 0.7) if u >= 0.3 else 0)


def test_generator_gives_the_published_numbers():
    # the first outputs of SplitMix64 for seed 1234567
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert_array_equal(uniform(1234567, 0, 4), [(z >> 11) * 2.0**-53 for z in published])


@each_cell
@pytest.mark.parametrize("p", [0.0, 2.0**-53, 0.5, 1 - 2.0**-53, 1.0])
def test_dropout_of_any_probability_is_finite_forward_and_backward(cell, p):
    problem = make(cell, 3, True, dtype="float32").but(dropout=p, key=9)
    out = problem.forward()
    gradients = problem.backward(out.cache, *problem.random_dy())
    assert np.isfinite(out.y).all()
    assert np.isfinite(gradients.parameters).all()
    if p == 0:
        assert_array_equal(out.y, problem.but(dropout=0.0, key=0).forward().y)
    if p == 1:
        dy, _ = problem.random_dy()
        assert_array_equal(problem.backward(out.cache, dy, None).x, 0)
        silent = problem.network.views(problem.parameters)
        for name in ("weight_ih_l1", "weight_ih_l1_reverse", "weight_ih_l2", "weight_ih_l2_reverse"):
            silent[name][...] = 0
        assert_array_equal(out.y, problem.but(dropout=0.0).forward().y)


def test_dropout_drops_the_share_asked_for_and_keeps_the_mean():
    dropped = dropout(np.ones((50, 20, 100)), 0.3, key=3, layer=0)
    assert abs(np.mean(dropped == 0) - 0.3) < 0.01
    assert abs(np.mean(dropped) - 1) < 0.015


# ---- layout and errors


def test_layout_has_the_names_shapes_and_order_of_a_state_dict():
    network = Network("gru", 3, 5, 2, bidirectional=True)
    names = [name for name, _, _ in network.layout]
    assert names[:5] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_ih_l0_reverse"]
    assert names[8:10] == ["weight_ih_l1", "weight_hh_l1"]
    shapes = {name: shape for name, _, shape in network.layout}
    assert shapes["weight_ih_l0_reverse"] == (15, 3)
    assert shapes["weight_ih_l1"] == (15, 10)
    assert shapes["weight_hh_l1_reverse"] == (15, 5)
    assert shapes["bias_hh_l0"] == (15,)
    offset = 0
    for _, start, shape in network.layout:
        assert start == offset
        offset += math.prod(shape)
    assert network.parameter_count == offset
    assert (network.num_directions, network.num_states, Network("lstm", 1, 1).num_states) == (2, 1, 2)
    assert not any("bias" in name for name, _, _ in Network("lstm", 3, 5, bias=False).layout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("elman", 3, 5), "cell must be one of .* got 'elman'"),
        (("gru", 3, 0), "hidden_size must be at least 1, got 0"),
        (("gru", -1, 5), "input_size must be at least 0, got -1"),
        (("gru", 3, 5, 0), "num_layers must be at least 1, got 0"),
        (("gru", 3, 5, 1, True, False, "float16"), "dtype must be one of .* got 'float16'"),
    ],
)
def test_network_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Network(*arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": np.zeros(3)}, r"parameters has shape \(3,\), expected \(200,\)"),
        ({"x": np.zeros((5, 4, 2))}, r"x has shape \(5, 4, 2\), expected \(5, 4, 3\)"),
        ({"x": np.zeros((5, 4, 3), np.float32)}, "x has dtype float32, expected float64"),
        ({"h0": (np.zeros((1, 4, 5)),)}, "h0 has 1 arrays, expected 2"),
        ({"h0": (np.zeros((1, 3, 5)), np.zeros((1, 4, 5)))}, r"h0 has shape \(1, 3, 5\), expected \(1, 4, 5\)"),
        ({"lengths": np.array([1, 2, 3])}, r"lengths has shape \(3,\), expected \(4,\)"),
        ({"lengths": np.array([1, 6, 3, 0])}, r"lengths must be in 0..5, got 0..6"),
        ({"lengths": np.array([1, -1, 3, 0])}, r"lengths must be in 0..5, got -1..3"),
        ({"resets": np.zeros((4, 5), bool)}, r"resets has shape \(4, 5\) .* expected \(5, 4\)"),
        ({"resets": np.zeros((5, 4))}, "resets has .* dtype float64, expected .* bool"),
        ({"dropout": 1.5}, "dropout must be between 0 and 1, got 1.5"),
        ({"dropout": float("nan")}, "dropout must be between 0 and 1, got nan"),
    ],
)
def test_wrong_argument_is_named_and_nothing_is_written(changes, message):
    good = make("lstm")
    out = good.outputs()
    bad = good.but(**changes)
    with pytest.raises(ValueError, match=message):
        bad.network.forward(bad.parameters, bad.x, bad.h0, out.y, out.hn, bad.lengths, bad.resets, bad.dropout, bad.key)
    assert np.isnan(out.y).all()
    assert all(np.isnan(h).all() for h in out.hn)
