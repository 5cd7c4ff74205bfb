"""A function over the partitions of many series: on one machine over joblib, on a cluster over Dask or Fugue."""

from __future__ import annotations

import base64
import importlib
import io
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array, check_size
from rnncore.distributed.partitions import one_thread
from rnncore.files import replace_file
from rnncore.tables import InputError
from rnncore.tables.frames import is_frame

__all__ = ["ENGINES", "map_partitions"]

_FILES = (".csv", ".parquet", ".pq")
_NEEDS = {"joblib": "joblib", "dask": "distributed", "fugue": "fugue"}


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
        A folder: each result becomes a file there, ``part-00000.parquet`` and so on, replaced in one go.
    id_col
        The column that tells the series of a frame apart.
    retries
        How often "dask" tries a partition again.

    Returns one frame, in the order of the partitions; with output the list of files. Raises ImportError for an engine
    that is not installed, with what to install, and InputError for data that hold nothing; an exception of the function
    comes as it is.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"unique_id": ["a", "b", "a"], "ds": [0, 0, 1], "y": [1.0, 2.0, 3.0]})
    >>> map_partitions(frame, pd.DataFrame.nunique, workers=1, series=1)["y"].tolist()
    Traceback (most recent call last):
    ...
    TypeError: function should return a data frame, got Series
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, got {engine!r}")
    if not callable(function):
        raise TypeError(f"function should be a function of a partition, got {type(function).__name__}")
    count = len(os.sched_getaffinity(0)) if workers is None else check_size("workers", workers, 1)
    size, again = check_size("series", series, 1), check_size("retries", retries, 0)
    if output is not None:
        Path(output).mkdir(parents=True, exist_ok=True)
    task = Task(function, None if output is None else Path(output))
    parts = iter(enumerate(_partitions(data, id_col, size)))
    try:
        found = list(ENGINES[engine](task, parts, count, cluster, again))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in (_NEEDS[engine], engine):
            raise
        told = f"engine={engine!r} needs {error.name}: pip install 'rnncore[{engine}]'"
        raise ImportError(told) from None
    if not found:
        raise InputError("data: there is no partition")
    return found if output is not None else _joined(found)


@dataclass(frozen=True)
class Task:
    """What a worker does with a partition: the function with one thread, and the result into its file."""

    function: Callable[[Any], Any]
    output: Path | None

    def __call__(self, number: int, partition: Any) -> Any:
        """Return the result, or the path of its file."""
        with one_thread():
            result = self.function(partition)
        if not is_frame(result):
            raise TypeError(f"function should return a data frame, got {type(result).__name__}")
        if self.output is None:
            return result
        path = self.output / f"part-{number:05d}.parquet"
        replace_file(path, _as_parquet(result))
        return str(path)


def _as_parquet(frame: Any) -> bytes:
    import narwhals as nw

    content = io.BytesIO()
    nw.from_native(frame, eager_only=True).write_parquet(content)
    return content.getvalue()


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
    numbers = _numbers(np.asarray(frame[id_col].to_list(), object))
    rows = np.argsort(numbers, kind="stable")
    ends = np.searchsorted(numbers[rows], np.arange(series, int(numbers.max(initial=-1)) + 1, series))
    for own in np.split(rows, ends):
        if own.size:
            yield frame[own.tolist()].to_native()


def _numbers(ids: Array) -> Array:
    """Number the series by their first row."""
    known: dict[Any, int] = {}
    return np.array([known.setdefault(each, len(known)) for each in ids.tolist()], np.int64)


# ---- the engines: each yields the results in the order of the partitions

Parts = Iterator[tuple[int, Any]]


def _joblib(task: Task, parts: Parts, workers: int, cluster: Any, retries: int) -> Iterator[Any]:  # noqa: ARG001
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=workers, return_as="generator", pre_dispatch=2 * workers, batch_size=1)
    yield from parallel(delayed(task)(number, part) for number, part in parts)


def _dask(task: Task, parts: Parts, workers: int, cluster: Any, retries: int) -> Iterator[Any]:
    with _client(cluster, workers) as client:
        running: deque[tuple[int, Any, Any]] = deque()
        for number, part in parts:
            if len(running) >= 4 * max(len(client.scheduler_info()["workers"]), 1):
                yield _received(client, task, retries, *running.popleft())
            running.append((number, part, _sent(client, task, retries, number, part)))
        while running:
            yield _received(client, task, retries, *running.popleft())


def _sent(client: Any, task: Task, retries: int, number: int, part: Any) -> Any:
    """Let a worker do a task. Frames go to the worker itself: the scheduler would keep them in its log of messages."""
    for left in range(retries, -1, -1):
        try:
            there = part if isinstance(part, str) else client.scatter(part, hash=False)
            return client.submit(task, number, there, retries=retries, pure=False)
        except OSError:  # the worker that was to take the frame has died meanwhile
            if not left:
                raise
    return None


def _received(client: Any, task: Task, retries: int, number: int, part: Any, future: Any) -> Any:
    """Wait for a result; a partition that was lost with its worker is sent again."""
    distributed: Any = importlib.import_module("distributed")
    for left in range(retries, -1, -1):
        try:
            return future.result()
        except (distributed.CancelledError, distributed.KilledWorker):
            if not left:
                raise
            future = _sent(client, task, retries, number, part)
    return None


@contextmanager
def _client(cluster: Any, workers: int) -> Iterator[Any]:
    """Use a client that is there, or open one for this call."""
    distributed: Any = importlib.import_module("distributed")
    if isinstance(cluster, distributed.Client):
        yield cluster
    elif cluster is not None:
        with distributed.Client(cluster) as client:
            yield client
    else:
        options = {"n_workers": workers, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
        with distributed.LocalCluster(**options) as own, distributed.Client(own) as client:
            yield client


def _fugue(task: Task, parts: Parts, workers: int, cluster: Any, retries: int) -> Iterator[Any]:  # noqa: ARG001
    import pandas as pd

    fugue: Any = importlib.import_module("fugue.api")

    rows = pd.DataFrame([[number, _text(part)] for number, part in parts], columns=["number", "content"])
    options: Any = {"schema": "number:long,content:str", "partition": {"by": "number"}, "engine": cluster}
    if len(rows):
        found = fugue.as_array(fugue.transform(rows, _work, params={"task": _text(task)}, **options))
        for _, content in sorted(found, key=lambda row: row[0]):
            yield _thing(content)


def _work(rows: list[list[Any]], task: str) -> list[list[Any]]:
    """Do a task with partitions that come and go as rows: number, and the partition as text."""
    does: Task = _thing(task)
    return [[number, _text(does(number, _thing(content)))] for number, content in rows]


def _text(thing: Any) -> str:
    """Return what pickle makes of a thing as text, which every engine carries as it is."""
    return base64.b64encode(pickle.dumps(thing)).decode()


def _thing(text: str) -> Any:
    return pickle.loads(base64.b64decode(text))


ENGINES: dict[str, Callable[[Task, Parts, int, Any, int], Iterator[Any]]] = {
    "joblib": _joblib,
    "dask": _dask,
    "fugue": _fugue,
}
