"""Wide tables made long: each column a series, or each row one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rnncore.tables.errors import InputError
from rnncore.tables.stamps import Reading
from rnncore.tables.table import Table
from rnncore.tables.time_columns import read_times

LAYOUTS = ("columns", "rows")
SERIES, STEP, VALUE = "series", "step", "value"  # names of the long table's columns


def made_long(table: Table, layout: str, time: Sequence[str] = (), reading: Reading | None = None) -> Table:
    """Return a table with a row for each value of each series, in the columns "series" and "value".

    Of the layout "columns" every numeric column but the time is a series; of "rows" every row is one, under the text in
    its first column or its number, its values in the order of the columns, with their place in the column "step".
    Raises InputError where there is no numeric column.

    >>> table = Table("a frame", {"day": np.array([1, 2]), "a": np.array([0.5, 0.6]), "b": np.array([5.0, 6.0])})
    >>> long = made_long(table, "columns", ["day"])
    >>> long.columns["series"].tolist(), long.columns["value"].tolist()
    (['a', 'a', 'b', 'b'], [0.5, 0.6, 5.0, 6.0])
    """
    return _of_rows(table) if layout == "rows" else _of_columns(table, time, reading or Reading(None, None, None))


def _of_columns(table: Table, time: Sequence[str], reading: Reading) -> Table:
    times = read_times(replace(table, notes=[]), time, reading).names
    names = _numeric([name for name in table.columns if name not in times], table)
    rows = np.tile(np.arange(len(table)), len(names))
    long = table.take(rows)
    columns = {name: long.columns[name] for name in times}
    columns[SERIES] = np.repeat(np.array(names, object), len(table))
    columns[VALUE] = np.concatenate([table.numbers(name) for name in names])
    return replace(long, columns=columns, zones={k: zone for k, zone in table.zones.items() if k in times})


def _of_rows(table: Table) -> Table:
    """Values behind the last one that is known are no steps."""
    first = next(iter(table.columns))
    labelled = not table.is_numeric(first)
    names = [
        name
        for name, column in table.columns.items()
        if column.dtype.kind in "if" and (name, labelled) != (first, True)
    ]
    _numeric(names, table)
    values = np.stack([table.numbers(name) for name in names], axis=1)
    known = ~np.isnan(values)
    lengths = np.where(known.any(axis=1), values.shape[1] - np.argmax(known[:, ::-1], axis=1), 0)
    rows = np.repeat(np.arange(len(table)), lengths)
    step = np.concatenate([np.arange(n) for n in lengths])
    labels = table.texts(first) if labelled else np.arange(1, len(table) + 1).astype(str).astype(object)
    long = table.take(rows)
    return replace(long, columns={SERIES: labels[rows], STEP: step, VALUE: values[rows, step]}, zones={})


def _numeric(names: Sequence[str], table: Table) -> list[str]:
    found = [name for name in names if table.is_numeric(name)]
    if not found:
        raise InputError(f"--wide: {table.name} has no numeric column that may be a series")
    return found
