"""A function over the partitions of many series: on one machine over joblib, on a cluster over Dask or Fugue."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array, check_size
from rnncore.distributed.engines import ENGINES, NEEDS, Task
from rnncore.tables import InputError
from rnncore.tables.frames import is_frame

__all__ = ["map_partitions"]

_PART = re.compile(r"part-([0-9]{5,})\.parquet")
_FILES = (".csv", ".parquet", ".pq")


def map_partitions(
    data: Any,
    function: Callable[[Any], Any],
    engine: str = "joblib",
    *,
    workers: int | None = None,
    cluster: Any = None,
    output: str | os.PathLike[str] | None = None,
    id_col: str = "unique_id",
    series: int = 1000,
    retries: int = 3,
) -> Any:
    """Call a function with each partition of the data, in other processes, and put the results together.

    Parameters
    ----------
    data
        A long frame, whose series are gathered into partitions of `series`; the path of a file, a folder of CSV or
        Parquet files, or a list of them: the function gets a path, one after the other; or an iterator of frames, read
        as fast as they are worked on. Not more than a few partitions a worker are in memory at a time.
    function
        Of a partition, a frame or a path, to a frame, as ``functools.partial(predict_partition, model="shop.fc")``. It
        is sent to other processes, so it has to be one of a module. It may be called again for a partition whose worker
        was lost: what it writes it should replace.
    engine
        "joblib": processes of this machine; "dask": workers of dask.distributed; "fugue": what Fugue runs on.
    workers
        Processes, by default one for each core; for a cluster that is there, its own.
    cluster
        Of "dask" a Client or the address of a scheduler, by default a cluster of this machine for this call; of "fugue"
        an engine, as "dask" or a Spark session, by default this process.
    output
        A folder: each result becomes a file there, ``part-00000.parquet`` and so on, replaced in one go. In the end
        parts of an earlier call that had more of them are deleted.
    id_col
        The column that tells the series of a frame apart.
    retries
        How often "dask" tries a partition again.

    Returns one frame, in the order of the partitions; with output the list of files. Raises ImportError for an engine
    that is not installed, with what to install, and InputError for data that hold nothing; an exception of the function
    comes as it is.

    >>> import functools, pandas as pd
    >>> frame = pd.DataFrame({"unique_id": ["a", "b", "a"], "ds": [0, 0, 1], "y": [1.0, 2.0, 3.0]})
    >>> largest = functools.partial(pd.DataFrame.nlargest, n=1, columns="y")
    >>> map_partitions(frame, largest, workers=1, series=1)["y"].tolist()
    [3.0, 2.0]
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, got {engine!r}")
    if not callable(function):
        raise TypeError(f"function should be a function of a partition, got {type(function).__name__}")
    count = len(os.sched_getaffinity(0)) if workers is None else check_size("workers", workers, 1)
    size, again = check_size("series", series, 1), check_size("retries", retries, 0)
    if engine == "joblib" and cluster is not None:
        raise ValueError(f"cluster should be None with engine='joblib', got {cluster!r}")
    folder = None if output is None else Path(output)
    if folder is not None:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"output: {folder} is a file, expected a folder")
        folder.mkdir(parents=True, exist_ok=True)
    task = Task(function, folder)
    parts = iter(enumerate(_partitions(data, id_col, size)))
    try:
        found = list(ENGINES[engine](task, parts, count, cluster, again))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in (NEEDS[engine], engine):
            raise
        told = f"engine={engine!r} needs {error.name}: pip install 'rnncore[{engine}]'"
        raise ImportError(told) from None
    if not found:
        raise InputError("data: there is no partition")
    if folder is None:
        return _joined(found)
    for path in folder.iterdir():
        if (part := _PART.fullmatch(path.name)) and int(part[1]) >= len(found):
            path.unlink()
    return found


def _joined(frames: list[Any]) -> Any:
    import narwhals as nw

    parts = [nw.from_native(each, eager_only=True) for each in frames]
    whole = nw.concat([part for part in parts if len(part)] or parts[:1]).to_native()
    return whole.reset_index(drop=True) if hasattr(whole, "reset_index") else whole


# ---- the partitions


def _partitions(data: Any, id_col: str, series: int) -> Iterator[Any]:
    """Yield frames or paths."""
    if is_frame(data):
        yield from _of_frame(data, id_col, series)
    elif isinstance(data, (str, os.PathLike)):
        yield from _files(Path(data))
    elif isinstance(data, Iterable):
        for k, each in enumerate(data):
            if isinstance(each, (str, os.PathLike)):
                yield from _files(Path(each))
            elif is_frame(each):
                yield each
            else:
                raise TypeError(f"data[{k}] should be a frame or a path, got {type(each).__name__}")
    else:
        raise TypeError(f"data should be a frame, paths or an iterator of frames, got {type(data).__name__}")


def _files(path: Path) -> list[str]:
    if path.is_dir():
        files = sorted(
            each for each in path.iterdir() if each.suffix in _FILES and not each.name.startswith((".", "_"))
        )
        if not files:
            raise InputError(f"cannot read {path}: the folder holds no CSV or Parquet file")
        return list(map(str, files))
    if not path.exists():
        raise InputError(f"cannot read {path}: there is no such file")
    return [str(path)]


def _of_frame(data: Any, id_col: str, series: int) -> Iterator[Any]:
    """Yield the rows of some series after the other, in the order in which they first come."""
    import narwhals as nw

    frame = nw.from_native(data, eager_only=True)
    if id_col not in frame.columns:
        raise InputError(f"id_col: there is no column {id_col!r} among {', '.join(frame.columns)}")
    numbers = _numbers(frame[id_col].to_list())
    rows = np.argsort(numbers, kind="stable")
    ends = np.searchsorted(numbers[rows], np.arange(series, int(numbers.max(initial=-1)) + 1, series))
    for own in np.split(rows, ends):
        if own.size:
            yield frame[own.tolist()].to_native()


def _numbers(ids: list[Any]) -> Array:
    """Number the series by their first row."""
    known: dict[Any, int] = {}
    return np.array([known.setdefault(each, len(known)) for each in ids], np.int64)
