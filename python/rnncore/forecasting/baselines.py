"""What a network has to beat: the last value, the climatology, and ridge regression in closed form."""

from __future__ import annotations

from collections.abc import Sequence
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
        """Fit to the design's training part; return z (T, N, H) for all of it."""
        learned = np.zeros(design.z.shape)
        for lags in set(self.lags):
            features = lagged(design.x, lags)
            here = [h for h, each in enumerate(self.lags) if each == lags]
            fit = _gather(
                [_solve(features, design.z[..., h], design.train[..., h], [self.penalty[h]])[0] for h in here]
            )
            learned[..., here] = fit(features)
        return learned


@dataclass(frozen=True)
class Linear:
    """z = features W + b."""

    weight: Array  # (F, H)
    bias: Array  # (H,)

    def __call__(self, features: Array) -> Array:
        """Map (T, N, F) to (T, N, H)."""
        result: Array = features @ self.weight + self.bias
        return result


def solve_all(features: Array, z: Array, mask: Array, penalties: tuple[float, ...]) -> list[Linear]:
    """Minimise |z - features W - b|^2 + penalty |W|^2 where mask (T, N, H) is true, for each of some penalties."""
    fits = [_solve(features, z[..., h], mask[..., h], penalties) for h in range(z.shape[-1])]
    return [_gather([fit[k] for fit in fits]) for k in range(len(penalties))]


def _gather(fits: list[tuple[Array, float]]) -> Linear:
    return Linear(np.stack([weight for weight, _ in fits], axis=1), np.array([bias for _, bias in fits]))


def _solve(features: Array, z: Array, mask: Array, penalties: Sequence[float]) -> list[tuple[Array, float]]:
    """Weight (F,) and bias for each penalty; zeros where there is nothing to fit."""
    rows, values = features[mask], z[mask]
    if not values.size:
        return [(np.zeros(features.shape[-1]), 0.0)] * len(penalties)
    centre, mean = rows.mean(axis=0), float(values.mean())
    rows = rows - centre
    gram, moment = rows.T @ rows, rows.T @ (values - mean)
    weights = [np.linalg.solve(gram + penalty * np.eye(len(gram)), moment) for penalty in penalties]
    return [(weight, mean - float(centre @ weight)) for weight in weights]


def lagged(x: Array, lags: int) -> Array:
    """(T, N, I) -> (T, N, lags * I): inputs of today, yesterday, ...; zeros before the beginning."""
    before = np.zeros((lags - 1, *x.shape[1:]), x.dtype)
    padded = np.concatenate([before, x])
    return np.concatenate([padded[lags - 1 - k : lags - 1 - k + len(x)] for k in range(lags)], axis=-1)
