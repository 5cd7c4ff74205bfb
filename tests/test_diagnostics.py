"""The flow of gradients back through time, against differences and against what is known of it."""

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, as_tuple, make_case
from rnncore.diagnostics import gradient_flow
from variants import in_form

each_cell = pytest.mark.parametrize("cell", LAYERS)


@each_cell
@pytest.mark.parametrize("layers", [1, 2])
def test_jacobians_are_those_of_differences(cell, layers):
    case = make_case(cell, 6, 3, 2, 4, layers)
    flow = gradient_flow(case.layer, case.x, case.hx, row=1)
    assert flow.gradient.shape == flow.jacobian.shape == (layers, 6)
    assert flow.lags.tolist() == [1, 2, 3, 4, 5, 6]
    one = case.rows([1])
    for lag in (1, 4, 6):
        _, start = one.layer(one.x[: 6 - lag], one.hx)
        start = [h.copy() for h in as_tuple(start)]

        def end(states, lag=lag):
            hx = in_form(states)
            return np.stack(as_tuple(one.layer(one.x[6 - lag :], hx)[1]))[:, :, 0]  # (S, L, H)

        for layer in range(layers):
            columns = []
            for state in start:
                for j in range(4):
                    value = state[layer, 0, j]
                    state[layer, 0, j] = value + 1e-6
                    above = end(start)
                    state[layer, 0, j] = value - 1e-6
                    columns.append((above - end(start))[:, layer].ravel() / 2e-6)
                    state[layer, 0, j] = value
            expected = np.linalg.norm(np.array(columns), ord=2)
            assert abs(flow.jacobian[layer, lag - 1] - expected) <= 1e-7 * max(1, expected)


@each_cell
def test_gradients_are_those_of_the_states_before_each_step(cell):
    case = make_case(cell, 6, 3, 2, 4, 2)
    for loss, dy in ((None, None), (lambda y, steps: (0.0, case.dy[steps]), case.dy)):
        flow = gradient_flow(case.layer, case.x, case.hx, loss=loss)
        for lag in (1, 3, 6):
            _, state = case.layer(case.x[: 6 - lag], case.hx)
            y, _, cache = case.layer.forward(case.x[6 - lag :], state)
            d_output = np.zeros_like(y) if dy is None else dy[6 - lag :]
            if dy is None:
                d_output[-1] = 1
            dh = as_tuple(case.layer.backward(cache, d_output).hx)[0]
            np.testing.assert_allclose(flow.gradient[:, lag - 1], np.linalg.norm(dh, axis=(1, 2)), rtol=1e-12)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.25])
def test_a_linear_network_has_the_powers_of_its_matrix(scale):
    rnn = rnncore.RNN(2, 8, nonlinearity="relu", bias=False, dtype="float64", seed=0)
    rnn.weight_hh_l0[...] = scale * np.eye(8)
    flow = gradient_flow(rnn, np.zeros((30, 2)), np.ones((1, 8)))  # all units stay positive
    np.testing.assert_allclose(flow.jacobian[0], scale**flow.lags, rtol=1e-12)
    np.testing.assert_allclose(flow.gradient[0], np.sqrt(8) * scale**flow.lags, rtol=1e-12)


@pytest.mark.parametrize(("dtype", "lags"), [("float32", 120), ("float64", 1000)])
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_norms_neither_vanish_nor_explode_before_the_gradients_do(dtype, lags, scale):
    rnn = rnncore.RNN(2, 4, nonlinearity="relu", bias=False, dtype=dtype, seed=0)
    rnn.weight_hh_l0[...] = scale * np.eye(4)
    flow = gradient_flow(rnn, np.zeros((lags, 2)), np.ones((1, 4)))
    np.testing.assert_allclose(flow.jacobian[0], scale**flow.lags, rtol=1e-14)
    np.testing.assert_allclose(flow.gradient[0], 2 * scale**flow.lags, rtol=1e-14)


def test_norms_are_not_finite_where_gradients_are_not():
    rnn = rnncore.RNN(2, 4, nonlinearity="relu", bias=False, seed=0)
    rnn.weight_hh_l0[...] = 2 * np.eye(4)
    flow = gradient_flow(rnn, np.zeros((140, 2)), np.ones((1, 4)))  # float32 ends at 2^128
    for norms in (flow.gradient[0], flow.jacobian[0]):
        assert np.isfinite(norms[:127]).all()
        assert not np.isfinite(norms[127:]).any()


def test_forms_of_the_input():
    by_time, by_row = make_case("lstm", dropout=0.5), make_case("lstm", batch_first=True)
    by_row.layer.load_state_dict(by_time.layer.state_dict())
    expected = gradient_flow(by_time.layer.train(), by_time.x, by_time.hx)
    turned = gradient_flow(by_row.layer, by_time.x.swapaxes(0, 1), by_time.hx)
    np.testing.assert_array_equal(turned.gradient, expected.gradient)
    np.testing.assert_array_equal(turned.jacobian, expected.jacobian)
    alone = gradient_flow(by_time.layer, by_time.x[:, 2], tuple(h[:, 2] for h in by_time.hx))
    np.testing.assert_array_equal(alone.jacobian, gradient_flow(by_time.layer, by_time.x, by_time.hx, row=2).jacobian)
    learned = rnncore.GRU(3, 5, learned_state=True, dtype="float64", seed=0)
    learned.h0_l0[...] = 0.5
    given = gradient_flow(learned, by_time.x, np.full((1, 4, 5), 0.5))
    np.testing.assert_array_equal(gradient_flow(learned, by_time.x).gradient, given.gradient)


def test_the_plot_shows_each_layer():
    case = make_case("gru")
    axes = gradient_flow(case.layer, case.x).plot()
    assert [line.get_label() for line in axes.get_lines()] == [
        "gradient, layer 0", "Jacobian product, layer 0", "gradient, layer 1", "Jacobian product, layer 1",
    ]  # fmt: skip
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"layer": rnncore.Linear(3, 5)}, TypeError, "layer should be an RNN, LSTM or GRU, got Linear"),
        ({"layer": rnncore.GRU(3, 5, bidirectional=True)}, ValueError, "layer should have bidirectional=False"),
        ({"x": np.zeros((0, 4, 3))}, ValueError, "x has 0 steps and 4 rows, expected at least one of each"),
        ({"x": np.zeros((7, 4, 2))}, ValueError, "x has 2 features, the layer expects 3"),
        ({"row": 4}, ValueError, "row must be below 4, the rows of x, got 4"),
        ({"hx": np.zeros((1, 4, 5))}, ValueError, "hx: expected hidden size"),
        ({"loss": lambda y, steps: (0.0, y[:1])}, ValueError, "the gradient of the loss: expected shape"),
    ],
)
def test_bad_input_is_named(change, error, message):
    case = make_case("gru")
    with pytest.raises(error, match=message):
        gradient_flow(**{"layer": case.layer, "x": case.x, "hx": case.hx} | change)
