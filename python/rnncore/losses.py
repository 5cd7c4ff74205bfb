"""Losses: each returns the loss and its gradient by the prediction, ready for `backward`.

All take a mask and weights alike, and average over what is left::

    loss = sum w l / sum w

Sums are taken in float64, in an order that no number of threads changes. If nothing is left to average, the loss and
the gradient are zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from rnncore import _core
from rnncore.arguments import Array, DType, Shape, as_labels, as_real, as_shaped, check_positive
from rnncore.masked_means import weight_by, weight_of

__all__ = [
    "LOSSES",
    "Loss",
    "cross_entropy",
    "gaussian_nll",
    "huber",
    "mean_absolute_error",
    "mean_squared_error",
    "pinball",
    "weight_of",
]


class Loss(Protocol):
    """What training asks of a loss: the mean over the elements where mask is true, and its gradient."""

    def __call__(
        self,
        prediction: Array,
        target: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> tuple[float, Array]:
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

    Raises ValueError for a wrong shape or a negative weight, TypeError for what holds no numbers, or no bools.

    >>> loss, gradient = mean_squared_error([1.0, 2.0, 7.0], [1.0, 4.0, float("nan")], mask=[True, True, False])
    >>> loss, gradient.tolist()
    (2.0, [0.0, -2.0, 0.0])
    """
    return _of_values(_MEAN_SQUARED_ERROR, prediction, target, mask, weights)


