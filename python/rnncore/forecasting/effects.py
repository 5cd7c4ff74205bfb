"""What covariates that are known ahead do to the target at the same step: taken off before members are fitted.

Least squares on differences over the season (Box & Jenkins 1976), of each series drawn to all, with the square of what
is no mere flag. Effects are used if they explain a part of the differences that were held out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.history import History

_WORTH = 0.02  # of the variance of held-out differences
_POOL = 20.0  # rows that the pool counts for
_FLAG = 4  # values at most


@dataclass
class Effects:
    """Coefficients (N, E) of the covariates and their squares, E = 2 F."""

    centre: Array  # (F,)
    spread: Array  # (F,)
    squared: Array  # (F,) bool
    coefficients: Array

    def of(self, known: Array) -> Effects:
        """Return the effects of some series, by index; -1 stands for one that is new."""
        own = np.where(known[:, None] >= 0, self.coefficients[known], self.coefficients.mean(axis=0))
        return replace(self, coefficients=own)

    def at(self, future: Array) -> Array:
        """(N, K, F) covariates -> (N, K) effects."""
        total: Array = np.einsum("nke,ne->nk", self._inputs(future), self.coefficients)
        return total

    def removed(self, history: History) -> History:
        """Return the history as it would be with usual covariates."""
        return replace(history, y=history.y - self.at(history.future[:, : history.steps]))

    def ahead(self, history: History, origins: Array, horizon: int) -> Array:
        """(N, O, H) effects after some origins; past what is known, the last ones go on."""
        every = self.at(history.future)
        steps = np.minimum(origins[:, None] + np.arange(horizon), every.shape[1] - 1)
        found: Array = every[:, steps]
        return found

    def _inputs(self, future: Array) -> Array:
        z = np.clip((future - self.centre) / self.spread, -8, 8).astype(np.float64)
        return np.concatenate([z, np.where(self.squared, z**2 - 1, 0)], axis=-1)


def find_effects(history: History, cut: int, end: int, season: int) -> Effects | None:
    """Fit to what lies before `end` if a fit to what lies before `cut` says something of what lies between."""
    if not history.future.shape[-1] or cut <= season + 5:
        return None
    known = history.future[:, :end].reshape(-1, history.future.shape[-1]).astype(np.float64)
    spread = known.std(axis=0)
    squared = np.array([len(np.unique(column[:20_000])) > _FLAG for column in known.T])
    model = Effects(known.mean(axis=0), np.where(spread > 0, spread, np.inf), squared, np.zeros((len(history.y), 0)))
    x = model._inputs(history.future[:, :end])
    dx, dy = x[:, season:] - x[:, :-season], history.y[:, season:end] - history.y[:, : end - season]
    there = ~np.isnan(dy) & (np.arange(season, end) >= history.first[:, None] + season)
    before = there & (np.arange(season, end) < cut)
    behind = there & ~before
    if not before.any() or not behind.any():
        return None
    model.coefficients = _coefficients(dx, dy, before)
    rest = dy - np.einsum("nke,ne->nk", dx, model.coefficients)
    scale = np.array([dy[n, own].std() if own.any() else 1.0 for n, own in enumerate(before)])
    scale = np.where(scale > 0, scale, np.inf)[:, None]
    left, all_ = (float((np.where(behind, values / scale, 0) ** 2).sum()) for values in (rest, dy))
    if not left < (1 - _WORTH) * all_:
        return None
    model.coefficients = _coefficients(dx, dy, there)
    return model


def _coefficients(dx: Array, dy: Array, rows: Array) -> Array:
    """Of each series (N, E), drawn to those of all in units of its own spread."""
    spread = np.array([dy[n, own].std() if own.sum() > 1 else 0.0 for n, own in enumerate(rows)])
    size = dx.shape[-1]
    pool_gram, pool_moment = np.eye(size) * 1e-6, np.zeros(size)
    parts = []
    for n, own in enumerate(rows):
        x, y = dx[n, own], dy[n, own] / (spread[n] if spread[n] > 0 else 1.0)
        parts.append((x.T @ x, x.T @ y))
        if spread[n] > 0:
            pool_gram += parts[-1][0]
            pool_moment += parts[-1][1]
    pool = np.linalg.solve(pool_gram + np.eye(size), pool_moment)
    count = max(1, int(rows.sum()))
    each_row = sum(float(np.trace(gram)) for gram, _ in parts) / size / count
    weight = _POOL * max(each_row, 1e-6) * np.eye(size)
    own = [np.linalg.solve(gram + weight, moment + weight @ pool) for gram, moment in parts]
    coefficients: Array = np.stack(own) * spread[:, None]
    return coefficients
