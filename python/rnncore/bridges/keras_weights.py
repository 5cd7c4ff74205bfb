"""Keras's weights and those of the layers, which are PyTorch's: what stands where, and in which order.

Keras holds matrices as (inputs, outputs), the gates of an LSTM as i f g o, of a GRU as z r n, and one bias for each
gate; a GRU with reset_after has two. RTNeural's files hold the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnncore.arguments import Array

GATES = {"SimpleRNN": (0,), "LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2)}
"""Keras's gates by their places in PyTorch's order; each order of these is its own inverse."""


def _reordered(array: Array, kind: str) -> Array:
    """Put the gates of the last axis, side by side, into the other order."""
    parts = np.split(array, len(GATES[kind]), axis=-1)
    return np.concatenate([parts[k] for k in GATES[kind]], axis=-1)


def from_recurrent(kind: str, weights: Sequence[Array], layer: int = 0, suffix: str = "") -> dict[str, Array]:
    """Turn Keras's kernel (I, G*H), recurrent kernel (H, G*H) and bias, if any, into named parameters."""
    kernel, recurrent = (_reordered(np.asarray(array), kind).T for array in weights[:2])
    names = [f"{part}_l{layer}{suffix}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    named = {names[0]: kernel, names[1]: recurrent}
    if len(weights) > 2:
        bias = _reordered(np.asarray(weights[2]), kind)
        both = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
        named |= {names[2]: both[0], names[3]: both[1]}
    return named


def to_recurrent(kind: str, named: dict[str, Array], layer: int = 0, suffix: str = "") -> list[Array]:
    """Do the inverse of `from_recurrent`. The two biases of a cell whose sums take both become their sum."""
    names = [f"{part}_l{layer}{suffix}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    weights = [_reordered(named[name].T, kind) for name in names[:2]]
    if names[2] in named:
        both = _reordered(np.stack([named[name] for name in names[2:]]), kind)
        weights.append(both if kind == "GRU" else both[0] + both[1])
    return weights
