"""Ridge regression (Hoerl & Kennard 1970) on the inputs of the last few steps, for all horizons at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array

PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
LAGS = (1, 2, 3, 7, 14)
_MOST_FEATURES = 400
_MOST_NUMBERS = 12_000_000  # in the table of features


@dataclass
class Lagged:
    """z = features W + b, where each horizon looks back over its own number of steps."""

    lags: list[int]  # of each horizon
    penalty: list[float]
    weight: Array  # (most lags * I + 1, H), zero where a horizon does not look; the last row is b

    def __call__(self, x: Array) -> Array:
        """(T, N, I) -> (T, N, H)."""
        return with_one(lagged(x, max(self.lags))) @ self.weight

    def at_end(self, x: Array) -> Array:
        """(K, N, I), the last steps, as many as the lags at least -> (N, H)."""
        last = np.moveaxis(x[-max(self.lags) :][::-1], 0, 1)
        return with_one(last.reshape(len(last), -1)) @ self.weight


def candidates(x: Array) -> list[int]:
    """Numbers of lags that inputs (T, N, I) leave room for."""
    size = x.shape[-1]
    rows = x[..., 0].size
    return [k for k in LAGS if k == 1 or (k * size <= _MOST_FEATURES and k * size * rows <= _MOST_NUMBERS)]


def fits(x: Array, z: Array, known: Array, lags: list[int]) -> Iterator[tuple[int, float, Array]]:
    """Yield lags, penalty and weight (lags * I + 1, H) of fits of z (T, N, H) where known (T, N)."""
    most = max(lags)
    rows = with_one(lagged(x, most))[known]
    gram, moment = rows.T @ rows, rows.T @ z[known]
    size = x.shape[-1]
    for lag in lags:
        kept = np.r_[0 : lag * size, most * size]
        for penalty in PENALTIES:
            free = np.full(len(kept), penalty)
            free[-1] = 1e-9 * max(1, len(rows))
            yield lag, penalty, np.linalg.solve(gram[np.ix_(kept, kept)] + np.diag(free), moment[kept])


def widened(weight: Array, lag: int, most: int, size: int) -> Array:
    """The weight of `lag` lags as one of `most`, with zeros for the rest."""
    wide = np.zeros((most * size + 1, weight.shape[1]))
    wide[: lag * size], wide[-1] = weight[:-1], weight[-1]
    return wide


def lagged(x: Array, lags: int) -> Array:
    """(T, N, I) -> (T, N, lags * I): inputs of today, yesterday, ...; zeros before the beginning."""
    before = np.zeros((lags - 1, *x.shape[1:]), x.dtype)
    padded = np.concatenate([before, x])
    return np.concatenate([padded[lags - 1 - k : lags - 1 - k + len(x)] for k in range(lags)], axis=-1)


def with_one(x: Array) -> Array:
    """Add a column of ones."""
    return np.concatenate([x, np.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)
