"""What stands behind the ranks of forecast errors: an exponential end, as the detector has it, or a Pareto one.

The generalised Pareto end is that of POT and SPOT (Siffer et al. 2017), above the same quantile and renewed as often,
its parameters by maximum likelihood. All else is the detector's: errors, ranges, threshold, rule of alarms.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from detection.corpus import File, read_corpus
from detection.nab import aside, detector_of

from rnncore.detection.nab import PROFILES, corpus_score
from rnncore.reference.detection import Monitor

End = Callable[[np.ndarray, float], Callable[[np.ndarray], np.ndarray]]
QUANTILE, AT_QUANTILE = 0.95, 1.301
HISTORY = 5000  # errors that are remembered
FORECASTERS = ("network", "ridge")


def exponential(excess: np.ndarray, least: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return -log10 of the share of excesses that are larger, from the mean excess."""
    beta = max(float(excess.mean()) if len(excess) else 0.0, least)
    return lambda x: x / (beta * np.log(10))


def pareto(excess: np.ndarray, least: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the same of the generalised Pareto distribution that has the highest likelihood (Grimshaw 1993).

    The likelihood is a function of theta = shape / scale alone, for shape = mean log(1 + theta x).
    """
    if len(excess) < 10 or excess.mean() <= least:
        return exponential(excess, least)
    top, mean = float(excess.max()), float(excess.mean())
    theta = np.concatenate([-np.geomspace(1e-3, 0.99, 60) / top, np.geomspace(1e-3, 20, 120) / mean])
    shape = np.log1p(theta[:, None] * excess).mean(axis=1)
    shape, theta = shape[np.abs(shape) > 1e-6], theta[np.abs(shape) > 1e-6]
    likelihood = -np.log(shape / theta) - shape - 1
    k = int(np.argmax(np.where(shape > -0.5, likelihood, -np.inf)))
    return lambda x: np.log1p(np.maximum(theta[k] * x, -1 + 1e-9)) / (shape[k] * np.log(10))


def scored(known: list[float], pending: list[float], errors: np.ndarray, end: End) -> np.ndarray:
    """Return how rare each error (T,) is among those before it: the detector's tail, but for its end."""
    recent, waiting, scores, t = np.array(known), np.array(pending), np.empty(len(errors)), 0
    while t < len(errors):
        ordered = np.sort(recent)
        u, median = (float(ordered[int(q * (len(ordered) - 1))]) for q in (QUANTILE, 0.5))
        beyond = end(ordered[ordered > u] - u, max(0.1 * (u - median), 1e-3))
        chunk = errors[t : t + max(50, len(recent) // 50) - len(waiting)]
        above = len(ordered) - np.searchsorted(ordered, chunk)
        ranks = np.clip(-np.log10((above + 0.5) / (len(ordered) + 1)), 0, AT_QUANTILE)
        tail = AT_QUANTILE + beyond(np.maximum(chunk - u, 0))
        scores[t : t + len(chunk)] = np.where(chunk > u, tail, ranks)
        recent, waiting = np.concatenate([recent, waiting, chunk])[-HISTORY:], np.empty(0)
        t += len(chunk)
    return scores


def begins(evidence: np.ndarray, threshold: float) -> np.ndarray:
    """Return (T,) bool: where alarms begin, by the detector's rule."""
    rule, out = Monitor(1, []), np.zeros((1, 1))
    rule.threshold, rule.tally = threshold, np.zeros(2)
    return np.array([rule._raise(t, e, 0.0, 0, out) == 1 for t, e in enumerate(evidence.tolist())])


def examine(file: File, forecaster: str) -> dict[str, np.ndarray]:
    """Return for each end the rows at which an alarm begins."""
    detector, count, values, seconds = detector_of(file, forecaster)
    normal = detector._monitor.normal(0)
    watch = detector._monitor.fork()
    forecasts = detector._forecaster.fork().run(watch.inputs_of(values[count:], seconds[count:]))
    ran = watch.run(values[count:], seconds[count:], forecasts)
    ranges, found = ran["out"].max(axis=(1, 2)), {}
    for end in (exponential, pareto):
        heads = [
            scored(normal[f"recent{k}"], normal[f"pending{k}"], errors.astype(np.float64), end)
            for k, errors in enumerate(ran["sizes"].T)
        ]
        evidence = np.maximum(ranges, np.mean(heads, axis=0))
        found[end.__name__] = np.concatenate([np.zeros(count, bool), begins(evidence, detector.threshold_)])
    return found


def run(root: Path) -> list[str]:
    files = read_corpus(root)
    lines = [
        "| forecaster | end | standard, 58 files | 39 files | 19 kept aside | alarms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for forecaster in FORECASTERS:
        found = [examine(file, forecaster) for file in files]
        for end in found[0]:
            parts = []
            for kept in ((False, True), (False,), (True,)):
                which = [k for k in range(len(files)) if aside(k) in kept]
                told = [found[k][end] for k in which], [files[k].windows for k in which]
                parts.append(f"{corpus_score(*told, PROFILES['standard']):.1f}")
            alarms = sum(int(each[end].sum()) for each in found)
            lines.append(f"| {forecaster} | {end} | {' | '.join(parts)} | {alarms} |")
    return lines
