"""The files of the Numenta Anomaly Benchmark: values, times and labelled windows, in row numbers."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class File:
    name: str
    values: np.ndarray  # (T,)
    seconds: np.ndarray  # (T,) since 1970
    windows: list[tuple[int, int]]


def read_corpus(root: Path) -> list[File]:
    labels = json.loads((root / "labels" / "combined_windows.json").read_text())
    files = []
    for name in sorted(labels):
        with (root / "data" / name).open() as lines:
            rows = list(csv.reader(lines))[1:]
        times = np.array([row[0] for row in rows], "datetime64[s]")
        seconds = times.astype(np.float64)
        place = {text: k for k, text in reversed(list(enumerate(str(time) for time in times)))}
        windows = [tuple(place[edge[:19].replace(" ", "T")] for edge in window) for window in labels[name]]
        files.append(File(name, np.array([float(row[1]) for row in rows]), seconds, windows))
    return files


def stored_scores(root: Path, detector: str, name: str) -> np.ndarray:
    folder, file = name.split("/")
    with (root / "results" / detector / folder / f"{detector}_{file}").open() as lines:
        reader = csv.DictReader(lines)
        return np.array([float(row["anomaly_score"]) for row in reader])
