"""Other detectors on the Numenta Anomaly Benchmark: their defaults, the same files, the same scorer.

Each learns from the probation of a file, or from each row as it comes, and an alarm is followed by 100 rows of silence,
as with ours. Thresholds are the libraries' own where they have one; HalfSpaceTrees has none, and gets the score that
one row in a hundred of the probation exceeds; the z-score has the usual 3.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from detection.corpus import File, read_corpus, stored_scores

from rnncore.detection.nab import PROFILES, corpus_score, probation

WINDOW, SILENCE = 24, 100


def silenced(above: np.ndarray, start: int) -> np.ndarray:
    """Keep the first row of each alarm."""
    kept, last = np.zeros(len(above), bool), -SILENCE - 1
    for t in np.flatnonzero(above):
        if t >= start and t - last > SILENCE:
            kept[t] = True
            last = t
    return kept


def z_score(file: File, count: int) -> np.ndarray:
    """Rows three standard deviations from the mean of the last 100."""
    y, above = file.values, np.zeros(len(file.values), bool)
    for t in range(max(count, 100), len(y)):
        past = y[t - 100 : t]
        above[t] = abs(y[t] - past.mean()) > 3 * max(past.std(), 1e-9)
    return above


def windows(y: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(np.concatenate([np.full(WINDOW - 1, y[0]), y]), WINDOW)


def isolation_forest(file: File, count: int) -> np.ndarray:
    """PyOD's IForest on windows of 24 rows, fitted on the probation."""
    from pyod.models.iforest import IForest

    rows = windows(file.values)
    return IForest(random_state=0).fit(rows[:count]).predict(rows).astype(bool)


def half_space_trees(file: File, count: int) -> np.ndarray:
    """river's HalfSpaceTrees behind a MinMaxScaler, learning from each row."""
    from river import anomaly, compose, preprocessing

    model = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=0))
    scores = np.empty(len(file.values))
    for t, value in enumerate(file.values.tolist()):
        row = {"y": value}
        scores[t] = model.score_one(row)
        model.learn_one(row)
    return scores > np.quantile(scores[:count], 0.99)


def lstm_of_pyod(file: File, count: int) -> np.ndarray:
    """PyOD's LSTMAD, fitted on the probation."""
    from pyod.models.ts_lstm import LSTMAD

    model = LSTMAD().fit(file.values[:count, None])
    return model.decision_function(file.values[:, None]) > model.threshold_


PEERS: dict[str, tuple[str, Callable[[File, int], np.ndarray]]] = {
    "moving z-score": ("numpy", z_score),
    "IForest on windows": ("pyod", isolation_forest),
    "HalfSpaceTrees": ("river", half_space_trees),
    "LSTMAD": ("pyod", lstm_of_pyod),
}


def size_of(package: str) -> str:
    files = importlib.metadata.files(package) or []
    return f"{sum(file.size or 0 for file in files) / 2**20:.0f} MiB"


def run(root: Path, only: list[str] | None = None) -> list[str]:
    files = read_corpus(root)
    lines = [
        "| detector | NAB, standard | alarms | CPU us a row | peak MiB | package |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    stored = [stored_scores(root, "windowedGaussian", file.name) >= 1.0 for file in files]
    found = [silenced(s, probation(len(s))) for s in stored]
    lines.append(row("Windowed Gaussian, stored, at 1.0", found, files, "", "", ""))
    for name, (package, detect) in PEERS.items():
        if importlib.util.find_spec(package) is None or (only and name not in only):
            lines.append(f"| {name} | not measured | | | | |")
            continue
        began = time.process_time()
        found = [silenced(detect(file, probation(len(file.values))), probation(len(file.values))) for file in files]
        each = (time.process_time() - began) / sum(len(file.values) for file in files) * 1e6
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        lines.append(row(name, found, files, f"{each:.0f}", f"{peak:.0f}", f"{package}, {size_of(package)}"))
    return lines


def row(name: str, found: list[np.ndarray], files: list[File], each: str, peak: str, package: str) -> str:
    score = corpus_score(found, [file.windows for file in files], PROFILES["standard"])
    return f"| {name} | {score:.1f} | {sum(int(f.sum()) for f in found)} | {each} | {peak} | {package} |"
