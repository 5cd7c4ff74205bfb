"""Times from a column of text, numbers or times: what kind of thing it is decides who reads it."""

from __future__ import annotations

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.dialect import is_missing
from rnncore.tables.errors import InputError
from rnncore.tables.number_times import from_numbers
from rnncore.tables.stamps import Reading, Stamps
from rnncore.tables.table import Table
from rnncore.tables.text_times import from_texts


def parse_stamps(table: Table, name: str, reading: Reading) -> Stamps:
    """Read a column as times, or as numbers of steps. Raises InputError that names the first row that is neither."""
    values = table.columns[name]
    _refuse_missing(table, name, values)
    if values.dtype.kind == "M":
        return Stamps(values.astype("datetime64[ns]").astype(np.int64), True, table.zones.get(name))
    if reading.time_format is not None:
        return _told(table, name, reading.time_format)
    if values.dtype.kind in "if":
        return from_numbers(values, name)
    return from_texts(table, name, values, reading)


def _refuse_missing(table: Table, name: str, values: Array) -> None:
    if values.dtype.kind == "O":
        missing = np.fromiter(map(is_missing, values), np.bool_, len(values))
    else:
        missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise InputError(f"column {name!r}, {table.where(row)}: the time is missing")


def _told(table: Table, name: str, time_format: str) -> Stamps:
    """Times as strptime's format says."""
    import pandas as pd

    texts = table.texts(name)
    try:
        parsed = pd.to_datetime(pd.Series(texts), format=time_format, errors="coerce", utc="%z" in time_format)
    except ValueError as error:
        raise InputError(f"--time-format {time_format!r}: {error}") from None
    wrong = np.flatnonzero(parsed.isna().to_numpy())
    if wrong.size:
        row = int(wrong[0])
        raise InputError(f"column {name!r}, {table.where(row)}: cannot read the time {texts[row]!r} as {time_format!r}")
    if "%z" in time_format:
        return Stamps(parsed.dt.tz_localize(None).to_numpy("datetime64[ns]").astype(np.int64), True, "UTC")
    return Stamps(parsed.to_numpy("datetime64[ns]").astype(np.int64), True)
