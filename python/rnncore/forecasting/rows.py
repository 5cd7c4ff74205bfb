"""Frames to panels and arrays: those that a forecaster is fitted to, and rows that come later."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.history import expanded, numbers
from rnncore.forecasting.live import Live
from rnncore.tables import InputError, Panel, Schema, load_table, place_rows, read_like, read_panel

if TYPE_CHECKING:
    from rnncore.forecasting.forecaster import Forecaster


def read(df: Any, told: Forecaster) -> Panel:
    """Return the panel of what `fit` is given."""
    if isinstance(df, Panel):
        return df
    table = load_table(df)
    return read_panel(
        table,
        target=told.target_col,
        group=told.id_col if told.id_col in table.columns else None,
        time=told.time_col if told.time_col in table.columns else None,
        past=told.past,
        future=tuple(told.future),
        static=tuple(told.static),
    )


def read_panel_like(df: Any, schema: Schema) -> Panel:
    """Return the panel of further rows, their series on the grid that the schema names."""
    if isinstance(df, Panel):
        if df.columns != schema.columns:
            raise InputError(f"df has the columns {', '.join(df.columns)}, expected {', '.join(schema.columns)}")
        return df
    return read_like(df, schema)


def read_on(df: Any, schema: Schema, live: Live, names: list[str]) -> tuple[Array, Array, Array, Array]:
    """Rows that follow the last ones of known series: y, past and future (N, R, .), and present (N, R).

    Each series' rows stand at the end. Raises InputError for unknown series and rows that do not follow.
    """
    placed = _placed(df, schema, live, names, (*schema.target[:1], *schema.past, *schema.future), "df")
    ends = live.tail.offset + live.tail.steps
    series = len(names)
    most = 0
    for n, (positions, _) in placed.items():
        if positions[0] < ends[n]:
            label, last = (schema.grid.label(int(p)) for p in (positions[0], ends[n] - 1))
            of = f" of {names[n]}" if names[n] else ""
            raise InputError(f"df: the row{of} at {label} does not follow the last one, which is at {last}")
        most = max(most, int(positions[-1]) - int(ends[n]) + 1)
    y = np.full((series, most), np.nan)
    order = (*schema.target[:1], *schema.past, *schema.future)
    past, future = expanded(schema, schema.past, order), expanded(schema, schema.future, order)
    x = np.full((series, most, sum(len(each) for _, each in past)), np.nan, np.float32)
    f = np.full((series, most, sum(len(each) for _, each in future)), np.nan, np.float32)
    present = np.zeros((series, most), np.bool_)
    for n, (positions, values) in placed.items():
        count = int(positions[-1]) - int(ends[n]) + 1
        at = positions - ends[n] + most - count
        present[n, most - count :] = True
        y[n, at] = values[:, 0]
        x[n, at], f[n, at] = numbers(values, past), numbers(values, future)
    return y, x, f, present


def put_ahead(live: Live, schema: Schema, names: list[str], future_df: Any, steps: int) -> None:
    """Put covariates known ahead behind the end of each series. Raises InputError where some are missing."""
    tail = live.tail
    given = tail.future.shape[1] - tail.steps
    if future_df is None:
        if live.known_ahead >= steps:
            return
        told = ", ".join(schema.future)
        raise InputError(f"future_df: expected {steps} rows of {told} for each series, got none")
    placed = _placed(future_df, schema, live, names, schema.future, "future_df")
    ends = tail.offset + tail.steps
    columns = expanded(schema, schema.future, schema.future)
    ahead = np.full((len(names), max(steps, given), tail.future.shape[-1]), np.nan, np.float32)
    for n, name in enumerate(names):
        positions, values = placed.get(n, (np.zeros(0, np.int64), np.zeros((0, len(schema.future)))))
        inside = (positions >= ends[n]) & (positions < ends[n] + ahead.shape[1])
        ahead[n, positions[inside] - ends[n]] = numbers(values[inside], columns)
        missing = np.flatnonzero(np.isnan(ahead[n, :steps]).any(axis=1))
        if missing.size:
            label = schema.grid.label(int(ends[n] + missing[0]))
            of = f" of series {name!r}" if name else ""
            raise InputError(
                f"future_df: expected {steps} rows{of} with {', '.join(schema.future)}; {label} is missing"
            )
    live.tail = replace(tail, future=np.concatenate([tail.future[:, : tail.steps], ahead], axis=1))
    live.known_ahead = steps


def _placed(
    df: Any, schema: Schema, live: Live, names: list[str], columns: tuple[str, ...], what: str
) -> dict[int, tuple[Array, Array]]:
    """Series -> positions, ascending, and values of the columns; rows without a time follow the last ones."""
    found = {}
    for name, positions, values in place_rows(df, schema, columns, what):
        if name not in names:
            known = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise InputError(f"{what}: unknown series {name!r}, the forecaster was fitted to {known}")
        n = names.index(name)
        if not schema.time:
            positions = positions + int(live.tail.offset[n] + live.tail.steps)
        found[n] = positions, values
    return found


def stamps(schema: Schema, positions: Array) -> Array:
    """What the time column of a frame holds at some positions: local times, or the numbers of an index."""
    grid = schema.grid
    if not grid.calendar:
        values = grid.origin + grid.step * positions
        return values.astype(np.int64) if grid.origin % 1 == 0 and grid.step % 1 == 0 else values
    return grid.local(positions)
