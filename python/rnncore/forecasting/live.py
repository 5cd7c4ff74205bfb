"""Fitted members in operation: the state after the last value of each series, which new values move on.

A new value costs one step of smoothing and one of the network that carries its state; windows are cut only when a
forecast is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.ensemble import Ensemble, naive
from rnncore.forecasting.history import History, last_known
from rnncore.forecasting.intervals import Intervals
from rnncore.forecasting.segments import Smoothed

_LOOK_BACK = 20  # steps at least: of the lags and changes
_MOST_WAITING = 256  # calls of update


@dataclass
class Live:
    """The end of each series, and the states of the members there."""

    ensemble: Ensemble
    tail: History  # as many steps as the members look back, `future` as far as it is known
    scale: Array  # (N, 1 or 2, 1 or H) of the errors that the last forecast may have
    known_ahead: int = 0  # steps behind the end whose covariates are known
    pending: Any = None  # the last forecasts (N, H), until values come to score them by
    waiting: list[Array] = field(default_factory=list)  # rows (R, C) of a single series that no member has seen yet
    end: int = 0  # position of the first step after all rows, those that wait too, of a single series

    @classmethod
    def start(cls, ensemble: Ensemble, history: History) -> Live:
        """Take in a whole history."""
        history = history if ensemble.effects is None else ensemble.effects.removed(history)
        if ensemble.smoothing is not None:
            ensemble.smoothing.run(history.y, np.array([history.steps]), keep=True)
        if ensemble.recurrent is not None and "recurrent" in ensemble.names:
            ensemble.recurrent.settle(history)
        live = cls(ensemble, history, np.ones((len(history.y), 1, 1)))
        live.tail = live._cut(history)
        live.known_ahead = history.known_ahead
        live.end = int(history.offset[0]) + history.steps
        return live

    def wait(self, rows: Array) -> bool:
        """Keep rows (R, C) of a single series until they are asked for; tell whether there are many."""
        self.waiting.append(rows)
        self.end += len(rows)
        return len(self.waiting) >= _MOST_WAITING

    def no_longer_waiting(self, past: int) -> tuple[Array, Array, Array, Array]:
        """Return the rows that wait as `update` takes them; `past` of their columns are past covariates."""
        rows = np.concatenate(self.waiting)
        self.waiting, known = [], rows[None].astype(np.float32)
        return rows[None, :, 0], known[..., 1 : 1 + past], known[..., 1 + past :], np.ones((1, len(rows)), np.bool_)

    def update(self, y: Array, past: Array, future: Array, present: Array) -> None:
        """Take in steps y (N, R), of which each series has those that are present (N, R), at the end.

        Covariates (N, R, .) come with them.
        """
        ensemble, tail = self.ensemble, self.tail
        steps, old = y.shape[1], tail.steps
        count = present.sum(axis=1)
        if ensemble.effects is not None:
            y = y - ensemble.effects.at(
                last_known(np.concatenate([tail.future[:, old - 1 : old], future], axis=1))[:, 1:]
            )
        joined = np.full((len(y), old + steps), np.nan)
        every_past = np.full((len(y), old + steps, past.shape[-1]), np.nan, np.float32)
        every_future = np.full((len(y), old + steps, future.shape[-1]), np.nan, np.float32)
        for n, r in enumerate(count):
            own = slice(steps - r, old + steps - r)  # a series with fewer rows keeps more of the old ones
            joined[n, own], every_past[n, own] = tail.y[n], tail.past[n]
            every_future[n, own.start : own.start + min(old, tail.future.shape[1])] = tail.future[n, :old]
            if r:
                joined[n, -r:], every_past[n, -r:] = y[n, -r:], past[n, -r:]
                every_future[n, old + steps - r :] = future[n, steps - r :]
        history = History(
            tail.grid, joined, _first(joined), tail.offset + old + count - (old + steps), old + steps,
            last_known(every_past), last_known(every_future), tail.static,
        )  # fmt: skip
        if ensemble.smoothing is not None:
            ensemble.smoothing.advance(np.where(present, y, np.nan), present)
        if ensemble.recurrent is not None and "recurrent" in ensemble.names:
            if (count == steps).all():
                ensemble.recurrent.advance(history, steps)
            else:
                self._advance_each(history, count)
        self.tail, self.known_ahead = self._cut(history), max(0, self.known_ahead - steps)
        self.end = int(self.tail.offset[0]) + self.tail.steps

    def _advance_each(self, history: History, count: Array) -> None:
        """Series with different numbers of new steps: those with fewer wait, and their states stay."""
        recurrent = self.ensemble.recurrent
        assert recurrent is not None
        for steps in sorted(set(count.tolist()) - {0}):
            recurrent.advance(history, steps, np.flatnonzero(count == steps))

    def follow(self, intervals: Intervals, y: Array, present: Array) -> None:
        """Let intervals follow what came of the last forecast."""
        if self.pending is not None:
            share = min(1.0, float(present.sum(axis=1).max()) / self.pending.shape[1])
            intervals.follow(self.missed(y, present), self.scale, np.arange(len(y)), share)
        self.pending = None

    def missed(self, y: Array, present: Array) -> Array:
        """Errors (N, H) of the pending forecasts, NaN where no value has come: of steps as `update` takes them."""
        errors = np.full(self.pending.shape, np.nan)
        steps, horizon = y.shape[1], errors.shape[1]
        for n, r in enumerate(present.sum(axis=1)):
            own = min(r, horizon)
            errors[n, :own] = y[n, steps - r : steps - r + own] - self.pending[n, :own]
        return errors

    def ahead(self) -> dict[str, Array]:
        """Forecasts (N, H) past the end of each series: "rnncore", and the members that count."""
        ensemble, tail = self.ensemble, self.tail
        windows, series = ensemble.windows(tail), np.arange(len(tail.y))
        end = np.array([tail.steps])
        found = {name: values[:, 0] for name, values in naive(windows, end).items() if name in ensemble.names}
        if ensemble.smoothing is not None and {"smoothing", "network"} & set(ensemble.names):
            found["smoothing"] = ensemble.smoothing.ahead()
        where, states = np.full(len(series), tail.steps), None
        if ensemble.ridge is not None and "ridge" in ensemble.names:
            found["ridge"] = ensemble.ridge.forecast(windows, series, where)
        if ensemble.segments is not None and "network" in ensemble.names:
            smooth: Any = ensemble.linear(windows) if ensemble.smoothing is None else None
            if ensemble.smoothing is not None:
                smooth = Smoothed(end, found["smoothing"][:, None], ensemble.log)
            found["network"], states = ensemble.segments.forecast(windows, series, where, smooth)
        self.scale = ensemble.scale(windows, series, where, states)
        if ensemble.recurrent is not None and "recurrent" in ensemble.names:
            found["recurrent"] = ensemble.recurrent.ahead(tail)
        if ensemble.effects is not None:
            more = ensemble.effects.ahead(tail, end, ensemble.layout.horizon)[:, 0]
            found = {name: values + more for name, values in found.items()}
        found = {name: ensemble.cut(values[:, None])[:, 0] for name, values in found.items()}
        mean = sum(w * found[name] for name, w in zip(ensemble.names, ensemble.weights, strict=True))
        return {"rnncore": np.asarray(mean, np.float64)} | found

    def _cut(self, history: History) -> History:
        """As many steps as are looked at for the next forecast or update."""
        layout = self.ensemble.layout
        keep = max(layout.length, layout.periods.longest + 1, _LOOK_BACK)
        drop = max(0, history.steps - keep)
        y = history.y[:, drop:].copy()
        return replace(
            history, y=y, first=_first(y), offset=history.offset + drop, end=history.steps - drop,
            past=history.past[:, drop:].copy(), future=history.future[:, drop:].copy(),
        )  # fmt: skip


def _first(y: Array) -> Array:
    known = ~np.isnan(y)
    first: Array = np.where(known.any(axis=1), np.argmax(known, axis=1), y.shape[1])
    return first
