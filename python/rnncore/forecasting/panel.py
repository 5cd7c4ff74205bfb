"""Several series on one regular grid of time, with what is missing marked and filled.

Sizes: T steps, N series, C numeric columns (the target is the first).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.columns import Roles, find_roles, read_times
from rnncore.forecasting.errors import InputError
from rnncore.forecasting.table import MISSING, Table
from rnncore.forecasting.times import Grid, infer_grid, snap

_LEAST_FILLED = 0.2  # of the grid: fewer rows than that, and some time stamp is probably wrong
_LARGEST = 1e30  # squares of it have to be finite


@dataclass(frozen=True)
class Panel:
    """Series side by side; each begins at index 0 of its row. `start` tells where on the grid that is."""

    grid: Grid
    calendar: bool  # the grid has dates
    roles: Roles
    names: list[str]  # of the series
    start: Array  # (N,) position on the grid of index 0
    lengths: Array  # (N,)
    values: Array  # (T, N, C) NaN where missing and past the length
    labels: dict[str, list[list[str]]]  # categorical column -> per series, text at each index
    notices: list[str]

    @property
    def columns(self) -> list[str]:
        """Names of the numeric columns."""
        return [self.roles.target, *self.roles.numeric]

    @property
    def positions(self) -> Array:
        """(T, N) position on the grid of every index."""
        return np.arange(self.values.shape[0])[:, None] + self.start

    @property
    def valid(self) -> Array:
        """(T, N) whether the index is within the series."""
        return np.arange(self.values.shape[0])[:, None] < self.lengths

    @property
    def span(self) -> tuple[int, int]:
        """First position of any series, and last one plus one."""
        return int(self.start.min()), int((self.start + self.lengths).max())

    def filled(self) -> Array:
        """(T, N, C) the last value known at each index; NaN before the first."""
        known = ~np.isnan(self.values)
        steps = np.arange(self.values.shape[0])[:, None, None]
        last = np.maximum.accumulate(np.where(known, steps, -1), axis=0)
        return np.where(last >= 0, np.take_along_axis(self.values, np.maximum(last, 0), axis=0), np.nan)

    def take(self, series: list[int]) -> Panel:
        """Return these series alone."""
        length = int(self.lengths[series].max())
        return replace(
            self,
            names=[self.names[n] for n in series],
            start=self.start[series],
            lengths=self.lengths[series],
            values=self.values[:length, series],
            labels={column: [texts[n] for n in series] for column, texts in self.labels.items()},
        )

    def before(self, stop: int) -> Panel:
        """Return what lies before a position of the grid."""
        lengths = np.clip(stop - self.start, 0, self.lengths)
        inside = np.arange(self.values.shape[0])[:, None, None] < lengths[:, None]
        cut = {
            column: [entries[:length] for entries, length in zip(texts, lengths, strict=True)]
            for column, texts in self.labels.items()
        }
        panel = replace(self, lengths=lengths, values=np.where(inside, self.values, np.nan), labels=cut)
        return panel.take(np.flatnonzero(lengths > 0).tolist())


def build_panel(
    table: Table,
    *,
    time: str | None = None,
    target: str | None = None,
    group: str | None = None,
    only: list[str] | None = None,
    time_format: str | None = None,
) -> Panel:
    """Sort a table's rows into series on a regular grid. Raises InputError for what cannot be so sorted."""
    if only:
        table = _select(table, group, only)
    time_name, instants, calendar = read_times(table, time, time_format)
    roles = find_roles(table, time_name, instants, target, group)
    keys = table.columns[roles.group] if roles.group else [""] * len(table)
    names = list(dict.fromkeys(keys))
    rows = [np.array([row for row, key in enumerate(keys) if key == name]) for name in names]
    rows = [_sorted(table, chosen, instants, name) for chosen, name in zip(rows, names, strict=True)]
    if any((np.diff(chosen) < 0).any() for chosen in rows):
        table.notices.append("rows were not in order of time: sorted")
    grid = infer_grid([instants[chosen] for chosen in rows], calendar)
    positions, moved = snap(grid, instants, table.lines)
    if moved:
        table.notices.append(f"{_count(moved, 'time stamp')} moved to the nearest {grid.name}")
    numbers = np.stack([table.numbers(name) for name in (roles.target, *roles.numeric)], axis=1)
    if np.isnan(numbers[:, 0]).all():
        raise InputError(f"target {roles.target!r} has no values at all")
    if np.nanmax(np.abs(numbers)) > _LARGEST:
        raise InputError(f"numbers beyond {_LARGEST:g} cannot be handled: check the columns, or scale them")
    texts = {name: table.columns[name] for name in roles.categorical}
    return _assemble(table, grid, calendar, roles, names, rows, positions, numbers, texts)


