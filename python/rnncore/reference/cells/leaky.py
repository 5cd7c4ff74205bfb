"""NumPy twin of src/rnncore/cells/leaky.hpp: leaky integrators (Jaeger et al., 2007), act one of tanh and relu."""

from typing import ClassVar

import numpy as np

from rnncore.reference.activations import Array, relu, sigmoid, tanh
from rnncore.reference.cells.cell import Cell


class Leaky(Cell):
    """h' = (1 - alpha) * h + alpha * act(W x + b_ih + R h + b_hh); alpha an option, or sigmoid(alpha_logit)."""

    name = "leaky"
    gates, states, cached = ("n",), ("h",), 1  # n
    options: ClassVar = {"alpha": 0.2, "learned_alpha": 0, "relu": 0}

    def __init__(self, **options: float) -> None:
        super().__init__(**options)
        self.vectors = ("alpha_logit",) if self.option["learned_alpha"] else ()

    def forward(self, x: Array, h: Array, state: tuple[Array, ...], *vectors: Array) -> tuple[Array, Array]:
        """Return (new state, cache)."""
        alpha = self._alpha(*vectors)
        n = (relu if self.option["relu"] else tanh)(x + h)
        return alpha * n + (1 - alpha) * state[0], n

    def backward(self, cache: Array, previous: tuple[Array, ...], d_state: Array, *vectors: Array) -> tuple[Array, ...]:
        """Return (d_x, d_h, d_previous), and d_alpha_logit if alpha is learned."""
        alpha, n = self._alpha(*vectors), cache
        dn = d_state * alpha
        d_a = np.where(n.real <= 0, np.zeros_like(dn), dn) if self.option["relu"] else dn * (1 - n * n)
        d_alpha = d_state[0] * (n[0] - previous[0])
        return d_a, d_a, d_state * (1 - alpha), *(d_alpha * alpha * (1 - alpha) for _ in vectors)

    def _alpha(self, *vectors: Array) -> Array | float:
        return sigmoid(vectors[0]) if vectors else self.option["alpha"]
