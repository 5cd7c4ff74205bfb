"""NumPy twin of src/rnncore/kernels/sequence.hpp: one layer in one direction through time, once for all cells.

Sizes: T steps, N rows, I inputs, H hidden units, P outputs, G gates, K cached numbers; n rows are active at a step. P
is H unless the cell's output is projected. A state is one array of each kind: h of width P, and c of width H.
Only active rows are ever indexed, so what the padding holds cannot matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnncore.reference.activations import Array
from rnncore.reference.cells.cell import Cell
from rnncore.reference.precision import Precision, multiply

State = tuple[Array, ...]


class Weights(NamedTuple):
    """One direction of one layer, or its gradient."""

    weight_ih: Array  # (G*H, I)
    weight_hh: Array  # (G*H, P)
    bias_ih: Array  # (G*H,), zeros in a layer without bias
    bias_hh: Array  # (G*H,)
    weight_hr: Array | None = None  # (P, H) the projection, if there is one
    vectors: tuple[Array, ...] = ()  # (H,) each: the cell's own


@dataclass(frozen=True)
class Step:
    """What backward needs to know of one step."""

    t: int
    rows: Array  # (n,) the active rows
    is_reset: Array  # (n,) True where the state was dropped before the step
    x: Array  # (n, I)
    previous: State  # (n, P), and (n, H): before the step
    cache: Array  # (K, n, H)
    raw: Array  # (n, H) the cell's output before the projection


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
    initial: Sequence[Array],
    reset_state: Sequence[Array],
    lengths: Array,
    resets: Array,
    reverse: bool,
    precision: Precision = "float32",
) -> tuple[Array, State, list[Step]]:
    """Return y (T, N, P), the final state and the steps in the order in which they were taken.

    x (T, N, I), initial (N, P) and (N, H), reset_state (P,) and (H,), lengths (N,) int, resets (T, N) bool. Products
    have operands of the precision.
    """
    T = len(x)
    y = np.zeros((T, *initial[0].shape), initial[0].dtype)
    state = tuple(array.copy() for array in initial)
    is_reset = reset_before(lengths, resets, reverse)
    steps = []
    for t in reversed(range(T)) if reverse else range(T):
        rows = np.flatnonzero(t < lengths)
        dropped = is_reset[t, rows]
        previous = tuple(array[rows] for array in state)
        for array, reset in zip(previous, reset_state, strict=True):
            array[dropped] = reset
        x_pre = multiply(x[t, rows], weights.weight_ih.T, precision) + weights.bias_ih
        h_pre = multiply(previous[0], weights.weight_hh.T, precision) + weights.bias_hh
        new, cache = cell.forward(
            *(by_gate(pre, len(cell.gates)) for pre in (x_pre, h_pre)), previous, *weights.vectors
        )
        raw, *others = new
        h = raw if weights.weight_hr is None else multiply(raw, weights.weight_hr.T, precision)
        for array, value in zip(state, (h, *others), strict=True):
            array[rows] = value
        y[t, rows] = h
        steps.append(Step(t, rows, dropped, x[t, rows], previous, cache, raw))
    return y, state, steps


def backward(
    cell: Cell,
    weights: Weights,
    steps: list[Step],
    dy: Array,
    d_final: Sequence[Array],
    dx: Array,
    precision: Precision = "float32",
) -> tuple[State, State, Weights]:
    """Add to dx (T, N, I); return the gradients of the initial state, the reset state and the weights, in their shapes.

    dy (T, N, P) and d_final, shaped as the state, are the gradients of the outputs and of the final state.
    """
    d_state = tuple(array.copy() for array in d_final)
    d_reset = tuple(np.zeros(array.shape[1:], array.dtype) for array in d_final)
    weight_hr = weights.weight_hr
    d_weight_hr = None if weight_hr is None else np.zeros_like(weight_hr)
    d_vectors = tuple(map(np.zeros_like, weights.vectors))
    zeros = np.zeros_like
    d_weights = Weights(
        zeros(weights.weight_ih),
        zeros(weights.weight_hh),
        zeros(weights.bias_ih),
        zeros(weights.bias_hh),
        d_weight_hr,
        d_vectors,
    )
    for step in reversed(steps):
        d_out, *others = (array[step.rows] for array in d_state)
        d_out += dy[step.t, step.rows]
        d_raw = d_out if weight_hr is None else multiply(d_out, weight_hr, precision)
        d_x, d_h, past, *by_vector = cell.backward(
            step.cache, step.previous, np.stack((d_raw, *others)), *weights.vectors
        )
        for total, part in zip(d_vectors, by_vector, strict=True):
            total += part.sum(axis=0)
        d_x, d_h = side_by_side(d_x), side_by_side(d_h)
        dx[step.t, step.rows] += multiply(d_x, weights.weight_ih, precision)
        d_previous = [multiply(d_h, weights.weight_hh, precision), *past[1:]]
        if d_weight_hr is None:
            d_previous[0] += past[0]
        else:  # a cell whose output is projected has no h but in the product
            d_weight_hr += multiply(d_out.T, step.raw, precision)
        d_weights.weight_ih[...] += multiply(d_x.T, step.x, precision)
        d_weights.weight_hh[...] += multiply(d_h.T, step.previous[0], precision)
        d_weights.bias_ih[...] += d_x.sum(axis=0)
        d_weights.bias_hh[...] += d_h.sum(axis=0)
        for total, array, reset in zip(d_state, d_previous, d_reset, strict=True):
            reset += array[step.is_reset].sum(axis=0)
            array[step.is_reset] = 0
            total[step.rows] = array
    return d_state, d_reset, d_weights


def by_gate(pre: Array, gates: int) -> Array:
    """(n, G*H) -> (G, n, H)."""
    return pre.reshape(len(pre), gates, pre.shape[1] // gates).swapaxes(0, 1)


def side_by_side(pre: Array) -> Array:
    """(G, n, H) -> (n, G*H)."""
    gates, n, hidden = pre.shape
    return pre.swapaxes(0, 1).reshape(n, gates * hidden)
