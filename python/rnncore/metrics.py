"""Metrics: what a model is worth, averaged over all that counts in the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnncore import losses
from rnncore.arguments import as_labels
from rnncore.masked_means import weight_by

__all__ = ["METRICS", "Metric", "accuracy", "as_metric"]


def accuracy(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Return the share of positions whose largest logit is that of the label; arguments as of `losses.cross_entropy`.

    >>> accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """
    scores = np.asarray(prediction)
    shape = scores.shape[:-1]
    weight = weight_by(shape, mask, weights, np.dtype(np.float64))
    labels = as_labels(target, "target", scores.shape[-1], shape, None if weight is None else weight > 0)
    counted = np.ones(shape) if weight is None else np.broadcast_to(weight, shape)
    total = float(counted.sum())
    return float(counted[scores.argmax(axis=-1) == labels].sum()) / total if total else 0.0


@dataclass(frozen=True)
class Metric:
    """A mean over the data, and what becomes of it in the end.

    >>> rmse = Metric("rmse", lambda *batch, **options: losses.mean_squared_error(*batch, **options)[0], math.sqrt)
    >>> rmse.finish(rmse.mean([1.0, 3.0], [1.0, 1.0])) == 2**0.5
    True
    """

    name: str
    mean: Callable[..., float]
    """mean(prediction, target, mask=..., weights=...), of one batch."""
    finish: Callable[[float], float] = float
    """Of the mean over all batches, each by its weight."""


def _loss(name: str) -> Callable[..., float]:
    return lambda *batch, **options: losses.LOSSES[name](*batch, **options)[0]


METRICS: dict[str, Metric] = {
    **{name: Metric(name, _loss(name)) for name in losses.LOSSES},
    "rmse": Metric("rmse", _loss("mse"), math.sqrt),
    "perplexity": Metric("perplexity", _loss("cross_entropy"), math.exp),
    "accuracy": Metric("accuracy", accuracy),
}
"""The names that `fit` and `evaluate` know."""


def as_metric(metric: Any) -> Metric:
    """Read a name, a Metric, or a function of a prediction and a target.

    >>> as_metric("rmse").name
    'rmse'
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        if metric not in METRICS:
            raise ValueError(f"unknown metric {metric!r}: expected one of {', '.join(METRICS)}, a Metric or a function")
        return METRICS[metric]
    if not callable(metric):
        raise TypeError(f"a metric should be a name, a Metric or a function, got {type(metric).__name__}")
    return Metric(getattr(metric, "__name__", type(metric).__name__), metric)
