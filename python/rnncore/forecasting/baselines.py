"""What a network has to beat: the last value, the climatology, and ridge regression in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.design import Design

PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


def repeat(design: Design) -> Array:
    """(T, N, H): the last value known, for every horizon."""
    return np.broadcast_to(design.last[..., None], design.base.shape)


def climatology(design: Design) -> Array:
    """(T, N, H): what is usual for the time of the year, week and day."""
    return design.usual


@dataclass(frozen=True)
class Ridge:
    """Ridge regression (Hoerl & Kennard 1970) of each horizon on the inputs of the last few steps."""

    lags: list[int]  # steps, for each horizon
    penalty: list[float]

    def fit_predict(self, design: Design) -> Array:
        """Fit to the design's training part; return forecasts (T, N, H) for all of it."""
        learned = np.zeros(design.z.shape)
        for lags in set(self.lags):
            features = lagged(design.x, lags)
            here = [h for h, each in enumerate(self.lags) if each == lags]
            penalty = [self.penalty[h] for h in here]
            learned[..., here] = solve(features, design.z[..., here], design.train[..., here], penalty)(features)
        return design.forecast(learned)


@dataclass(frozen=True)
class Linear:
    """z = features W + b."""

    weight: Array  # (F, H)
    bias: Array  # (H,)

    def __call__(self, features: Array) -> Array:
        """Map (T, N, F) to (T, N, H)."""
        result: Array = features @ self.weight + self.bias
        return result


def solve(features: Array, z: Array, mask: Array, penalty: list[float]) -> Linear:
    """Minimise |z - features W - b|^2 + penalty |W|^2 for each horizon, where mask (T, N, H) is true."""
    weight = np.zeros((features.shape[-1], z.shape[-1]))
    bias = np.zeros(z.shape[-1])
    for h in range(z.shape[-1]):
        rows, values = features[mask[..., h]], z[..., h][mask[..., h]]
        if not values.size:
            continue
        centre, mean = rows.mean(axis=0), values.mean()
        rows = rows - centre
        gram = rows.T @ rows + penalty[h] * np.eye(rows.shape[1])
        weight[:, h] = np.linalg.solve(gram, rows.T @ (values - mean))
        bias[h] = mean - centre @ weight[:, h]
    return Linear(weight, bias)


def lagged(x: Array, lags: int) -> Array:
    """(T, N, I) -> (T, N, lags * I): inputs of today, yesterday, ...; zeros before the beginning."""
    before = np.zeros((lags - 1, *x.shape[1:]), x.dtype)
    padded = np.concatenate([before, x])
    return np.concatenate([padded[lags - 1 - k : lags - 1 - k + len(x)] for k in range(lags)], axis=-1)
