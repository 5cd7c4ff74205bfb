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

    w_ih: Array  # (G*H, I)
    w_hh: Array  # (G*H, H)
    b_ih: Array  # (G*H,), zeros in a layer without bias
    b_hh: Array  # (G*H,)


@dataclass(frozen=True)
class Step:
    """What backward needs to know of one step."""

    t: int
    rows: Array  # (n,) the active rows
    cut: Array  # (n,) True where a segment began: previous was made zero
    x: Array  # (n, I)
    previous: Array  # (S, n, H) the state before the step
    cache: Array  # (K, n, H)


def boundaries(lengths: Array, resets: Array, reverse: bool) -> Array:
    """(T, N) True where the state becomes zero before step t is processed in this direction."""
    if not reverse:
        return resets
    cut = np.zeros_like(resets)
    later = np.arange(1, len(resets))[:, None]
    cut[:-1] = resets[1:] & (later < lengths)  # the boundary between t and t+1, unless t is the last valid step
    return cut


def forward(
    cell: Cell, weights: Weights, x: Array, initial: Array, lengths: Array, resets: Array, reverse: bool
) -> tuple[Array, Array, list[Step]]:
    """Return y (T, N, H), the final state (S, N, H) and the steps in the order in which they were taken.

    x (T, N, I), initial (S, N, H), lengths (N,) int, resets (T, N) bool.
    """
    T, N, _ = x.shape
    y = np.zeros((T, N, initial.shape[2]), initial.dtype)
    state = initial.copy()
    starts = boundaries(lengths, resets, reverse)
    steps = []
    for t in reversed(range(T)) if reverse else range(T):
        rows = np.flatnonzero(t < lengths)
        cut = starts[t, rows]
        previous = state[:, rows]
        previous[:, cut] = 0
        x_pre = x[t, rows] @ weights.w_ih.T + weights.b_ih
        h_pre = previous[0] @ weights.w_hh.T + weights.b_hh
        new, cache = cell.forward(by_gate(x_pre, cell.gates), by_gate(h_pre, cell.gates), previous)
        state[:, rows] = new
        y[t, rows] = new[0]
        steps.append(Step(t, rows, cut, x[t, rows], previous, cache))
    return y, state, steps


def backward(
    cell: Cell, weights: Weights, steps: list[Step], dy: Array, dfinal: Array, dx: Array
) -> tuple[Array, Weights]:
    """Add to dx (T, N, I); return the gradients of the initial state (S, N, H) and of the weights.

    dy (T, N, H) and dfinal (S, N, H) are the gradients of the outputs and of the final state.
    """
    dstate = dfinal.copy()
    dweights = Weights(*(np.zeros_like(w) for w in weights))
    for step in reversed(steps):
        dnew = dstate[:, step.rows]
        dnew[0] += dy[step.t, step.rows]
        dx_pre, dh_pre, dprevious = cell.backward(step.cache, step.previous, dnew)
        dx_pre, dh_pre = side_by_side(dx_pre), side_by_side(dh_pre)
        dx[step.t, step.rows] += dx_pre @ weights.w_ih
        dprevious[0] += dh_pre @ weights.w_hh
        dweights.w_ih[...] += dx_pre.T @ step.x
        dweights.w_hh[...] += dh_pre.T @ step.previous[0]
        dweights.b_ih[...] += dx_pre.sum(axis=0)
        dweights.b_hh[...] += dh_pre.sum(axis=0)
        dprevious[:, step.cut] = 0
        dstate[:, step.rows] = dprevious
    return dstate, dweights


def by_gate(pre: Array, gates: int) -> Array:
    """(n, G*H) -> (G, n, H)."""
    return pre.reshape(len(pre), gates, pre.shape[1] // gates).swapaxes(0, 1)


def side_by_side(pre: Array) -> Array:
    """(G, n, H) -> (n, G*H)."""
    gates, n, hidden = pre.shape
    return pre.swapaxes(0, 1).reshape(n, gates * hidden)
