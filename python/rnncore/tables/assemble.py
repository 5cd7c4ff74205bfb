"""Rows of a table laid out as series on a grid: placed, gathered where they meet, and what is missing noted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.errors import InputError
from rnncore.tables.grid import Grid
from rnncore.tables.notes import plural
from rnncore.tables.panel import Panel, Schema, Series
from rnncore.tables.sentinels import without_sentinels
from rnncore.tables.stamps import Stamps
from rnncore.tables.steps import SNAP
from rnncore.tables.table import Table

_LEAST_FILLED = 0.05  # of the steps between the first and the last row
_LEAST_WITH_A_GAP = 0.2  # of the same, where one gap is more than half of them: that time stamp is probably wrong
_LARGEST = 1e30  # squares of it have to be finite
_OFF = 1e-6  # of a step: the least that counts as moved


@dataclass(frozen=True)
class _Placed:
    """Rows of a series on the grid: each position once, with the values there."""

    positions: Array
    values: Array  # (rows, C + S)
    rows: Array  # of the source


def assemble(
    table: Table, schema: Schema, stamps: Stamps, names: list[str], keys: list[tuple[Any, ...]], rows: list[Array]
) -> Panel:
    """Return the panel: each series from the first value of a target to the last, with what is known behind it."""
    numbers = _numbers(table, schema)
    for k, name in enumerate(schema.target):
        if np.isnan(numbers[:, k]).all():
            raise InputError(f"target {name!r} has no values at all")
    found = []
    for name, key, each in zip(names, keys, _place(table, stamps, rows, numbers, schema), strict=True):
        known = np.flatnonzero(~np.isnan(each.values[:, : len(schema.target)]).all(axis=1))
        if not known.size:
            table.notes.append(f"series {name!r} has no value of the target: left out")
            continue
        if known[0]:
            of = f" of {name}" if name else ""
            table.notes.append(f"{plural(int(known[0]), 'row')}{of} before the first value of the target left out")
        _check_filled(table, schema.grid, each, int(known[0]), int(known[-1]))
        found.append(_laid_out(schema, name, key, each, int(known[0]), int(known[-1]) + 1))
    panel = Panel(schema, tuple(found), table.notes, table.place_of_source)
    _note_missing(panel)
    return panel


def assemble_more(
    table: Table, schema: Schema, stamps: Stamps, names: list[str], keys: list[tuple[Any, ...]], rows: list[Array]
) -> Panel:
    """Return further rows as a panel on a grid that is there: none is left out, and a target may be absent."""
    numbers = _numbers(table, schema)
    found = []
    for name, key, each in zip(names, keys, _place(table, stamps, rows, numbers, schema), strict=True):
        known = np.flatnonzero(~np.isnan(each.values[:, : len(schema.target)]).all(axis=1))
        found.append(_laid_out(schema, name, key, each, 0, int(known[-1]) + 1 if known.size else 0))
    return Panel(schema, tuple(found), table.notes, table.place_of_source)


def _numbers(table: Table, schema: Schema) -> Array:
    """(rows, C + S) float64, NaN for marks of missing values; InputError for what is too large to be squared."""
    names = (*schema.columns, *schema.static)
    numbers = np.stack([_column(table, schema, name) for name in names], axis=1)
    for k, name in enumerate(names):
        if name not in schema.categories:
            numbers[:, k] = without_sentinels(numbers[:, k], name, table)
    sizes = np.abs(numbers)
    if (sizes > _LARGEST).any():
        row, k = (int(place[0]) for place in np.nonzero(sizes > _LARGEST))
        given = f"column {names[k]!r}, {table.where(row)}: {numbers[row, k]:g}"
        raise InputError(f"{given}, but numbers beyond {_LARGEST:g} cannot be handled")
    return numbers


def _column(table: Table, schema: Schema, name: str) -> Array:
    """float64 of a column: numbers, or the place of each text among its categories."""
    if name not in schema.categories:
        return table.numbers(name)
    places = {text: float(k) for k, text in enumerate(schema.categories[name])}
    return np.array([places.get(text, np.nan) for text in table.texts(name).tolist()])


def _place(table: Table, stamps: Stamps, rows: list[Array], numbers: Array, schema: Schema) -> list[_Placed]:
    """Move rows onto the grid; where several meet, or stamps lie in between, their mean is taken. Both are noted."""
    grid = schema.grid
    instants = stamps.values if grid.kind in ("time", "index") else stamps.local
    sources = np.arange(len(table)) if table.rows is None else table.rows
    placed, moved, between, merged = [], 0, 0, 0
    for chosen in rows:
        exact = grid.positions(instants[chosen])
        whole = np.rint(exact).astype(np.int64)
        off = np.abs(exact - whole)
        moved += int((off > _OFF).sum())
        between += int((off > SNAP).sum())
        meet = np.diff(whole) == 0
        merged += int(meet.sum())
        if meet.any():
            placed.append(_merged(whole, numbers[chosen], sources[chosen], schema))
        else:
            placed.append(_Placed(whole, numbers[chosen], sources[chosen]))
    if merged or between:
        table.notes.append(
            f"times are irregular: {plural(sum(map(len, rows)), 'row')} gathered in steps of one {grid.name}, "
            f"each the mean of its rows ({merged} share a step with another)"
        )
    elif moved:
        table.notes.append(f"{plural(moved, 'time stamp')} moved to the nearest {grid.name}")
    return placed


def _merged(positions: Array, values: Array, rows: Array, schema: Schema) -> _Placed:
    """One row for each position: the mean of numbers, the last of texts."""
    places, first = np.unique(positions, return_index=True)
    known = ~np.isnan(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), first, axis=0)
    counts = np.add.reduceat(known.astype(np.int64), first, axis=0)
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    last = np.append(first[1:], len(positions)) - 1
    for k, name in enumerate((*schema.columns, *schema.static)):
        if name in schema.categories:
            mean[:, k] = values[last, k]
    return _Placed(places, mean, rows[first])


def _laid_out(schema: Schema, name: str, key: tuple[Any, ...], placed: _Placed, first: int, stop: int) -> Series:
    """A series of the placed rows from first to stop, and behind it what is known ahead."""
    columns = len(schema.columns)
    start = int(placed.positions[first])
    end = int(placed.positions[stop - 1]) + 1 if stop > first else start
    values = np.full((int(placed.positions[-1]) + 1 - start, columns), np.nan)
    sources = np.full(end - start, -1, np.int64)
    values[placed.positions[first:] - start] = placed.values[first:, :columns]
    sources[placed.positions[first:stop] - start] = placed.rows[first:stop]
    static = _constant(schema, name, placed.values[:, columns:])
    return Series(name, key, start, values[: end - start], values[end - start :], static, sources)


def _constant(schema: Schema, name: str, static: Array) -> Array:
    """One value of each static covariate; InputError for one that changes within a series."""
    for k, column in enumerate(schema.static):
        if len(np.unique(static[~np.isnan(static[:, k]), k])) > 1:
            raise InputError(f"--static: {column!r} changes within series {name!r}, expected one value")
    known = [column[~np.isnan(column)] for column in static.T]
    return np.array([column[0] if column.size else np.nan for column in known], np.float64)


def _check_filled(table: Table, grid: Grid, placed: _Placed, first: int, last: int) -> None:
    """Not mostly holes between two rows: a time that lies far away, or steps that are far too fine."""
    places = placed.positions[first : last + 1]
    length = int(places[-1] - places[0]) + 1
    widest = int(np.diff(places).max()) if len(places) > 1 else 0
    share = len(places) / length
    if length > 50 and (share < _LEAST_FILLED or (share < _LEAST_WITH_A_GAP and widest > length / 2)):
        least = _LEAST_FILLED if share < _LEAST_FILLED and widest <= length / 2 else _LEAST_WITH_A_GAP
        where = table.place_of_source(int(placed.rows[first + int(np.argmax(np.diff(places))) + 1]))
        raise InputError(
            f"{length} steps of one {grid.name} but only {len(places)} rows, {share:.1%} of at least {least:.0%}: "
            f"{widest} steps lie before {where}; is its time right?"
        )


def known_ahead(panel: Panel) -> Panel:
    """Make known covariates of the columns that rows behind the last target hold, in every series that has such."""
    schema = panel.schema
    with_rows = [each for each in panel.series if len(each.future)]
    ahead = [
        name
        for name in schema.past
        if with_rows and all(not np.isnan(each.future[:, schema.columns.index(name)]).any() for each in with_rows)
    ]
    if not ahead:
        rows = sum(len(each.future) for each in with_rows)
        if rows:
            panel.notes.append(f"{plural(rows, 'row')} after the last value of the target left out")
        return panel
    past = tuple(name for name in schema.past if name not in ahead)
    new = replace(schema, past=past, future=tuple(ahead))
    order = [schema.columns.index(name) for name in new.columns]
    series = tuple(replace(each, values=each.values[:, order], future=each.future[:, order]) for each in panel.series)
    panel.notes.append(f"known ahead, since rows behind the last value of the target hold them: {', '.join(ahead)}")
    return replace(panel, schema=new, series=series)


def _note_missing(panel: Panel) -> None:
    """Name and count the holes."""
    holes = [int((each.rows < 0).sum()) for each in panel.series]
    if sum(holes):
        n = int(np.flatnonzero(holes)[0])
        one = panel.series[n]
        first = panel.grid.label(one.start + int(np.flatnonzero(one.rows < 0)[0]))
        series = f" of {one.name}" if one.name else ""
        panel.notes.append(f"{plural(sum(holes), panel.grid.name)} without a row (the first: {first}{series})")
    for k, column in enumerate(panel.columns):
        missing = sum(int((np.isnan(each.values[:, k]) & (each.rows >= 0)).sum()) for each in panel.series)
        if missing:
            panel.notes.append(f"{plural(missing, 'value')} of {column!r} missing")
