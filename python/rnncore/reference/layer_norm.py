"""NumPy twin of src/rnncore/kernels/layer_norm.hpp: layer normalisation of rows, and its gradients."""

import numpy as np

from rnncore.reference.activations import Array


def forward(x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, tuple[Array, Array]]:
    """Return y (R, F) = normal * weight + bias, and (normal, inverse) for backward: x of mean 0 and variance 1.

    >>> forward(np.array([[1.0, 3.0]]), None, None, 0.0)[0].tolist()
    [[-1.0, 1.0]]
    """
    centred = x - x.mean(axis=1, keepdims=True)
    inverse = 1 / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + eps)
    normal = centred * inverse
    y = normal if weight is None else normal * weight
    return (y if bias is None else y + bias), (normal, inverse)


def backward(kept: tuple[Array, Array], weight: Array | None, dy: Array) -> tuple[Array, Array, Array]:
    """Return the gradients by x (R, F), weight (F,) and bias (F,), of dy (R, F)."""
    normal, inverse = kept
    d = dy if weight is None else dy * weight
    along = (d * normal).mean(axis=1, keepdims=True)
    dx = (d - d.mean(axis=1, keepdims=True) - normal * along) * inverse
    return dx, (dy * normal).sum(axis=0), dy.sum(axis=0)
