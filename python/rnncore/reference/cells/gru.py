"""NumPy twin of src/rnncore/cells/gru.hpp: the GRU (Cho et al., 2014) with the reset gate applied after the product."""

import numpy as np

from rnncore.reference.activations import Array, sigmoid, tanh
from rnncore.reference.cells.cell import Cell


class Gru(Cell):
    """r z = sigmoid(W x + b_ih + R h + b_hh); n = tanh(Wn x + b_in + r * (Rn h + b_hn)); h' = n + z * (h - n)."""

    name = "gru"
    gates, states, cached = ("r", "z", "n"), ("h",), 4  # r z n n_h

    def forward(self, x: Array, h: Array, state: tuple[Array, ...]) -> tuple[Array, Array]:
        """Return (new state, cache)."""
        (h_old,) = state
        r = sigmoid(x[0] + h[0])
        z = sigmoid(x[1] + h[1])
        n_h = h[2]
        n = tanh(x[2] + r * n_h)
        h_new = n + z * (h_old - n)
        return np.stack((h_new,)), np.stack((r, z, n, n_h))

    def backward(self, cache: Array, previous: tuple[Array, ...], d_state: Array) -> tuple[Array, Array, Array]:
        """Return (d_x, d_h, d_previous)."""
        r, z, n, n_h = cache
        (h_old,) = previous
        (dh_new,) = d_state
        dz, dh_old = dh_new * (h_old - n), dh_new * z
        dn = dh_new * (1 - z) * (1 - n * n)  # before the tanh
        dr = dn * n_h
        d_r, d_z = dr * (r * (1 - r)), dz * (z * (1 - z))
        return np.stack((d_r, d_z, dn)), np.stack((d_r, d_z, dn * r)), np.stack((dh_old,))
