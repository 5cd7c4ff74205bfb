"""NumPy twin of src/rnncore/kernels/pairs.hpp: products whose operands are rounded to bf16, with sums in float32.

An array in bf16 is one of float32 or float64 whose values bf16 can hold.
"""

from typing import Literal

import numpy as np

from rnncore.reference.activations import Array
from rnncore.reference.short_weights import bf16

Precision = Literal["float32", "bf16"]
BLOCK = 32  # of k, which are added up before they join the sum


def rounded(array: Array) -> Array:
    """Return the nearest numbers in bf16, ties to even, in the dtype of the array. NaN stays NaN.

    >>> rounded(np.array([1.0, 1.00390625, 1.01171875, -0.1])).tolist()
    [1.0, 1.0, 1.015625, -0.10009765625]
    """
    values = (bf16(array).astype(np.uint32) << 16).view(np.float32)
    return np.where(np.isnan(array), array, values.astype(array.dtype))


def multiply(a: Array, b: Array, precision: Precision) -> Array:
    """Return a b, of operands rounded to the precision; the sum is that of the arrays' dtype."""
    return a @ b if precision == "float32" else rounded(a) @ rounded(b)


def multiply_in_order(a: Array, b: Array) -> Array:
    """Return a b of rounded operands in float32, each sum rounded as the engine rounds it.

    32 of k at a time: the even ones in one chain of fused additions from zero, the odd ones in another; their sum joins
    what the blocks before have given.
    """
    a, b = rounded(a.astype(np.float32)), rounded(b.astype(np.float32))
    total = np.zeros((len(a), b.shape[1]), np.float32)
    for first in range(0, a.shape[1], BLOCK):
        chains = [np.zeros_like(total), np.zeros_like(total)]
        for k in range(first, min(first + BLOCK, a.shape[1])):
            product = a[:, k, None].astype(np.float64) * b[k]  # exact
            chains[(k - first) % 2] = (chains[(k - first) % 2] + product).astype(np.float32)
        total += chains[0] + chains[1]
    return total
