"""The recursion of exponential smoothing: see `smoothing` for its equations."""

from __future__ import annotations

import numpy as np

from rnncore.arguments import Array

DAMP = 0.97


class Filter:
    """The state of G x N models; `step` takes one value of each series, `forecast` looks ahead."""

    def __init__(self, y: Array, parameters: Array, m1: int, m2: int) -> None:
        """Begin with y (N, T), standardised, NaN where missing; parameters (G, N, 5)."""
        self.m1, self.m2 = m1, m2
        columns = np.ascontiguousarray(np.moveaxis(parameters, -1, 0), np.float32)
        self.alpha, self.delta, self.omega, self.phi, self.beta = columns
        self.gain = self.alpha * self.beta
        sets = parameters.shape[0]
        self.first = np.where(np.isnan(y).all(axis=1), y.shape[1], np.argmax(~np.isnan(y), axis=1))
        level, day, week = _beginnings(y, self.first, m1, m2)
        self.level = np.repeat(level[None], sets, 0)
        self.day = np.repeat(day[:, None], sets, 1)
        self.week = np.repeat(week[:, None], sets, 1)
        self.error = np.zeros_like(self.level)
        self.trend = np.zeros_like(self.level)
        self.time = 0

    def begin_like(self, other: Filter, chosen: Array) -> None:
        """Begin some models, chosen (G, N), as another filter begins."""
        for name in ("level", "day", "week"):
            getattr(self, name)[..., chosen] = getattr(other, name)[..., chosen]

    def step(self, y: Array, known: Array | None = None) -> None:
        """Take in y (N,) or (G, N) where known (by default everywhere)."""
        i, j = self.time % self.m1, self.time % self.m2 if self.m2 else 0
        self.trend *= np.float32(DAMP)
        self.level += self.trend
        carried = self.phi * self.error
        error = y - self.level - self.day[i]
        if self.m2:
            error -= self.week[j]
        if known is not None:
            error = np.where(known, error, carried)
        update = error - carried
        self.level += self.alpha * update
        self.trend += self.gain * update
        if self.m1 > 1:
            self.day[i] += self.delta * update
        if self.m2:
            self.week[j] += self.omega * update
        self.error = error
        self.time += 1

    def forecast(self, horizon: int) -> Array:
        """(G, N, H) float32."""
        steps = np.arange(horizon)
        ahead = self.level + self.day[(self.time + steps) % self.m1]
        if self.m2:
            ahead += self.week[(self.time + steps) % self.m2]
        if self.phi.any():
            power = np.repeat(self.phi[None], horizon, 0)
            np.multiply.accumulate(power, axis=0, out=power)
            ahead += power * self.error
        if self.beta.any():
            damped = np.cumsum(DAMP ** np.arange(1, horizon + 1)).astype(np.float32)
            ahead += damped[:, None, None] * self.trend
        return np.moveaxis(ahead, 0, -1)


def _beginnings(y: Array, first: Array, m1: int, m2: int) -> tuple[Array, Array, Array]:
    """Level (N,) and seasons (m1, N), (m2 or 1, N) from the first two turns of the longest season."""
    series, longest = len(y), m2 or m1
    level = np.zeros(series, np.float32)
    day = np.zeros((m1, series), np.float32)
    week = np.zeros((max(m2, 1), series), np.float32)
    for n in range(series):
        own = y[n, first[n] :]
        if not own.size:
            continue
        own = own[: max(1, min(len(own) // longest, 2)) * longest]
        mean = np.nanmean(own)
        rest = np.where(np.isnan(own), 0.0, own - mean)
        level[n] = mean
        profile = _profile(rest, m1)
        day[:, n] = np.roll(profile, first[n] % m1)
        if m2:
            week[:, n] = np.roll(_profile(rest - np.resize(profile, len(rest)), m2), first[n] % m2)
    return level, day, week


def _profile(values: Array, season: int) -> Array:
    """(season,) mean at each place of the season; zero where there is none, or no season."""
    if season == 1:
        return np.zeros(1)
    place = np.arange(len(values)) % season
    counts = np.bincount(place, minlength=season)
    sums: Array = np.bincount(place, values, minlength=season)
    return sums / np.maximum(counts, 1)
