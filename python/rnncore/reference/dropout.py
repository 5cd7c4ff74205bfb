"""NumPy twin of src/rnncore/dropout.hpp: dropout whose mask is a function of a key and a position.

Whoever computes an element, and in whatever order, finds the same mask: it need not be stored for backward, and it does
not depend on the number of threads. The generator is SplitMix64 (Steele, Lea and Flood, 2014).
"""

import numpy as np
import numpy.typing as npt

from rnncore.reference.activations import Array

GOLDEN = 0x9E3779B97F4A7C15
WORD = 1 << 64


def uniform(key: int, first: int, count: int) -> npt.NDArray[np.float64]:
    """(count,) numbers in [0, 1): those of the positions first, first + 1, ... in the stream of the key."""
    start = np.array([(key + (first + 1) * GOLDEN) % WORD], dtype=np.uint64)
    z = start + np.arange(count, dtype=np.uint64) * np.uint64(GOLDEN)  # wraps around modulo 2^64
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    u: npt.NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return u


def dropout(values: Array, p: float, key: int, layer: int) -> Array:
    """Zero elements of a layer's output (T, N, D*H) with probability p and scale the others by 1 / (1 - p).

    The mask depends on the other arguments alone and the rest is linear, so this is its own backward as well.
    """
    if p == 0:
        return values
    kept = uniform(key, layer * values.size, values.size).reshape(values.shape) >= p
    scale = values.dtype.type(1 / (1 - p) if p < 1 else 0)
    return np.where(kept, values * scale, np.zeros_like(values))
