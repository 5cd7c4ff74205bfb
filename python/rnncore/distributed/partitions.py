"""What is done with one partition of a long frame: fit, predict, detect. Plain functions that any engine can send."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rnncore import config
from rnncore.detection import Detector
from rnncore.forecasting import Forecaster
from rnncore.tables import InputError, like, load_table

__all__ = ["detect_partition", "fit_partition", "one_thread", "predict_partition"]

Where = str | os.PathLike[str]


def fit_partition(frame: Any, folder: Where, **parameters: Any) -> Any:
    """Fit one `Forecaster` to the series of a partition, and keep it in a folder, made where there is none.

    frame is a long frame, or the path of a file; parameters are those of the Forecaster. Returns a frame with a row for
    each series: its id, and the file's name as `model`, which follows from the ids. So doing it again replaces the
    file, in one go, by the same. Raises as `Forecaster.fit` does.

    >>> import numpy as np
    >>> wave = 10 + np.sin(np.arange(120) / 2)
    >>> frame = {"unique_id": ["a"] * 60 + ["b"] * 60, "ds": [*range(60)] * 2, "y": wave}
    >>> fit_partition(frame, "models", h=3, networks=0)["unique_id"].tolist()
    ['a', 'b']
    >>> predict_partition(frame, "models")["ds"].tolist()
    [60, 61, 62, 60, 61, 62]
    """
    with one_thread():
        table = load_table(frame)
        forecaster = Forecaster(**{"num_threads": 1, **parameters}).fit(table)
        group = forecaster.schema_.group
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder) / _name_of(forecaster.names_)
        forecaster.save(path)
    names = group or (forecaster.id_col,)
    ids = {name: [key[k] if len(key) > k else "" for key in forecaster.keys_] for k, name in enumerate(names)}
    return like(frame, {**ids, "model": [path.name] * len(forecaster.names_)})


def predict_partition(frame: Any, model: Where, **options: Any) -> Any:
    """Forecast the series of a partition with a kept `Forecaster`, read once in a process.

    frame is a long frame, or the path of a file; model is the forecaster's file, or a folder of `fit_partition` where
    there is one of the same series; options are those of `Forecaster.predict`: h and level. Raises as that does.
    """
    with one_thread():
        whole = Path(model).is_dir()
        forecaster = _of_folder(Path(model), load_table(frame)) if whole else _kept(Forecaster, model)
        return forecaster.predict(df=frame, **options)


def detect_partition(
    frame: Any, model: Where, *, id_col: str = "unique_id", time_col: str | None = None, alarms: bool = False
) -> Any:
    """Judge the rows of each sensor of a partition with a kept `Detector`, read once in a process.

    Each sensor's rows are judged as those that follow the detector's history. Returns the columns of
    `rnncore.detection.Scores.to_frame` behind the id; with alarms=True only the rows in which an alarm lasts.
    """
    with one_thread():
        detector = _kept(Detector, model)
        table = load_table(frame)
        if id_col not in table.columns:
            raise InputError(f"id_col: there is no column {id_col!r} among {', '.join(table.columns)}")
        ids = table.texts(id_col)
        columns: dict[str, list[Any]] = {}
        for name in dict.fromkeys(ids.tolist()):
            own = table.take(np.flatnonzero(ids == name))
            rows = replace(own, columns={each: values for each, values in own.columns.items() if each != id_col})
            scores = detector.score(rows, time=time_col).to_frame()
            chosen = scores[scores["alarm"]] if alarms else scores
            for column, values in {id_col: [name] * len(chosen), **chosen.to_dict("list")}.items():
                columns.setdefault(column, []).extend(values)
    return like(frame, columns)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let rnncore take one thread: the workers of an engine share the cores already."""
    before = config.get_num_threads()
    config.set_num_threads(1)
    try:
        yield
    finally:
        config.set_num_threads(before)


def _name_of(names: Sequence[str]) -> str:
    """Return the name of the file of a model of these series."""
    told = "\n".join(sorted(names)).encode()
    return f"series-{hashlib.sha256(told).hexdigest()[:16]}.safetensors"


def _of_folder(folder: Path, table: Any) -> Forecaster:
    """Return the forecaster of these series."""
    files = sorted(folder.glob("series-*.safetensors"))
    if not files:
        raise InputError(f"model: there is no forecaster of fit_partition in the folder {folder}")
    group = _kept(Forecaster, files[0]).schema_.group
    names = [" / ".join(key) for key in zip(*(table.texts(name).tolist() for name in group), strict=True)] or [""]
    path = folder / _name_of(list(dict.fromkeys(names)))
    if path not in files:
        raise InputError(
            f"model: the folder {folder} has no forecaster of the {len(set(names))} series of the partition"
        )
    forecaster: Forecaster = _kept(Forecaster, path)
    return forecaster


def _kept(kind: Any, path: Where) -> Any:
    """Read a model once in a process, and again when its file has changed."""
    there = Path(path).resolve()
    if not there.is_file():
        raise InputError(f"model: there is no file {path}")
    return _read(kind, there, there.stat().st_mtime_ns, there.stat().st_size)


@functools.lru_cache(maxsize=4)
def _read(kind: Any, path: Path, changed: int, size: int) -> Any:  # noqa: ARG001  they are of the key
    return kind.load(path)
