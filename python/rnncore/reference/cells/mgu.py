"""NumPy twin of src/rnncore/cells/mgu.hpp: the minimal gated unit (Zhou et al., 2016), f applied after the product."""

import numpy as np

from rnncore.reference.activations import Array, sigmoid, tanh
from rnncore.reference.cells.cell import Cell


class Mgu(Cell):
    """f = sigmoid(W x + b_ih + R h + b_hh); n = tanh(Wn x + b_in + f * (Rn h + b_hn)); h' = h + f * (n - h)."""

    name = "mgu"
    gates, states, cached = ("f", "n"), ("h",), 3  # f n n_h

    def forward(self, x: Array, h: Array, state: tuple[Array, ...]) -> tuple[Array, Array]:
        """Return (new state, cache)."""
        (h_old,) = state
        f = sigmoid(x[0] + h[0])
        n_h = h[1]
        n = tanh(x[1] + f * n_h)
        return np.stack((h_old + f * (n - h_old),)), np.stack((f, n, n_h))

    def backward(self, cache: Array, previous: tuple[Array, ...], d_state: Array) -> tuple[Array, Array, Array]:
        """Return (d_x, d_h, d_previous)."""
        f, n, n_h = cache
        (h_old,), (dh_new,) = previous, d_state
        dn = dh_new * f * (1 - n * n)  # before the tanh
        d_f = (dh_new * (n - h_old) + dn * n_h) * (f * (1 - f))
        return np.stack((d_f, dn)), np.stack((d_f, dn * f)), np.stack((dh_new * (1 - f),))
