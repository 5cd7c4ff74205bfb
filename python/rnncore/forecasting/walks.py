"""Random walks: whether series look like one, from their changes alone.

Of a random walk the changes have no mean, nothing follows from those before them, and its values do not return to
where they were. Each is tested; every autocorrelation by the products themselves, so that calm and stormy times, as of
share prices, do not pass for structure (White 1980). Of a season that is one leap a year that test sees a few large
products alone: there the correlation itself tells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnncore.arguments import Array

SURE = 3.0  # standard errors, of each test; with all of them chance goes further once or twice in a hundred times
_SEASON = 4.0  # standard errors of the correlation at a season: of 12,000 walks, stormy ones too, none went so far
_LEAST = 8  # changes of a series, to tell
_LAGS = 12  # tested together, as Box & Pierce (1970) do, and 1, 2 and the seasons each by itself
_RETURNS = -1.53, 0.84  # mean and spread of the statistic of Dickey & Fuller (1979) for a random walk


def wanders(values: Array, seasons: Sequence[int]) -> bool:
    """Tell whether series (N, T), NaN where unknown, look like random walks; statistics of all series are pooled.

    >>> steps = np.random.default_rng(0).normal(size=(1, 200))
    >>> wanders(steps.cumsum(axis=1), [7]), wanders(steps, [7])
    (True, False)
    """
    mean, returns = [], []
    follows: dict[int, list[float]] = {}
    repeats: dict[int, list[float]] = {}
    for own in values:
        known = own[~np.isnan(own)]
        changes = np.diff(known)
        if len(changes) < _LEAST or not (spread := changes.std()) > 0:
            continue
        mean.append(changes.mean() / spread * np.sqrt(len(changes)))
        rest = (changes - changes.mean()) / spread
        returns.append((_return(known[:-1], rest) - _RETURNS[0]) / _RETURNS[1])
        most = min(_LAGS, len(rest) // 4)
        short = [m for m in seasons if m <= len(rest) // 2]
        for lag in {1, 2, *range(1, most + 1), *short}:
            follows.setdefault(lag, []).append(_follow(rest, lag))
        for m in short:
            repeats.setdefault(m, []).append(float(rest[m:] @ rest[:-m]) / np.sqrt(len(rest)))
    if any(_pooled(z) >= _SEASON for z in repeats.values()):
        return False
    pooled = {lag: _pooled(z) for lag, z in follows.items()}
    each = [_pooled(z) for z in (mean, returns) if z] + [pooled[m] for m in {1, 2, *seasons} & set(pooled)]
    return all(abs(z) < SURE for z in each) and _together([z for lag, z in pooled.items() if lag <= _LAGS]) < SURE


def _pooled(z: list[float]) -> float:
    """Standard normal numbers of all series as one."""
    return float(sum(z) / np.sqrt(len(z)))


def _follow(rest: Array, lag: int) -> float:
    """How surely changes follow from those some steps before, in standard errors."""
    products = rest[lag:] * rest[:-lag]
    return float(products.sum() / np.sqrt(products @ products + 1e-300))


def _return(level: Array, rest: Array) -> float:
    """The slope of the changes over the level before them, in standard errors."""
    level = level - level.mean()
    size = level @ level + 1e-300
    slope = level @ rest / size
    left = rest - slope * level
    return float(slope * np.sqrt(size * len(rest) / (left @ left + 1e-300)))


def _together(z: list[float]) -> float:
    """The sum of squares of independent standard normal numbers as one such number (Wilson & Hilferty 1931)."""
    if not z:
        return 0.0
    part = 2 / (9 * len(z))
    return float((np.cbrt(np.square(z).sum() / len(z)) - (1 - part)) / np.sqrt(part))
