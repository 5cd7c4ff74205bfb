"""What workers run on: joblib, Dask and Fugue. Each yields the results in the order of the partitions."""

from __future__ import annotations

import base64
import importlib
import io
import pickle
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnncore.distributed.partitions import one_thread
from rnncore.files import replace_file
from rnncore.tables.frames import is_frame

__all__ = ["ENGINES", "NEEDS", "Task"]


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
NEEDS = {"joblib": "joblib", "dask": "distributed", "fugue": "fugue"}
"""The module that each imports."""
