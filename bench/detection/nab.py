"""The detector on the Numenta Anomaly Benchmark: one setting for all files, online, learning on the probation alone."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from detection.corpus import File, read_corpus

from rnncore.detection import Detector
from rnncore.detection.nab import PROFILES, corpus_score, probation

SETTING = {"false_alarms": "1 per 1000 rows", "adapt": "at once"}
FORECASTERS = ("network", "ridge", "none")


def aside(k: int) -> bool:
    """Every third file was kept aside when constants were chosen."""
    return k % 3 == 1


def detector_of(file: File, forecaster: str) -> tuple[Detector, int, np.ndarray, np.ndarray]:
    """Return a detector behind the probation of a file, the rows of the probation, values (T, 1) and times (T,)."""
    count = probation(len(file.values))
    values = file.values[:, None]
    seconds = file.seconds[0] + np.arange(len(values)) * float(np.median(np.diff(file.seconds)))
    clock = np.where(np.diff(file.seconds, prepend=file.seconds[0] - 1) > 0, file.seconds, np.nan)
    seconds = clock if np.isfinite(clock).all() else seconds  # a few files repeat a time stamp
    detector = Detector(forecaster=forecaster, **SETTING).fit(values[:count], time=seconds[:count])
    return detector, count, values, seconds


def detect(file: File, forecaster: str) -> np.ndarray:
    """Return (T,) bool: the rows at which an alarm begins."""
    detector, count, values, seconds = detector_of(file, forecaster)
    scores = detector.score(values[count:], time=seconds[count:])
    found = np.zeros(len(values), bool)
    found[[count + alarm.row for alarm in scores.alarms]] = True
    return found


def run(root: Path) -> list[str]:
    files = read_corpus(root)
    lines = [
        "| forecaster | standard, 58 files | 39 files | 19 kept aside | low FP | low FN | alarms | CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for forecaster in FORECASTERS:
        began = time.process_time()
        found = [detect(file, forecaster) for file in files]
        seconds = time.process_time() - began

        def score(profile: str, which: list[int], found: list[np.ndarray] = found) -> str:
            chosen = [found[k] for k in which], [files[k].windows for k in which]
            return f"{corpus_score(*chosen, PROFILES[profile]):.1f}"

        everything = list(range(len(files)))
        kept = [k for k in everything if aside(k)]
        cells = [
            forecaster, score("standard", everything), score("standard", [k for k in everything if not aside(k)]),
            score("standard", kept), score("reward_low_FP_rate", everything),
            score("reward_low_FN_rate", everything), str(sum(int(f.sum()) for f in found)), f"{seconds:.1f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines
