"""NumPy twin of src/rnncore/weight_format.hpp and kernels/short_product.hpp: weights in fewer bits.

Sums, states and activations are float32, whatever the weights are. So is every array in here, unless it says otherwise.
"""

from typing import Literal, NamedTuple

import numpy as np

from rnncore.reference.activations import Array

Format = Literal["bf16", "int8"]


class Quantised(NamedTuple):
    """A matrix in int8."""

    q: Array  # (rows, columns) int8, in -127..127
    scale: Array  # (rows,)


def bf16(matrix: Array) -> Array:
    """Return the upper halves of the numbers, uint16: rounded to nearest, ties to even."""
    bits = np.asarray(matrix, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def int8(matrix: Array) -> Quantised:
    """Return integers and a scale for each row: a 127th of its largest magnitude, rounded up to 16 significant bits.

    So q times the scale is exact, and rounding twice is rounding once. Rows below 2^-100 become zero.

    >>> q, scale = int8(np.array([[0.0, -1.27, 0.635], [0.0, 0.0, 0.0]], np.float32))
    >>> q.tolist(), [round(float(s), 4) for s in scale]
    ([[0, -127, 63], [0, 0, 0]], [0.01, 0.0])
    """
    matrix = np.asarray(matrix, np.float32)
    largest = np.abs(matrix).max(axis=1, initial=0)
    scale = (((largest / np.float32(127)).view(np.uint32) + 0xFF) & np.uint32(0xFFFFFF00)).view(np.float32)
    scale[largest < 2.0**-100] = 0
    q = np.where(scale[:, None] > 0, np.rint(matrix / np.where(scale > 0, scale, 1)[:, None]), 0)
    return Quantised(q.astype(np.int8), scale)


def rounded(matrix: Array, weights: Format) -> Array:
    """Return the numbers that the bits stand for."""
    if weights == "bf16":
        return (bf16(matrix).astype(np.uint32) << 16).view(np.float32)
    q, scale = int8(matrix)
    return q.astype(np.float32) * scale[:, None]


def add_product(sums: Array, a: Array, matrix: Array, weights: Format, factor: Array) -> Array:
    """Return sums + factor (a W^T) for rows of a, as the kernels add it up: one chain of fused additions by index.

    The factor (rows of W,) turns the sum into what the cell reads (`scale` in cells/*.hpp). In bf16 it is multiplied
    with each weight before the chain goes on from the sums; in int8 the chain of q a begins at zero, and the factor
    times the scale of its row is multiplied with its end.
    """
    if weights == "bf16":
        factors = rounded(matrix, weights) * factor[:, None]
        return _chain(sums, a, factors)
    q, scale = int8(matrix)
    total = _chain(np.zeros_like(sums), a, q.astype(np.float32))
    return _fused(total, factor * scale, sums)


def _chain(sums: Array, a: Array, matrix: Array) -> Array:
    for k in range(matrix.shape[1]):
        sums = _fused(a[:, k, None], matrix[:, k], sums)
    return sums


def _fused(a: Array, b: Array, c: Array) -> Array:
    """Round a b + c once (up to double rounding, which is rare)."""
    return (a.astype(np.float64) * b + c).astype(np.float32)
