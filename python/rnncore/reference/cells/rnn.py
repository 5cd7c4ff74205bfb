"""NumPy twin of src/rnncore/cells/rnn.hpp: the simple recurrent network (Elman, 1990), act one of tanh and relu."""

import numpy as np

from rnncore.reference.activations import Array, relu, tanh
from rnncore.reference.cells.cell import Cell


class RnnTanh(Cell):
    """h' = tanh(W x + b_ih + R h + b_hh)."""

    name = "rnn_tanh"
    gates, states, cached = ("n",), ("h",), 1  # h'

    def forward(self, x: Array, h: Array, _state: tuple[Array, ...]) -> tuple[Array, Array]:
        """Return (new state, cache)."""
        y = tanh(x + h)
        return y, y

    def backward(self, cache: Array, _previous: tuple[Array, ...], d_state: Array) -> tuple[Array, Array, Array]:
        """Return (d_x, d_h, d_previous)."""
        y = cache
        d_a = d_state * (1 - y * y)
        return d_a, d_a, np.zeros_like(d_a)


class RnnRelu(Cell):
    """h' = max(W x + b_ih + R h + b_hh, 0)."""

    name = "rnn_relu"
    gates, states, cached = ("n",), ("h",), 1  # h'

    def forward(self, x: Array, h: Array, _state: tuple[Array, ...]) -> tuple[Array, Array]:
        """Return (new state, cache)."""
        y = relu(x + h)
        return y, y

    def backward(self, cache: Array, _previous: tuple[Array, ...], d_state: Array) -> tuple[Array, Array, Array]:
        """Return (d_x, d_h, d_previous)."""
        y = cache
        d_a = np.where(y.real <= 0, np.zeros_like(d_state), d_state)
        return d_a, d_a, np.zeros_like(d_a)
