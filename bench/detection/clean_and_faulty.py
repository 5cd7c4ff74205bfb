"""Signals by seed: the rate of alarms without faults, and what is found of faults put into them."""

from __future__ import annotations

from collections import Counter

import numpy as np
from detection.sets import MINUTES, SETS, seconds_of

from rnncore.detection import Detector
from rnncore.detection.calibration import scales
from rnncore.detection.evaluation import match
from rnncore.detection.faults import CHANGE_OF_RATE, INJECTED, inject

HISTORY, JUDGED = 20_160, 20_160  # rows: ten weeks of five minutes, twenty of ten
FAULTY, EVERY = 8_064, 288  # rows, and rows for each fault: a day of five minutes
RATES_EVERY = 1_344  # rows for each change of rate, which takes 400 to 600
RATE = "1 per week"


def clean(forecaster: str, seeds: int) -> list[str]:
    lines = ["| set | alarms expected | alarms | ratio |", "| --- | --- | --- | --- |"]
    for name, make in SETS.items():
        alarms, expected = 0, 0.0
        for seed in range(seeds):
            rows = HISTORY + JUDGED
            y, seconds = make(rows, seed), seconds_of(name, rows)
            detector = Detector(RATE, forecaster=forecaster).fit(y[:HISTORY], time=seconds[:HISTORY])
            alarms += len(detector.score(y[HISTORY:], time=seconds[HISTORY:]).alarms)
            expected += JUDGED * MINUTES[name] / 10080
        lines.append(f"| {name} | {expected:.0f} | {alarms} | {alarms / expected:.2f} |")
    return lines


def faulty(forecaster: str, seeds: int) -> list[str]:
    lines = [
        "| set | F1 by event | precision | recall | named rightly by the first alarm | by any | missed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_told(name, name, forecaster, seeds, INJECTED, EVERY) for name in SETS]
    lines.append(_told("machines, changes of rate", "machines", forecaster, seeds, (CHANGE_OF_RATE,), RATES_EVERY))
    return lines


def _told(title: str, name: str, forecaster: str, seeds: int, kinds: tuple[str, ...], every: int) -> str:
    """Return a line of the table: what is found of faults in a set."""
    results, missed, named = [], Counter(), []
    for seed in range(seeds):
        rows = HISTORY + FAULTY
        y, seconds = SETS[name](rows, seed), seconds_of(name, rows)
        spread = scales(y[:HISTORY])[1]
        detector = Detector(RATE, forecaster=forecaster).fit(y[:HISTORY], time=seconds[:HISTORY])
        changed, faults = inject(y[HISTORY:], spread, seed, every, kinds)
        alarms = detector.score(changed, time=seconds[HISTORY:]).alarms
        result = match([alarm.row for alarm in alarms], [(fault.begin, fault.end) for fault in faults])
        results.append(result)
        missed.update(faults[k].kind for k in result.missed)
        for k in result.found:
            names = [alarm.kind for alarm in alarms if faults[k].begin <= alarm.row < faults[k].end]
            named.append((names[0] == faults[k].kind, faults[k].kind in names))
    f1, precision, recall = (np.mean([getattr(r, m) for r in results]) for m in ("f1", "precision", "recall"))
    told = ", ".join(f"{count} {kind}" for kind, count in missed.most_common()) or "none"
    first, any_of_them = np.mean(named, axis=0)
    return f"| {title} | {f1:.3f} | {precision:.3f} | {recall:.3f} | {first:.0%} | {any_of_them:.0%} | {told} |"
