"""NumPy twin of the functions in src/rnncore/simd: activations for real and complex arrays, exact at their limits.

Complex arguments are there for complex-step differentiation: the imaginary part carries a derivative, so every choice
between two branches is made by the real part alone.
"""

import math
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


def gelu(z: Array) -> Array:
    """Z Phi(z), with the distribution function of the normal distribution (Hendrycks and Gimpel 2016). Real z alone."""
    return z * _phi(z)


def activate(name: str | None, z: Array) -> Array:
    """Apply what a linear layer applies to its sums: "relu", "tanh", "sigmoid", "gelu", or None.

    >>> activate("relu", np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return z if name is None else {"relu": relu, "tanh": tanh, "sigmoid": sigmoid, "gelu": gelu}[name](z)


def activation_slope(name: str | None, z: Array) -> Array:
    """Differentiate `activate` at z."""
    if name == "gelu":
        return _phi(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    y = activate(name, z)
    if name == "relu":
        return np.where(y <= 0, 0.0, 1.0)
    return 1 - y * y if name == "tanh" else y * (1 - y) if name == "sigmoid" else np.ones_like(z)


def _phi(z: Array) -> Array:
    erfc = np.array([math.erfc(-value / math.sqrt(2)) for value in z.ravel().tolist()])
    return erfc.reshape(z.shape) / 2
