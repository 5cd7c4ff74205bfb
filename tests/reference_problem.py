"""A network with everything that a call of it needs, drawn at random; used by the tests of the NumPy twin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rnncore.reference import Network
from variants import LAYERS, engine_arguments

CELLS = list(LAYERS)
RAGGED = np.array([5, 2, 0, 3])  # lengths of the default 4 rows of 5 steps

each_cell = pytest.mark.parametrize("cell", CELLS)
each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])


def assert_near(actual, expected):
    assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


@dataclass
class Result:
    y: np.ndarray
    hn: tuple[np.ndarray, ...]
    cache: object = None


@dataclass
class Gradients:
    parameters: np.ndarray
    x: np.ndarray
    h0: tuple[np.ndarray, ...]


@dataclass
class Problem:
    network: Network
    parameters: np.ndarray
    x: np.ndarray
    h0: tuple[np.ndarray, ...]
    lengths: np.ndarray | None = None
    resets: np.ndarray | None = None
    dropout: float = 0.0
    key: int = 0

    def but(self, **changes) -> Problem:
        return replace(self, **changes)

    @property
    def sizes(self) -> tuple[int, int]:
        return self.x.shape[:2]

    def outputs(self) -> Result:
        """Poisoned arrays of the right shapes."""
        width = self.network.num_directions * self.network.hidden_size
        y = np.full((*self.sizes, width), np.nan, self.network.dtype)
        return Result(y, tuple(np.full_like(h, np.nan) for h in self.h0))

    def forward(self) -> Result:
        out = self.outputs()
        arguments = (self.lengths, self.resets, self.dropout, self.key)
        out.cache = self.network.forward(self.parameters, self.x, self.h0, out.y, out.hn, *arguments, keep=True)
        return out

    def backward(self, cache, dy, dhn) -> Gradients:
        dx = np.full_like(self.x, np.nan)
        dh0 = tuple(np.full_like(h, np.nan) for h in self.h0)
        dparameters = np.zeros_like(self.parameters)
        self.network.backward(cache, self.parameters, dy, dhn, dx, dh0, dparameters)
        return Gradients(dparameters, dx, dh0)

    def gradients(self, dy, dhn) -> Gradients:
        return self.backward(self.forward().cache, dy, dhn)

    def random_dy(self, seed: int = 1) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Draw gradients of y and of the final state."""
        rng, out = np.random.default_rng(seed), self.outputs()
        dy, *dhn = (rng.normal(size=a.shape).astype(a.dtype) for a in (out.y, *out.hn))
        return dy, tuple(dhn)


def network_of(cell: str, *arguments, **keywords) -> Network:
    own = engine_arguments(cell)
    return Network(own["cell"], *arguments, options=own["options"], **keywords)


def make(
    cell: str,
    layers: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    T: int = 5,
    N: int = 4,
    I: int = 3,  # noqa: E741
    H: int = 5,
    dtype: str = "float64",
    seed: int = 0,
) -> Problem:
    """Draw random weights, input and non-zero initial states; I differs from H unless told otherwise."""
    rng = np.random.default_rng(seed)
    network = network_of(cell, I, H, layers, bias, bidirectional, dtype)
    parameters = rng.normal(size=network.parameter_count) * 0.6
    x = rng.normal(size=(T, N, I))
    states = rng.normal(size=(network.num_states, layers * network.num_directions, N, H))
    return Problem(network, parameters.astype(dtype), x.astype(dtype), tuple(states.astype(dtype)))


def random_resets(T: int, N: int, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).random((T, N)) < 0.4
