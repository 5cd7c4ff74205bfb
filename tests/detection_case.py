"""Signals for the tests of detection."""

import numpy as np


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
