"""Data frames and arrays to columns and back: pandas, polars and all that narwhals knows, mappings, NumPy arrays."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.errors import InputError

Columns = tuple[dict[str, Array], dict[str, str]]  # and the time zones of some


def read_parquet(content: bytes, name: str) -> Columns:
    """Return the columns of a Parquet file."""
    import pandas as pd

    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except ImportError:
        raise InputError(f"{name} is a Parquet file: pip install pyarrow") from None
    except Exception as error:  # of pyarrow or fastparquet, which are imported there
        raise InputError(f"{name} is a damaged Parquet file: {' '.join(str(error).split())}") from None
    return from_frame(frame)


def is_frame(source: object) -> bool:
    """Tell whether narwhals knows a thing as a data frame."""
    if source is None or isinstance(source, (str, Path, Mapping, np.ndarray)):
        return False
    if _is_pandas(source):
        return True
    import narwhals as nw

    return isinstance(nw.from_native(source, pass_through=True), (nw.DataFrame, nw.LazyFrame))


def is_series(source: object) -> bool:
    """Tell whether a thing is a series of pandas, polars or what else narwhals knows."""
    import narwhals as nw

    return isinstance(nw.from_native(source, pass_through=True, allow_series=True), nw.Series)


def from_series(source: Any) -> Columns:
    """Return the column "y" of a series; of pandas also an index that is none of mere row numbers."""
    import narwhals as nw

    return from_frame(nw.from_native(source, series_only=True).alias("y").to_frame().to_native())


def _is_pandas(source: object) -> bool:
    kind = type(source)
    return kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "DataFrame"


def _is_plain(dtype: Any) -> bool:
    """Whether pandas holds a column as NumPy does, so that nothing needs to be converted."""
    return isinstance(dtype, np.dtype) and dtype.kind in "iufbMO"


def from_frame(source: Any) -> Columns:
    """Return the columns of a data frame; of pandas also an index that is none of mere row numbers."""
    import narwhals as nw

    source = _with_index(source)
    if _is_pandas(source) and source.columns.is_unique and all(_is_plain(dtype) for dtype in source.dtypes):
        return from_mapping({str(name): source[name].to_numpy() for name in source.columns})
    frame = nw.from_native(source)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    columns: dict[str, Array] = {}
    zones: dict[str, str] = {}
    for name in frame.columns:
        columns[str(name)], zone = _column(frame[name], str(name), nw)
        if zone:
            zones[str(name)] = zone
    return columns, zones


def _with_index(source: Any) -> Any:
    """A pandas frame whose index is made a column, if it says something."""
    index = getattr(source, "index", None)
    if index is None or not hasattr(source, "reset_index") or type(index).__name__ == "RangeIndex":
        return source
    if index.nlevels == 1 and index.dtype.kind in "iu" and index.name is None:  # left by a filter or a sort
        return source
    names = [name if name is not None else "index" for name in index.names]
    return source.reset_index(names=names) if not set(names) & set(source.columns) else source


def _column(series: Any, name: str, nw: Any) -> tuple[Array, str | None]:
    """One column, and its time zone."""
    dtype = series.dtype
    if isinstance(dtype, nw.Datetime):
        zone = dtype.time_zone
        if zone:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return series.to_numpy().astype("datetime64[ns]"), zone
    if dtype == nw.Date:
        return series.cast(nw.Datetime("ns")).to_numpy().astype("datetime64[ns]"), None
    if dtype == nw.Boolean:
        series = series.cast(nw.Float64) if series.null_count() else series.cast(nw.Int64)
    if dtype.is_numeric():
        return as_column(series.to_numpy() if not series.null_count() else series.cast(nw.Float64).to_numpy(), name)
    return as_column(np.array(series.to_list(), dtype=object), name)


def from_mapping(source: Mapping[str, Any]) -> Columns:
    """Return the columns of a mapping of names to sequences of one length."""
    columns: dict[str, Array] = {}
    zones: dict[str, str] = {}
    for name, values in source.items():
        columns[str(name)], zone = as_column(values, str(name))
        if zone:
            zones[str(name)] = zone
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise InputError(f"columns have to be of one length, got {told}")
    return columns, zones


def from_array(source: Array) -> Columns:
    """Return the columns of an array (T,) or (T, C): "y", or "y0", "y1" and so on."""
    if source.ndim == 1:
        return from_mapping({"y": source})
    if source.ndim != 2:
        raise InputError(f"an array has to be (T,) or (T, C), got {source.shape}")
    return from_mapping({f"y{k}": column for k, column in enumerate(source.T)})


def as_column(values: Any, name: str) -> tuple[Array, str | None]:
    """Return values as one of the types that a table has, and the time zone of pandas' stamps."""
    zone = getattr(getattr(values, "dtype", None), "tz", None)
    if zone is not None:  # pandas' own
        values = values.dt if hasattr(values, "dt") else values
        return np.asarray(values.tz_convert("UTC").tz_localize(None), "datetime64[ns]"), str(zone)
    array = np.asarray(values)
    if array.ndim != 1:
        raise InputError(f"column {name!r} has to have one dimension, got {array.shape}")
    kind = array.dtype.kind
    if kind in "iub":
        return array.astype(np.int64 if kind != "u" else np.float64), None
    if kind == "f":
        numbers = array.astype(np.float64)
        return np.where(np.isfinite(numbers), numbers, np.nan), None
    if kind == "M":
        return array.astype("datetime64[ns]"), None
    return _from_objects(array.astype(object)), None


def _from_objects(array: Array) -> Array:
    """Numbers where all are numbers or None, stamps likewise, else text."""
    entries = [None if entry is None or entry != entry else entry for entry in array.tolist()]
    given = [entry for entry in entries if entry is not None]
    if given and all(isinstance(entry, (int, float, np.number)) for entry in given):
        return np.array([np.nan if entry is None else float(entry) for entry in entries])
    return np.array(["" if entry is None else str(entry).strip() for entry in entries], object)


def like(source: Any, columns: Mapping[str, Any]) -> Any:
    """Return columns as a frame of the kind of source: polars for polars, pandas for all that is no frame.

    >>> like(None, {"unique_id": ["a"], "y": [1.5]}).columns.tolist()
    ['unique_id', 'y']
    """
    if not _is_pandas(source) and is_frame(source):
        import narwhals as nw

        native = nw.from_native(source)
        return nw.from_dict(dict(columns), backend=native.implementation).to_native()
    import pandas as pd

    return pd.DataFrame(dict(columns), copy=False)