def mean_absolute_error(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[float, Array]:
    """Return the mean of |p - t| and its gradient by the prediction, 0 where they are equal.

    Arguments and errors as of `mean_squared_error`.

    >>> loss, gradient = mean_absolute_error([1.0, 2.0], [3.0, 2.0])
    >>> loss, gradient.tolist()
    (1.0, [-0.5, 0.0])
    """
    return _of_values(_MEAN_ABSOLUTE_ERROR, prediction, target, mask, weights)


def huber(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    delta: float = 1.0,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[float, Array]:
    """Return the mean of Huber's loss (1964) and its gradient: a parabola near the target, straight beyond delta.

    ::

        l = e^2 / 2 if |e| <= delta, else delta (|e| - delta / 2)        e = p - t

    Arguments and errors as of `mean_squared_error`; ValueError unless delta is greater than 0.

    >>> loss, gradient = huber([1.0, 4.0], [0.0, 0.0])
    >>> loss, gradient.tolist()
    (2.0, [0.5, 0.5])
    """
    return _of_values(_huber(delta), prediction, target, mask, weights)


def pinball(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[float, Array]:
    """Return the mean pinball loss (Koenker & Bassett 1978) and its gradient: the prediction learns quantiles.

    ::

        l = max(q (t - p), (q - 1) (t - p))

    Parameters
    ----------
    prediction
        (..., F * Q), for each of F features the Q quantiles side by side.
    target
        (..., F).
    quantiles
        Q numbers between 0 and 1.
    mask, weights
        Of the target's shape or of its leading axes.

    Raises as `mean_squared_error` does, and ValueError for a quantile out of range.

    >>> loss, gradient = pinball([[1.0, 2.0]], [[3.0]], quantiles=[0.25, 0.75])
    >>> loss, gradient.tolist()
    (0.625, [[-0.125, -0.375]])
    """
    return _of_values(_pinball(quantiles), prediction, target, mask, weights)


def gaussian_nll(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    eps: float = 1e-6,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[float, Array]:
    """Return the mean negative log-likelihood of a normal distribution (Nix & Weigend 1994), and its gradient.

    ::

        l = (log v + (t - m)^2 / v) / 2        v = exp(s) + eps

    The constant log(2 pi) / 2 is left out, as PyTorch leaves it out.

    Parameters
    ----------
    prediction
        (..., 2F): F means m, then F logarithms of the variance, s.
    target
        (..., F).
    eps
        Keeps the variance from 0.
    mask, weights
        Of the target's shape or of its leading axes.

    Raises as `mean_squared_error` does.

    >>> loss, gradient = gaussian_nll([[1.0, 0.0]], [[3.0]], eps=0.0)
    >>> loss, gradient.tolist()
    (2.0, [[-2.0, -1.5]])
    """
    return _of_values(_gaussian_nll(eps), prediction, target, mask, weights)


def cross_entropy(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[float, Array]:
    """Return the mean cross-entropy of the softmax, in nats, and its gradient by the logits.

    ::

        l = log(sum over k of exp(p_k)) - p_target        gradient = w (softmax(p) - onehot(target)) / sum w

    Parameters
    ----------
    prediction
        Logits (..., C), per step or per sequence.
    target
        Integers (...) in 0..C-1. What a masked one holds does not matter.
    mask, weights
        In the target's shape or of its leading axes.

    Raises ValueError for a label out of range, which it names, and as `mean_squared_error` does.

    >>> loss, gradient = cross_entropy([[0.0, 0.0]], [1])
    >>> round(loss, 4), gradient.tolist()
    (0.6931, [[0.5, -0.5]])
    """
    predicted = as_outputs(prediction, "prediction", 1)
    shape = predicted.shape[:-1]
    weight = weight_by(shape, mask, weights, predicted.dtype)
    labels = as_labels(target, "target", predicted.shape[-1], shape, None if weight is None else weight > 0)
    return _take(_CROSS_ENTROPY, predicted, np.broadcast_to(labels, shape).ravel(), weight, shape)


LOSSES: dict[str, Loss] = {
    "mse": mean_squared_error,
    "mae": mean_absolute_error,
    "huber": huber,
    "pinball": pinball,
    "gaussian_nll": gaussian_nll,
    "cross_entropy": cross_entropy,
}
"""The names that `fit` knows."""


# ---- the engine's


_MEAN_SQUARED_ERROR = _core.Loss("mean_squared_error")
_MEAN_ABSOLUTE_ERROR = _core.Loss("mean_absolute_error")
_CROSS_ENTROPY = _core.Loss("cross_entropy")


def _huber(delta: float) -> _core.Loss:
    return _core.Loss("huber", check_positive("delta", delta))


def _pinball(quantiles: Sequence[float]) -> _core.Loss:
    q = np.array(quantiles, np.float64)
    if q.ndim != 1 or not q.size or not ((q > 0) & (q < 1)).all():
        raise ValueError(f"quantiles must be numbers between 0 and 1, got {quantiles!r}")
    return _core.Loss("pinball", 0.0, q.tolist())


def _gaussian_nll(eps: float) -> _core.Loss:
    return _core.Loss("gaussian_nll", check_positive("eps", eps, zero=True))


def engine_loss(loss: Loss) -> _core.Loss | None:
    """Return the engine's form of a loss of this module, or of a `functools.partial` of one; None for another function.

    >>> engine_loss(mean_squared_error) is not None, engine_loss(lambda y, t: (0.0, y)) is None
    (True, True)
    """
    function = getattr(loss, "func", loss)
    options: dict[str, Any] = getattr(loss, "keywords", {})
    if getattr(loss, "args", ()) or options.keys() & {"mask", "weights"}:
        return None
    if function is mean_squared_error:
        return _MEAN_SQUARED_ERROR
    if function is mean_absolute_error:
        return _MEAN_ABSOLUTE_ERROR
    if function is cross_entropy:
        return _CROSS_ENTROPY
    if function is huber:
        return _huber(options.get("delta", 1.0))
    if function is pinball:
        return _pinball(options.get("quantiles", (0.1, 0.5, 0.9)))
    return _gaussian_nll(options.get("eps", 1e-6)) if function is gaussian_nll else None


def _of_values(
    loss: _core.Loss, prediction: ArrayLike, target: ArrayLike, mask: ArrayLike | None, weights: ArrayLike | None
) -> tuple[float, Array]:
    """Take a loss of numbers; the prediction has outputs_per_feature times as many features as the target."""
    multiple = loss.outputs_per_feature
    if multiple == 1:
        predicted = as_real(prediction, "prediction", _dtype(prediction))
        shape = predicted.shape
    else:
        predicted = as_outputs(prediction, "prediction", multiple)
        shape = (*predicted.shape[:-1], predicted.shape[-1] // multiple)
    actual = as_shaped(target, "target", predicted.dtype, shape)
    weight = weight_by(shape, mask, weights, predicted.dtype)
    columns = shape[-1] if shape else 1
    rows = np.ascontiguousarray(actual).reshape(math.prod(shape[:-1]), columns)
    return _take(loss, predicted, rows, weight, shape)


def _take(loss: _core.Loss, predicted: Array, target: Array, weight: Array | None, shape: Shape) -> tuple[float, Array]:
    columns = predicted.shape[-1] if predicted.ndim else 1
    rows = np.ascontiguousarray(predicted).reshape(math.prod(predicted.shape[:-1]), columns)
    gradient = np.empty_like(rows)
    if weight is not None:
        weight = np.ascontiguousarray(np.broadcast_to(weight, shape)).reshape(target.shape)
    value, _ = loss.take(rows, np.ascontiguousarray(target), weight, gradient)
    return value, gradient.reshape(predicted.shape)


def as_outputs(outputs: ArrayLike, name: str, multiple: int) -> Array:
    """Read what a model puts out: float32 or float64, `multiple` outputs side by side for each feature."""
    array = as_real(outputs, name, _dtype(outputs))
    if not array.ndim or not array.shape[-1] or array.shape[-1] % multiple:
        raise ValueError(
            f"{name}: expected a last axis of a multiple of {multiple}, and not of 0, got shape {array.shape}"
        )
    return array


def _dtype(prediction: ArrayLike) -> DType:
    return np.dtype(np.float32 if getattr(prediction, "dtype", None) == np.float32 else np.float64)
