"""Resident memory over ten million rows, one by one: a detector that stays as it is, and one that goes on learning."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from rnncore.detection import Detector

TOLD = (100_000, 1_000_000, 10_000_000)
BLOCK = 10_000


def resident() -> float:
    """MiB that the process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def run() -> list[str]:
    lines = [
        f"| adapt | {' | '.join(f'{rows:,} rows, MiB' for rows in TOLD)} | alarms | CPU us a row |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for adapt in (False, True):
        rng = np.random.default_rng(0)
        detector = Detector(members=1, adapt=adapt).fit(rng.normal(size=(2000, 2)))
        told, alarms, began = [], 0, time.process_time()
        for done in range(BLOCK, TOLD[-1] + 1, BLOCK):
            for row in rng.normal(size=(BLOCK, 2)):
                alarms += detector.score_one(row) is not None
            if done in TOLD:
                told.append(f"{resident():.1f}")
        each = (time.process_time() - began) / TOLD[-1] * 1e6
        lines.append(f"| {adapt} | {' | '.join(told)} | {alarms} | {each:.1f} |")
    return lines
