"""Rows of sensors from whatever holds them: values, times, names of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.tables import Grid, InputError, Table, build_panel, load_table
from rnncore.tables.stamps import Reading
from rnncore.tables.time_columns import read_times

__all__ = ["Rows", "read_rows"]


@dataclass(frozen=True)
class Rows:
    """T rows of C channels, at even distances in time."""

    values: Array  # (T, C) float64, NaN where missing
    seconds: Array  # (T,) since 1970 by the local clock, NaN where there are no times
    names: tuple[str, ...]
    step: float | None  # seconds from row to row
    source: Array  # (T,) row of the source, -1 where it has none
    labels: Sequence[Any]  # (T,) times as text, or numbers of rows
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def take(self, begin: int, end: int) -> Rows:
        """Return a part."""
        part = slice(begin, end)
        return Rows(
            self.values[part], self.seconds[part], self.names, self.step, self.source[part], self.labels[part],
            self.notes,
        )  # fmt: skip


def read_rows(data: Any, time: Any = None, channels: Sequence[str] | None = None, **reading: Any) -> Rows:
    """Return the rows of an array, a data frame, a mapping or a CSV file.

    Parameters
    ----------
    data
        An array (T, C) or (T,), or what `rnncore.tables.read_panel` reads.
    time
        The column that holds the time, or columns; of an array, times (T,): datetime64, or seconds.
    channels
        The columns to watch, all numbers by default.
    reading
        How a file is read, as `rnncore.tables.build_panel` takes it: `group` and `only` (to choose one series),
        `time_format`, `dayfirst`, `timezone`.

    Raises InputError for what cannot be read, for text, for a channel that is not there, and for several series.
    """
    if isinstance(data, Rows):
        return data
    if isinstance(data, (list, tuple)):
        data = np.asarray(data, np.float64)
    if isinstance(data, np.ndarray):
        return _from_array(data, time, channels)
    table = load_table(data)
    group = list(reading.pop("group", None) or ())
    notes: list[str] = []
    if channels is None:
        channels = [name for name in _numbers(table, time, reading) if name not in group]
        empty = [name for name, values in table.columns.items() if values.dtype.kind == "f" and np.isnan(values).all()]
        notes += [f"column {name!r} has no values: left out" for name in empty if name not in group]
    for name in channels:
        table.column(name, "--channels")
    panel = build_panel(table, target=list(channels), time=time, group=group, past=[], **reading)
    if len(panel) != 1:
        told = f"--only names one of {', '.join(panel.names[:5])}" if group else "its channels are columns"
        raise InputError(f"the data hold {len(panel)} series, expected one: {told}")
    series, grid = panel.series[0], panel.grid
    seconds = grid.seconds(series.positions) if grid.calendar else np.full(len(series), np.nan)
    return Rows(
        np.ascontiguousarray(series.values[:, : len(channels)]),
        np.ascontiguousarray(seconds, np.float64),
        tuple(channels),
        _step(grid),
        series.rows,
        panel.labels(0),
        (*notes, *panel.notes),
    )


def _numbers(table: Table, time: str | Sequence[str] | None, reading: dict[str, Any]) -> list[str]:
    """Return the columns of numbers that are no times. Raises InputError if there are none."""
    told = (time,) if isinstance(time, str) else tuple(time or ())
    spelling = Reading(*(reading.get(name) for name in ("time_format", "dayfirst", "timezone")))
    times = read_times(replace(table, notes=[]), told, spelling)
    found = [name for name in table.columns if name not in times.names and table.is_numeric(name)]
    if not found:
        raise InputError(f"there is no column of numbers to watch, only {', '.join(table.columns)}")
    return found


def _step(grid: Grid) -> float | None:
    return grid.days * 86400 if grid.calendar else None


def _from_array(data: Array, time: Any, channels: Sequence[str] | None) -> Rows:
    if data.dtype.kind not in "fiub" or data.ndim not in (1, 2):
        raise InputError(f"X should hold numbers (T, C), got {data.dtype} of shape {data.shape}")
    values = np.ascontiguousarray(data.reshape(len(data), -1), np.float64)
    count = values.shape[1]
    names = tuple(channels) if channels is not None else tuple(f"y{c}" if count > 1 else "y" for c in range(count))
    if len(names) != count:
        raise InputError(f"channels names {len(names)} columns, X has {count}")
    if np.isinf(values).any():
        raise InputError(f"X holds an infinite number in row {int(np.isinf(values).any(axis=1).argmax())}")
    rows = np.arange(len(values))
    if time is None:
        return Rows(values, np.full(len(values), np.nan), names, None, rows, rows.tolist())
    times = np.asarray(time)
    if times.shape != (len(values),):
        raise InputError(f"time has shape {times.shape}, expected ({len(values)},)")
    if times.dtype.kind == "M":
        seconds = times.astype("datetime64[ns]").astype(np.int64) / 1e9
    else:
        seconds = times.astype(np.float64)
    ahead = np.diff(seconds)
    if (ahead <= 0).any():
        row = int((ahead <= 0).argmax()) + 1
        raise InputError(f"time goes backwards, or stands still: row {row} is at {times[row]} after {times[row - 1]}")
    step = float(np.median(ahead)) if len(ahead) else None
    return Rows(values, np.ascontiguousarray(seconds), names, step, rows, list(times))
