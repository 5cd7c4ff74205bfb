"""Signals without faults, by seed: a plant of eight sensors, three counters of traffic, two machines that cycle."""

from __future__ import annotations

import numpy as np

MINUTES = {"plant": 10, "traffic": 5, "machines": 5}  # from row to row


def _ar(rng: np.random.Generator, rows: int, columns: int, memory: float) -> np.ndarray:
    """Return first-order autoregressions of unit variance that forget within `memory` rows."""
    from scipy.signal import lfilter

    a = np.exp(-1 / memory)
    noise = rng.standard_normal((rows + 1000, columns)) * np.sqrt(1 - a * a)
    return lfilter([1.0], [1.0, -a], noise, axis=0)[1000:]


def plant(rows: int, seed: int) -> np.ndarray:
    """Eight sensors of one process: load with a daily course, two slow disturbances, noise of each sensor."""
    rng = np.random.default_rng([1, seed])
    day = 2 * np.pi * np.arange(rows)[:, None] / 144
    load = np.sin(day) + 0.4 * np.sin(2 * day + 1)
    factors = np.hstack([load, 0.5 * _ar(rng, rows, 1, 30.0), 0.5 * _ar(rng, rows, 1, 6.0)])
    mixing = np.random.default_rng(7).normal(size=(3, 8))
    return 20 + factors @ mixing + 0.3 * _ar(rng, rows, 8, 2.0)


def traffic(rows: int, seed: int) -> np.ndarray:
    """Counts of three roads: a daily course, weaker at the week-end, Poisson noise and a common disturbance."""
    rng = np.random.default_rng([2, seed])
    t = np.arange(rows)
    hour = t / 12 % 24
    weekend = (t // 288) % 7 >= 5
    course = np.exp(-(((hour - 8) / 2.2) ** 2)) + 0.9 * np.exp(-(((hour - 17) / 3.0) ** 2)) + 0.25
    course = np.where(weekend, 0.6 * np.exp(-(((hour - 14) / 4.5) ** 2)) + 0.25, course)
    common = np.exp(0.1 * _ar(rng, rows, 1, 24.0))
    return rng.poisson(course[:, None] * common * np.array([120.0, 80.0, 200.0])).astype(float)


def machines(rows: int, seed: int) -> np.ndarray:
    """Temperature and current of two machines that run in cycles of varying length."""
    rng = np.random.default_rng([3, seed])
    columns = []
    for period in (37.0, 52.0):
        phase = np.cumsum(2 * np.pi / period * (1 + 0.1 * _ar(rng, rows, 1, 60.0)[:, 0]))
        on = 1 / (1 + np.exp(-8 * np.sin(phase)))
        heat = np.zeros(rows)
        for k in range(40):
            heat[k:] += np.exp(-k / 8) / 8 * on[: rows - k]
        columns += [60 + 15 * heat + 0.4 * rng.standard_normal(rows), 4 * on + 0.15 * rng.standard_normal(rows)]
    return np.stack(columns, axis=1)


SETS = {"plant": plant, "traffic": traffic, "machines": machines}


def seconds_of(name: str, rows: int) -> np.ndarray:
    return 1_700_006_400.0 + 60.0 * MINUTES[name] * np.arange(rows)
