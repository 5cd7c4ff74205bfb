"""NumPy twin of src/rnncore/cells/lstm.hpp: the LSTM with a forget gate (Gers, Schmidhuber and Cummins, 2000).

The twin keeps c with the state before each step, so its cache has one slot less.
"""

import numpy as np

from rnncore.reference.activations import Array, sigmoid, tanh
from rnncore.reference.cells.cell import Cell


class Lstm(Cell):
    """i f o = sigmoid, g = tanh of W x + b_ih + R h + b_hh; c' = f * c + i * g; h' = o * tanh(c')."""

    name = "lstm"
    gates, states, cached = ("i", "f", "g", "o"), ("h", "c"), 5  # i f g o tanh(c')
    can_project = True

    def forward(self, x: Array, h: Array, state: tuple[Array, ...]) -> tuple[Array, Array]:
        """Return (new state, cache)."""
        _, c = state
        i = sigmoid(x[0] + h[0])
        f = sigmoid(x[1] + h[1])
        g = tanh(x[2] + h[2])
        o = sigmoid(x[3] + h[3])
        c_new = f * c + i * g
        tanh_c = tanh(c_new)
        h_new = o * tanh_c
        return np.stack((h_new, c_new)), np.stack((i, f, g, o, tanh_c))

    def backward(self, cache: Array, previous: tuple[Array, ...], d_state: Array) -> tuple[Array, Array, Array]:
        """Return (d_x, d_h, d_previous)."""
        i, f, g, o, tanh_c = cache
        _, c = previous
        dh_new, dc_new = d_state
        do = dh_new * tanh_c
        dc_new = dc_new + dh_new * o * (1 - tanh_c * tanh_c)
        df, dc = dc_new * c, dc_new * f
        di, dg = dc_new * g, dc_new * i
        d_a = np.stack((di * (i * (1 - i)), df * (f * (1 - f)), dg * (1 - g * g), do * (o * (1 - o))))
        return d_a, d_a, np.stack((np.zeros_like(dc), dc))
