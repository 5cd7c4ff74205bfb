"""NumPy twin of src/rnncore/detection/monitor.hpp, src/rnncore/detection/tail.hpp and src/rnncore/detection/kinds.hpp.

Everything is computed from all rows so far, where the engine keeps rings and running sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnncore.reference.activations import Array

STATISTICS = ("value", "level", "trend", "roughness", "spread", "repeats", "gap", "pace")
SHORT, LONG, CHANGES = 12, 96, 24  # rows
MOST_MISSING = 24
LEAST_SPREAD, LEAST_WIDTH = 1e-3, 0.1
SWINGS, LEAST_SWING, ALIKE = 4, 1.0, 1.5
NEVER = -(2**52)


class Tail:
    """How rare an error is among the last `capacity`: rank, and an exponential tail where ranks end."""

    def __init__(self, capacity: int, errors: Sequence[float] = ()) -> None:
        self.capacity, self.recent, self.pending = capacity, list(errors), list[float]()

    def score(self, error: float) -> float:
        """Return -log10 of the share of errors that are larger; above the 95 % quantile the tail."""
        known = np.sort(self.recent)
        if not len(known):
            return 0.0
        u, median = (float(known[int(q * (len(known) - 1))]) for q in (0.95, 0.5))
        excess = known[known > u] - u
        beta = max(float(excess.mean()) if len(excess) else 0.0, 0.1 * (u - median), 1e-3)
        if error > u:
            return 1.301 + (error - u) / (beta * math.log(10))
        rank = -math.log10((float((known >= error).sum()) + 0.5) / (len(known) + 1))
        return min(max(rank, 0.0), 1.301)

    def add(self, error: float) -> None:
        """Take in an error, which counts when 50 have come, or 2 % of those known."""
        self.pending.append(error)
        if len(self.pending) >= max(50, len(self.recent) // 50):
            self.recent = [*self.recent, *self.pending][-self.capacity :]
            self.pending = []


class Verdict(NamedTuple):
    """Evidence, that of the forecasts, what it is of, the channel, and 1 or -1 where an alarm begins or ends."""

    evidence: float
    heads: float
    kind: int
    channel: int
    event: int


class Monitor:
    """Watches the rows of one sensor beside what was forecast of them."""

    def __init__(
        self,
        channels: int,
        lags: Sequence[int],
        *,
        history: int = 5000,
        warm: int = 100,
        calm: int = 12,
        quiet: int = 100,
        delay: int = 0,
        patience: int = 1000,
    ) -> None:
        heads = len(lags)
        self.channels, self.lags = channels, list(lags)
        self.warm, self.calm, self.quiet, self.delay, self.patience = warm, calm, quiet, delay, patience
        self.centre, self.scale = np.zeros(channels), np.ones(channels)
        self.whitening = np.tile(np.eye(channels), (heads, 1, 1))
        self.spread = np.ones((heads, channels))
        self.tails = [Tail(history) for _ in lags]
        self.low, self.high = np.ones((len(STATISTICS), channels)), np.zeros((len(STATISTICS), channels))
        self.threshold, self.learns = 3.0, False
        self.u, self.z, self.missing, self.made = (list[Array]() for _ in range(4))
        self.waiting = list[tuple[Array, Array]]()
        self.alarmed, self.began, self.last, self.foremost, self.peak = False, NEVER, 0, 0, 0.0
        self.tally = np.zeros(1 + len(STATISTICS))

    def inputs(self, y: Array, seconds: float) -> Array:
        """Return x (2 C + 4,) of a row: z, its change, and where in the day it falls."""
        missing = np.isnan(y)
        before = self.u[-1] if self.u else np.zeros(self.channels)
        last = self.z[-1] if self.z else np.zeros(self.channels)
        u = np.where(missing, before, (y - self.centre) / self.scale)
        z = np.arcsinh(u)
        change = z - last if self.z else np.zeros(self.channels)
        self.u.append(u)
        self.z.append(z)
        self.missing.append(missing)
        turn = 2 * np.pi * seconds / 86400
        clock = [f(k * turn) for k in (1, 2) for f in (math.sin, math.cos)] if not math.isnan(seconds) else [0.0] * 4
        return np.concatenate([z, change, clock]).astype(np.float32)

    def judge(self, forecast: Array) -> Verdict:
        """Return the verdict of the row whose inputs were taken last, with the forecasts (K, C) made from them."""
        self.made.append(np.asarray(forecast, np.float64).reshape(len(self.lags), self.channels))
        t = len(self.z) - 1
        statistics = self.statistics()
        sizes, scaled = self.errors()
        heads, channel = 0.0, int(np.abs(scaled).sum(axis=0).argmax())
        scores = [0.0 if np.isnan(size) else tail.score(size) for size, tail in zip(sizes, self.tails, strict=True)]
        if t >= self.warm and scores:
            heads = sum(scores) / len(scores)
        out = self.out_of_range(statistics) if t >= self.warm else np.zeros_like(statistics)
        evidence, kind = heads, 0
        if out.max() > evidence:
            place = int(out.argmax())
            evidence, kind, channel = float(out.max()), 1 + place // self.channels, place % self.channels
        event = self._raise(t, evidence, heads, channel, out)
        if self.learns:
            self._learn(t, sizes, statistics)
        return Verdict(evidence, heads, kind, channel, event)

    def statistics(self) -> Array:
        """Return what can leave its range (statistics, C), NaN where unknown."""
        rows = len(self.z)
        found = np.full((len(STATISTICS), self.channels), np.nan)
        u, z, missing = np.array(self.u[-LONG:]), np.array(self.z[-LONG:]), np.array(self.missing)
        for c in range(self.channels):
            gap = int(np.argmin(missing[::-1, c])) if not missing[:, c].all() else rows
            found[6, c] = gap
            if gap:
                continue
            found[0, c] = u[-1, c]
            if rows >= SHORT:
                found[1, c] = u[-SHORT:, c].mean()
            if rows >= LONG:
                found[2, c] = u[:, c].mean()
                if missing[-LONG:, c].sum() <= MOST_MISSING:
                    found[4, c] = math.log(max(float(z[:, c].std()), LEAST_SPREAD))
            if rows > CHANGES:
                size = math.sqrt(float((np.diff(z[-CHANGES - 1 :, c]) ** 2).mean()))
                found[3, c] = math.log(max(size, LEAST_SPREAD))
            known = np.array(self.u)[~missing[:, c], c]
            other = known[::-1] != known[-1]
            found[5, c] = int(other.argmax()) if other.any() else len(known)
            found[7, c] = pace(np.arcsinh(known))
        return found

    def errors(self) -> tuple[Array, Array]:
        """Return the size of each head's whitened error (K,), NaN before there is one, and errors by spread (K, C)."""
        t = len(self.z) - 1
        sizes, scaled = np.full(len(self.lags), np.nan), np.zeros((len(self.lags), self.channels))
        for k, lag in enumerate(self.lags):
            if lag > t:
                continue
            seen = ~self.missing[t] & ~self.missing[t - lag]
            error = np.where(seen, self.z[t] - (self.z[t - lag] + self.made[t - lag][k]), 0.0)
            scaled[k] = error / self.spread[k]
            sizes[k] = math.sqrt(float(((self.whitening[k] @ error) ** 2).sum()) / self.channels)
        return sizes, scaled

    def out_of_range(self, statistics: Array) -> Array:
        """Return the evidence of each statistic (statistics, C): 3 at a margin outside, and more further out."""
        low, high = self.low, self.high
        width = np.maximum(high - low, LEAST_WIDTH)
        beyond = np.maximum(low - statistics, statistics - high) / width
        distance, margin, scale = beyond, np.full_like(beyond, 0.01), np.full_like(beyond, 0.05)
        distance[3] = (statistics - high)[3]
        distance[4] = (low - statistics)[4]
        with np.errstate(invalid="ignore", divide="ignore"):
            distance[5:7] = np.log((statistics[5:7] + 1e-9) / (2 * high[5:7] + 2))
        distance[7] = np.maximum(low - statistics, statistics - high)[7]
        margin[3:7], scale[3:7] = 0.3, 0.3
        margin[7], scale[7] = 0.05, 0.05
        found = np.where(distance > 0, 3 + (distance - margin) / (scale * math.log(10)), 0.0)
        return np.where(np.isnan(statistics) | (low > high), 0.0, found)

    def _raise(self, t: int, evidence: float, heads: float, channel: int, out: Array) -> int:
        above, event = evidence >= self.threshold, 0
        if self.alarmed and not above and t - self.last >= self.calm:
            self.alarmed, event = False, -1
        quiet = self.alarmed or t - self.began <= self.quiet
        another = evidence > self.peak + 1 and (not self.alarmed or channel != self.foremost)
        if above and (not quiet or another):
            self.alarmed, event, self.began, self.foremost, self.peak = True, 1, t, channel, 0.0
            self.tally[:] = 0
        if above and self.alarmed:
            self.last, self.peak = t, max(self.peak, evidence)
            self.tally += np.concatenate([[heads], out.max(axis=1)]) >= self.threshold
        return event

    def suddenness(self, channel: int) -> float:
        """Return the last change of z of a channel, over the largest root mean square of changes that is normal."""
        if len(self.z) < 2 or self.low[3, channel] > self.high[3, channel]:
            return 0.0
        return float(abs(self.z[-1][channel] - self.z[-2][channel]) / math.exp(self.high[3, channel]))

    def _learn(self, t: int, sizes: Array, statistics: Array) -> None:
        if self.alarmed and t - self.began < self.patience:
            self.waiting = []  # what came before an alarm may belong to it
            return
        self.waiting.append((sizes, statistics))
        if len(self.waiting) <= self.delay:
            return
        sizes, statistics = self.waiting.pop(0)
        for tail, size in zip(self.tails, sizes, strict=True):
            if not np.isnan(size):
                tail.add(float(size))
        known, new = ~np.isnan(statistics), self.low > self.high
        known[7] &= ~new[7]  # a pace that the history did not have is none to learn
        low, high = np.minimum(self.low, statistics), np.maximum(self.high, statistics)
        self.low = np.where(known, np.where(new, statistics, low), self.low)
        self.high = np.where(known, np.where(new, statistics, high), self.high)


