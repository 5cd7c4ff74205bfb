"""NumPy twin of src/rnncore/cells/gru.hpp: the GRU (Cho et al., 2014) with the reset gate applied after the product."""

import numpy as np

from rnncore.reference.activations import Array, sigmoid, tanh


class Gru:
    """r, z = sigmoid(W x + b_ih + R h + b_hh); n = tanh(Wn x + b_in + r * (Rn h + b_hn)); h' = n + z * (h - n)."""

    name = "gru"
    gates, states, cached = 3, 1, 4  # r z n | h | r z n and Rn h + b_hn

    def forward(self, x: Array, h: Array, state: Array) -> tuple[Array, Array]:
        """Return (new state, cache)."""
        (h_old,) = state
        r = sigmoid(x[0] + h[0])
        z = sigmoid(x[1] + h[1])
        n = tanh(x[2] + r * h[2])
        h_new = n + z * (h_old - n)
        return np.stack((h_new,)), np.stack((r, z, n, h[2]))

    def backward(self, cache: Array, previous: Array, dstate: Array) -> tuple[Array, Array, Array]:
        """Return (dx, dh, dprevious)."""
        r, z, n, hn = cache
        (h_old,) = previous
        (dh_new,) = dstate
        dz = dh_new * (h_old - n)
        dn = dh_new * (1 - z)
        dh_old = dh_new * z
        dan = dn * (1 - n * n)
        dr = dan * hn
        dar = dr * (r * (1 - r))
        daz = dz * (z * (1 - z))
        return np.stack((dar, daz, dan)), np.stack((dar, daz, dan * r)), np.stack((dh_old,))
