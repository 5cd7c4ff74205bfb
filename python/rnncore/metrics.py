"""Metrics: what a model is worth, averaged over all that counts in the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnncore import losses
from rnncore.arguments import Array, as_labels, as_mask

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
    chosen = None
    if mask is not None:
        chosen = as_mask(mask, "mask", *(shape[:axes] for axes in range(min(1, len(shape)), len(shape) + 1)))
        chosen = np.broadcast_to(chosen.reshape(chosen.shape + (1,) * (len(shape) - chosen.ndim)), shape)
    right: Array = scores.argmax(axis=-1) == as_labels(target, "target", scores.shape[-1], shape, chosen)
    weight = np.ones(shape) if weights is None else np.asarray(weights, np.float64)
    weight = np.broadcast_to(weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim)), shape)
    if chosen is not None:
        weight = np.where(chosen, weight, 0)
    total = float(weight.sum())
    return float((weight * right).sum()) / total if total else 0.0


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
