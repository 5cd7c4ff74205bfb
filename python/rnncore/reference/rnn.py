"""NumPy twin of src/rnncore/cells/rnn.hpp: h' = act(x + h), with act one of tanh and relu (Elman, 1990)."""

import numpy as np

from rnncore.reference.activations import Array, relu, tanh


class RnnTanh:
    """h' = tanh(W x + b_ih + R h + b_hh)."""

    name = "rnn_tanh"
    gates, states, cached = 1, 1, 1  # | h | h'

    def forward(self, x: Array, h: Array, _state: Array) -> tuple[Array, Array]:
        """Return (new state, cache)."""
        y = tanh(x + h)
        return y, y

    def backward(self, cache: Array, _previous: Array, dstate: Array) -> tuple[Array, Array, Array]:
        """Return (dx, dh, dprevious)."""
        y = cache
        da = dstate * (1 - y * y)
        return da, da, np.zeros_like(da)


class RnnRelu:
    """h' = max(W x + b_ih + R h + b_hh, 0)."""

    name = "rnn_relu"
    gates, states, cached = 1, 1, 1  # | h | h'

    def forward(self, x: Array, h: Array, _state: Array) -> tuple[Array, Array]:
        """Return (new state, cache)."""
        y = relu(x + h)
        return y, y

    def backward(self, cache: Array, _previous: Array, dstate: Array) -> tuple[Array, Array, Array]:
        """Return (dx, dh, dprevious)."""
        y = cache
        da = np.where(y.real <= 0, np.zeros_like(dstate), dstate)
        return da, da, np.zeros_like(da)
