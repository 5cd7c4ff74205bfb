"""Clipping of gradients, against steps that explode (Pascanu, Mikolov and Bengio 2013)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rnncore import _core
from rnncore.arguments import Array

__all__ = ["as_vectors", "clip_grad_norm", "clip_grad_value"]


def clip_grad_norm(gradients: Array | Sequence[Array], max_norm: float, *, error_if_nonfinite: bool = False) -> float:
    """Scale gradients in place so that their joint Euclidean norm is at most max_norm (Pascanu et al. 2013).

    Parameters
    ----------
    gradients
        A floating-point array or a sequence of such.
    max_norm
        At least 0; infinity leaves all as it is, and still returns the norm.
    error_if_nonfinite
        Raise FloatingPointError, before anything is changed, if the norm is infinite or NaN.

    Returns the norm before clipping, summed in float64 in an order that does not depend on the machine; gradients of an
    infinite or NaN norm stay as they are. Raises ValueError for a negative or NaN max_norm.

    >>> gradient = np.array([3.0, 4.0])
    >>> clip_grad_norm(gradient, max_norm=1.0)
    5.0
    >>> gradient.round(3).tolist()
    [0.6, 0.8]
    """
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be at least 0, got {max_norm}")
    arrays = as_vectors(gradients)
    norm = math.sqrt(sum(map(_core.squared_norm, arrays)))
    if error_if_nonfinite and not math.isfinite(norm):
        raise FloatingPointError(f"the norm of the gradients is {norm}")
    if max_norm < norm < math.inf:
        for array in arrays:
            _core.scale(array, max_norm / (norm + 1e-6))  # the guard that PyTorch uses
    return norm


def clip_grad_value(gradients: Array | Sequence[Array], clip_value: float) -> None:
    """Limit every element of gradients in place to [-clip_value, clip_value]; NaN stays NaN.

    Raises ValueError for a negative or NaN clip_value.

    >>> gradient = np.array([3.0, -0.5])
    >>> clip_grad_value(gradient, 1.0)
    >>> gradient.tolist()
    [1.0, -0.5]
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_value must be at least 0, got {clip_value}")
    for array in as_vectors(gradients):
        _core.clip(array, clip_value)


def as_vectors(arrays: Array | Sequence[Array]) -> list[Array]:
    """Return one array as a list of one."""
    return [arrays] if isinstance(arrays, np.ndarray) else list(arrays)
