"""NumPy twin of src/rnncore/kernels/sequence.hpp: one layer in one direction through time, once for all cells.

Sizes: T steps, N rows, I inputs, H hidden units, G gates, S states, K cached numbers; n rows are active at a step.
Only active rows are ever indexed, so what the padding holds cannot matter.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnncore.reference.activations import Array
from rnncore.reference.cell import Cell


class Weights(NamedTuple):
    """One direction of one layer, or its gradient."""

    weight_ih: Array  # (G*H, I)
    weight_hh: Array  # (G*H, H)
    bias_ih: Array  # (G*H,), zeros in a layer without bias
    bias_hh: Array  # (G*H,)


@dataclass(frozen=True)
class Step:
    """What backward needs to know of one step."""

    t: int
    rows: Array  # (n,) the active rows
    is_reset: Array  # (n,) True where the state was dropped before the step
    x: Array  # (n, I)
    previous: Array  # (S, n, H) the state before the step
    cache: Array  # (K, n, H)


def reset_before(lengths: Array, resets: Array, reverse: bool) -> Array:
    """(T, N) True where a new segment begins before step t is processed in this direction."""
    if not reverse:
        return resets
    before = np.zeros_like(resets)
    later = np.arange(1, len(resets))[:, None]
    before[:-1] = resets[1:] & (later < lengths)  # the boundary between t and t+1, unless t is the last valid step
    return before


def forward(
    cell: Cell,
    weights: Weights,
    x: Array,
    initial: Array,
    reset_state: Array,
    lengths: Array,
    resets: Array,
    reverse: bool,
) -> tuple[Array, Array, list[Step]]:
    """Return y (T, N, H), the final state (S, N, H) and the steps in the order in which they were taken.

    x (T, N, I), initial (S, N, H), reset_state (S, H), lengths (N,) int, resets (T, N) bool.
    """
    T, N, _ = x.shape
    y = np.zeros((T, N, initial.shape[2]), initial.dtype)
    state = initial.copy()
    is_reset = reset_before(lengths, resets, reverse)
    steps = []
    for t in reversed(range(T)) if reverse else range(T):
        rows = np.flatnonzero(t < lengths)
        dropped = is_reset[t, rows]
        previous = state[:, rows]
        previous[:, dropped] = reset_state[:, None]
        x_pre = x[t, rows] @ weights.weight_ih.T + weights.bias_ih
        h_pre = previous[0] @ weights.weight_hh.T + weights.bias_hh
        new, cache = cell.forward(by_gate(x_pre, cell.gates), by_gate(h_pre, cell.gates), previous)
        state[:, rows] = new
        y[t, rows] = new[0]
        steps.append(Step(t, rows, dropped, x[t, rows], previous, cache))
    return y, state, steps


def backward(
    cell: Cell, weights: Weights, steps: list[Step], dy: Array, d_final: Array, dx: Array
) -> tuple[Array, Array, Weights]:
    """Add to dx (T, N, I); return the gradients of the initial state (S, N, H), the reset state (S, H) and the weights.

    dy (T, N, H) and d_final (S, N, H) are the gradients of the outputs and of the final state.
    """
    d_state = d_final.copy()
    d_reset = np.zeros(d_final.shape[::2], d_final.dtype)
    d_weights = Weights(*(np.zeros_like(w) for w in weights))
    for step in reversed(steps):
        d_new = d_state[:, step.rows]
        d_new[0] += dy[step.t, step.rows]
        d_x, d_h, d_previous = cell.backward(step.cache, step.previous, d_new)
        d_x, d_h = side_by_side(d_x), side_by_side(d_h)
        dx[step.t, step.rows] += d_x @ weights.weight_ih
        d_previous[0] += d_h @ weights.weight_hh
        d_weights.weight_ih[...] += d_x.T @ step.x
        d_weights.weight_hh[...] += d_h.T @ step.previous[0]
        d_weights.bias_ih[...] += d_x.sum(axis=0)
        d_weights.bias_hh[...] += d_h.sum(axis=0)
        d_reset += d_previous[:, step.is_reset].sum(axis=1)
        d_previous[:, step.is_reset] = 0
        d_state[:, step.rows] = d_previous
    return d_state, d_reset, d_weights


def by_gate(pre: Array, gates: int) -> Array:
    """(n, G*H) -> (G, n, H)."""
    return pre.reshape(len(pre), gates, pre.shape[1] // gates).swapaxes(0, 1)


def side_by_side(pre: Array) -> Array:
    """(G, n, H) -> (n, G*H)."""
    gates, n, hidden = pre.shape
    return pre.swapaxes(0, 1).reshape(n, gates * hidden)
