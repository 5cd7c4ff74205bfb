"""Where a detector stands: rows since its history ended, and the time of the last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore.detection.rows import Rows
from rnncore.tables import InputError

__all__ = ["Place", "as_seconds"]

_MOST_ABSENT = 10_000  # rows in a gap that are filled, at most


def as_seconds(time: Any) -> float:
    """Return seconds since 1970 of a number, a datetime64, a datetime or ISO 8601 text."""
    if isinstance(time, (int, float, np.integer, np.floating)):
        return float(time)
    try:
        return float(np.datetime64(time, "ns").astype(np.int64)) / 1e9
    except (TypeError, ValueError):
        raise InputError(f"cannot read the time {time!r}") from None


@dataclass
class Place:
    """A position in time that moves with each row."""

    row: int
    seconds: float  # of the last row, NaN if there are no times
    step: float | None  # seconds from row to row
    sensors: int = 1

    def advance(self) -> float:
        """Go on by a row; return its time."""
        self.row += 1
        if self.step is not None:
            self.seconds += self.step
        return self.seconds

    def meet(self, time: Any) -> None:
        """Take over the time of the row just seen, lest small differences add up."""
        if self.step is not None:
            self.seconds = as_seconds(time)

    def label(self) -> str | int:
        """Return the time of the last row, or its number."""
        if self.step is None:
            return self.row - 1
        text = str(np.datetime64(round(self.seconds * 1e3), "ms"))
        return text.removesuffix(".000").removesuffix(":00")

    def absent(self, time: Any) -> int:
        """Return how many rows are missing before a row at a time. Raises InputError if it goes backwards."""
        if self.step is None:
            return 0
        seconds = as_seconds(time)
        steps = (seconds - self.seconds) / self.step
        if steps < 0.5:
            raise InputError(
                f"time goes backwards, or stands still: {np.datetime64(round(seconds * 1e3), 'ms')} after "
                f"{np.datetime64(round(self.seconds * 1e3), 'ms')}"
            )
        return min(round(steps) - 1, _MOST_ABSENT)

    def checked(self, rows: Rows) -> Rows:
        """Return a block with its times, which have to follow."""
        if self.step is None or not len(rows):
            return rows
        if np.isnan(rows.seconds[0]):
            seconds = self.seconds + self.step * np.arange(1, len(rows) + 1)
            return Rows(rows.values, seconds, rows.names, self.step, rows.source, rows.labels, rows.notes)
        self.absent(rows.seconds[0])
        return rows
