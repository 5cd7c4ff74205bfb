"""Seasons: which of the calendar's show in the data, and which the data have besides.

A season shows if values a season apart go together: the autocorrelation of the differenced series has a peak there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.climatology import Cycle
from rnncore.tables import Grid

_LEAST = 0.1  # of the autocorrelation at a season
_MOST_SERIES = 64  # are looked at
_MOST_STEPS = 20_000  # of each, at the end
_LONGEST = 800  # steps of a season that windows can hold twice
_YEAR = 365.2425
_YEAR_LONG = 300  # days: a season of more is the year


@dataclass(frozen=True)
class Periods:
    """Seasons in steps: m1 < m2; 1 and 0 stand for none. `year` is for sine and cosine, 0 for none."""

    m1: int = 1
    m2: int = 0
    year: float = 0.0

    @property
    def longest(self) -> int:
        """The longest season."""
        return self.m2 or self.m1

    @property
    def seasons(self) -> list[int]:
        """All seasons, short ones first."""
        return [m for m in (self.m1, self.m2) if m > 1]

    def phase(self, grid: Grid, positions: Array, season: int) -> Array:
        """Return the place within a season, a whole number below it, by the local clock.

        Weeks have their place in the year of the calendar: 52 of them are a day short of it.
        """
        if grid.kind == "day" and _YEAR - 7 < season * grid.days < _YEAR:
            of_year = Cycle("year", _YEAR / grid.days).phase(grid, np.asarray(positions)) % 1
            return np.minimum((of_year * season).astype(np.int64), season - 1)
        if grid.kind == "time" and grid.zone is not None:
            positions = np.rint(grid.seconds(positions) / (grid.step / 1e9)).astype(np.int64)
        place: Array = np.asarray(positions, np.int64) % season
        return place

    def waves(self, grid: Grid, positions: Array) -> Array:
        """(K, .) float32: sine and cosine, two harmonics of each season and three of the year."""
        parts = [np.zeros((len(positions), 0), np.float32)]
        for season, harmonics in ((self.m1, 2), (self.m2, 2), (self.year, 3)):
            if season > 3:
                turn = positions / season if season == self.year else self.phase(grid, positions, int(season)) / season
                angle = 2 * np.pi * turn[:, None] * np.arange(1, harmonics + 1)
                parts += [np.sin(angle), np.cos(angle)]
        return np.concatenate(parts, axis=1).astype(np.float32)


def calendar_seasons(grid: Grid) -> list[float]:
    """Return the lengths of day, week and year in steps, as far as the grid resolves them, short ones first."""
    if grid.kind == "index":
        return []
    if grid.kind == "month":
        return [12 / grid.step] if grid.step < 12 else []
    if grid.kind == "business":
        return [5.0, 5 * _YEAR / 7]
    return [length / grid.days for length in (1, 7, _YEAR) if length / grid.days >= 2]


def find_periods(y: Array, grid: Grid, told: tuple[int, ...] | None = None) -> Periods:
    """Find the seasons of series y (N, T), NaN where unknown; `told` names them."""
    lengths = (~np.isnan(y)).sum(axis=1)
    longest = int(lengths.max())
    year = (
        next((m for m in calendar_seasons(grid) if m * grid.days > _YEAR_LONG and m > 50 and longest >= 1.5 * m), 0.0)
        if (grid.calendar)
        else 0.0
    )
    if told is not None:
        seasons = sorted(m for m in told if m > 1)
        return Periods(*(seasons[0], seasons[1] if len(seasons) > 1 else 0) if seasons else (1, 0), year)
    order = np.flatnonzero(lengths > 0)
    order = order[np.linspace(0, len(order) - 1, min(len(order), _MOST_SERIES)).astype(int)]
    values = [_tidy(y[n]) for n in order]
    whole = [m for m in calendar_seasons(grid) if m <= _LONGEST and abs(m - round(m)) < m / 260]
    wanted = [round(m) for m in whole if m != year or m < _YEAR / 7 + 1]
    m1 = _strongest(values, wanted, 2)
    if m1 is None:
        return Periods(year=year)
    if grid.calendar and m1 * grid.days > _YEAR_LONG:  # the calendar has nothing longer
        return Periods(m1, year=year)
    longer = _longer([_without(each, m1) for each in values], m1, [m for m in wanted if m > m1 and m % m1 == 0])
    return Periods(m1, longer, year)


def _tidy(y: Array) -> Array:
    """The known part at the end, holes filled, cut to six spreads."""
    known = np.flatnonzero(~np.isnan(y))
    if not known.size:
        return np.zeros(1)
    own = y[known[0] :][-_MOST_STEPS:]
    place = np.maximum.accumulate(np.where(np.isnan(own), 0, np.arange(len(own))))
    own = np.nan_to_num(own[place])
    middle = np.median(own)
    spread = max(np.median(np.abs(own - middle)) * 1.5, own.std() / 4) + 1e-300  # half the values may be the same
    return np.clip(own, middle - 12 * spread, middle + 12 * spread)


def _without(y: Array, season: int) -> Array:
    """The series without its mean profile of a season."""
    place = np.arange(len(y)) % season
    profile = np.bincount(place, y, minlength=season) / np.maximum(np.bincount(place, minlength=season), 1)
    rest: Array = y - profile[place]
    return rest


def _strongest(values: list[Array], wanted: list[int], least: int) -> int | None:
    """The season with the highest mean autocorrelation of differences; the calendar's first, None if none shows."""
    mean, count = _mean_autocorrelation(values, least)
    top = len(mean) - 2
    threshold = max(_LEAST, 2.5 / np.sqrt(count + 1))
    inner = mean[1:-1]
    peaks = np.flatnonzero((inner >= mean[:-2]) & (inner >= mean[2:]) & (inner >= 2 * threshold)) + 1
    level = {m: _around_trend(values, m) for m in wanted if least <= m <= top}
    shown = [m for m in level if _shows(mean, m, threshold) or _shows(level[m], m, threshold)]
    mean[shown] = [max(mean[m], level[m][m]) for m in shown]
    found = [m for m in peaks.tolist() if m >= 3 and _stands_out(mean, m)]
    best = max((mean[m] for m in [*shown, *found]), default=0.0)
    for candidates in (shown, found):
        good = [m for m in candidates if mean[m] >= 0.75 * best]
        if good:
            return min(good)
    return None


