"""The differences that judge gradients, and that they find a gradient that is wrong."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reference_problem import CELLS, make, random_resets
from rnncore.reference import (
    Network,
    central_differences,
    complex_step,
    gradcheck,
    gradcheck_network,
    relative_error,
)
from variants import LAYERS, engine_arguments, in_form

each_layer = pytest.mark.parametrize("kind", LAYERS)


def rosenbrock(v):
    return np.sum(100 * (v[1:] - v[:-1] ** 2) ** 2 + (1 - v[:-1]) ** 2)


def rosenbrock_gradient(v):
    gradient = np.zeros_like(v)
    gradient[1:] += 200 * (v[1:] - v[:-1] ** 2)
    gradient[:-1] -= 400 * v[:-1] * (v[1:] - v[:-1] ** 2) + 2 * (1 - v[:-1])
    return gradient


def test_complex_step_is_exact_and_central_differences_are_near():
    point = np.random.default_rng(0).normal(size=7)
    expected = rosenbrock_gradient(point)
    assert_allclose(complex_step(rosenbrock, point), expected, rtol=1e-13)
    assert_allclose(central_differences(rosenbrock, point), expected, rtol=1e-7)
    assert_allclose(central_differences(rosenbrock, point, step=1e-3), expected, rtol=1e-2)
    single = point.astype(np.float32)
    assert_allclose(central_differences(rosenbrock, single), rosenbrock_gradient(single), rtol=0.02, atol=0.1)


def test_derivatives_along_directions_are_products_with_the_gradient():
    rng = np.random.default_rng(1)
    point, directions = rng.normal(size=5), rng.normal(size=(3, 5))
    expected = directions @ rosenbrock_gradient(point)
    assert_allclose(complex_step(rosenbrock, point, directions), expected, rtol=1e-12)
    assert_allclose(central_differences(rosenbrock, point, directions), expected, rtol=1e-6)


def test_relative_error_is_by_the_largest_magnitude():
    assert relative_error(np.array([1.0, 4.5]), np.array([1.0, 5.0])) == pytest.approx(0.1)
    assert relative_error(np.array([0.25]), np.zeros(1)) == 0.25
    assert relative_error(np.zeros(0), np.zeros(0)) == 0
    assert np.isnan(relative_error(np.array([np.nan, 1]), np.ones(2)))
    assert np.isnan(relative_error(np.ones(2), np.array([np.nan, 1])))


# ---- layers


class Squares:
    """y = p x^2 plus a carried sum of x: a layer of one's own, whose backward may be made wrong."""

    def __init__(self, **faults):
        self.parameters = np.array([0.7])
        self.faults = faults

    def forward(self, x, hx, *, lengths, resets):
        h = 0 if hx is None else hx
        return self.parameters * x**2, h + x.sum(axis=0), x

    def backward(self, cache, dy, dhx):
        fault = {"parameters": 1, "x": 1, "hx": 1} | self.faults
        return SimpleNamespace(
            parameters=np.array([np.sum(dy * cache**2)]) * fault["parameters"],
            x=(dy * self.parameters * 2 * cache + dhx) * fault["x"],
            hx=dhx * fault["hx"],
        )


@pytest.mark.parametrize("directions", [None, 2])
def test_layer_of_ones_own_can_be_checked_and_stays_as_it_is(directions):
    layer, x = Squares(), np.arange(6.0).reshape(3, 2)
    assert gradcheck(layer, x, directions=directions) < 1e-9
    assert_array_equal(layer.parameters, [0.7])
    assert_array_equal(x, np.arange(6.0).reshape(3, 2))


@pytest.mark.parametrize("part", ["parameters", "x", "hx"])
@pytest.mark.parametrize("directions", [None, 2])
def test_wrong_part_of_a_gradient_is_found(part, directions):
    assert gradcheck(Squares(**{part: 1.01}), np.ones((3, 2)), directions=directions) > 1e-4


@each_layer
@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
def test_backward_of_each_layer_agrees(kind, batch_first):
    layer = LAYERS[kind](2, 3, num_layers=2, bidirectional=True, batch_first=batch_first, dtype="float64", seed=1)
    rng = np.random.default_rng(0)
    x, resets = rng.normal(size=(5, 3, 2)), random_resets(5, 3)
    if batch_first:
        x, resets = x.swapaxes(0, 1), resets.T
    before = layer.parameters.copy()
    assert gradcheck(layer, x, lengths=[5, 0, 3], resets=resets) < 1e-6
    assert_array_equal(layer.parameters, before)


@each_layer
def test_backward_agrees_for_a_given_state_one_row_and_dropout(kind):
    layer = LAYERS[kind](2, 3, num_layers=2, dropout=0.5, dtype="float64", seed=2)
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(4, 2)), rng.normal(size=(2, 3))
    hx = in_form((k + 1) * h for k in range(len(layer.state_names)))
    assert gradcheck(layer, x, hx) < 1e-6
    assert gradcheck(layer.eval(), x, hx, directions=4) < 1e-6


@each_layer
def test_backward_in_float32_agrees_to_its_precision(kind):
    layer = LAYERS[kind](2, 3, seed=3)
    x = np.random.default_rng(0).normal(size=(4, 2, 2))
    assert gradcheck(layer, x) < 1e-2


# ---- networks


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wrong_gradient_of_a_network_is_found(cell, dtype):
    class Faulty(Network):
        """Forgets the gradient of one initial state."""

        def backward(self, *arguments):
            super().backward(*arguments)
            arguments[5][-1][0, 0] = 0

    problem = make(cell, dtype=dtype)
    faulty = Faulty(**engine_arguments(cell), input_size=3, hidden_size=5, dtype=dtype)
    arguments = (problem.parameters, problem.x, problem.h0)
    assert gradcheck_network(problem.network, *arguments) < (1e-5 if dtype == "float32" else 1e-12)
    assert gradcheck_network(faulty, *arguments) > 1e-3
    assert gradcheck_network(faulty, *arguments, directions=3) > 1e-3
