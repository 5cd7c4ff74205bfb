"""Recurrent nodes in NumPy, with all that ONNX lets them have, over the loop of `rnncore.reference`."""

from __future__ import annotations

import numpy as np

from rnncore.arguments import Array
from rnncore.bridges.onnx.activations import Activation
from rnncore.bridges.onnx.recurrent import Recurrent, Weights
from rnncore.reference import sequence
from rnncore.reference.cells.cell import Cell

__all__ = ["run"]


class _OnnxCell(Cell):
    """A cell of ONNX in one direction: inference alone, gates in ONNX's order."""

    cached = 0

    def __init__(self, recurrent: Recurrent, activations: tuple[Activation, ...]) -> None:
        super().__init__()
        self.recurrent, self.activations = recurrent, activations

    def clipped(self, x: Array) -> Array:
        """Bound the input of an activation by +-clip."""
        clip = self.recurrent.clip
        return x if clip is None else np.clip(x, -clip, clip)


class _Rnn(_OnnxCell):
    """h' = f(x + h)."""

    name = "onnx_rnn"
    gates, states = ("n",), ("h",)

    def forward(self, x: Array, h: Array, _state: tuple[Array, ...]) -> tuple[Array, Array]:
        """Return (new state, an empty cache)."""
        (f,) = self.activations
        return f(self.clipped(x + h)), x[:0]


class _Gru(_OnnxCell):
    """z r = f(x + h); n = g(x + r * h) or, with reset before the product, g(x + R (r h) + b); h' = (1-z) n + z h."""

    name = "onnx_gru"
    gates, states = ("z", "r", "n"), ("h",)

    candidate: tuple[Array, Array]  # R (H, H) and b (H,) of n

    def forward(self, x: Array, h: Array, state: tuple[Array, ...]) -> tuple[Array, Array]:
        """Return (new state, an empty cache)."""
        f, g = self.activations
        (h_old,) = state
        z = f(self.clipped(x[0] + h[0]))
        r = f(self.clipped(x[1] + h[1]))
        if self.recurrent.linear_before_reset:
            h_n = r * h[2]
        else:
            R, b = self.candidate
            h_n = (r * h_old) @ R.T + b
        n = g(self.clipped(x[2] + h_n))
        return ((1 - z) * n + z * h_old)[None], x[:0]


class _Lstm(_OnnxCell):
    """i o f = f of x + h and peepholes, c = g(x + h); C' = f C + i c; h' = o h(C'); coupled: f = 1 - i.

    ONNX says that clip is applied to the input of activations. ONNX Runtime reads that as the sums of the gates, so
    that the memory C goes into its activation as it is; so does this.
    """

    name = "onnx_lstm"
    gates, states = ("i", "o", "f", "c"), ("h", "c")
    vectors = ("p_i", "p_o", "p_f")

    def forward(self, x: Array, h: Array, state: tuple[Array, ...], *vectors: Array) -> tuple[Array, Array]:
        """Return (new state, an empty cache)."""
        f, g, last = self.activations
        _, c_old = state
        p_i, p_o, p_f = vectors
        i = f(self.clipped(x[0] + h[0] + p_i * c_old))
        forget = 1 - i if self.recurrent.input_forget else f(self.clipped(x[2] + h[2] + p_f * c_old))
        c = forget * c_old + i * g(self.clipped(x[3] + h[3]))
        o = f(self.clipped(x[1] + h[1] + p_o * c))
        return np.stack((o * last(c), c)), x[:0]


_CELLS: dict[str, type[_OnnxCell]] = {"RNN": _Rnn, "GRU": _Gru, "LSTM": _Lstm}


def run(
    recurrent: Recurrent, weights: Weights, x: Array, initial: tuple[Array, ...], lengths: Array
) -> tuple[Array, tuple[Array, ...]]:
    """Return y (T, N, D, H) and the final state, each array (D, N, H), of x (T, N, I); computed in float64."""
    T, N = x.shape[:2]
    H = recurrent.hidden_size
    rows = weights.W.shape[1]
    B = np.zeros((recurrent.directions, 2 * rows)) if weights.B is None else weights.B.astype(np.float64)
    P = np.zeros((recurrent.directions, 3 * H)) if weights.P is None else weights.P.astype(np.float64)
    W, R = (array.astype(np.float64) for array in (weights.W, weights.R))
    outputs, finals = [], []
    for d, activations in enumerate(recurrent.activations):
        cell = _CELLS[recurrent.op_type](recurrent, activations)
        if isinstance(cell, _Gru):
            cell.candidate = R[d, 2 * H :], B[d, rows + 2 * H :]
        vectors = tuple(np.split(P[d], 3)) if cell.vectors else ()
        own = sequence.Weights(W[d], R[d], B[d, :rows], B[d, rows:], None, vectors)
        start = [array[d].astype(np.float64) for array in initial]
        zeros = [np.zeros(H) for _ in initial]
        reverse = recurrent.direction == "reverse" or d == 1
        with np.errstate(over="ignore", invalid="ignore"):  # NaN and infinity pass through, as in the engine
            y, final, _ = sequence.forward(
                cell, own, x.astype(np.float64), start, zeros, lengths, np.zeros((T, N), np.bool_), reverse
            )
        outputs.append(y)
        finals.append(final)
    states = tuple(np.stack(arrays) for arrays in zip(*finals, strict=True))
    return np.stack(outputs, axis=2).astype(x.dtype), tuple(array.astype(x.dtype) for array in states)
