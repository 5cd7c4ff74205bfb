"""The NumPy twin: its gradients against the complex step, its forward against the formulas of each cell."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reference_problem import RAGGED, Problem, assert_near, each_cell, each_direction, make, network_of, random_resets
from rnncore.reference import central_differences, complex_step, gradcheck_network, relative_error

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
        elif cell == "gru":
            r, z = (logistic(gate_x(k) + gate_h(k)) for k in (0, 1))
            new[0][j] = (1 - z) * math.tanh(gate_x(2) + r * gate_h(2)) + z * h[j]
    return new


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "lstm", "gru"])  # those that naive_step writes out
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
            network = network_of(cell, values.shape[2], 5, dtype="float64")
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
    assert all(a.dtype == np.float32 for steps in out.cache.steps for s in steps for a in (s.x, *s.previous, s.cache))
    tolerance = 50 * np.finfo(np.float32).eps * np.sqrt(5 * 5)
    assert_allclose(out.y, double.forward().y, atol=tolerance)
    error = gradcheck_network(single.network, single.parameters, single.x, single.h0, directions=3)
    assert error < tolerance
