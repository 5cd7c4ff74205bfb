"""A detector in a file: everything that its next verdict depends on. Twin: src/rnncore/detection/file.cpp."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from rnncore import _core
from rnncore.arguments import Array
from rnncore.detection.alarm import Alarm
from rnncore.detection.forecasters import FORECASTERS
from rnncore.detection.place import Place
from rnncore.files import FormatError, read_tensors, write_tensors

FORMAT, VERSION = "rnncore.detector", 1
_SHAPE = ("history", "warm", "calm", "quiet", "delay", "patience")  # of a monitor
_FOUND = ("channels_", "n_features_in_", "constant_", "history_rows_", "rate_", "threshold_")


def save(detector: Any, path: str | os.PathLike[str]) -> None:
    """Write a detector to a file."""
    monitor, place = detector._monitor, detector._place
    arrays: dict[str, Array] = {
        "bands": detector._bands,
        "decision_scores": detector.decision_scores_,
        "labels": detector.labels_,
        **{f"forecaster.{name}": array for name, array in detector._forecaster.arrays().items()},
    }
    for n in range(monitor.sensors):
        if n == 0 or monitor.learns:  # otherwise all share what is normal
            arrays |= {f"normal{n}.{name}": np.array(values) for name, values in monitor.normal(n).items()}
        arrays |= {f"state{n}.{name}": np.array(values) for name, values in monitor.state(n).items()}
    parameters = detector.get_params()
    told = {
        "parameters": parameters | {"horizons": [int(h) for h in parameters["horizons"]]},
        "found": {name: getattr(detector, name) for name in _FOUND},
        "place": asdict(place) | {"seconds": None if np.isnan(place.seconds) else place.seconds},
        "learns": monitor.learns,
        "shape": monitor.shape,
        "open": {str(n): alarm.as_dict() | {"start": alarm.start} for n, alarm in detector._open.items()},
        "sudden": {str(n): sudden for n, sudden in detector._sudden.items()},
    }
    write_tensors(path, FORMAT, VERSION, arrays, {"detector": json.dumps(told, allow_nan=False)})


def load(cls: Any, path: str | os.PathLike[str]) -> Any:
    """Read a detector from a file."""
    arrays, metadata = read_tensors(path, FORMAT, VERSION)
    told = json.loads(metadata["detector"])
    detector = cls(**told["parameters"])
    if detector.forecaster not in FORECASTERS:
        raise FormatError(f"{path} holds a forecaster that this rnncore does not know: {detector.forecaster!r}")
    for name in _FOUND:
        value = told["found"][name]
        setattr(detector, name, tuple(value) if isinstance(value, list) else value)
    detector.decision_scores_, detector.labels_ = arrays["decision_scores"], arrays["labels"]
    detector._bands = arrays["bands"]
    place = told["place"]
    detector._place = Place(**place | {"seconds": np.nan if place["seconds"] is None else place["seconds"]})
    sensors = detector._place.sensors
    forecaster = detector._unfitted(detector.n_features_in_, detector._place.step, detector.history_rows_)
    forecaster.begin(sensors)
    forecaster.load(_named(arrays, "forecaster."))
    monitor = _core.Monitor(
        detector.n_features_in_, forecaster.lags, sensors=sensors, **dict(zip(_SHAPE, told["shape"], strict=True))
    )
    monitor.threshold = detector.threshold_
    monitor.set_normal(0, _lists(arrays, "normal0."))
    monitor.learns = told["learns"]
    for n in range(sensors):
        if told["learns"]:
            monitor.set_normal(n, _lists(arrays, f"normal{n}."))
        monitor.set_state(n, _lists(arrays, f"state{n}."))
    detector._forecaster, detector._monitor = forecaster, monitor
    detector._prepare(sensors)
    detector._open = {int(n): _alarm(alarm) for n, alarm in told["open"].items()}
    detector._sudden = {int(n): sudden for n, sudden in told["sudden"].items()}
    return detector


def _named(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _lists(arrays: dict[str, Array], prefix: str) -> dict[str, list[float]]:
    return {name: array.tolist() for name, array in _named(arrays, prefix).items()}


def _alarm(told: dict[str, Any]) -> Alarm:
    values = {field.name: told[field.name] for field in fields(Alarm)}
    for name in ("expected", "got"):
        values[name] = {channel: np.nan if value is None else value for channel, value in values[name].items()}
    return Alarm(**values | {"channels": tuple(values["channels"])})
