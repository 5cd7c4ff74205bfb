"""Rows of a table laid out as series on a grid: placed, gathered where they meet, and what is missing noted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.errors import InputError
from rnncore.tables.grid import Grid
from rnncore.tables.notes import count
from rnncore.tables.panel import Panel, Schema, Series
from rnncore.tables.sentinels import without_sentinels
from rnncore.tables.stamps import Stamps
from rnncore.tables.table import Table

_LEAST_FILLED = 0.2  # of the grid: fewer rows than that, and some time stamp is probably wrong
_LARGEST = 1e30  # squares of it have to be finite
_OFF = 1e-6  # of a step: the least that counts as moved


@dataclass(frozen=True)
class _Placed:
    """Rows of a series on the grid: each position once, with the values there."""

    positions: Array
    values: Array
    rows: Array


def assemble(
    table: Table, schema: Schema, stamps: Stamps, names: list[str], keys: list[tuple[Any, ...]], rows: list[Array]
) -> Panel:
    """Return the panel: each series from the first value of a target to the last, with what is known behind it."""
    numbers = np.stack([_column(table, schema, name) for name in schema.columns], axis=1)
    for k, name in enumerate(schema.columns):
        if name not in schema.categories:
            numbers[:, k] = without_sentinels(numbers[:, k], name, table)
    for k, name in enumerate(schema.target):
        if np.isnan(numbers[:, k]).all():
            raise InputError(f"target {name!r} has no values at all")
    if np.nanmax(np.abs(numbers)) > _LARGEST:
        k = int(np.nanargmax(np.abs(numbers).max(axis=0)))
        most = np.nanmax(np.abs(numbers[:, k]))
        raise InputError(f"column {schema.columns[k]!r} holds {most:g}: numbers beyond {_LARGEST:g} cannot be handled")
    static = np.stack([_column(table, schema, name) for name in schema.static] or [np.empty(len(table))], axis=1)
    static = static[:, : len(schema.static)]
    placed = _place(table, schema.grid, stamps, rows, numbers, schema)
    found = []
    for name, key, each, chosen in zip(names, keys, placed, rows, strict=True):
        one = _one_series(table, schema, name, key, each, static[chosen])
        if one is not None:
            found.append(one)
    panel = Panel(schema, tuple(found), table.notes, table.where)
    _note_missing(panel)
    return panel


def _column(table: Table, schema: Schema, name: str) -> Array:
    """float64 of a column: numbers, or the place of each text among its categories."""
    if name not in schema.categories:
        return table.numbers(name)
    places = {text: float(k) for k, text in enumerate(schema.categories[name])}
    return np.array([places.get(text, np.nan) for text in table.texts(name).tolist()])


def _place(
    table: Table, grid: Grid, stamps: Stamps, rows: list[Array], numbers: Array, schema: Schema
) -> list[_Placed]:
    """Move rows onto the grid; where several meet, or stamps lie in between, their mean is taken. Both are noted."""
    instants = stamps.values if grid.kind in ("time", "index") else stamps.local
    placed, moved, between, merged = [], 0, 0, 0
    for chosen in rows:
        exact = grid.positions(instants[chosen])
        whole = np.rint(exact).astype(np.int64)
        off = np.abs(exact - whole)
        moved += int((off > _OFF).sum())
        between += int((off > 0.4).sum())
        meet = np.diff(whole) == 0
        merged += int(meet.sum())
        if meet.any():
            placed.append(_merged(whole, numbers[chosen], chosen, schema))
        else:
            placed.append(_Placed(whole, numbers[chosen], chosen))
    if merged or between:
        table.notes.append(
            f"times are irregular: {count(sum(map(len, rows)), 'row')} gathered in steps of one {grid.name}, "
            f"each the mean of its rows ({merged} share a step with another)"
        )
    elif moved:
        table.notes.append(f"{count(moved, 'time stamp')} moved to the nearest {grid.name}")
    return placed


def _merged(positions: Array, values: Array, rows: Array, schema: Schema) -> _Placed:
    """One row for each position: the mean of numbers, the last of texts."""
    places, first = np.unique(positions, return_index=True)
    known = ~np.isnan(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), first, axis=0)
    counts = np.add.reduceat(known.astype(np.int64), first, axis=0)
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    last = np.append(first[1:], len(positions)) - 1
    for k, name in enumerate(schema.columns):
        if name in schema.categories:
            mean[:, k] = values[last, k]
    return _Placed(places, mean, rows[first])


def _one_series(
    table: Table, schema: Schema, name: str, key: tuple[Any, ...], placed: _Placed, static: Array
) -> Series | None:
    """Lay a series out from the first value of a target to the last, with what is known behind it."""
    known = np.flatnonzero(~np.isnan(placed.values[:, : len(schema.target)]).all(axis=1))
    of = f" of {name}" if name else ""
    if not known.size:
        table.notes.append(f"series {name!r} has no value of the target: left out")
        return None
    first, last = int(known[0]), int(known[-1])
    if first:
        table.notes.append(f"{count(first, 'row')}{of} before the first value of the target left out")
    if last + 1 < len(placed.positions):
        behind = count(len(placed.positions) - last - 1, "row")
        table.notes.append(f"{behind}{of} after the last value of the target left out")
    start, stop = int(placed.positions[first]), int(placed.positions[last])
    _check_filled(table, schema.grid, placed.positions[first : last + 1], placed.rows[first : last + 1])
    values = np.full((stop - start + 1, len(schema.columns)), np.nan)
    sources = np.full(len(values), -1, np.int64)
    at = placed.positions[first : last + 1] - start
    values[at] = placed.values[first : last + 1]
    sources[at] = placed.rows[first : last + 1]
    ahead = np.full((int(placed.positions[-1]) - stop, len(schema.columns)), np.nan)
    ahead[placed.positions[last + 1 :] - stop - 1] = placed.values[last + 1 :]
    return Series(name, key, start, values, ahead, _constant(schema, name, static), sources)


def _constant(schema: Schema, name: str, static: Array) -> Array:
    """One value of each static covariate; InputError for one that changes within a series."""
    for k, column in enumerate(schema.static):
        if len(np.unique(static[~np.isnan(static[:, k]), k])) > 1:
            raise InputError(f"--static: {column!r} changes within series {name!r}, expected one value")
    known = [column[~np.isnan(column)] for column in static.T]
    return np.array([column[0] if column.size else np.nan for column in known], np.float64)


def _check_filled(table: Table, grid: Grid, places: Array, rows: Array) -> None:
    """Not mostly holes."""
    length = int(places[-1] - places[0]) + 1
    if len(places) < _LEAST_FILLED * length and length > 50:
        widest = int(np.argmax(np.diff(places)))
        line = table.where(int(rows[widest + 1]))
        raise InputError(
            f"{length} steps of one {grid.name} but only {len(places)} rows, fewer than {_LEAST_FILLED:.0%}: "
            f"{int(np.diff(places).max())} steps lie before {line}; is its time right?"
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
        panel.notes.append(f"{count(sum(holes), panel.grid.name)} without a row (the first: {first}{series})")
    for k, column in enumerate(panel.columns):
        missing = sum(int((np.isnan(each.values[:, k]) & (each.rows >= 0)).sum()) for each in panel.series)
        if missing:
            panel.notes.append(f"{count(missing, 'value')} of {column!r} missing")
