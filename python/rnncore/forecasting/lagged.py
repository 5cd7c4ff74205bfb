"""Ridge regression (Hoerl & Kennard 1970) on the inputs of the last few steps, for all horizons at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.history import blocks

PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
LAGS = (1, 2, 3, 7, 14)
_MOST_FEATURES = 400
_MOST_NUMBERS = 12_000_000  # in the table of features, of all steps together
_BLOCK = 500_000  # of these at a time


@dataclass
class Lagged:
    """z = features W + b, where each horizon looks back over its own number of steps."""

    lags: list[int]  # of each horizon
    penalty: list[float]
    weight: Array  # (most lags * I + 1, H), zero where a horizon does not look; the last row is b

    def __call__(self, x: Array, steps: Array | None = None) -> Array:
        """(T, N, I) -> (T, N, H) float32, or (K, N, H) at K steps."""
        steps = np.arange(len(x)) if steps is None else steps
        out = np.empty((len(steps), x.shape[1], self.weight.shape[1]), np.float32)
        for here, rows in _blocks(x, max(self.lags), steps):
            out[here] = rows @ self.weight
        return out

    def take_off(self, z: Array, x: Array) -> None:
        """Leave of z (T, N, H) what the regression on x (T, N, I) does not say."""
        for here, rows in _blocks(x, max(self.lags), np.arange(len(x))):
            z[here] -= rows @ self.weight

    def at_end(self, x: Array) -> Array:
        """(K, N, I), the last steps, as many as the lags at least -> (N, H)."""
        found: Array = lagged(x, max(self.lags), np.array([len(x) - 1]))[0] @ self.weight
        return found


def candidates(x: Array) -> list[int]:
    """Numbers of lags that inputs (T, N, I) leave room for."""
    size = x.shape[-1]
    rows = x[..., 0].size
    return [k for k in LAGS if k == 1 or (k * size <= _MOST_FEATURES and k * size * rows <= _MOST_NUMBERS)]


def fits(x: Array, z: Array, known: Array, lags: list[int]) -> Iterator[tuple[int, float, Array]]:
    """Yield lags, penalty and weight (lags * I + 1, H) of fits of z (T, N, H) where known (T, N)."""
    most, size, count = max(lags), x.shape[-1], max(1, int(known.sum()))
    gram, moment = np.zeros((most * size + 1,) * 2), np.zeros((most * size + 1, z.shape[-1]))
    for here, every in _blocks(x, most, np.arange(len(x))):
        rows = every[known[here]]
        gram += rows.T @ rows
        moment += rows.T @ z[here][known[here]]
    for lag in lags:
        kept = np.r_[0 : lag * size, most * size]
        for penalty in PENALTIES:
            free = np.full(len(kept), penalty)
            free[-1] = 1e-9 * count
            yield lag, penalty, np.linalg.solve(gram[np.ix_(kept, kept)] + np.diag(free), moment[kept])


def widened(weight: Array, lag: int, most: int, size: int) -> Array:
    """The weight of `lag` lags as one of `most`, with zeros for the rest."""
    wide = np.zeros((most * size + 1, weight.shape[1]))
    wide[: lag * size], wide[-1] = weight[:-1], weight[-1]
    return wide


def lagged(x: Array, lags: int, steps: Array) -> Array:
    """(T, N, I) -> (K, N, lags * I + 1) at K steps: their inputs, those of the step before, ..., and a one.

    Before the beginning there are zeros.
    """
    before = steps[:, None] - np.arange(lags)
    own = np.where((before >= 0)[..., None, None], x[np.maximum(before, 0)], x.dtype.type(0))  # (K, lags, N, I)
    rows = np.moveaxis(own, 1, 2).reshape(len(steps), x.shape[1], -1)
    return np.concatenate([rows, np.ones((*rows.shape[:-1], 1), x.dtype)], axis=-1)


def _blocks(x: Array, lags: int, steps: Array) -> Iterator[tuple[slice, Array]]:
    """Some of the steps, and their rows as `lagged` gives them, so many at a time as take little room."""
    for here in blocks(len(steps), lags * x[0].size + 1, _BLOCK):
        yield here, lagged(x, lags, steps[here])
