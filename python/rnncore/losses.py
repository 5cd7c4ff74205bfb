"""Losses: each returns the loss and its gradient by the prediction, ready for `backward`.

All take a mask and weights alike, and average over what is left::

    loss = sum w l / sum w

Sums are taken in float64, in an order that no number of threads changes. If nothing is left to average, the loss and
the gradient are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from rnncore import _core
from rnncore.arguments import Array, DType, as_labels, as_real, as_shaped, check_positive
from rnncore.masked_means import mean, per_column, weight_by, weight_of

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
    if mask is not None or weights is not None:
        return _of_errors(prediction, target, mask, weights, lambda e: (e * e, 2 * e))
    error = _errors(prediction, target)
    number = error.size
    if not number:
        return 0.0, error
    loss = _core.squared_norm(error.ravel(order="K")) / number
    error *= error.dtype.type(2 / number)
    return loss, error


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
    return _of_errors(prediction, target, mask, weights, lambda e: (np.abs(e), np.sign(e)))


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
    limit = check_positive("delta", delta)

    def values(e: Array) -> tuple[Array, Array]:
        slope = np.clip(e, -limit, limit)
        return slope * (e - slope / 2), slope

    return _of_errors(prediction, target, mask, weights, values)


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
    q = np.array(quantiles, np.float64)
    if q.ndim != 1 or not q.size or not ((q > 0) & (q < 1)).all():
        raise ValueError(f"quantiles must be numbers between 0 and 1, got {quantiles!r}")
    predicted, dtype = _predicted(prediction, q.size)
    leading, features = predicted.shape[:-1], predicted.shape[-1] // q.size
    actual = as_shaped(target, "target", dtype, (*leading, features))
    error = actual[..., None] - predicted.reshape(*leading, features, q.size)
    weight = weight_by(actual.shape, mask, weights, dtype)
    slope = np.where(error > 0, q.astype(dtype), q.astype(dtype) - 1)
    with np.errstate(invalid="ignore"):
        slopes = np.where(error == 0, 0, -slope) + 0 * error  # NaN stays NaN
        loss, gradient = mean(slope * error, slopes, per_column(weight), error.shape)
    return loss, gradient.reshape(predicted.shape)


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
    floor = check_positive("eps", eps, zero=True)
    predicted, dtype = _predicted(prediction, 2)
    features = predicted.shape[-1] // 2
    actual = as_shaped(target, "target", dtype, (*predicted.shape[:-1], features))
    weight = weight_by(actual.shape, mask, weights, dtype)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        spread = np.exp(predicted[..., features:])
        variance = spread + dtype.type(floor)
        error = predicted[..., :features] - actual
        ratio = error * error / variance
        values = (np.log(variance) + ratio) / 2
        d_mean, d_log = error / variance, (1 - ratio) / 2 * (spread / variance)
    loss, d_mean = mean(values, d_mean, weight, actual.shape)
    _, d_log = mean(values, d_log, weight, actual.shape)
    return loss, np.concatenate([d_mean, d_log], axis=-1)


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
    predicted, dtype = _predicted(prediction, 1)
    shape = predicted.shape[:-1]
    weight = weight_by(shape, mask, weights, dtype)
    labels = as_labels(target, "target", predicted.shape[-1], shape, None if weight is None else weight > 0)
    logits = predicted.reshape(-1, predicted.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        shifted = logits - logits.max(axis=1, keepdims=True)
        at = np.arange(len(logits)), labels.ravel()
        picked = shifted[at]
        np.exp(shifted, out=shifted)
        total = shifted.sum(axis=1, keepdims=True)
        shifted /= total
        values = np.log(total[:, 0]) - picked
    shifted[at] -= 1
    values, slopes = values.reshape(*shape, 1), shifted.reshape(predicted.shape)
    return mean(values, slopes, per_column(weight), (*shape, 1))


LOSSES: dict[str, Loss] = {
    "mse": mean_squared_error,
    "mae": mean_absolute_error,
    "huber": huber,
    "pinball": pinball,
    "gaussian_nll": gaussian_nll,
    "cross_entropy": cross_entropy,
}
"""The names that `fit` knows."""


# ---- shared


def _of_errors(
    prediction: ArrayLike,
    target: ArrayLike,
    mask: ArrayLike | None,
    weights: ArrayLike | None,
    values_of: Callable[[Array], tuple[Array, Array]],
) -> tuple[float, Array]:
    """Average over errors p - t; values_of gives each one's loss and slope."""
    error = _errors(prediction, target)
    weight = weight_by(error.shape, mask, weights, error.dtype)
    if weight is not None:
        error = np.where(weight > 0, error, 0)
    with np.errstate(over="ignore", invalid="ignore"):  # infinity says it
        values, slopes = values_of(error)
        return mean(values, slopes, weight, error.shape)


def _errors(prediction: ArrayLike, target: ArrayLike) -> Array:
    """Return p - t, an array of its own."""
    dtype = _dtype(prediction)
    predicted = as_real(prediction, "prediction", dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # infinity says it
        return np.asarray(predicted - as_shaped(target, "target", dtype, predicted.shape))


def _predicted(prediction: ArrayLike, multiple: int) -> tuple[Array, DType]:
    dtype = _dtype(prediction)
    predicted = as_real(prediction, "prediction", dtype)
    if not predicted.ndim or not predicted.shape[-1] or predicted.shape[-1] % multiple:
        raise ValueError(
            f"prediction: expected a last axis of a multiple of {multiple}, and not of 0, got shape {predicted.shape}"
        )
    return predicted, dtype


def _dtype(prediction: ArrayLike) -> DType:
    return np.dtype(np.float32 if getattr(prediction, "dtype", None) == np.float32 else np.float64)
