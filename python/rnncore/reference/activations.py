"""NumPy twin of the functions in src/rnncore/simd: activations for real and complex arrays, exact at their limits.

Complex arguments are there for complex-step differentiation: the imaginary part carries a derivative, so every choice
between two branches is made by the real part alone.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def tanh(x: Array) -> Array:
    """Hyperbolic tangent. With y = tanh(x), dy/dx = 1 - y * y."""
    y: Array = np.tanh(x)
    return y


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow on either side. With y = sigmoid(x), dy/dx = y * (1 - y)."""
    positive = x.real >= 0
    e = np.exp(np.where(positive, -x, x))  # |e| <= 1
    y: Array = np.where(positive, 1, e) / (1 + e)
    return y


def relu(x: Array) -> Array:
    """max(x, 0), where NaN stays NaN. With y = relu(x), dy/dx = 0 if y <= 0 else 1."""
    return np.where(x.real <= 0, np.zeros_like(x), x)