def _assemble(
    table: Table,
    grid: Grid,
    calendar: bool,
    roles: Roles,
    names: list[str],
    rows: list[Array],
    positions: Array,
    numbers: Array,
    texts: dict[str, list[str]],
) -> Panel:
    kept = [_trim(table, chosen, numbers[chosen, 0], name) for chosen, name in zip(rows, names, strict=True)]
    names = [name for name, chosen in zip(names, kept, strict=True) if chosen.size]
    kept = [chosen for chosen in kept if chosen.size]
    start = np.array([positions[chosen[0]] for chosen in kept])
    lengths = np.array([positions[chosen[-1]] for chosen in kept]) - start + 1
    for chosen, length, name in zip(kept, lengths, names, strict=True):
        _check_places(table, positions[chosen], chosen, int(length), grid, name)
    values = np.full((int(lengths.max()), len(names), numbers.shape[1]), np.nan)
    present = np.zeros(values.shape[:2], np.bool_)
    labels = {column: [[""] * int(length) for length in lengths] for column in texts}
    for n, chosen in enumerate(kept):
        index = positions[chosen] - start[n]
        values[index, n] = numbers[chosen]
        present[index, n] = True
        for column, entries in texts.items():
            for k, row in zip(index.tolist(), chosen.tolist(), strict=True):
                labels[column][n][k] = "" if entries[row].lower() in MISSING else entries[row]
            for k in np.flatnonzero(~present[: int(lengths[n]), n]).tolist():  # never the first
                labels[column][n][k] = labels[column][n][k - 1]
    panel = Panel(grid, calendar, roles, names, start, lengths, values, labels, table.notices)
    _notice_missing(panel, present)
    return panel


def _trim(table: Table, rows: Array, target: Array, name: str) -> Array:
    """Leave out what stands before the first value of the target and after its last."""
    known = np.flatnonzero(~np.isnan(target))
    series = f" of {name}" if name else ""
    if not known.size:
        table.notices.append(f"series {name!r} has no value of the target: left out")
        return rows[:0]
    for count, where in ((int(known[0]), "before the first"), (len(rows) - 1 - int(known[-1]), "after the last")):
        if count:
            table.notices.append(f"{_count(count, 'row')}{series} {where} value of the target left out")
    return rows[known[0] : known[-1] + 1]


def _select(table: Table, group: str | None, only: list[str]) -> Table:
    """Keep the rows of some series."""
    if group is None:
        raise InputError("--only needs --group: the column in which these values stand")
    keys = table.column(group, "--group")
    unknown = [value for value in only if value not in keys]
    if unknown:
        known = list(dict.fromkeys(keys))
        shown = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
        raise InputError(f"--only: column {group!r} has no value {unknown[0]!r}, only {shown}")
    return table.take([row for row, key in enumerate(keys) if key in only])


def _sorted(table: Table, rows: Array, instants: Array, name: str) -> Array:
    """Sort a series' rows by time; InputError if a time stands there twice."""
    ordered = rows[np.argsort(instants[rows], kind="stable")]
    _check_twice(table, instants[ordered], ordered, name)
    return ordered


def _check_twice(table: Table, times: Array, rows: Array, name: str) -> None:
    twice = np.flatnonzero(np.diff(times) == 0)
    if twice.size:
        first, second = sorted(table.lines[int(row)] for row in rows[[twice[0], twice[0] + 1]])
        series = f" of series {name!r}" if name else ""
        raise InputError(f"lines {first} and {second}{series} have the same time")


def _check_places(table: Table, places: Array, rows: Array, length: int, grid: Grid, name: str) -> None:
    """After snapping: no two rows in one place, and not mostly holes."""
    _check_twice(table, places, rows, name)
    if len(rows) < _LEAST_FILLED * length and length > 50:
        widest = int(np.argmax(np.diff(places)))
        line = table.lines[int(rows[widest + 1])]
        raise InputError(
            f"{length} steps of one {grid.name} but only {len(rows)} rows: {int(np.diff(places).max())} steps lie "
            f"before line {line}; is its time right?"
        )


def _notice_missing(panel: Panel, present: Array) -> None:
    """Name and count the holes."""
    absent = panel.valid & ~present
    if absent.any():
        n = int(np.flatnonzero(absent.any(axis=0))[0])
        first = panel.grid.label(int(panel.start[n] + np.flatnonzero(absent[:, n])[0]))
        series = f" of {panel.names[n]}" if panel.names[n] else ""
        panel.notices.append(
            f"{_count(int(absent.sum()), panel.grid.name)} without a row (the first: {first}{series}): "
            "filled with the last known values, never scored"
        )
    for k, column in enumerate(panel.columns):
        count = int((np.isnan(panel.values[..., k]) & present).sum())
        if count:
            scored = ", never scored" if k == 0 else ""
            panel.notices.append(f"{_count(count, 'value')} of {column!r} missing: filled with the last known{scored}")


def _count(number: int, what: str) -> str:
    """Say how many: 1 day, 3 days; steps whose name has a number become steps."""
    if number == 1:
        return f"1 {what}"
    return f"{number} steps of {what}" if what[0].isdigit() else f"{number} {what}s"
