"""One way in: a file, a data frame, a mapping or an array becomes a panel."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.tables.build import build_panel, continue_panel
from rnncore.tables.errors import InputError
from rnncore.tables.frames import from_array, from_frame, from_mapping, from_series, is_frame, is_series
from rnncore.tables.panel import Panel, Schema
from rnncore.tables.table import Table, read_table, require_pandas


def load_table(source: Any, decimal: str | None = None) -> Table:
    """Return a table from whatever holds one: see `read_panel`."""
    if isinstance(source, Table):
        return source
    require_pandas()
    if isinstance(source, (str, Path, Traversable)):
        return read_table(source, decimal)
    if isinstance(source, Mapping):
        columns, zones = from_mapping(source)
    elif isinstance(source, (np.ndarray, list, tuple)):
        columns, zones = from_array(np.asarray(source))
    elif is_frame(source):
        columns, zones = from_frame(source)
    elif is_series(source):
        columns, zones = from_series(source)
    else:
        expected = "a path, a data frame or series, a mapping of names to columns or an array"
        raise TypeError(f"data should be {expected}, got: {type(source).__name__}")
    if not columns or not len(next(iter(columns.values()))):
        raise InputError("the data frame has no rows")
    return Table("the data frame", columns, zones=zones)


def read_panel(source: Any, *, schema: Schema | None = None, decimal: str | None = None, **options: Any) -> Panel:
    """Return the series of a file, a data frame, a mapping or an array.

    `source` is the path of a CSV or Parquet file ("-" for standard input), a pandas or polars frame (or any that
    narwhals knows) or series, a mapping of column names to sequences, or an array or list of shape (T,) or (T, C). The
    options are those of `build_panel`, and `decimal`, the decimal mark of a CSV file. Raises InputError (a ValueError
    of one line) for data that cannot be read or may be read in two ways.

    With the `schema` of another panel, rows of the same kind are read onto its grid: see `continue_panel`.

    >>> panel = read_panel({"ds": ["2024-01-30", "2024-01-31", "2024-02-02"], "y": [1.0, 2.0, 4.0]})
    >>> panel.series[0].y.tolist(), panel.next_labels(0, 1), panel.notes
    ([1.0, 2.0, nan, 4.0], ['2024-02-03'], ['1 day without a row (the first: 2024-02-01)'])
    """
    if schema is None:
        return build_panel(load_table(source, decimal), **options)
    if options:
        raise TypeError(f"a schema says all that options could, got {', '.join(options)} too")
    return continue_panel(load_table(source, decimal or schema.options.get("decimal")), schema)
