"""Climatology: what is usual for the time of day, of the week, of the year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.tables import Grid

_YEAR, _DAY = 365.2425, 86_400.0  # days; seconds
_MOST_HARMONICS = {"year": 4, "week": 3, "day": 6, "season": 6}
_FOLDS = 10
_WORTH = 0.01  # of the squared error: what more harmonics have to save


@dataclass(frozen=True)
class Cycle:
    """A period of the calendar, or a season of so many steps that the data show or the user names."""

    name: str
    steps: float  # of the grid, to one turn

    def phase(self, grid: Grid, positions: Array) -> Array:
        """Return how far the cycle has turned at some positions, in turns; each turn begins at a whole number."""
        if self.name == "season":
            return positions / self.steps
        days = grid.seconds(positions) / _DAY
        if self.name == "day":
            return days
        if self.name == "week":
            return (days + 3) / 7  # from Mondays on
        years = np.floor(days).astype(np.int64).astype("datetime64[D]").astype("datetime64[Y]")
        first, after = ((years + k).astype("datetime64[D]").astype(np.int64) for k in (0, 1))
        return years.astype(np.int64) + (days - first + 0.5) / (after - first)

    def harmonics(self, grid: Grid, positions: Array, count: int) -> Array:
        """Return sine and cosine of 1 to `count` turns per cycle: (..., 2 * count)."""
        angle = 2 * np.pi * self.phase(grid, positions)
        waves = [wave(k * angle) for k in range(1, count + 1) for wave in (np.sin, np.cos)]
        return np.stack(waves, axis=-1) if waves else np.empty((*positions.shape, 0))

    @property
    def most_harmonics(self) -> int:
        """As many as the grid can tell apart."""
        return min(_MOST_HARMONICS[self.name], int(self.steps) // 2)


def find_cycles(grid: Grid, steps: int, seasons: list[int]) -> list[Cycle]:
    """Return the cycles, long ones first, which the grid resolves and of which `steps` of training hold two turns.

    Those of the calendar, and the seasons of the data that are none of them.
    """
    lengths: list[tuple[str, float]] = []
    if grid.kind == "month":
        lengths = [("year", 12 / grid.step)]
    elif grid.calendar:
        per_week = 5.0 if grid.kind == "business" else 7 / grid.days
        lengths = [("year", per_week * _YEAR / 7), ("week", per_week)]
        if grid.kind != "business":
            lengths.append(("day", 1 / grid.days))
    known = [round(length, 3) for _, length in lengths]
    lengths += [("season", float(season)) for season in seasons if round(float(season), 3) not in known]
    found = [Cycle(name, size) for name, size in lengths if size >= 4 and steps >= 1.9 * size]
    return sorted(found, key=lambda cycle: -cycle.steps)


@dataclass(frozen=True)
class Climatology:
    """A mean and harmonics of the cycles, fitted by least squares; the mean alone where no cycle is worth it."""

    cycles: list[tuple[Cycle, int]]  # and the number of harmonics
    coefficients: Array  # (1 + 2 * harmonics, C)

    def __call__(self, grid: Grid, positions: Array) -> Array:
        """Return what is usual at some positions: (..., C)."""
        values: Array = _regressors(self.cycles, grid, positions) @ self.coefficients
        return values


def usual(fits: list[Climatology], grid: Grid, steps: Array, offset: Array, columns: slice = slice(None)) -> Array:
    """Return what is usual for each of N series at steps (K, ...), which stand `offset` (N,) further on the grid.

    The shape is (K, N, ..., C). Series of the same cycles and offset share their harmonics, and steps that occur more
    than once have them once.
    """
    begin = int(steps.min(initial=0)) if steps.size else 0
    span = int(steps.max(initial=begin)) - begin + 1
    if span < steps.size:
        every = usual(fits, grid, np.arange(begin, begin + span), offset, columns)
        return np.moveaxis(every[steps - begin], -2, 1)
    alike: dict[Any, list[int]] = {}
    for n, fit in enumerate(fits):
        alike.setdefault((int(offset[n]), *fit.cycles), []).append(n)
    out = np.empty((len(steps), len(fits), *steps.shape[1:], fits[0].coefficients[:, columns].shape[1]))
    for (shift, *cycles), own in alike.items():
        values = _regressors(cycles, grid, steps + shift).reshape(steps.size, -1) @ np.stack(
            [fits[n].coefficients[:, columns] for n in own]
        )
        out[:, own] = np.moveaxis(values.reshape(len(own), *steps.shape, -1), 0, 1)
    return out


def fit_climatology(grid: Grid, cycles: list[Cycle], positions: Array, values: Array) -> Climatology:
    """Fit values (K, C) at positions (K,), NaN where unknown.

    Of each cycle, long ones first, it takes as few harmonics as fit the first column within 1 % as well as any number
    where it was left out: whole turns of the longest cycle at a time, so that a spell of odd weather cannot vouch for
    itself.
    """
    known = ~np.isnan(values[:, 0])
    chosen: list[tuple[Cycle, int]] = []
    if cycles and known.any():
        fold = _folds(cycles[0], grid, positions[known])
        for cycle in cycles:
            tries = [[*chosen, (cycle, count)] for count in range(cycle.most_harmonics + 1)]
            errors = [_left_out(_regressors(each, grid, positions[known]), values[known, 0], fold) for each in tries]
            enough = np.flatnonzero(np.array(errors) <= (1 + _WORTH) * min(errors))[0]
            chosen = tries[int(enough)]
    chosen = [(cycle, count) for cycle, count in chosen if count]
    regressors = _regressors(chosen, grid, positions)
    coefficients = np.zeros((regressors.shape[1], values.shape[1]))
    for column in range(values.shape[1]):
        there = ~np.isnan(values[:, column])
        if there.any():
            coefficients[:, column] = _least_squares(regressors[there], values[there, column])
    return Climatology(chosen, coefficients)


def _regressors(cycles: list[tuple[Cycle, int]], grid: Grid, positions: Array) -> Array:
    """1 and the harmonics: (..., 1 + 2 * harmonics)."""
    waves = [cycle.harmonics(grid, positions, count) for cycle, count in cycles]
    return np.concatenate([np.ones((*positions.shape, 1)), *waves], axis=-1)


def _folds(cycle: Cycle, grid: Grid, positions: Array) -> Array:
    """Number the turns of a cycle, counted from the first position; neighbours share a number if there are many."""
    turn = np.floor(cycle.phase(grid, positions) - cycle.phase(grid, positions[:1])).astype(np.int64)
    turns = int(turn.max()) + 1
    fold: Array = turn * min(turns, _FOLDS) // turns
    return fold


def _left_out(regressors: Array, values: Array, fold: Array) -> float:
    """Mean squared error of each fold from a fit to the others."""
    errors = []
    for number in np.unique(fold):
        out = fold == number
        if out.all():
            return float(np.var(values))
        errors.append((values[out] - regressors[out] @ _least_squares(regressors[~out], values[~out])) ** 2)
    return float(np.concatenate(errors).mean())


def _least_squares(regressors: Array, values: Array) -> Array:
    solution: Array = np.linalg.lstsq(regressors, values, rcond=None)[0]
    return solution