def turns_upwards(z: Array) -> list[int]:
    """Return the rows at which z (T,) has risen by LEAST_SWING from its lowest since it fell by as much."""
    found, upwards, extreme = list[int](), False, float(z[0])
    for t, value in enumerate(z.tolist()):
        if (value > extreme) if upwards else (value < extreme):
            extreme = value
        elif abs(value - extreme) >= LEAST_SWING:
            extreme, upwards = value, not upwards
            found += [t] if upwards else []
    return found


def pace(z: Array) -> float:
    """Return log of the rows that the last swings of z (T,) took, NaN unless they are alike and none is overdue."""
    turns = turns_upwards(z)[-SWINGS - 1 :]
    lengths = np.diff(turns)
    if len(lengths) < SWINGS or max(lengths.max(), len(z) - 1 - turns[-1]) > ALIKE * lengths.min():
        return math.nan
    return math.log(turns[-1] - turns[0])


def kind_of(tally: Sequence[float], suddenness: float) -> str:
    """Return the kind of an alarm, from the rows with evidence of each sort and the change at its first row."""
    _, value, level, trend, roughness, spread, repeats, gap, pace = tally
    if gap:
        return "missing data"
    if repeats:
        return "stuck"
    if pace > 2 * (value + level + roughness):
        return "change of rate"
    if spread > max(level, trend, value):
        return "stuck"
    sudden = suddenness > 2
    if sudden and value <= 3 and level <= 15 and (value or not (level or trend or roughness)):
        return "spike"
    if roughness > max(level, trend):
        return "noise"
    if level or trend:
        return "level shift" if sudden else "drift"
    return "noise" if roughness else "pattern"
