"""Exponential smoothing with up to two seasons, for many series and many sets of parameters side by side.

The model (Holt 1957, Winters 1960; two seasons and autocorrelated errors after Taylor 2003)::

    s_t = level + day[t mod m1] + week[t mod m2]         what is expected before y_t is seen, but for the last error
    e_t = y_t - s_t                                      u_t = e_t - phi e_(t-1)
    level += trend + alpha u_t                           trend = damp trend + alpha beta u_t
    day[t mod m1] += delta u_t                           week[t mod m2] += omega u_t
    forecast of step t + h = level + day + week + phi^h e_t + (damp + damp^2 + ... + damp^h) trend

A missing value leaves the state as it would be had the value been as expected. Sizes: N series, G sets of parameters
for each, T steps, H horizons. All is standardised by series and worked on in float32.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.filters import Filter

# alpha, delta, omega, phi, beta: a coarse grid is enough, since the best few sets are averaged
GRID = np.array(
    list(
        itertools.product(
            (0.002, 0.03, 0.1, 0.3),
            (0.01, 0.06, 0.15, 0.35),
            (0.01, 0.1, 0.25, 0.5),
            (0.0, 0.5, 0.8, 0.95),
            (0.0, 0.02, 0.1),
        )
    ),
    np.float32,
)
_SETS = 3  # averaged for each series
_NUMBERS = 2_000_000  # float32 in one array of the search, at most
_TURNS = 30  # of the longest season that the search looks at, at most
_ROWS = 3000  # but at least so many rows


@dataclass
class Smoothing:
    """Exponential smoothing of N series: the best few sets of parameters of each, and the state after the last step."""

    m1: int
    m2: int
    horizon: int
    sets: Array  # (K, N, 5)
    logs: Array  # (K, N) bool: the set is for the logarithm
    centre: Array  # (2, N) of the values and of their logarithms
    spread: Array  # (2, N)
    reach: Array  # (2, N) logarithms within which forecasts stay
    pool: tuple[Array, Array]  # sets (K, 5) and logs (K,) that are best for all series together
    state: Filter | None = None

    def of(self, known: Array, y: Array) -> Smoothing:
        """Return the smoothing of some series, by index; where that is -1, with the sets of the pool, for series y."""
        centre, spread, reach = _standards(y)
        sets = np.repeat(self.pool[0][:, None], len(known), 1)
        logs = np.repeat(self.pool[1][:, None], len(known), 1) & (np.isfinite(reach[0]) & (_least(y) > 0))
        own = known >= 0
        sets[:, own], logs[:, own] = self.sets[:, known[own]], self.logs[:, known[own]]
        for mine, fitted in ((centre, self.centre), (spread, self.spread), (reach, self.reach)):
            mine[:, own] = fitted[:, known[own]]
        return Smoothing(self.m1, self.m2, self.horizon, sets, logs, centre, spread, reach, self.pool)

    def run(self, y: Array, at: Array, keep: bool = False) -> Array:
        """Return forecasts (N, O, H) float32 at origins `at`, ascending (at origin t, t steps are known)."""
        mean = np.zeros((y.shape[0], len(at), self.horizon), np.float32)
        state = Filter(self._standard(y, 0), self.sets, self.m1, self.m2)
        if self.logs.any():
            state.begin_like(Filter(self._standard(y, 1), self.sets, self.m1, self.m2), self.logs)

        def collect(o: int, ahead: Array) -> None:
            mean[:, o] = self._mean(ahead)

        _walk(state, self._seen(y), at, self.horizon, collect)
        if keep:
            self.state = state
        return mean

    def advance(self, y: Array, present: Array) -> None:
        """Take in new steps y (N, R), of which each series has those that are present (N, R), at the end."""
        assert self.state is not None
        _advance(self.state, self._seen(y), present)

    def ahead(self) -> Array:
        """(N, H) forecasts after the last step taken in."""
        assert self.state is not None
        return self._mean(self.state.forecast(self.horizon))

    def _seen(self, y: Array) -> Array:
        """What the sets see of y (N, T): the same (N, T), or (K, N, T) where some see logarithms."""
        plain = self._standard(y, 0)
        return np.where(self.logs[..., None], self._standard(y, 1), plain) if self.logs.any() else plain

    def _mean(self, ahead: Array) -> Array:
        """(K, N, H) forecasts of the sets, standardised -> (N, H) their mean in the unit of the series."""
        values = self._unit(ahead, 0)
        if self.logs.any():
            values = np.where(self.logs[..., None], self._unit(ahead, 1), values)
        mean: Array = values.mean(axis=0).astype(np.float32)
        return mean

    def _standard(self, y: Array, kind: int) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(y) if kind else y
        values = (values - self.centre[kind][:, None]) / self.spread[kind][:, None]
        standard: Array = np.where(np.isfinite(values), values, np.nan).astype(np.float32)
        return standard

    def _unit(self, ahead: Array, kind: int) -> Array:
        """Standardised forecasts (G, N, H) in the unit of the series."""
        values: Array = ahead * self.spread[kind][:, None] + self.centre[kind][:, None]
        if kind:
            values = np.exp(np.clip(values, self.reach[0][:, None], self.reach[1][:, None]))
        return values


def _walk(state: Filter, y: Array, at: Array, horizon: int, collect: Callable[[int, Array], None]) -> None:
    """Take y (N, T) or (K, N, T) in step by step; hand out the forecasts at the origins."""
    places = {int(t): k for k, t in enumerate(at)}
    values, flags = _by_step(y, ~np.isnan(y))
    for t in range(len(values) + 1):
        if t in places:
            collect(places[t], state.forecast(horizon))
        if t < len(values):
            state.step(values[t], flags[t])


def _by_step(y: Array, known: Array) -> tuple[Array, list[Array | None]]:
    """Values (T, ...), zero where unknown, and for each step which are known, None if all are."""
    values, flags = (np.ascontiguousarray(np.moveaxis(each, -1, 0)) for each in (np.where(known, y, 0), known))
    return values, [None if own.all() else own for own in flags]


def _advance(state: Filter, y: Array, present: Array) -> None:
    """Go on by new steps; a series with fewer waits, and its seasons are turned to the common clock."""
    steps, count = present.shape[1], present.sum(axis=1)
    names = ("level", "day", "week", "error", "trend")
    values, flags = _by_step(y, ~np.isnan(y) & present)
    for n in np.flatnonzero(count < steps):  # turned back, so that the steps to come find their place
        state.day[..., n] = np.roll(state.day[..., n], steps - count[n], axis=0)
        state.week[..., n] = np.roll(state.week[..., n], steps - count[n], axis=0)
    waiting = steps - int(count.min(initial=steps))
    for r in range(steps):
        idle = ~present[:, r] if r < waiting else None
        before = {} if idle is None else {name: getattr(state, name)[..., idle].copy() for name in names}
        state.step(values[r], flags[r])
        for name, own in before.items():
            getattr(state, name)[..., idle] = own


def fit(y: Array, m1: int, m2: int, horizon: int) -> Smoothing:
    """Choose for each series the sets of parameters with the least absolute error over rolling origins at its end."""
    series, steps = y.shape
    positive = np.nanmin(np.where(np.isnan(y), np.inf, y), axis=1) > 0
    grid = GRID[GRID[:, 2] == GRID[0, 2]] if not m2 else GRID
    if m1 == 1:
        grid = grid[grid[:, 1] == grid[0, 1]]
    count = int(np.clip(600 // series, 10, 60))
    every = max(1, horizon // 2) if m1 > 1 else horizon
    at = steps - horizon - every * np.arange(count)
    least = max(2 * m1, steps // 3 if series == 1 else 0)
    at = np.sort(at[at > least]) if (at > least).any() else np.array([max(steps - horizon, 1)])
    begin = max(0, steps - max(_ROWS, _TURNS * (m2 or m1), 2 * every * count))
    centre, spread, reach = _standards(y)
    model = Smoothing(m1, m2, horizon, grid[:0], grid[:0], centre, spread, reach, (grid[:0], grid[:0]))
    kinds = (0, 1) if positive.any() else (0,)
    errors = [_search(model, y, kind, grid, at, begin) for kind in kinds]
    if len(kinds) > 1:
        errors[1] = np.where(positive, errors[1], np.inf)
    order = np.argsort(np.concatenate(errors), axis=0, kind="stable")[:_SETS]
    model.sets, model.logs = grid[order % len(grid)], order >= len(grid)
    both = np.concatenate(errors)
    relative = both / np.maximum(both.min(axis=0), 1e-12)
    best = np.argsort(np.minimum(relative, 10).mean(axis=1), kind="stable")[:_SETS]
    model.pool = grid[best % len(grid)], best >= len(grid)
    return model


def _standards(y: Array) -> tuple[Array, Array, Array]:
    """Centre and spread (2, N) of values and logarithms, and logarithms (2, N) within which forecasts stay."""
    positive = _least(y) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(positive[:, None], np.log(np.where(positive[:, None], y, 1.0)), np.nan)
    moments = [_moments(y), _moments(logs)]
    centre, spread = (np.stack([each[k] for each in moments]) for k in (0, 1))
    return centre, spread, np.stack([_least(logs) - 1, -_least(-logs) + 1])


def _search(model: Smoothing, y: Array, kind: int, grid: Array, at: Array, begin: int) -> Array:
    """(G, N) mean absolute error over the origins, of every set for every series."""
    horizon, errors = model.horizon, np.zeros((len(grid), len(y)), np.float32)
    width = max(1, _NUMBERS // (len(grid) * horizon))
    for n in range(0, len(y), width):
        own = slice(n, n + width)
        values = model._standard(y, kind)[own, begin:]
        part = Smoothing(
            model.m1, model.m2, horizon, model.sets, model.logs,
            model.centre[:, own], model.spread[:, own], model.reach[:, own], model.pool,
        )  # fmt: skip
        counts = np.zeros(values.shape[0], np.float32)

        def collect(o: int, ahead: Array, own: slice = own, part: Smoothing = part, counts: Array = counts) -> None:
            actual = y[own, at[o] : at[o] + horizon].astype(np.float64)
            known = ~np.isnan(actual)
            scale = part.spread[0][:, None]
            off = np.abs(part._unit(ahead, kind) - np.where(known, actual, 0)) / scale
            errors[:, own] += np.where(known, off, 0).sum(axis=-1)
            counts[...] += known.sum(axis=-1)

        parameters = np.repeat(grid[:, None], values.shape[0], 1)
        _walk(Filter(values, parameters, model.m1, model.m2), values[:, : at[-1] - begin], at - begin, horizon, collect)
        errors[:, own] /= np.maximum(counts, 1)
    return errors


def _moments(values: Array) -> tuple[Array, Array]:
    """Mean and spread (N,) of what is known; 0 and 1 where that is nothing."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, values, 0).sum(axis=1) / count
    square = (np.where(known, values - mean[:, None], 0) ** 2).sum(axis=1) / count
    spread = np.sqrt(square)
    return mean, np.where(spread > 1e-12 * np.maximum(np.abs(mean), 1e-300), spread, np.maximum(np.abs(mean), 1.0))


def _least(values: Array) -> Array:
    known = ~np.isnan(values)
    least: Array = np.where(known.any(axis=1), np.where(known, values, np.inf).min(axis=1), 0.0)
    return least