def _longer(values: list[Array], m1: int, wanted: list[int]) -> int:
    """A multiple of the short season whose autocorrelation lies above that of the multiples beside it; 0 for none.

    It has to do so in a quarter of the series.
    """
    multiples = max(1, min(_LONGEST, max(len(each) for each in values) // 3) // m1)
    if multiples < 3:
        return 0
    every = np.full((len(values), multiples), np.nan)
    for n, each in enumerate(values):
        reach = min(multiples, len(each) // (3 * m1))
        if reach >= 3 and np.ptp(each) > 0:
            own = _autocorrelation(np.diff(each), reach * m1)[m1::m1]
            peak = own[1:-1] - (own[:-2] + own[2:]) / 2
            every[n, 1 : reach - 1] = np.where(own[1:-1] > max(_LEAST, 2.5 / np.sqrt(len(each))), peak, 0)
    there = (~np.isnan(every)).any(axis=0)
    above = np.zeros(multiples)
    above[there] = np.nanquantile(every[:, there], 0.75, axis=0)
    for m in wanted:
        k = m // m1 - 1
        if k < multiples and max(above[k], _rises(_around_trend(values, m)[m1::m1], k)) > _LEAST / 4:
            return m
    best = float(above.max())
    return (int(np.flatnonzero(above >= 0.7 * best)[0]) + 1) * m1 if best > _LEAST / 2 else 0


def _mean_autocorrelation(values: list[Array], least: int) -> tuple[Array, int]:
    """Mean over the series, of differences, as far as a third of the longest; and how many steps went into it."""
    top = max(least, min(_LONGEST, max(len(each) for each in values) // 3))
    total, weight = np.zeros(top + 2), np.zeros(top + 2)
    for each in values:
        if len(each) >= 3 * least and np.ptp(each) > 0:
            own = _autocorrelation(np.diff(each), min(top + 1, len(each) // 2 - 1))
            total[: len(own)] += own * len(each)
            weight[: len(own)] += len(each)
    return total / np.maximum(weight, 1), int(weight.max())


def _rises(own: Array, k: int) -> float:
    """How far an autocorrelation that says something lies above the mean of its neighbours."""
    if k + 1 >= len(own) or own[k] <= _LEAST:
        return 0.0
    return float(own[k] - (own[k - 1] + own[k + 1]) / 2)


def _around_trend(values: list[Array], season: int) -> Array:
    """Mean autocorrelation of series less their running mean over three seasons, up to half as much again."""
    top = 2 * season + 1
    total, weight = np.zeros(top + 1), 0
    for each in values:
        if len(each) >= 4 * season and np.ptp(each) > 0:
            kernel = np.ones(3 * season)
            trend = np.convolve(each, kernel, "same") / np.convolve(np.ones(len(each)), kernel, "same")
            total += _autocorrelation(each - trend, top) * len(each)
            weight += len(each)
    mean: Array = total / max(weight, 1)
    return mean


def _shows(mean: Array, season: int, threshold: float) -> bool:
    return bool(mean[season] >= threshold) and _stands_out(mean, season)


def _stands_out(mean: Array, season: int) -> bool:
    """Whether the autocorrelation at a season lies well above its surroundings, half a season to either side."""
    half = max(1, season // 2)
    around = np.concatenate([mean[max(1, season - half) : season], mean[season + 1 : season + half + 1]])
    return bool(mean[season] > np.median(around) + _LEAST)


def _autocorrelation(x: Array, most: int) -> Array:
    """Lags 0 to `most`."""
    x = x - x.mean()
    size = 1 << int(2 * len(x) - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(x, size)) ** 2
    own = np.fft.irfft(spectrum, size)[: most + 1]
    return own / own[0] if own[0] > 0 else np.zeros(most + 1)
