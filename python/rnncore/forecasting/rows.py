"""Frames to panels and arrays: those that a forecaster is fitted to, and rows that come later."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.history import expanded, last_known, numbers
from rnncore.forecasting.live import Live
from rnncore.tables import Grid, InputError, Panel, Schema, Series, Table, load_table, read_panel

_NEXT = 2  # rows: of more, one may stand for a missing value
_PARAMETERS = {"target": "target_col", "group": "id_col", "time": "time_col"}  # of options
_LARGEST = 1e30  # as for all tables


def read(df: Any, *, target: str, group: str, time: str, **covariates: Any) -> Panel:
    """Return the panel of what `fit` is given; the columns of group and time may be absent."""
    if isinstance(df, Panel):
        return df
    with _in_words_of_python(df):
        table = load_table(df)
        return read_panel(
            table,
            target=target,
            group=group if group in table.columns else None,
            time=time if time in table.columns else None,
            **covariates,
        )


def read_panel_like(df: Any, schema: Schema) -> Panel:
    """Return the panel of further rows, their series on the grid that the schema names."""
    if isinstance(df, Panel):
        if df.columns != schema.columns:
            raise InputError(f"df has the columns {', '.join(df.columns)}, expected {', '.join(schema.columns)}")
        return df
    with _in_words_of_python(df):
        return read_panel(df, schema=schema)


@contextmanager
def _in_words_of_python(df: Any) -> Iterator[None]:
    """Let an error name the forecaster's parameters, not the command's options, unless the command read the rows."""
    try:
        yield
    except InputError as error:
        if isinstance(df, Table):
            raise
        told = re.sub(r"--(\w+)", lambda found: _PARAMETERS.get(found[1], found[1]), str(error))
        raise InputError(told) from None


def check_values(panel: Panel) -> None:
    """Raise InputError for a series without a value of the target, behind which nothing can be forecast."""
    empty = next((each for each in panel if not len(each)), None)
    if empty is not None:
        of = f" of series {empty.name!r}" if empty.name else ""
        raise InputError(f"df: no value of {panel.schema.target[0]!r}{of} to forecast from")


def read_on(df: Any, schema: Schema, live: Live, names: list[str]) -> tuple[Array, Array, Array, Array]:
    """Rows that follow the last ones of known series: y, past and future (N, R, .), and present (N, R).

    Each series' rows stand at the end. Raises InputError for unknown series and rows that do not follow.
    """
    ends = live.tail.offset + live.tail.steps
    found, most = {}, 0
    for n, begin, each in _placed(df, schema, live, names, "df"):
        if not len(each):
            continue
        if begin < ends[n]:
            label, last = (schema.grid.label(int(p)) for p in (begin, ends[n] - 1))
            of = f" of {names[n]}" if names[n] else ""
            raise InputError(f"df: the row{of} at {label} does not follow the last one, which is at {last}")
        found[n] = begin - int(ends[n]), each.values
        most = max(most, begin - int(ends[n]) + len(each))
    past, future = (expanded(schema, columns, schema.columns) for columns in (schema.past, schema.future))
    y = np.full((len(names), most), np.nan)
    x = np.full((len(names), most, sum(len(each) for _, each in past)), np.nan, np.float32)
    f = np.full((len(names), most, sum(len(each) for _, each in future)), np.nan, np.float32)
    present = np.zeros((len(names), most), np.bool_)
    for n, (gap, values) in found.items():
        present[n, most - gap - len(values) :] = True
        own = slice(most - len(values), most)
        y[n, own], x[n, own], f[n, own] = values[:, 0], numbers(values, past), numbers(values, future)
    return y, x, f, present


def next_rows(df: Any, schema: Schema, live: Live, keys: list[Any]) -> Array | None:
    """Return the very next one or two rows (R, C) of a single series; None for all that takes more reading.

    This is the short way for rows that come one by one: numbers alone, whose times are the next on the grid.
    """
    if len(keys) != 1 or schema.categories or len(schema.time) != 1 or schema.grid.zone is not None:
        return None
    if type(df) is not dict and type(df).__module__.partition(".")[0] != "pandas":
        return None
    try:
        times, *columns = (np.asarray(df[name]) for name in (*schema.time, *schema.columns))
        if any(set(df[name]) != {key} for name, key in zip(schema.group, keys[0], strict=True)):
            return None
    except (KeyError, TypeError, ValueError):
        return None
    count = times.size
    if not 0 < count <= _NEXT or any(own.shape != (count,) or own.dtype.kind not in "iuf" for own in columns):
        return None
    if not _are_next(times, schema.grid, live.end):
        return None
    values = np.array(columns, np.float64).T
    return values if (np.abs(values) < _LARGEST).all() else None


def _are_next(times: Array, grid: Grid, position: int) -> bool:
    """Whether times are those of the next steps, exactly."""
    expected = np.arange(position, position + len(times))
    if grid.kind == "index":
        return times.dtype.kind in "iuf" and bool((times == grid.origin + grid.step * expected).all())
    if times.dtype.kind != "M":
        return False
    return bool((times.astype("datetime64[ns]").view(np.int64) == grid.instants(expected)).all())


def put_ahead(live: Live, schema: Schema, names: list[str], future_df: Any, steps: int, horizon: int) -> None:
    """Put covariates known ahead behind the end of each series, the last ones again past what is told.

    Raises InputError where some of the first `steps` are missing.
    """
    tail = live.tail
    if future_df is None:
        if live.known_ahead >= steps:
            return
        told = ", ".join(schema.future)
        raise InputError(f"future_df: expected {steps} rows of {told} for each series, got none")
    ends = tail.offset + tail.steps
    columns = expanded(schema, schema.future, schema.columns)
    ahead = np.full((len(names), horizon, tail.future.shape[-1]), np.nan, np.float32)
    for n, begin, each in _placed(future_df, schema, live, names, "future_df"):
        values = numbers(np.concatenate([each.values, each.future]), columns)
        places = begin + np.arange(len(values)) - ends[n]
        inside = (places >= 0) & (places < horizon)
        ahead[n, places[inside]] = values[inside]
    for n, name in enumerate(names):
        missing = np.flatnonzero(np.isnan(ahead[n, :steps]).any(axis=1))
        if missing.size:
            label = schema.grid.label(int(ends[n] + missing[0]))
            of = f" of series {name!r}" if name else ""
            raise InputError(
                f"future_df: expected {steps} rows{of} with {', '.join(schema.future)}; {label} is missing"
            )
    live.tail = replace(tail, future=np.concatenate([tail.future[:, : tail.steps], last_known(ahead)], axis=1))
    live.known_ahead = steps


def _placed(df: Any, schema: Schema, live: Live, names: list[str], what: str) -> Iterator[tuple[int, int, Series]]:
    """Yield number, position of the first row, and rows of every series; without a time they follow the last ones."""
    for each in read_panel_like(df, schema):
        if each.name not in names:
            known = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise InputError(f"{what}: unknown series {each.name!r}, the forecaster was fitted to {known}")
        n = names.index(each.name)
        yield n, each.start + (0 if schema.time else int(live.tail.offset[n] + live.tail.steps)), each
