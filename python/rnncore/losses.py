"""Losses: each returns the loss and its gradient by the prediction, ready for `backward`."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from rnncore.arguments import Array, as_mask, as_real, as_shaped


class Loss(Protocol):
    """What training asks of a loss: the mean over the elements where mask is true, and its gradient."""

    def __call__(self, prediction: Array, target: ArrayLike, *, mask: ArrayLike | None = None) -> tuple[float, Array]:
        """Return the loss and its gradient, in the prediction's shape and dtype."""
        ...


def mean_squared_error(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[float, Array]:
    """Return the mean squared error and its gradient by the prediction.

    ::

        loss = sum w (p - t)^2 / sum w        gradient = 2 w (p - t) / sum w

    Parameters
    ----------
    prediction, target
        Of one shape. The gradient has the prediction's dtype, float64 unless that is float32.
    mask
        Bools, of that shape or of its leading axes, as (T, N) for (T, N, F): false leaves an element out, NaN included.
    weights
        w, not negative, of either shape as well; 1 by default.

    The sums are taken in float64. If nothing is left to average, the loss and the gradient are zero.
    Raises ValueError for a wrong shape or a negative weight, TypeError for what holds no numbers, or no bools.

    >>> loss, gradient = mean_squared_error([1.0, 2.0, 7.0], [1.0, 4.0, float("nan")], mask=[True, True, False])
    >>> loss, gradient.tolist()
    (2.0, [0.0, -2.0, 0.0])
    """
    dtype = np.dtype(np.float32 if getattr(prediction, "dtype", None) == np.float32 else np.float64)
    predicted = as_real(prediction, "prediction", dtype)
    error = predicted - as_shaped(target, "target", dtype, predicted.shape)
    shapes = [error.shape[:axes] for axes in range(min(1, error.ndim), error.ndim + 1)]
    weight = np.ones((), dtype)
    if weights is not None:
        weight = _spread(as_shaped(weights, "weights", dtype, *shapes), error.ndim)
        if not (weight >= 0).all():
            raise ValueError("weights must not be negative or NaN")
    if mask is not None:
        chosen = _spread(as_mask(mask, "mask", *shapes), error.ndim)
        error, weight = np.where(chosen, error, 0), np.where(chosen, weight, 0)
    total = float(np.broadcast_to(weight, error.shape).sum(dtype=np.float64))
    if total == 0:
        return 0.0, np.zeros_like(error)
    weighted = weight * error
    loss = float(np.sum(weighted * error, dtype=np.float64)) / total
    return loss, weighted * dtype.type(2 / total)


def _spread(array: Array, ndim: int) -> Array:
    """Give an array of the leading axes the missing ones, of extent 1."""
    return array.reshape(array.shape + (1,) * (ndim - array.ndim))
