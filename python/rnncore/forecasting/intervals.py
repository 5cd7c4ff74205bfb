"""Intervals of any level from errors on held-out origins, for each series, following the latest errors.

An error is scaled by how far values lie apart at its origin (`windows`: the scale of the window), or by what a quantile
head expects there (`widths`), on its side of the forecast. Scaled errors of all series are pooled for each horizon; a
series' own size of errors, drawn to the pool's, stretches the pool's quantiles.
With n independent windows a quantile goes further out by a factor of 1 + 1 / n of its level, as split conformal
prediction has it (Vovk et al. 2005), and leans on a normal distribution where n is small. What is forecast later is
scored when its values come, and the stretch of each series follows the errors of its latest windows (after Gibbs &
Candes 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from rnncore.arguments import Array

_POOL = 4.0  # independent windows that the pool counts for beside a series' own
_SHAPE = 30.0  # independent windows that the shape common to all horizons counts for
_NORMAL = 10.0  # and a normal distribution, beside it
_LATEST = 4.0  # independent windows over which the stretch follows what comes
_WORTH = 0.02  # of the interval score: what the quantile head has to save
_LEAST, _MOST = 0.4, 3.0  # of the stretch, beside that of the held-out part
_GRID = np.concatenate([[0.001, 0.0025, 0.005], np.arange(1, 100) / 100, [0.995, 0.9975, 0.999]])


@dataclass
class Intervals:
    """Quantiles of the scaled errors, and how wide each series has them now."""

    quantiles: Array  # (Q, H) of value - forecast over scale and stretch, at _GRID
    stretch: Array  # (N,) of the held-out part
    latest: Array  # (N,) mean absolute scaled error of late, over that of the held-out part
    typical: Array  # (H,) mean absolute scaled error, stretched by 1
    independent: float  # windows of all series that share no step

    @classmethod
    def fit(cls, errors: Array, scale: Array, independent: float) -> Intervals:
        """Fit to errors (N, O, H), NaN where unknown, at origins with a scale (N, O, 1 or 2, 1 or H).

        Of two scales the first is for errors below zero, the second for those above.
        """
        scaled = errors / sided(scale, errors)
        series, _, horizon = errors.shape
        known = ~np.isnan(scaled)
        size = np.where(known, np.abs(scaled), 0).sum(axis=1)  # (N, H)
        typical = size.sum(axis=0) / np.maximum(known.sum(axis=(0, 1)), 1)
        typical = np.maximum(_smooth(typical), 1e-12)
        relative = (size / typical).sum(axis=1) / np.maximum(known.sum(axis=(1, 2)), 1)
        counted = known.any(axis=(1, 2)) & (relative > 0)
        pool = float(np.median(relative[counted])) if counted.any() else 1.0
        stretch = np.where(counted, (independent * relative + _POOL * pool) / (independent + _POOL), pool)
        overlap = np.sqrt((1 / np.arange(1, horizon + 1)).sum())  # errors of short horizons share less than a window
        total = max(1.0, independent * overlap * float(counted.sum()))
        scaled /= stretch[:, None, None]
        scaled /= typical
        flat = scaled.reshape(-1, horizon)
        there = ~np.isnan(flat)
        levels = np.clip(0.5 + (_GRID - 0.5) * (1 + 1 / total), 0, 1)
        wider = 1 + 1 / total
        normal = np.array([NormalDist().inv_cdf(level) for level in _GRID])
        pooled = flat[there] if there.any() else np.zeros(1)
        spread = np.sqrt(np.vdot(pooled, pooled) / pooled.size)
        shape = np.quantile(pooled, levels, overwrite_input=True)
        shape += (normal * spread * wider - shape) * _NORMAL / (_NORMAL + total)
        quantiles = np.empty((len(_GRID), horizon))
        for h in range(horizon):
            own = flat[there[:, h], h]
            mine = np.quantile(own, levels) if own.size else shape
            quantiles[:, h] = (total * mine + _SHAPE * shape) / (total + _SHAPE)
        return cls(quantiles * typical, stretch, np.ones(series), typical, total)

    def of(self, known: Array) -> Intervals:
        """Return the intervals of some series, by index; -1 stands for one that is new."""
        own = known >= 0
        stretch = np.where(own, self.stretch[known], np.median(self.stretch))
        return replace(self, stretch=stretch, latest=np.where(own, self.latest[known], 1.0))

    def edges(self, level: float, scale: Array, series: Array | None = None, latest: Array | None = None) -> Array:
        """(2, K, H): what to add to forecasts at origins with a scale (K, ., .), for a band of `level` percent."""
        low, high = (100 - level) / 200, (100 + level) / 200
        rows = [_interpolated(low, self.quantiles), _interpolated(high, self.quantiles)]
        chosen = slice(None) if series is None else series
        now = self.latest[chosen] if latest is None else latest
        stretch = (self.stretch[chosen] * np.clip(now, _LEAST, _MOST))[:, None]
        return np.stack([row * sided(scale, row) * stretch for row in rows])

    def follow(self, errors: Array, scale: Array, series: Array, share: float) -> None:
        """Take notice of errors (K, H) that became known, at origins of some series; `share` of a window is new."""
        size = np.abs(errors) / sided(scale, errors) / self.stretch[series][:, None] / self.typical
        known = ~np.isnan(size)
        rate = 1 - np.exp(-share / _LATEST)
        for k, n in enumerate(series):
            if known[k].any():
                self.latest[n] += rate * (min(size[k][known[k]].mean(), 5.0) - self.latest[n])

    def followed(self, errors: Array, scale: Array, origins: Array) -> Array:
        """(N, O) the factor `latest` as it stood at each origin, from errors (N, O, H) known by then."""
        size = np.abs(errors) / sided(scale, errors) / self.stretch[:, None, None] / self.typical
        known = ~np.isnan(size)
        mean = np.where(known, np.minimum(size, 10), 0).sum(axis=2) / np.maximum(known.sum(axis=2), 1)
        there: Array = np.asarray(known.any(axis=2))
        horizon = errors.shape[2]
        state, out, done = self.latest.copy(), np.empty(mean.shape), 0
        for k, origin in enumerate(origins):
            while done < k and origins[done] + horizon <= origin:
                gap = origins[done] - origins[done - 1] if done else 1
                rate = 1 - np.exp(-min(1.0, gap / horizon) / _LATEST)
                state = np.where(there[:, done], state + rate * (np.minimum(mean[:, done], 5.0) - state), state)
                done += 1
            out[:, k] = state
        return out


def sided(scale: Array, values: Array) -> Array:
    """The scale (..., 2, H) of values (..., H): the first where they are below zero, the second elsewhere."""
    chosen: Array = np.where(values < 0, scale[..., 0, :], scale[..., -1, :])
    return chosen


def saves(errors: Array, scale: Array, other: Array, independent: float) -> bool:
    """Tell whether bands in another scale have a lower interval score, each half by what the other half says."""
    half = errors.shape[1] // 2
    parts = [slice(0, half), slice(half, None)]
    gain = []
    for fitted_to, judged in (parts, parts[::-1]):
        scores = []
        for own in (scale, other):
            bands = Intervals.fit(errors[:, fitted_to], own[:, fitted_to], independent / 2)
            scores.append(_interval_scores(bands, errors[:, judged], own[:, judged]))
        gain.append(np.log(scores[1]) - np.log(scores[0]))
    return bool(np.mean(gain) < np.log(1 - _WORTH) and np.max(gain) < 0)


def _interval_scores(bands: Intervals, errors: Array, scale: Array) -> Array:
    """Mean interval score (Winkler 1972) of bands of 80 and 95 %, each series in units of its own errors."""
    levels = (80.0, 95.0)
    sums = np.zeros(len(levels))
    for n, own in enumerate(errors):
        known = ~np.isnan(own)
        unit = np.abs(own[known]).mean() if known.any() else 0.0
        for k, level in enumerate(levels):
            low, high = bands.edges(level, scale[n], np.full(len(own), n))
            outside = np.maximum(low - own, 0) + np.maximum(own - high, 0)
            sums[k] += (high - low + 200 / (100 - level) * outside)[known].sum() / (unit if unit > 0 else 1.0)
    return sums / max(1, int((~np.isnan(errors)).sum()))


def _interpolated(level: float, quantiles: Array) -> Array:
    k = min(max(int(np.searchsorted(_GRID, level)), 1), len(_GRID) - 1)
    share = min(max((level - _GRID[k - 1]) / (_GRID[k] - _GRID[k - 1]), 0.0), 1.0)
    between: Array = (1 - share) * quantiles[k - 1] + share * quantiles[k]
    return between


def _smooth(values: Array) -> Array:
    """Means over neighbouring horizons: errors of one alone are few."""
    width = min(max(1, len(values) // 12), (len(values) - 1) // 2)
    kernel = np.ones(2 * width + 1)
    sums = np.convolve(values, kernel, "same")
    smooth: Array = sums / np.convolve(np.ones(len(values)), kernel, "same")
    return smooth
