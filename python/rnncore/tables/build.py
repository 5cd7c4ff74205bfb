"""From a table to a panel: rows sorted into series on a regular grid, what is missing or doubtful said in notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.assemble import assemble, assemble_more, known_ahead
from rnncore.tables.dialect import is_missing
from rnncore.tables.errors import InputError
from rnncore.tables.grid import DAY, Grid
from rnncore.tables.notes import plural
from rnncore.tables.panel import Panel, Schema
from rnncore.tables.roles import codes_of, find_roles
from rnncore.tables.stamps import Reading, Stamps
from rnncore.tables.steps import find_grid
from rnncore.tables.table import Table
from rnncore.tables.time_columns import Times, read_times
from rnncore.tables.times import parse_stamps
from rnncore.tables.zones import localised

_OFF = 1e-6  # of a step: the least that counts as moved
_SEPARATOR = " / "  # between the values of several group columns


def build_panel(
    table: Table,
    *,
    target: str | Sequence[str] | None = None,
    time: str | Sequence[str] | None = None,
    group: str | Sequence[str] | None = None,
    only: Sequence[str] = (),
    past: Sequence[str] | None = None,
    future: Sequence[str] | None = None,
    static: Sequence[str] = (),
    time_format: str | None = None,
    dayfirst: bool | None = None,
    timezone: str | None = None,
) -> Panel:
    """Sort a table's rows into series on a regular grid.

    What is not told is found. Past covariates are all further columns that serve if None; future ones are those that
    rows behind the last value of the target know, if there are such rows. Raises InputError for what cannot be sorted
    so.
    """
    table = replace(table, notes=[*table.notes])
    reading = Reading(time_format, dayfirst, timezone)
    if only:
        table = select(table, _names(group), only)
    table = _without_copies(table, _names(time) or (), reading)
    times = read_times(table, _names(time) or (), reading)
    table.notes.extend(times.stamps.notes)
    wanted = [*(future or ()), *static]
    for name in wanted:
        table.column(name, "--static" if name in static else "--future")
    for name in past or ():
        table.column(name, "--past")
    roles = find_roles(table, times, _names(target) or (), _names(group), past, wanted)
    names, keys, rows = _series(table, roles.group)
    stamps, rows = _ordered(table, localised(table, times.stamps, rows, timezone), rows, names, times.names)
    grid = find_grid(stamps, rows)
    _note_days_off(table, grid, stamps)
    options = {"time_format": time_format, "dayfirst": dayfirst, "timezone": timezone, **table.options}
    moving = [name for name in (*roles.numeric, *roles.text) if name not in wanted]
    schema = Schema(
        target=roles.target,
        grid=grid,
        time=times.names,
        group=roles.group,
        past=tuple(moving),
        future=tuple(future or ()),
        static=tuple(static),
        categories={name: _categories(table, name) for name in roles.text},
        options={name: value for name, value in options.items() if value is not None},
    )
    panel = assemble(table, schema, stamps, names, keys, rows)
    return known_ahead(panel) if future is None else panel


def continue_panel(table: Table, schema: Schema) -> Panel:
    """Return further rows on the grid of a panel that was read before, with its columns.

    Only covariates known ahead may not be absent. Rows behind the last value of a target stand in `Series.future`, all
    of them where there is none. Without a time column, rows count from position 0. Raises InputError for what does not
    fit.
    """
    table = replace(table, notes=[*table.notes])
    for option in ("time", "group", "future"):
        for name in getattr(schema, option):
            table.column(name, f"--{option}")
    absent = [name for name in (*schema.target, *schema.past, *schema.static) if name not in table.columns]
    table = replace(table, columns=table.columns | {name: np.full(len(table), np.nan) for name in absent})
    options = schema.options
    reading = Reading(options.get("time_format"), options.get("dayfirst"), options.get("timezone"))
    table = _without_copies(table, schema.time, reading) if schema.time else table
    times = read_times(table, schema.time, reading) if schema.time else Times((), Stamps(np.zeros(len(table)), False))
    if times.stamps.calendar != schema.grid.calendar:
        given, expected = ("times", "numbers") if times.stamps.calendar else ("numbers", "times")
        raise InputError(f"column {schema.time[0]!r} holds {given}, expected {expected} as before")
    names, keys, rows = _series(table, schema.group)
    zone = schema.grid.zone if times.stamps.zone is None and schema.grid.kind == "time" else options.get("timezone")
    stamps, rows = _ordered(table, localised(table, times.stamps, rows, zone), rows, names, times.names)
    return assemble_more(table, schema, stamps, names, keys, rows)


def _note_days_off(table: Table, grid: Grid, stamps: Stamps) -> None:
    """Name the days of the week, and the holidays, that are no steps."""
    if grid.kind != "business":
        return
    if grid.week != "1111100":
        names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
        off = [name for name, there in zip(names, grid.week, strict=True) if there == "0"]
        table.notes.append(f"no row stands on a {' or '.join(off)}: these days are no steps")
    last = int(stamps.local.max()) // DAY
    past = [day for day in grid.holidays if day <= last]
    if past:
        these = f"{plural(len(past), 'workday')} without a row (the first: {np.datetime64(past[0], 'D')})"
        table.notes.append(f"{these} taken as holidays, no steps")


def position_of(schema: Schema, text: str, option: str) -> int:
    """Return the first position that is not before a time (or, of an index, a number) that the user writes."""
    grid, options = schema.grid, schema.options
    table = Table(option, {option: np.array([text], object)}, np.array([1]))
    if not grid.calendar:
        try:
            return int(np.ceil(grid.positions(np.array([float(text.replace(",", "."))]))[0] - _OFF))
        except ValueError:
            raise InputError(f"{option}: {text!r} is no number, as the times of the data are") from None
    reading = Reading(options.get("time_format"), options.get("dayfirst"), None)
    try:
        stamps = parse_stamps(table, option, reading)
    except InputError:
        raise InputError(f"{option}: cannot read the time {text!r}") from None
    if grid.kind == "time" and stamps.zone is not None:
        return int(np.ceil(grid.positions(stamps.values)[0] - _OFF))
    return int(np.ceil(grid.at_local(stamps.local.view("datetime64[ns]"))[0] - _OFF))


def _names(told: str | Sequence[str] | None) -> list[str] | None:
    return [told] if isinstance(told, str) else None if told is None else list(told)


def _categories(table: Table, name: str) -> tuple[str, ...]:
    return tuple(sorted({text for text in table.texts(name).tolist() if not is_missing(text)}))


# ---- rows


def select(table: Table, group: Sequence[str] | None, only: Sequence[str]) -> Table:
    """Keep the rows of some series. Raises InputError for one that is not there."""
    if not group:
        raise InputError("--only needs --group: the column in which these values stand")
    columns = {name: table.texts(name) if name in table.columns else table.column(name, "--group") for name in group}
    keep = np.zeros(len(table), np.bool_)
    whole = _joined_texts(list(columns.values()))
    for value in only:
        here = np.logical_or.reduce([whole == value, *(texts == value for texts in columns.values())])
        if not here.any():
            known = list(dict.fromkeys(whole.tolist()))
            shown = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
            raise InputError(f"--only: column {group[0]!r} has no value {value!r}, only {shown}")
        keep |= here
    return table.take(np.flatnonzero(keep))


def _joined_texts(columns: list[Array]) -> Array:
    if len(columns) == 1:
        return columns[0]
    return np.array([_SEPARATOR.join(row) for row in zip(*columns, strict=True)], object)


def _without_copies(table: Table, time: Sequence[str], reading: Reading) -> Table:
    """Leave out rows that repeat another one in every column, the time among them."""
    import pandas as pd

    if len(table) < 2:
        return table
    twice = pd.DataFrame(table.columns).duplicated().to_numpy()
    if not twice.any() or not read_times(replace(table, notes=[]), time, reading).names:
        return table
    first = table.where(int(np.argmax(twice)))
    table.notes.append(f"{plural(int(twice.sum()), 'row')} left out, a copy of another (the first: {first})")
    return table.take(np.flatnonzero(~twice))


def _series(table: Table, group: Sequence[str]) -> tuple[list[str], list[tuple[Any, ...]], list[Array]]:
    """Names of the series in order of appearance, the values of their group columns, and their rows."""
    if not group:
        return [""], [()], [np.arange(len(table))]
    codes = np.stack([codes_of(table, name) for name in group], axis=1)
    _, first, inverse = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    place = order[inverse.reshape(-1)]
    rows = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    heads = [int(each[0]) for each in rows]
    keys = [tuple(table.columns[name][row].item() if table.columns[name].dtype.kind != "O" else table.columns[name][row]
                  for name in group) for row in heads]  # fmt: skip
    texts = _joined_texts([table.texts(name) for name in group])
    return [str(texts[row]) for row in heads], keys, rows


def _ordered(
    table: Table, stamps: Stamps, rows: list[Array], names: list[str], times: Sequence[str]
) -> tuple[Stamps, list[Array]]:
    """Rows of each series in order of time; where there is no time, each counts from 0."""
    if not times:
        values = stamps.values.copy()
        for each in rows:
            values[each] = np.arange(len(each))
        return replace(stamps, values=values), rows
    ordered = [each[np.argsort(stamps.values[each], kind="stable")] for each in rows]
    for each, name in zip(ordered, names, strict=True):
        _refuse_twice(table, stamps.values[each], each, name, times)
    if any((np.diff(each) < 0).any() for each in ordered):
        table.notes.append("rows were not in order of time: sorted")
    return stamps, ordered


def _refuse_twice(table: Table, instants: Array, rows: Array, name: str, times: Sequence[str]) -> None:
    twice = np.flatnonzero(np.diff(instants) == 0)
    if twice.size:
        both = rows[[twice[0], twice[0] + 1]]
        first, second = sorted(table.number(int(row)) for row in both)
        if name:
            raise InputError(f"{table.place}s {first} and {second} of series {name!r} have the same time")
        stamp = " ".join(str(table.texts(column)[both[0]]) for column in times)
        hint = "if the data hold several series, give --group"
        raise InputError(f"the time {stamp} stands on {table.place}s {first} and {second}: {hint}")
