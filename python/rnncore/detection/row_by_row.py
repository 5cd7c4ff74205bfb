"""A detector in operation: a row at a time, of one sensor or of many, in constant time and memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.conventions import Parameters
from rnncore.detection.alarm import Alarm
from rnncore.detection.kinds import kind_of
from rnncore.detection.place import Place
from rnncore.detection.scores import as_score, blamed

__all__ = ["RowByRow"]


class RowByRow(Parameters):
    """The part of a detector that takes rows as they come."""

    channels_: tuple[str, ...]
    n_features_in_: int
    threshold_: float
    _monitor: Any
    _forecaster: Any
    _place: Place

    def _check_fitted(self) -> None:
        if not hasattr(self, "_monitor"):
            raise ValueError("the detector has not been fitted: call fit first")

    def _prepare(self, sensors: int) -> None:
        """Set up what `score_one` and `score_many` write into, so that they allocate nothing."""
        width = self.n_features_in_
        self.ended: Alarm | None = None
        """The alarm that ended last."""
        self._sudden: dict[int, float] = {}
        self._y = np.empty((sensors, width))
        self._x = np.empty((sensors, 2 * width + 4), np.float32)
        self._open: dict[int, Alarm] = {}

    def score_one(self, row: Any, time: Any = None) -> Alarm | None:
        """Take the next row of the sensor, an array (C,) or a mapping of channels to values; None, or a new alarm.

        A row costs the same however many came before. NaN stands for a missing value. `time` is only needed where rows
        may be missing: those in between are then taken as missing. `open_alarm` is the alarm that lasts, if one does.
        Raises ValueError for a row of another size and for a time before the last one.
        """
        try:
            self._y[0] = row
        except (TypeError, ValueError, AttributeError):
            self._y[0] = self._as_row(row)
        events = self._advance() if time is None else self._advance_to(time)
        return None if events is None else events.get(0)

    def _as_row(self, row: Any) -> Array:
        self._check_fitted()
        if isinstance(row, Mapping):
            unknown = [name for name in self.channels_ if name not in row]
            if unknown:
                raise ValueError(f"row has no channel {unknown[0]!r}, only {', '.join(map(str, row))}")
            row = [row[name] for name in self.channels_]
        values = np.array([np.nan if value is None else value for value in np.ravel(row)], np.float64)
        if values.shape != (self.n_features_in_,):
            raise ValueError(f"row has {values.size} values, the detector expects {self.n_features_in_}")
        return values

    def _advance(self) -> dict[int, Alarm] | None:
        """Take the rows in `_y`; return new alarms by sensor, None if there are none."""
        self._monitor.inputs(self._y, self._place.advance(), self._x)
        if self._monitor.judge(self._forecaster.step(self._x)):
            return self._events()
        return None

    def _advance_to(self, time: Any) -> dict[int, Alarm] | None:
        """Take missing rows up to a time, and then those in `_y`; return the first alarm of them."""
        events = None
        absent = self._place.absent(time)
        if absent:
            y = self._y.copy()
            self._y[...] = np.nan
            for _ in range(absent):
                new = self._advance()
                events = events or new
            self._y[...] = y
        now = self._advance()
        self._place.meet(time)
        return events or now

    def _events(self) -> dict[int, Alarm]:
        new: dict[int, Alarm] = {}
        for n in range(self._place.sensors):
            evidence, _, channel, event = self._monitor.verdict(n)
            if event == 1:
                if n in self._open:  # another takes its place
                    self.ended = replace(self._open[n], end=self._place.row - 1)
                new[n] = self._open[n] = self._alarm(n, evidence, channel)
            elif event == -1:
                self.ended = self._finished(n)
        return new

    def _alarm(self, n: int, evidence: float, channel: int) -> Alarm:
        """Put together what began with the current row of a sensor."""
        monitor, width = self._monitor, self.n_features_in_
        normal = monitor.normal(n)
        errors = np.array(monitor.errors(n)).reshape(-1, width)
        out = np.array(monitor.out_of_range(n)).reshape(-1, width)
        if len(errors):
            expected = np.array(normal["centre"]) + np.array(normal["scale"]) * np.sinh(monitor.expected(n))
        else:
            middle = (np.array(normal["low"][:width]) + np.array(normal["high"][:width])) / 2
            expected = np.array(normal["centre"]) + np.array(normal["scale"]) * middle
        guilty = blamed(errors, out, channel, self.threshold_)
        sudden = monitor.suddenness(n, channel)
        self._sudden[n] = sudden
        return Alarm(
            self._place.label(),
            float(as_score(evidence, self.threshold_)),
            tuple(self.channels_[c] for c in guilty),
            {self.channels_[c]: float(expected[c]) for c in guilty},
            {self.channels_[c]: float(self._y[n, c]) for c in guilty},
            kind_of(monitor.tally(n), sudden),
            self._place.row - 1,
        )

    def open_alarm(self, sensor: int = 0) -> Alarm | None:
        """Return the alarm that lasts, its kind as far as can be told by now; None if there is none."""
        self._check_fitted()
        if not self._monitor.alarmed(sensor) or sensor not in self._open:
            return None
        return replace(self._open[sensor], kind=kind_of(self._monitor.tally(sensor), self._sudden[sensor]))

    def _finished(self, n: int) -> Alarm:
        kind = kind_of(self._monitor.tally(n), self._sudden[n])
        return replace(self._open.pop(n), kind=kind, end=self._place.row - 1)

    def score_many(self, rows: Any) -> list[Alarm | None]:
        """Take the next row of each of N sensors (N, C), all with the history of `fit`; None or an alarm for each.

        The first call decides N. The networks' states are one batch.
        """
        self._check_fitted()
        values = np.ascontiguousarray(rows, np.float64)
        if values.ndim != 2 or values.shape[1] != self.n_features_in_ or not len(values):
            raise ValueError(f"rows has shape {values.shape}, expected (N, {self.n_features_in_})")
        if self._place.sensors != len(values):
            if self._place.row or self._place.sensors > 1:
                raise ValueError(f"rows has {len(values)} sensors, there were {self._place.sensors}")
            self._monitor = self._monitor.with_sensors(len(values))
            self._forecaster = self._forecaster.fork()
            self._forecaster.begin(len(values))
            self._place.sensors = len(values)
            self._prepare(len(values))
        self._y[...] = values
        events = self._advance()
        return [None] * len(values) if events is None else [events.get(n) for n in range(len(values))]
