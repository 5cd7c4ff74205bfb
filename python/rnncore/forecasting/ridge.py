"""Ridge regression (Hoerl & Kennard 1970) of all horizons at once on a window, the season's phase and covariates.

One Gram matrix serves every horizon, and is added to when more windows come. The target is what the seasonal mean of
the window leaves over. In panels each series is solved again with a penalty for leaving the pooled solution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.windows import Windows

PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
OWN_PENALTIES = (1e3, 1e4, 1e5)
_BLOCK = 512  # windows at a time
_TURNS = 5  # of the longest season, before each of its places has an input of its own
_MOST_OWN = 2e11  # multiplications for the solutions of single series, at most
_MOST_COEFFICIENTS = 12_000_000  # of all series
_ROBUST_FROM = 8  # series: windows that are far off weigh less, so that no series dominates the pool


@dataclass
class Ridge:
    """A fitted regression: coefficients (D, H) of the pool, or (N, D, H) of every series."""

    places: bool  # an input for each place of the longest season
    phases: bool
    robust: bool
    gram: Array  # (D, D) of the windows learned from; empty once settled
    moment: Array  # (D, H)
    count: int = 0
    penalty: float = 100.0
    own_penalty: float = float("inf")
    coefficients: Array | None = None
    pooled: Array | None = None

    def of(self, known: Array) -> Ridge:
        """Return the regression of some series, by index; where that is -1, that of the pool."""
        if self.coefficients is None or self.coefficients.ndim == 2:
            return self
        assert self.pooled is not None
        own = np.where(known[:, None, None] >= 0, self.coefficients[known], self.pooled)
        return replace(self, coefficients=own)

    @classmethod
    def begin(cls, windows: Windows, end: int) -> Ridge:
        """Return one that has learned nothing yet; `end` says how much there will be to learn from."""
        series, season = len(windows.y), windows.layout.periods.longest
        phases = windows.history.grid.calendar or series == 1
        places = phases and season > 1 and end * series >= _TURNS * season
        empty = np.zeros(0)
        model = cls(places, phases, series >= _ROBUST_FROM, empty, empty)
        size = model.inputs(windows, np.zeros(1, np.int64), np.array([end]))[0].shape[1]
        model.gram, model.moment = np.zeros((size, size)), np.zeros((size, windows.layout.horizon))
        return model

    def learn(self, windows: Windows, series: Array, origins: Array) -> None:
        """Add windows to the Gram matrix."""
        for k in range(0, len(series), _BLOCK):
            x, z = self._pairs(windows, series[k : k + _BLOCK], origins[k : k + _BLOCK])
            self.gram += x.T @ x
            self.moment += x.T @ z
        self.count += len(series)

    def solve(self, penalty: float) -> None:
        """Find the pooled coefficients."""
        self.penalty, self.own_penalty = penalty, float("inf")
        self.coefficients = self.pooled = _solved(self.gram, self.moment, penalty).astype(np.float32)

    def settled(self) -> Ridge:
        """Return the regression as it was solved last, without what only solving it again needs."""
        return replace(self, gram=np.zeros(0), moment=np.zeros(0))

    def renewed(self, windows: Windows, series: Array, origins: Array, end: int) -> Ridge:
        """Return a regression with the same penalties, fitted to some windows before `end`."""
        model = Ridge.begin(windows, end)
        model.learn(windows, series, origins)
        model.solve(self.penalty)
        model = model.settled()
        if np.isfinite(self.own_penalty):
            model.solve_own(windows, series, origins, self.own_penalty)
        return model

    def solve_own(self, windows: Windows, series: Array, origins: Array, own_penalty: float) -> None:
        """Find coefficients for each series, drawn to those of the pool, from its own windows."""
        pooled = self.coefficients
        assert pooled is not None
        every = np.repeat(pooled[None], len(windows.y), 0)
        edges = np.searchsorted(series, np.arange(len(windows.y) + 1))
        for n in range(len(windows.y)):
            own = slice(edges[n], edges[n + 1])
            if edges[n] == edges[n + 1]:
                continue
            x, z = self._pairs(windows, series[own], origins[own])
            every[n] += _solved(x.T @ x, x.T @ (z - x @ pooled), own_penalty)
        self.coefficients, self.pooled, self.own_penalty = every, pooled, own_penalty

    def can_solve_own(self, windows: Windows) -> bool:
        """Tell whether that is worth it and can be paid for."""
        assert self.coefficients is not None
        series, size = len(windows.y), len(self.coefficients)
        rows = self.count / series
        cheap = series * size * size * (rows + size) <= _MOST_OWN
        return series > 1 and self.coefficients.size * series <= _MOST_COEFFICIENTS and cheap and rows >= 10

    def forecast(self, windows: Windows, series: Array, origins: Array) -> Array:
        """(K, H) in the unit of the target."""
        out = np.empty((len(series), windows.layout.horizon), np.float32)
        for k in range(0, len(series), _BLOCK):
            here = slice(k, k + _BLOCK)
            x, seasonal, level, scale = self.inputs(windows, series[here], origins[here])
            c = self.coefficients
            assert c is not None
            z = x @ c if c.ndim == 2 else np.einsum("kd,kdh->kh", x, c[series[here]], optimize=True)
            out[here] = windows.unscaled(z + seasonal, level, scale)
        return out

    def inputs(self, windows: Windows, series: Array, origins: Array) -> tuple[Array, Array, Array, Array]:
        """Return inputs (K, D) float32, the seasonal mean (K, H), level and scale (K,)."""
        x, level, scale = windows.at(series, origins)
        parts = [x, windows.extras(series, origins, self.phases), np.ones((len(x), 1), np.float32)]
        if self.places:
            season = windows.layout.periods.longest
            where = windows.history.positions(series, origins)
            place = windows.layout.periods.phase(windows.history.grid, where, season)
            parts.append(np.eye(season, dtype=np.float32)[place])
        return np.concatenate(parts, axis=1), windows.seasonal(x), level, scale

    def _pairs(self, windows: Windows, series: Array, origins: Array) -> tuple[Array, Array]:
        """Inputs and what to learn of them, zero where unknown."""
        x, seasonal, level, scale = self.inputs(windows, series, origins)
        z = (windows.targets(series, origins) - level[:, None]) / scale[:, None] - seasonal
        z = np.nan_to_num(z).astype(np.float32)
        if self.robust:
            weight = 1 / np.sqrt(np.maximum(1.0, np.sqrt((z**2).mean(axis=1, keepdims=True))))
            x, z = x * weight, z * weight
        return x, z


def _solved(gram: Array, moment: Array, penalty: float) -> Array:
    penalised = gram.copy()
    penalised[np.diag_indices_from(penalised)] += penalty
    solution: Array = np.linalg.solve(penalised, moment)
    return solution
