"""Losses and their gradients by the prediction.

Twin: src/rnncore/kernels/losses.hpp, src/rnncore/model/losses.cpp.
Predictions are (R, O), targets (R, F), weights None, (R, 1) or (R, F). A weight of 0 leaves out NaN too.
"""

from collections.abc import Sequence

import numpy as np

from rnncore.reference.activations import Array


def mean_squared_error(prediction: Array, target: Array, weights: Array | None = None) -> tuple[float, Array]:
    """Average (p - t)^2.

    >>> mean_squared_error(np.array([[1.0], [3.0]]), np.array([[0.0], [3.0]]))
    (0.5, array([[1.],
           [0.]]))
    """
    error = prediction - target
    return mean(error * error, 2 * error, weights)


def mean_absolute_error(prediction: Array, target: Array, weights: Array | None = None) -> tuple[float, Array]:
    """Average |p - t|."""
    error = prediction - target
    return mean(np.abs(error), np.sign(error), weights)


def huber(prediction: Array, target: Array, weights: Array | None = None, *, delta: float = 1.0) -> tuple[float, Array]:
    """Average e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2)."""
    error = prediction - target
    slope = np.clip(error, -delta, delta)
    return mean(slope * (error - slope / 2), slope, weights)


def pinball(
    prediction: Array, target: Array, weights: Array | None = None, *, quantiles: Sequence[float] = (0.1, 0.5, 0.9)
) -> tuple[float, Array]:
    """Average max(q (t - p), (q - 1) (t - p)); the quantiles of a feature stand side by side."""
    q = np.array(quantiles, prediction.dtype)
    error = np.repeat(target, q.size, axis=1) - prediction
    by_error = np.where(error > 0, np.tile(q, target.shape[1]), np.tile(q, target.shape[1]) - 1)
    slope = np.where(error == 0, 0, -by_error) + 0 * error  # NaN stays NaN
    wide = None if weights is None else np.repeat(np.broadcast_to(weights, target.shape), q.size, axis=1)
    return mean(by_error * error, slope, wide)


def gaussian_nll(
    prediction: Array, target: Array, weights: Array | None = None, *, eps: float = 1e-6
) -> tuple[float, Array]:
    """Average (log v + (t - m)^2 / v) / 2 with v = exp(s) + eps; F means, then F logarithms s."""
    features = target.shape[1]
    spread = np.exp(prediction[:, features:])
    variance = spread + eps
    error = prediction[:, :features] - target
    ratio = error * error / variance
    value, d_mean = mean((np.log(variance) + ratio) / 2, error / variance, weights)
    _, d_log = mean(ratio, (1 - ratio) / 2 * (spread / variance), weights)
    return value, np.concatenate([d_mean, d_log], axis=1)


def cross_entropy(prediction: Array, target: Array, weights: Array | None = None) -> tuple[float, Array]:
    """Average log(sum of exp(p)) - p_target over rows of logits; target holds labels (R,), weights are (R, 1)."""
    shifted = prediction - prediction.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    at = np.arange(len(target)), target
    values = np.log(total) - shifted[at][:, None]
    slopes = exponentials / total
    slopes[at] -= 1
    return mean(values, slopes, weights)


def mean(values: Array, slopes: Array, weights: Array | None) -> tuple[float, Array]:
    """Return sum w l / sum w, and the gradient w slope / sum w; zeros if there is nothing to average."""
    w = np.ones_like(values) if weights is None else np.broadcast_to(weights, values.shape)
    total = float(w.sum(dtype=np.float64))
    if total == 0:
        return 0.0, np.zeros_like(slopes)
    value = float(np.where(w > 0, w * values, 0).sum(dtype=np.float64)) / total
    return value, np.where(w > 0, w / total * slopes, 0)
