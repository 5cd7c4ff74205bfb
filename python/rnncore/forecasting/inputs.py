"""Step by step inputs and targets of the network that carries its state: standardised, nothing known only later.

All that is fitted here (climatology, means, spreads) is fitted to what lies before `end`. Sizes: T steps, N series,
I inputs, H horizons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rnncore.arguments import Array
from rnncore.forecasting.climatology import Climatology, Cycle, find_cycles, fit_climatology, usual
from rnncore.forecasting.history import History, blocks, filled
from rnncore.forecasting.periods import Periods

_CLIP = 6.0  # spreads: a reading so far out says no more than one at this bound
_MOST_SERIES_TOLD_APART = 16
_TINY = 1e-12
_LEAST_TURNS = 10  # of a cycle, before a recurrent layer sees its phase: it would learn a few years day by day
_INPUT_HARMONICS = {"year": 1, "week": 3, "day": 2, "season": 2}


@dataclass
class Inputs:
    """What is fitted before inputs can be laid out. A forecast is base + scale * (what is learned)."""

    horizon: int
    changes: bool  # inputs are the changes of the last step and targets those from today on, for series that wander
    climatology: list[Climatology]  # of each series
    cycles: list[Cycle]  # that some series shows
    spread: Array  # (N, C) of the target and the covariates
    kept: list[int]  # columns that change before the end
    flags_missing: bool
    scale: Array  # (N, H)
    identity: Array  # (N, .) an input for each series, if they are few
    recurrent: Array  # (I,) bool: for the recurrent layer too; the others are for the linear part alone

    @classmethod
    def fit(cls, history: History, end: int, periods: Periods, horizon: int, changes: bool) -> Inputs:
        """Fit to the steps before `end`."""
        series, grid = len(history.y), history.grid
        columns = _columns(history)
        inside = np.arange(history.steps)[:, None] >= history.first
        before = inside & (np.arange(history.steps) < end)[:, None]
        span = int((end - history.first).max())
        cycles = find_cycles(grid, span, periods.seasons)
        climatology = []
        for n in range(series):
            now = before[:, n]
            values = columns[now, n].copy()
            values[:, 0] = history.y[n, now]
            climatology.append(fit_climatology(grid, cycles, history.offset[n] + np.flatnonzero(now), values))
        shown = [cycle for cycle in cycles if any(cycle in dict(fit.cycles) for fit in climatology)]
        empty = np.zeros(0)
        identity = np.eye(series) if 1 < series <= _MOST_SERIES_TOLD_APART else np.zeros((series, 0))
        model = cls(horizon, changes, climatology, shown, empty, [0], False, empty, identity, empty)
        moves = np.where(before[..., None], model._moves(history, columns), np.nan)
        size = np.nanmax(np.abs(np.where(before[..., None], columns, 0)), axis=(0, 1))
        model.kept = [0] + [
            k for k in range(1, len(size)) if np.nanmax(np.abs(moves[..., k]), initial=0.0) > _TINY * size[k]
        ]
        model.spread = np.stack([_spread(moves[..., k], size[k]) for k in range(len(size))], axis=-1)
        model.flags_missing = bool((np.isnan(history.y.T) & before).any())
        model.scale = np.ones((series, horizon))
        squares, count = np.zeros((2, series, horizon))
        for _, rest in model._rests(history, end):
            known = ~np.isnan(rest)
            squares += (np.where(known, rest, 0) ** 2).sum(axis=0)
            count += known.sum(axis=0)
        model.scale = _root(squares, count, size[0])
        turns = {cycle.name: span / cycle.steps for cycle in shown}
        names = model.names()
        model.recurrent = np.array([turns.get(name.split(" ")[0], _LEAST_TURNS) >= _LEAST_TURNS for name in names])
        return model

    def of(self, known: Array) -> Inputs:
        """Return the inputs of some series, by index."""
        climatology = [self.climatology[n] for n in known]
        return replace(
            self, climatology=climatology, spread=self.spread[known], scale=self.scale[known],
            identity=self.identity[known],
        )  # fmt: skip

    def names(self) -> list[str]:
        """One name for each input."""
        names = [f"column {k}" for k in self.kept] + ["missing"] * self.flags_missing
        for cycle in self.cycles:
            count = 2 * min(_INPUT_HARMONICS[cycle.name], cycle.most_harmonics)
            names += [f"{cycle.name} {k}" for k in range(count)]
        names += [f"series {n}" for n in range(self.identity.shape[1])]
        return names

    def lay_out(self, history: History, begin: int = 0) -> Array:
        """(T - begin, N, I) float32 inputs from step `begin` on."""
        columns = _columns(history)
        moves = self._moves(history, columns)
        inside = np.arange(history.steps)[:, None] >= history.first
        parts = [np.clip(np.nan_to_num(moves / self.spread), -_CLIP, _CLIP)[..., self.kept].astype(np.float32)]
        if self.flags_missing:
            parts.append(np.isnan(history.y.T)[..., None].astype(np.float32))
        where = np.arange(history.steps)[:, None] + history.offset
        for cycle in self.cycles:
            count = min(_INPUT_HARMONICS[cycle.name], cycle.most_harmonics)
            parts.append((np.sqrt(2) * cycle.harmonics(history.grid, where, count)).astype(np.float32))
        parts.append(np.broadcast_to(self.identity.astype(np.float32), (*inside.shape, self.identity.shape[1])))
        x = np.concatenate(parts, axis=-1)
        x *= inside[..., None]
        return x[begin:]

    def base(self, history: History, steps: Array, today: Array | None = None) -> Array:
        """(K, N, H) what the learned part is added to: the climatology, or today's value and its change.

        `today` are the values (N, T) without holes, if they are at hand.
        """
        reach = steps[:, None] + np.arange(1, self.horizon + 1)
        target = slice(1)
        ahead = usual(self.climatology, history.grid, reach, history.offset, target)[..., 0]
        if not self.changes:
            return ahead
        today = filled(history.y, history.first, 1) if today is None else today
        now: Array = today.T[steps] - usual(self.climatology, history.grid, steps, history.offset, target)[..., 0]
        return ahead + now[..., None]

    def targets(self, history: History, end: int) -> tuple[Array, Array]:
        """Return z (end, N, H) float32, 0 where unknown, and whether it is known and lies before `end`."""
        z = np.empty((end, len(history.y), self.horizon), np.float32)
        known = np.empty(z.shape, np.bool_)
        for here, rest in self._rests(history, end):
            known[here] = ~np.isnan(rest)
            z[here] = np.where(known[here], rest / self.scale, 0)
        return z, known

    def _rests(self, history: History, end: int) -> Iterator[tuple[slice, Array]]:
        """Steps before `end`, some at a time, and the values ahead of them (K, N, H) less the base.

        NaN stands for what is unknown, does not lie before `end`, or is seen from before a series' beginning.
        """
        today = filled(history.y, history.first, 1)
        behind = np.full((len(today), self.horizon), np.nan)
        padded = np.concatenate([history.y[:, 1:end], behind], axis=1)
        ahead = np.swapaxes(sliding_window_view(padded, self.horizon, axis=1), 0, 1)
        for here in blocks(end, len(today) * self.horizon):
            steps = np.arange(here.start, here.stop)
            rest = ahead[here] - self.base(history, steps, today)
            rest[steps[:, None] < history.first] = np.nan
            yield here, rest

    def _moves(self, history: History, columns: Array) -> Array:
        """(T, N, C) departures from the climatology, or their changes."""
        departures: Array = columns - usual(self.climatology, history.grid, np.arange(history.steps), history.offset)
        if not self.changes:
            return departures
        moves: Array = np.diff(departures, axis=0, prepend=departures[:1])
        moves[history.first[history.first < len(moves)], np.flatnonzero(history.first < len(moves))] = 0
        return moves


def _columns(history: History) -> Array:
    """(T, N, C) the target, holes filled by the last value, and what the covariates are at each step."""
    today = filled(history.y, history.first, 1)[..., None]
    both = np.concatenate([today, history.past, history.future[:, : history.steps]], axis=-1)
    return np.swapaxes(both, 0, 1).astype(np.float64)


def _spread(values: Array, size: float) -> Array:
    """(T, N) -> (N,): root mean square over time of what is known; 1 where that is mere rounding."""
    known = ~np.isnan(values)
    return _root((np.where(known, values, 0.0) ** 2).sum(axis=0), known.sum(axis=0), size)


def _root(squares: Array, count: Array, size: float) -> Array:
    """Root of the mean of so many squares, given their sum; 1 where that is mere rounding."""
    spread = np.sqrt(squares / np.maximum(count, 1))
    return np.where(spread > 1e-9 * size, spread, 1.0)
