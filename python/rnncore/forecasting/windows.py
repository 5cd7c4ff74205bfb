"""Windows of the last L values, scaled: what ridge regression and the network of segments learn from.

A window of values x is shifted by its level, the mean of the last season (without a season: the last value), and
divided by its scale, with d the mean of |x_t - x_(t - m1)|::

    s = 1 / (1 / (2.395 d) + 5.44 / mean |x|)

which lies between what changes from season to season and what the values are (the weights are those of the M4
competition's measure). Sizes: K windows, H horizons, E extras.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rnncore import _core
from rnncore.arguments import Array
from rnncore.forecasting.history import History, filled
from rnncore.forecasting.periods import Periods

_DIFFERENCE, _VALUE = 2.395, 5.44
_LEAST_CHANGE = 0.01  # of the window's spread: of a series that repeats itself exactly nothing would be left
_LEAST_SCALE = 0.3  # of the whole series' scale
_KEPT = 4096  # windows: so many are not cut again at once
_MOST_WINDOWS = 90_000
_MOST_NUMBERS = 6_000_000  # in the targets of all windows that are learned from


@dataclass(frozen=True)
class Layout:
    """How long windows are and of what segments they consist."""

    periods: Periods
    horizon: int
    segment: int
    length: int

    @classmethod
    def of(cls, periods: Periods, horizon: int, input_size: int | None, longest: int) -> Layout:
        """Two of the longest season, or as much as one season before the last horizon; whole segments."""
        m1, longer = periods.m1, periods.longest
        segment = m1 if m1 > 1 else min(horizon, 12)
        length = max(2 * longer, horizon + longer) if m1 > 1 else 4 * segment
        length = min(length, max(longest // 2, 2 * segment))  # a short series: as much as leaves windows to learn from
        if input_size is not None:
            length = input_size
            segment = next(s for s in range(min(segment, input_size), 0, -1) if input_size % s == 0)
        return cls(periods, horizon, segment, -(-length // segment) * segment)


class Windows:
    """All windows of a history, cut when asked for."""

    def __init__(self, history: History, layout: Layout, fitted: Scaling | None = None, log: bool = False) -> None:
        self.history, self.layout, self.log = history, layout, log
        pad = layout.length
        with np.errstate(divide="ignore", invalid="ignore"):
            self.y = np.log(history.y) if log else history.y
        padded = np.concatenate([np.full((len(self.y), pad), np.nan), self.y], axis=1)
        padded[~np.isfinite(padded)] = np.nan
        self.z = filled(padded, history.first + pad, layout.periods.longest)
        self._flat = self.z.reshape(-1)
        behind = np.full((len(self.y), layout.horizon), np.nan)
        self._targets = sliding_window_view(np.concatenate([padded[:, pad:], behind], axis=1), layout.horizon, axis=1)
        self._last: tuple[Array, Array, tuple[Array, Array, Array]] | None = None
        self.scaling = fitted or Scaling.fit(self)

    def at(self, series: Array, origins: Array) -> tuple[Array, Array, Array]:
        """Return windows (K, L) float32, scaled, with their level (K,) and scale (K,)."""
        if self._last is not None and all(
            len(now) == len(then) and (now == then).all()
            for now, then in zip((series, origins), self._last[:2], strict=True)
        ):
            return self._last[2]  # several members ask for the same
        level, scale = self.measured(series, origins)
        x = np.empty((1, len(level), self.layout.length), np.float32)
        _core.gather_windows(self._flat, series * self.z.shape[1] + origins, level, scale, np.inf, x)
        found = x[0], level, scale
        self._last = (series, origins, found) if len(series) <= _KEPT else None
        return found

    def measured(self, series: Array, origins: Array) -> tuple[Array, Array]:
        """Return level (K,) and scale (K,) alone."""
        length, m1, m = self.layout.length, self.layout.periods.m1, self.layout.periods.longest
        starts = series * self.z.shape[1] + origins
        measures = np.empty((len(starts), 4))
        _core.describe_windows(self._flat, starts, length, m if m <= length else m1, _lag(m1, length), measures)
        return measures[:, 0].copy(), np.maximum(_scale(measures), _LEAST_SCALE * self.scaling.sigma[series])

    def seasonal(self, x: Array) -> Array:
        """(K, H) what the window says of the steps ahead: the mean of its last turns; zeros without a season."""
        m1, m2, horizon = self.layout.periods.m1, self.layout.periods.m2, self.layout.horizon
        length = x.shape[1]
        if m1 == 1:
            return np.zeros((len(x), horizon), np.float32)
        steps = np.arange(horizon)
        last: Array = x[:, length - m1 + steps % m1]
        if m2 and m2 <= length:
            last = np.float32(0.5) * last + np.float32(0.5) * x[:, length - m2 + steps % m2]
        return last

    def extras(self, series: Array, origins: Array, phases: bool) -> Array:
        """(K, E) float32: covariates, standardised, and with phases where the seasons and the year stand."""
        history = self.history
        parts = [np.zeros((len(series), 0), np.float32)]
        if phases:
            parts.append(self.layout.periods.waves(history.grid, history.positions(series, origins)))
        if history.past.shape[-1]:
            now = np.maximum(origins - 1, 0)
            parts.append(self.scaling.past(history.past[series, now]))
        if history.future.shape[-1]:
            reach = np.minimum(origins[:, None] + np.arange(self.layout.horizon), history.future.shape[1] - 1)
            ahead = self.scaling.future(history.future[series[:, None], reach])
            parts.append(self._condense(ahead))
        if history.static.shape[-1]:
            parts.append(self.scaling.static(history.static[series]))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _condense(self, ahead: Array) -> Array:
        """(K, H, F) -> (K, .): each step where they are few, else means of as many stretches of the horizon."""
        stretches = min(self.layout.horizon, max(1, 64 // ahead.shape[-1]))
        edges = np.linspace(0, self.layout.horizon, stretches + 1).astype(int)[:-1]
        means = np.add.reduceat(ahead, edges, axis=1)
        means /= np.diff([*edges, self.layout.horizon])[None, :, None]
        return means.reshape(len(ahead), -1)

    def targets(self, series: Array, origins: Array) -> Array:
        """(K, H) the values ahead, NaN where unknown."""
        ahead: Array = self._targets[series, origins]
        return ahead

    def pool(self, end: int, most: int = _MOST_WINDOWS, begin: Array | None = None) -> tuple[Array, Array]:
        """Return (series, origins) of windows to learn from: whose targets lie before `end` and are mostly known.

        Origins are common to all series, at an even distance if there would be too many windows.
        """
        first, length, horizon = self.history.first, self.layout.length, self.layout.horizon
        span = end - first
        need = np.minimum(length, np.maximum(self.layout.periods.m1 + 1, (span - horizon) // 2))
        start = first + need if begin is None else np.maximum(begin, first + need)
        counts = np.maximum(0, end - horizon + 1 - start)
        total = int(counts.sum())
        stride = max(1, -(-total // min(most, max(1, _MOST_NUMBERS // horizon))))
        every = np.arange(end - horizon, max(-1, int(start.min()) - 1), -stride)[::-1]
        inside = every[None] >= start[:, None]
        series, place = np.nonzero(inside)
        origins = every[place]
        known = np.isfinite(self._targets[series, origins]).mean(axis=1) >= 0.5
        return series[known], origins[known]

    def unscaled(self, z: Array, level: Array, scale: Array) -> Array:
        """Return forecasts in the unit of the target."""
        values: Array = z * scale[:, None] + level[:, None]
        return np.exp(np.clip(values, self.scaling.low, self.scaling.high)) if self.log else values


@dataclass
class Scaling:
    """What is fitted to the training part before windows can be cut elsewhere."""

    sigma: Array  # (N,) scale of each whole series
    low: float  # logarithms beyond these are cut
    high: float
    moments: dict[str, Any]

    @classmethod
    def fit(cls, windows: Windows) -> Scaling:
        """Fit to what lies before the history's end."""
        return cls.fit_before(windows, windows.history.end)

    @classmethod
    def fit_before(cls, windows: Windows, end: int) -> Scaling:
        """Fit to what lies before a step."""
        history, m1 = windows.history, windows.layout.periods.m1
        z, pad = windows.z, windows.layout.length
        measures = np.empty((len(z), 4))
        for n, begin in enumerate(np.minimum(history.first, end - 1)):
            own, start = z[n, pad + begin : pad + end], np.zeros(1, np.int64)
            _core.describe_windows(own, start, len(own), 1, _lag(m1, len(own)), measures[n : n + 1])
        sigma = _scale(measures)
        known = windows.y[:, :end]
        known = known[np.isfinite(known)]
        inside = np.arange(end)[None] >= history.first[:, None]
        moments = {
            name: _moments(values[:, :end][inside] if values.ndim == 3 else values)
            for name, values in (("past", history.past), ("future", history.future), ("static", history.static))
        }
        return cls(sigma, float(known.min(initial=0.0)) - 1, float(known.max(initial=0.0)) + 1, moments)

    def past(self, values: Array) -> Array:
        """Standardise covariates of the past."""
        return _standard(values, *self.moments["past"])

    def future(self, values: Array) -> Array:
        """Standardise covariates known ahead."""
        return _standard(values, *self.moments["future"])

    def static(self, values: Array) -> Array:
        """Standardise static covariates; what is missing is as the mean."""
        return np.nan_to_num(_standard(values, *self.moments["static"]))


def _moments(values: Array) -> tuple[Array, Array]:
    known = [column[~np.isnan(column)] for column in values.T]
    mean = np.array([column.mean(dtype=np.float64) if column.size else 0.0 for column in known])
    spread = np.array([column.std(dtype=np.float64) if column.size else 0.0 for column in known])
    return mean, np.where(spread > 1e-9 * np.maximum(np.abs(mean), 1e-300), spread, np.inf)


def _standard(values: Array, mean: Array, spread: Array) -> Array:
    standard: Array = np.clip((values - mean) / spread, -8, 8)
    return standard


def _lag(m1: int, length: int) -> int:
    """The season, if a window holds more than one."""
    return m1 if m1 < length else 1


def _scale(measures: Array) -> Array:
    """(K, 4) what windows look like -> (K,)."""
    _, change, size, spread = measures.T
    change = np.maximum(change, _LEAST_CHANGE * spread)
    tiny = 1e-9 * size + 1e-30
    scale: Array = 1 / (1 / (_DIFFERENCE * change + tiny) + _VALUE / (size + tiny))
    return scale
