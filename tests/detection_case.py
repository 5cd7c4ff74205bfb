"""Signals and a small detector for the tests of detection."""

import numpy as np

from rnncore.detection import Detector

FORECASTERS = ["network", "ridge", "none"]


def detector(**options):
    """A detector with one network of eight units."""
    return Detector(**{"members": 1, "hidden_size": 8, "horizons": (1, 12)} | options)


def wave(rows, seed=0, channels=2, noise=0.1):
    """Waves of some channels with noise, (T, C)."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)[:, None]
    return 5 + np.sin(t / 8 + np.arange(channels)) + rng.normal(scale=noise, size=(rows, channels))


def noise(rows, seed=0, channels=2, memory=5.0):
    """Stationary autoregressions of unit variance, (T, C)."""
    rng = np.random.default_rng(seed)
    a = np.exp(-1 / memory)
    x = rng.normal(size=(rows, channels)) * np.sqrt(1 - a * a)
    for t in range(1, rows):
        x[t] += a * x[t - 1]
    return x


def with_fault(kind, rows=600, seed=9):
    """Clean rows with a fault in channel 1 from row 300 on."""
    y = wave(rows, seed)
    t = np.arange(300)
    if kind == "spike":
        y[300, 1] += 5
    elif kind == "level shift":
        y[300:, 1] += 3
    elif kind == "drift":
        y[300:, 1] += 0.02 * t
    elif kind == "stuck":
        y[300:, 1] = y[300, 1]
    elif kind == "noise":
        y[300:400, 1] += np.random.default_rng(1).normal(scale=0.7, size=100)
    elif kind == "missing data":
        y[300:340, 1] = np.nan
    return y
