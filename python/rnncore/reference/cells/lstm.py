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


class LstmPeephole(Cell):
    """The same with peepholes p: i and f see p * c, o sees p * c' (Gers, Schraudolph and Schmidhuber, 2002)."""

    name = "lstm_peephole"
    gates, states, cached, can_project = Lstm.gates, Lstm.states, Lstm.cached, Lstm.can_project
    vectors = ("peephole_i", "peephole_o", "peephole_f")

    def forward(self, x: Array, h: Array, state: tuple[Array, ...], *vectors: Array) -> tuple[Array, Array]:
        """Return (new state, cache)."""
        _, c = state
        p_i, p_o, p_f = vectors
        i = sigmoid(x[0] + h[0] + p_i * c)
        f = sigmoid(x[1] + h[1] + p_f * c)
        g = tanh(x[2] + h[2])
        c_new = f * c + i * g
        o = sigmoid(x[3] + h[3] + p_o * c_new)
        tanh_c = tanh(c_new)
        return np.stack((o * tanh_c, c_new)), np.stack((i, f, g, o, tanh_c))

    def backward(self, cache: Array, previous: tuple[Array, ...], d_state: Array, *vectors: Array) -> tuple[Array, ...]:
        """Return (d_x, d_h, d_previous) and the gradient by each peephole."""
        i, f, g, o, tanh_c = cache
        _, c = previous
        p_i, p_o, p_f = vectors
        dh_new, dc_new = d_state
        c_new = f * c + i * g
        d_o = dh_new * tanh_c * (o * (1 - o))
        dc_new = dc_new + dh_new * o * (1 - tanh_c * tanh_c) + d_o * p_o
        d_i, d_f, d_g = dc_new * g * (i * (1 - i)), dc_new * c * (f * (1 - f)), dc_new * i * (1 - g * g)
        d_a = np.stack((d_i, d_f, d_g, d_o))
        dc = dc_new * f + d_i * p_i + d_f * p_f
        return d_a, d_a, np.stack((np.zeros_like(dc), dc)), d_i * c, d_o * c_new, d_f * c
