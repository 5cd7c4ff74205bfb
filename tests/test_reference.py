"""The NumPy twin: gradients against the complex step, forward against the formulas, semantics by identities."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reference_problem import CELLS, Problem, make, random_resets
from rnncore.reference import Network, central_differences, complex_step, gradcheck_network, relative_error
from rnncore.reference.activations import relu, sigmoid, tanh
from rnncore.reference.dropout import dropout, uniform

each_cell = pytest.mark.parametrize("cell", CELLS)
each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
RAGGED = np.array([5, 2, 0, 3])


def assert_near(actual, expected):
    assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


# ---- gradients against differences


@each_cell
@each_direction
@pytest.mark.parametrize("bias", [False, True], ids=["unbiased", "biased"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_gradients_equal_the_complex_step(cell, layers, bias, bidirectional):
    problem = make(cell, layers, bidirectional, bias)
    for lengths in (None, np.array([5, 4, 1, 3]), RAGGED):
        for resets in (None, random_resets(5, 4)):
            error = gradcheck_network(
                problem.network,
                problem.parameters,
                problem.x,
                problem.h0,
                lengths=lengths,
                resets=resets,
                directions=3,
            )
            assert error < 1e-12


@each_cell
@pytest.mark.parametrize(("T", "N", "I", "H"), [(1, 1, 1, 1), (3, 2, 4, 3), (4, 3, 3, 3), (2, 1, 7, 2)])
def test_each_coordinate_of_the_gradient_equals_the_complex_step(cell, T, N, I, H):  # noqa: E741
    problem = make(cell, 2, True, T=T, N=N, I=I, H=H)
    lengths = np.arange(T, T - N, -1)
    error = gradcheck_network(
        problem.network, problem.parameters, problem.x, problem.h0, lengths=lengths, resets=random_resets(T, N)
    )
    assert error < 1e-12


@each_cell
def test_gradients_with_dropout_equal_the_complex_step(cell):
    problem = make(cell, 3, True)
    error = gradcheck_network(
        problem.network, problem.parameters, problem.x, problem.h0, lengths=RAGGED, dropout=0.4, key=11, directions=5
    )
    assert error < 1e-12


@each_cell
@each_direction
def test_gradients_of_a_nonlinear_loss_equal_differences(cell, bidirectional):
    problem = make(cell, 2, bidirectional, T=4, N=3, H=4, seed=3).but(lengths=np.array([4, 0, 2]))

    def loss(point):
        trial = problem.but(parameters=point[: problem.parameters.size], x=point[problem.parameters.size :])
        trial.x = trial.x.reshape(problem.x.shape)
        if np.iscomplexobj(point):
            trial.network = make(cell, 2, bidirectional, T=4, N=3, H=4, dtype="complex128").network
            trial.h0 = tuple(h.astype(complex) for h in problem.h0)
        out = trial.forward()
        return np.sum(np.sin(out.y)) + sum(np.sum(h**3) for h in out.hn)

    out = problem.forward()
    gradients = problem.backward(out.cache, np.cos(out.y), tuple(3 * h**2 for h in out.hn))
    point = np.concatenate([problem.parameters, problem.x.ravel()])
    along = np.random.default_rng(4).choice([-1.0, 1.0], (20, point.size))
    actual = along @ np.concatenate([gradients.parameters, gradients.x.ravel()])
    assert relative_error(actual, complex_step(loss, point, along)) < 1e-12
    assert relative_error(actual, central_differences(loss, point, along)) < 1e-6


@each_cell
def test_gradient_of_the_sum_is_the_sum_of_the_gradients_of_each_step(cell):
    problem = make(cell, 2, True).but(lengths=RAGGED)
    cache = problem.forward().cache
    dy, _ = problem.random_dy()
    whole = problem.backward(cache, dy, None)
    parts = [problem.backward(cache, np.where(np.arange(5)[:, None, None] == t, dy, 0), None) for t in range(5)]
    assert_near(sum(p.parameters for p in parts), whole.parameters)
    assert_near(sum(p.x for p in parts), whole.x)


# ---- forward against the formulas, element by element


def logistic(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def naive_step(cell: str, w: dict, x: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
    """One step of one row, unit by unit, from the equations of the documentation."""
    h, H = state[0], len(state[0])
    new = [np.empty(H) for _ in state]
    for j in range(H):

        def gate_x(k, j=j):
            return sum(w["weight_ih_l0"][k * H + j, i] * x[i] for i in range(len(x))) + w["bias_ih_l0"][k * H + j]

        def gate_h(k, j=j):
            return sum(w["weight_hh_l0"][k * H + j, i] * h[i] for i in range(H)) + w["bias_hh_l0"][k * H + j]

        if cell == "rnn_tanh":
            new[0][j] = math.tanh(gate_x(0) + gate_h(0))
        elif cell == "rnn_relu":
            new[0][j] = max(gate_x(0) + gate_h(0), 0)
        elif cell == "lstm":
            i, f, o = (logistic(gate_x(k) + gate_h(k)) for k in (0, 1, 3))
            new[1][j] = f * state[1][j] + i * math.tanh(gate_x(2) + gate_h(2))
            new[0][j] = o * math.tanh(new[1][j])
        else:
            r, z = (logistic(gate_x(k) + gate_h(k)) for k in (0, 1))
            new[0][j] = (1 - z) * math.tanh(gate_x(2) + r * gate_h(2)) + z * h[j]
    return new


@each_cell
def test_forward_equals_the_formula_of_each_element(cell):
    problem = make(cell)
    out = problem.forward()
    weights = problem.network.views(problem.parameters)
    for n in range(4):
        state = [h[0, n] for h in problem.h0]
        for t in range(5):
            state = naive_step(cell, weights, problem.x[t, n], state)
            assert_near(out.y[t, n], state[0])
        for s, final in enumerate(state):
            assert_near(out.hn[s][0, n], final)


@each_cell
def test_layers_and_directions_are_single_networks_put_together(cell):
    problem = make(cell, 3, True)
    out = problem.forward()
    values, offset = problem.x, 0
    for layer in range(3):
        outputs = []
        for direction in range(2):
            k, flip = 2 * layer + direction, slice(None, None, -1 if direction else 1)
            network = Network(cell, values.shape[2], 5, dtype="float64")
            parameters = problem.parameters[offset : offset + network.parameter_count]
            offset += network.parameter_count
            single = Problem(network, parameters, values[flip], tuple(h[k : k + 1] for h in problem.h0)).forward()
            outputs.append(single.y[flip])
            for s in range(network.num_states):
                assert_near(out.hn[s][k], single.hn[s][0])
        values = np.concatenate(outputs, axis=2)
    assert_near(out.y, values)


@each_cell
def test_no_bias_is_a_bias_of_zeros(cell):
    problem = make(cell, 2, True, bias=False)
    biased = make(cell, 2, True)
    views = biased.network.views(biased.parameters)
    for name, view in views.items():
        view[...] = 0 if "bias" in name else problem.network.views(problem.parameters)[name]
    biased = biased.but(x=problem.x, h0=problem.h0)
    assert_array_equal(problem.forward().y, biased.forward().y)
    with_bias = biased.network.views(biased.gradients(*problem.random_dy()).parameters)
    for name, gradient in problem.network.views(problem.gradients(*problem.random_dy()).parameters).items():
        assert_array_equal(gradient, with_bias[name])


@each_cell
def test_float32_stays_float32_and_near_float64(cell):
    single, double = make(cell, 2, True, dtype="float32"), make(cell, 2, True)
    double = double.but(
        parameters=single.parameters.astype(float),
        x=single.x.astype(float),
        h0=tuple(h.astype(float) for h in single.h0),
    )
    out = single.forward()
    assert all(a.dtype == np.float32 for steps in out.cache.steps for s in steps for a in (s.x, s.previous, s.cache))
    tolerance = 50 * np.finfo(np.float32).eps * np.sqrt(5 * 5)
    assert_allclose(out.y, double.forward().y, atol=tolerance)
    error = gradcheck_network(single.network, single.parameters, single.x, single.h0, directions=3)
    assert error < tolerance


# ---- lengths, resets, blocks


@each_cell
@each_direction
@pytest.mark.parametrize("with_resets", [False, True], ids=["whole", "reset"])
def test_ragged_rows_equal_each_row_alone_whatever_the_padding_holds(cell, bidirectional, with_resets):
    problem = make(cell, 2, bidirectional).but(lengths=RAGGED)
    dy, dhn = problem.random_dy()
    padding = np.arange(5)[:, None] >= RAGGED
    resets = random_resets(5, 4) if with_resets else np.zeros((5, 4), bool)
    problem.resets = resets | padding
    problem.x[padding] = np.nan
    dy[padding] = np.nan
    out = problem.forward()
    gradients = problem.backward(out.cache, dy, dhn)
    total = np.zeros_like(problem.parameters)
    for n, length in enumerate(RAGGED):
        valid, row = slice(length), slice(n, n + 1)
        alone = Problem(
            problem.network,
            problem.parameters,
            problem.x[valid, row],
            tuple(h[:, row] for h in problem.h0),
            resets=resets[valid, row],
        )
        result = alone.forward()
        gradient = alone.backward(result.cache, dy[valid, row], tuple(d[:, row] for d in dhn))
        assert_near(out.y[valid, row], result.y)
        assert_near(gradients.x[valid, row], gradient.x)
        for s in range(problem.network.num_states):
            assert_near(out.hn[s][:, row], result.hn[s])
            assert_near(gradients.h0[s][:, row], gradient.h0[s])
        total += gradient.parameters
    assert_array_equal(out.y[padding], 0)
    assert_array_equal(gradients.x[padding], 0)
    assert_near(gradients.parameters, total)


@each_cell
@each_direction
@pytest.mark.parametrize("first", [False, True], ids=["carried", "reset at 0"])
@pytest.mark.parametrize("length", [5, 7])
def test_segments_between_resets_equal_each_segment_alone(cell, bidirectional, first, length):
    problem = make(cell, 2, bidirectional, T=7, N=1)
    resets = np.zeros((7, 1), bool)
    resets[[2, 3, 5]] = True  # in a row of length 5, the last of these lies in the padding
    resets[0] = first
    problem = problem.but(resets=resets, lengths=np.array([length]))
    dy, dhn = problem.random_dy()
    out = problem.forward()
    gradients = problem.backward(out.cache, dy, dhn)
    bounds = [0, 2, 3, 5, 7] if length == 7 else [0, 2, 3, 5]
    D, last = problem.network.num_directions, len(bounds) - 2
    total = np.zeros_like(problem.parameters)
    for segment in range(last + 1):
        valid = slice(bounds[segment], bounds[segment + 1])
        enters = np.array([segment == 0 and not first, segment == last])[:D]  # does h0 arrive, by direction
        leaves = np.array([segment == last, segment == 0])[:D]  # is it the one to give the final state
        enters, leaves = (np.tile(flags, 2)[:, None, None] for flags in (enters, leaves))
        h0 = tuple(np.where(enters, h, 0) for h in problem.h0)
        alone = Problem(problem.network, problem.parameters, problem.x[valid], h0)
        result = alone.forward()
        gradient = alone.backward(result.cache, dy[valid], tuple(np.where(leaves, d, 0) for d in dhn))
        assert_near(out.y[valid], result.y)
        assert_near(gradients.x[valid], gradient.x)
        for s in range(problem.network.num_states):
            assert_near(np.where(leaves, out.hn[s], 0), np.where(leaves, result.hn[s], 0))
            assert_near(np.where(enters, gradients.h0[s], 0), np.where(enters, gradient.h0[s], 0))
        total += gradient.parameters
    assert_near(gradients.parameters, total)
    if first:
        assert all(np.all(d[::D] == 0) for d in gradients.h0)


@each_cell
@pytest.mark.parametrize("lengths", [None, np.array([7, 3, 0, 4])], ids=["full", "ragged"])
@pytest.mark.parametrize("at", [0, 1, 4, 7])
def test_state_carried_over_blocks_gives_the_whole_bit_for_bit(cell, lengths, at):
    problem = make(cell, 2, T=7).but(lengths=lengths, resets=random_resets(7, 4))
    dy, dhn = problem.random_dy()
    out = problem.forward()
    whole = problem.backward(out.cache, dy, dhn)
    full = np.full(4, 7) if lengths is None else lengths
    head = problem.but(x=problem.x[:at], lengths=np.minimum(full, at), resets=problem.resets[:at])
    before = head.forward()
    tail = problem.but(x=problem.x[at:], h0=before.hn, lengths=np.maximum(full - at, 0), resets=problem.resets[at:])
    after = tail.forward()
    assert_array_equal(np.concatenate([before.y, after.y]), out.y)
    for actual, expected in zip(after.hn, out.hn, strict=True):
        assert_array_equal(actual, expected)
    late = tail.backward(after.cache, dy[at:], dhn)
    early = head.backward(before.cache, dy[:at], late.h0)
    assert_near(early.parameters + late.parameters, whole.parameters)
    assert_array_equal(np.concatenate([early.x, late.x]), whole.x)
    for actual, expected in zip(early.h0, whole.h0, strict=True):
        assert_array_equal(actual, expected)


# ---- nothing to do


@each_cell
@each_direction
@pytest.mark.parametrize("T", [0, 5])
def test_rows_of_length_0_pass_the_state_and_its_gradient_through(cell, bidirectional, T):
    problem = make(cell, 2, bidirectional, T=T).but(lengths=np.zeros(4, np.int64))
    dy, dhn = problem.random_dy()
    out = problem.forward()
    gradients = problem.backward(out.cache, dy, dhn)
    assert_array_equal(out.y, 0)
    assert_array_equal(gradients.x, 0)
    assert_array_equal(gradients.parameters, 0)
    for s in range(problem.network.num_states):
        assert_array_equal(out.hn[s], problem.h0[s])
        assert_array_equal(gradients.h0[s], dhn[s])


@each_cell
@each_direction
def test_no_rows_give_empty_results(cell, bidirectional):
    problem = make(cell, 2, bidirectional, N=0).but(lengths=np.zeros(0, np.int64), resets=np.zeros((5, 0), bool))
    gradients = problem.gradients(*problem.random_dy())
    assert gradients.x.shape == (5, 0, 3)
    assert_array_equal(gradients.parameters, 0)


@each_cell
def test_no_input_features_are_an_input_that_contributes_nothing(cell):
    problem = make(cell, 2, True, I=0)
    wide = make(cell, 2, True, I=2)
    zero, all_views = wide.network.views(wide.parameters), problem.network.views(problem.parameters)
    for name, view in zero.items():
        view[...] = all_views[name] if all_views[name].size else 0
    wide = wide.but(h0=problem.h0)
    assert_near(problem.forward().y, wide.forward().y)
    error = gradcheck_network(problem.network, problem.parameters, problem.x, problem.h0, directions=2)
    assert error < 1e-12


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
