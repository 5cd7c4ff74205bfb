"""From a history to a monitor: scales, a trained forecaster, whitening, ranges, tails, and the threshold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from rnncore import _core
from rnncore.arguments import Array
from rnncore.detection.kinds import EVIDENCE
from rnncore.detection.rows import Rows
from rnncore.detection.threshold import threshold_for
from rnncore.detection.whitening import whitening

__all__ = ["WARM", "Calibration", "calibrate"]

WARM = 100  # rows before there is evidence
_APART = 1000  # from so many rows on, the last third is kept from training: its errors are those of new rows
_FOLDS = 5  # parts of the history, each judged by the ranges of the others
_APRON = 96  # rows beside a part that share statistics with it
_SILENT = 1e300  # a threshold that nothing reaches
_PACED = 0.5  # of the rows have a pace, at least, where a channel swings regularly
_PACES = 5  # times that what makes up the longest pace has to fit into the history
_PATIENCE = 10  # times the quiet time: an alarm that lasts longer is the new normal, if that is learnt slowly


@dataclass(frozen=True)
class Calibration:
    """A monitor at the end of the history, with what was found on the way."""

    monitor: Any
    evidence: Array  # (T,) of the history
    bands: Array  # (C,) how far 95 % of rows are from what the head with the shortest lag expected, in z


def calibrate(forecaster: Any, rows: Rows, rate: float, quiet: int, at_once: bool) -> Calibration:
    """Train the forecaster on the history and learn from its errors what is normal.

    Of a long history the network sees two thirds; errors on the last third are those of new rows, and decide the
    tails, the whitening and the threshold. Of a short one it sees all, and the threshold is what evidence is made to
    mean: -log10 of the rate. at_once says how the monitor learns later: each row as it comes, or slowly.
    """
    count, width = rows.values.shape
    centre, scale = scales(rows.values)
    delay, patience = (0, 0) if at_once else (quiet, _PATIENCE * quiet)
    lags = list(forecaster.lags)
    monitor = _core.Monitor(width, lags, warm=WARM, quiet=quiet, delay=delay, patience=patience)
    monitor.set_normal(0, {"centre": centre.tolist(), "scale": scale.tolist()})
    x = monitor.inputs_of(rows.values, rows.seconds)
    seen = count if count < _APART else 2 * count // 3
    forecaster.fit(x[:seen])
    forecasts = forecaster.run(x)
    fresh = 0 if seen == count else seen
    z = np.arcsinh((rows.values - centre) / scale)
    errors = _errors(z, forecasts, forecaster.lags)[max(fresh, min(WARM, count // 2)) :]
    found = [whitening(errors[:, k]) for k in range(errors.shape[1])]
    monitor.set_normal(
        0,
        {
            "whitening": np.concatenate([w.ravel() for w, _ in found] or [np.empty(0)]).tolist(),
            "spread": np.concatenate([spread for _, spread in found] or [np.empty(0)]).tolist(),
        },
    )
    bands = np.zeros(width)
    if found:
        nearest = errors[:, int(np.argmin(forecaster.lags))]
        bands = np.nan_to_num(np.nanquantile(np.abs(nearest), 0.95, axis=0))
    if at_once:
        evidence = _learn(monitor, rows, forecasts, fresh)
        settled = threshold_for([evidence[fresh + WARM :]], rate, quiet)
        monitor.threshold = settled if fresh else -float(np.log10(rate))
    else:
        evidence, sources = _fold(monitor, rows, forecasts, fresh)
        monitor.threshold = threshold_for(sources, rate * _FOLDS / (_FOLDS - 1), quiet)
    monitor.end_alarms()
    return Calibration(monitor, evidence, bands)


def scales(values: Array) -> tuple[Array, Array]:
    """Return the median (C,) and the robust spread (C,) of each channel, which is never zero."""
    centre = np.nanmedian(values, axis=0)
    low, high = np.nanquantile(values, [0.25, 0.75], axis=0)
    spread = np.maximum(np.maximum((high - low) / 1.349, 0.1 * np.nanstd(values, axis=0)), 1e-3 * np.abs(centre))
    return centre, np.where(spread > 0, spread, 1.0)


def _errors(z: Array, forecasts: Array, lags: list[int]) -> Array:
    """Return the errors (T, K, C) of rows against what was forecast of them, NaN where nothing was."""
    count, width = z.shape
    made = forecasts.reshape(count, len(lags), width)
    errors = np.full((count, len(lags), width), np.nan)
    for k, lag in enumerate(lags):
        errors[lag:, k] = z[lag:] - z[: count - lag] - made[: count - lag, k]
    return errors


def _learn(monitor: Any, rows: Rows, forecasts: Array, fresh: int) -> Array:
    """Run over the history, taking in each row; return the evidence of each against those before it."""
    monitor.learns, monitor.threshold = True, _SILENT
    parts = []
    if fresh:
        part = rows.take(0, fresh)
        parts.append(monitor.run(part.values, part.seconds, forecasts[:fresh])["evidence"])
        monitor.forget_errors()  # of the rows that the network was trained on
    rest = rows.take(fresh, len(rows))
    parts.append(monitor.run(rest.values, rest.seconds, forecasts[fresh:])["evidence"])
    monitor.learns = False
    return np.concatenate(parts)


def _fold(monitor: Any, rows: Rows, forecasts: Array, fresh: int) -> tuple[Array, list[Array]]:
    """Take in the whole history; return the evidence of each row, by ranges of the other parts of the history.

    Also returns what the threshold is made from: evidence of ranges on all rows, and of forecasts on those that the
    network has not seen.
    """
    count = len(rows)
    monitor.threshold = _SILENT
    ran = monitor.run(rows.values, rows.seconds, forecasts)
    now = ran["now"].astype(np.float64)
    now[:WARM] = np.nan
    sizes = ran["sizes"][fresh:].astype(np.float64)
    tails = {f"recent{k}": column[np.isfinite(column)].tolist() for k, column in enumerate(sizes.T)}
    tails |= {name.replace("recent", "pending"): [] for name in tails}
    monitor.set_normal(0, tails)
    ranges, heads = np.zeros(count), np.zeros(count)
    edges = np.linspace(WARM, count, _FOLDS + 1).astype(int)
    for begin, end in pairwise(edges.tolist()):
        others = np.ones(count, bool)
        others[max(begin - _APRON, 0) : end + _APRON] = False
        monitor.set_normal(0, _ranges(now[others]))
        judged = monitor.with_sensors(1).run(rows.values[:end], rows.seconds[:end], forecasts[:end])
        ranges[begin:end] = judged["out"][begin:end].max(axis=(1, 2))
        heads[begin:end] = judged["heads"][begin:end]
    monitor.set_normal(0, _ranges(now))
    return np.maximum(ranges, heads), [ranges[WARM:], heads[max(fresh, WARM) :]]


def _ranges(now: Array) -> dict[str, list[float]]:
    """Return the lowest and the highest of each statistic (T, statistics, C) as the monitor takes them.

    A channel has a pace only if it swings regularly: otherwise there is no range that it could leave.
    """
    known = np.isfinite(now)
    pace = EVIDENCE.index("pace") - 1
    longest = np.exp(np.where(known[:, pace], now[:, pace], -np.inf).max(axis=0))
    known[:, pace] &= (known[:, pace].mean(axis=0) >= _PACED) & (_PACES * longest <= len(now))
    low = np.where(known, now, np.inf).min(axis=0).ravel()
    high = np.where(known, now, -np.inf).max(axis=0).ravel()
    never = low > high
    return {"low": np.where(never, 1.0, low).tolist(), "high": np.where(never, 0.0, high).tolist()}
