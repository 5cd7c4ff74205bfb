"""Lines of standard input, judged as they come; alarms are lines of JSON, written at once.

A line has the time first if the history had times, then the channels in their order, unless a header line has said
otherwise. Lines that do not serve are counted and told; the row they stood for is missing, if the times say so.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from rnncore.detection.detector import Detector
from rnncore.detection.place import as_seconds
from rnncore.tables.dialect import is_missing

__all__ = ["follow"]

_TOLD = 5  # bad lines that are told one by one


class _Columns:
    """Where in a line the time and the channels stand."""

    def __init__(self, detector: Detector) -> None:
        self.names = detector.channels_
        self.timed = detector._place.step is not None
        self.width = len(self.names) + self.timed
        self.time, self.channels = (0 if self.timed else None), list(range(self.timed, self.width))

    def read_header(self, fields: list[str]) -> bool:
        """Take the places from a header, if the line is one."""
        if not set(self.names) <= set(fields):
            return False
        self.channels = [fields.index(name) for name in self.names]
        others = [k for k, name in enumerate(fields) if name not in self.names]
        self.width, self.time = len(fields), (others[0] if self.timed and others else None)
        return True

    def values(self, fields: list[str]) -> Any:
        """Return the channels of a line. Raises ValueError for one that does not serve."""
        if len(fields) != self.width:
            raise ValueError(f"{len(fields)} fields, expected {self.width}")
        row = np.array([np.nan if is_missing(fields[k]) else float(fields[k]) for k in self.channels])
        if np.isinf(row).any():
            raise ValueError("an infinite number")
        return row


class _Follower:
    def __init__(self, detector: Detector, out: TextIO, err: TextIO, state: Path | None, every: int) -> None:
        self.detector, self.out, self.err, self.state, self.every = detector, out, err, state, every
        self.columns = _Columns(detector)
        self.rows = self.bad = self.seen = self.alarms = self.unsaved = 0

    def take(self, number: int, line: str) -> None:
        """Judge a line."""
        fields = [field.strip() for field in next(csv.reader([line]), [])]
        if not any(fields) or self.columns.read_header(fields):
            return
        try:
            row = self.columns.values(fields)
            time = None if self.columns.time is None else as_seconds(_time(fields[self.columns.time]))
            if time is not None and self._was_seen(time):
                self.seen += 1
                return
        except ValueError as error:
            self.bad += 1
            if self.bad <= _TOLD:
                print(f"rnncore: line {number} left out: {error}", file=self.err, flush=True)
            return
        before = self.detector.ended
        alarm = self.detector.score_one(row, time)
        ended = self.detector.ended if self.detector.ended is not before else None
        self.rows += 1
        self.unsaved += 1
        if alarm or ended or self.unsaved >= self.every:
            self.save()  # before anything is written: a restart tells nothing twice
        if ended is not None:
            self.write({"event": "end"} | ended.as_dict())
        if alarm is not None:
            self.alarms += 1
            self.write({"event": "alarm"} | alarm.as_dict())

    def _was_seen(self, seconds: float) -> bool:
        place = self.detector._place
        return place.step is not None and seconds < place.seconds + 0.5 * place.step

    def write(self, told: dict[str, Any]) -> None:
        """Write a line of JSON, at once."""
        print(json.dumps(told, allow_nan=False, ensure_ascii=False), file=self.out, flush=True)

    def save(self) -> None:
        """Put the detector into the state file, in one go."""
        if self.state is not None and self.unsaved:
            self.detector.save(self.state)
        self.unsaved = 0


def follow(
    detector: Detector, lines: Iterable[str], out: TextIO, err: TextIO, state: Path | None = None, every: int = 100
) -> None:
    """Judge lines until they end, and say at the end how many there were.

    The state is saved after every so many rows, and before an alarm is written: after a restart at most so many rows
    are lost, and no alarm comes twice. Rows at times that were seen already are passed over.
    """
    follower = _Follower(detector, out, err, state, every)
    for number, line in enumerate(lines, 1):
        follower.take(number, line)
    follower.save()
    seen = f", {follower.seen} seen before" if follower.seen else ""
    told = f"{follower.rows} rows, {follower.bad} bad lines{seen}, {follower.alarms} alarms"
    print(f"rnncore: {told}", file=err, flush=True)


def _time(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
