"""CPU time of a row, for 8 channels and 32 units: `score_one`, and `score_many` in a batch of 1000 sensors."""

from __future__ import annotations

import time

import numpy as np

from rnncore.detection import Detector


def run() -> list[str]:
    rng = np.random.default_rng(0)
    history, rows = rng.normal(size=(2000, 8)), list(rng.normal(size=(20_000, 8)))
    lines = ["| networks | score_one, us a row | score_many, us a row |", "| --- | --- | --- |"]
    for members in (1, 3):
        detector = Detector(hidden_size=32, members=members).fit(history)
        one = min(_seconds(detector.score_one, rows) for _ in range(3)) / len(rows)
        many = Detector(hidden_size=32, members=members).fit(history)
        batches = [rng.normal(size=(1000, 8)) for _ in range(20)]
        for batch in batches * 6:  # past the longest window, so that all that is remembered is in use
            many.score_many(batch)
        each = min(_seconds(many.score_many, batches) for _ in range(3)) / 20_000
        lines.append(f"| {members} | {one * 1e6:.1f} | {each * 1e6:.2f} |")
    return lines


def _seconds(call: object, rows: list[np.ndarray]) -> float:
    began = time.process_time()
    for row in rows:
        call(row)  # type: ignore[operator]
    return time.process_time() - began
