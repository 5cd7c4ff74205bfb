"""Means by masks and weights: what the losses and metrics share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from rnncore.arguments import Array, DType, Shape, as_mask, as_shaped


def weight_of(shape: tuple[int, ...], mask: ArrayLike | None, weights: ArrayLike | None) -> float:
    """Return sum w over a target of this shape: what the mean of a batch counts among others.

    >>> weight_of((4, 2), [True, True, False, False], None)
    4.0
    """
    weight = weight_by(shape, mask, weights, np.dtype(np.float64))
    return float(math.prod(shape) if weight is None else np.broadcast_to(weight, shape).sum())


def as_weights(weights: ArrayLike, dtype: DType, *shapes: Shape) -> Array:
    """Return weights of one of the shapes; ValueError for another one, and for what is negative or NaN."""
    values = as_shaped(weights, "weights", dtype, *shapes)
    if not (values >= 0).all():
        raise ValueError("weights must not be negative or NaN")
    return values


def mean(values: Array, slopes: Array, weight: Array | None, shape: tuple[int, ...]) -> tuple[float, Array]:
    """Return sum w l / sum w over `shape`, and the gradient w slope / sum w; weight 0 leaves out NaN too.

    The gradient may stand where slopes stood.
    """
    if weight is None:
        number = math.prod(shape)
        if not number:
            return 0.0, np.zeros_like(slopes)
        slopes *= slopes.dtype.type(1 / number)
        return float(np.sum(values, dtype=np.float64)) / number, slopes
    count = float(np.broadcast_to(weight, shape).sum(dtype=np.float64))
    if count == 0:
        return 0.0, np.zeros_like(slopes)
    kept = np.broadcast_to(weight > 0, shape)
    total = float(np.sum(np.where(kept, weight * values, 0), dtype=np.float64))
    share = weight * weight.dtype.type(1 / count)
    return total / count, np.where(weight > 0, share * slopes, 0)


def weight_by(shape: tuple[int, ...], mask: ArrayLike | None, weights: ArrayLike | None, dtype: DType) -> Array | None:
    """Spread mask and weights, of this shape or of its leading axes, to its number of axes; masked ones weigh 0."""
    if mask is None and weights is None:
        return None
    shapes = [shape[:axes] for axes in range(min(1, len(shape)), len(shape) + 1)]
    weight = np.ones((1,) * len(shape), dtype)
    if weights is not None:
        weight = _spread(as_weights(weights, dtype, *shapes), len(shape))
    if mask is not None:
        weight = np.where(_spread(as_mask(mask, "mask", *shapes), len(shape)), weight, dtype.type(0))
    return weight


def per_column(weight: Array | None) -> Array | None:
    """Give weights an axis behind their last: one weight for a whole column."""
    return None if weight is None else weight[..., None]


def _spread(array: Array, ndim: int) -> Array:
    """Give an array of the leading axes the missing ones, of extent 1."""
    return array.reshape(array.shape + (1,) * (ndim - array.ndim))
