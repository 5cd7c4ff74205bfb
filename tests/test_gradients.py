"""The gradient grid: the compiled engine against its NumPy twin, which test_reference.py holds to the complex step.

Random non-zero initial states; the loss reads every step and every final state. Runs in the instruction set that is
loaded: RNNCORE_ISA chooses another.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from rnncore import _core, reference
from variants import LAYERS, engine_arguments

Array = NDArray[np.float64]
SIZES = [(7, 3, 5, 9), (5, 1, 1, 1), (4, 9, 17, 33), (9, 5, 3, 20), (3, 2, 40, 16)]  # T, N, I, H
CELLS = list(LAYERS)


@dataclass
class Problem:
    """One network, its input, and random gradients of its outputs."""

    arguments: dict[str, object]
    parameters: Array
    x: Array
    h0: tuple[Array, ...]
    lengths: NDArray[np.int64] | None
    resets: NDArray[np.bool_] | None
    dy: Array
    dhn: tuple[Array, ...]

    def run(self, network_class: type, dtype: str = "float64") -> dict[str, Array]:
        """Outputs and all gradients; what is not written stays NaN."""
        network = network_class(**self.arguments, dtype=dtype)

        def cast(array: Array) -> Array:
            return array.astype(dtype)

        def unwritten(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
            return tuple(np.full_like(cast(array), np.nan) for array in arrays)

        parameters, x, h0 = cast(self.parameters), cast(self.x), tuple(map(cast, self.h0))
        y, hn, dx, dh0 = unwritten((self.dy,))[0], unwritten(h0), unwritten((x,))[0], unwritten(h0)
        gradient = np.zeros_like(parameters)
        cache = network.forward(parameters, x, h0, y, hn, self.lengths, self.resets, keep=True)
        network.backward(cache, parameters, cast(self.dy), tuple(map(cast, self.dhn)), dx, dh0, gradient)
        states = {f"{name}{s}": a[s] for name, a in (("hn", hn), ("dh0", dh0)) for s in range(len(hn))}
        return {"y": y, "dx": dx, "dparameters": gradient, **states}


def problem(cell, layers, directions, bias, sizes, lengths="full", resets=False, seed=0) -> Problem:
    rng = np.random.default_rng(seed)
    T, N, I, H = sizes  # noqa: E741
    arguments = {
        **engine_arguments(cell),
        "input_size": I,
        "hidden_size": H,
        "num_layers": layers,
        "bias": bias,
        "bidirectional": directions == 2,
    }
    network = reference.Network(**arguments, dtype="float64")
    rows = None
    if lengths != "full":
        rows = rng.integers(1, T + 1, N)
        if lengths == "with a zero":
            rows[rng.integers(N)] = 0

    def states() -> tuple[Array, ...]:
        return tuple(rng.normal(size=(layers * directions, N, H)) for _ in range(network.num_states))

    return Problem(
        arguments,
        rng.uniform(-0.5, 0.5, network.parameter_count),
        rng.normal(size=(T, N, I)),
        states(),
        rows,
        rng.random((T, N)) < 0.25 if resets else None,
        rng.normal(size=(T, N, directions * H)),
        states(),
    )


def assert_close(actual: dict[str, Array], expected: dict[str, Array], tolerance: float) -> None:
    for name, value in expected.items():
        error = np.abs(actual[name].astype(np.float64) - value)
        assert (error <= tolerance * np.maximum(1, np.abs(value).max(initial=0))).all(), f"{name}: {error.max()}"


@pytest.mark.parametrize("resets", [False, True], ids=["", "resets"])
@pytest.mark.parametrize("lengths", ["full", "ragged", "with a zero"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_engine_equals_the_reference(cell, layers, directions, bias, lengths, resets):
    for seed, sizes in enumerate(SIZES):
        case = problem(cell, layers, directions, bias, sizes, lengths, resets, seed)
        assert_close(case.run(_core.Network), case.run(reference.Network), 1e-12)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_single_precision_equals_double(cell, directions):
    for seed, sizes in enumerate([(40, 5, 7, 30), (25, 20, 33, 64), (100, 1, 1, 8)]):
        case = problem(cell, 1, directions, True, sizes, "ragged", True, seed)
        tolerance = 50 * np.finfo(np.float32).eps * np.sqrt(sizes[0] * sizes[3])
        assert_close(case.run(_core.Network, "float32"), case.run(_core.Network), tolerance)


@pytest.mark.parametrize("cell", CELLS)
def test_sizes_around_the_tiles(cell):
    """Every remainder of rows, of units and of inputs that the tiles treat apart."""
    for hidden in (1, 2, 3, 7, 8, 15, 31, 65):
        for rows in (1, 2, 4, 6, 7, 8, 13):
            case = problem(cell, 1, 1, True, (3, rows, hidden % 7 + 1, hidden), "full", False, hidden)
            assert_close(case.run(_core.Network), case.run(reference.Network), 1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_blocks_of_steps_and_of_sums(cell):
    """Sizes at which x, the sums over k and the weight gradients are taken in several blocks."""
    for sizes in [(40, 20, 130, 300), (700, 2, 20, 24)]:
        case = problem(cell, 1, 1, True, sizes, "ragged", True)
        assert_close(case.run(_core.Network), case.run(reference.Network), 1e-11)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_many_rows(cell, directions):
    """Sizes at which the rows of a step, and those of a weight gradient, are taken in several parts."""
    for sizes in [(3, 450, 5, 12), (4, 130, 3, 140)]:
        case = problem(cell, 1, directions, True, sizes, "with a zero", True)
        assert_close(case.run(_core.Network), case.run(reference.Network), 1e-11)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_added(cell):
    case = problem(cell, 2, 2, True, SIZES[0])
    once = case.run(_core.Network)["dparameters"]
    network = _core.Network(**case.arguments, dtype="float64")
    y, hn, dh0 = np.empty_like(case.dy), tuple(map(np.empty_like, case.h0)), tuple(map(np.empty_like, case.h0))
    cache = network.forward(case.parameters, case.x, case.h0, y, hn, keep=True)
    total = np.ones_like(case.parameters)
    network.backward(cache, case.parameters, case.dy, case.dhn, None, dh0, total)
    np.testing.assert_allclose(total, 1 + once, rtol=0, atol=1e-12 * np.abs(once).max())
