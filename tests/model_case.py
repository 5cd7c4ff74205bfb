"""Models and data for the tests of training."""

from __future__ import annotations

import numpy as np

import rnncore


def draw(*shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def regressor(dtype="float32", seed=0, **options):
    """Two recurrent layers with all that may stand between them, and a head at every step."""
    return rnncore.Sequential(
        rnncore.LSTM(3, 6, dtype=dtype, seed=seed, **options),
        rnncore.LayerNorm(6, dtype=dtype),
        rnncore.Dropout(0.25, dtype=dtype, seed=seed + 1),
        rnncore.GRU(6, 5, dtype=dtype, seed=seed + 2, **options),
        rnncore.Linear(5, 2, dtype=dtype, seed=seed + 3),
    )


def classifier(dtype="float32", seed=0, **options):
    """One label per sequence."""
    return rnncore.Sequential(
        rnncore.GRU(3, 6, bidirectional=True, dtype=dtype, seed=seed, **options),
        rnncore.LastStep(dtype=dtype),
        rnncore.Linear(12, 4, dtype=dtype, seed=seed + 1),
    )


def speller(dtype="float32", seed=0, **options):
    """A label in, a label out, at every step."""
    return rnncore.Sequential(
        rnncore.Embedding(7, 4, dtype=dtype, seed=seed),
        rnncore.LSTM(4, 6, dtype=dtype, seed=seed + 1, **options),
        rnncore.Linear(6, 7, dtype=dtype, seed=seed + 2),
    )


def forecaster():
    """The next value of a series."""
    return rnncore.Sequential(rnncore.LSTM(1, 8, seed=0), rnncore.Linear(8, 1, seed=0))


def sequences(number=30, seed=0):
    """Sequences of different length and a label for each, which the sign of their first feature tells."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, number)
    return [random.normal(size=(random.integers(3, 12), 3)) + np.eye(4, 3)[k] * 2 for k in labels], labels


def wave(steps=401, rows=None):
    """A series, or some of them side by side, and its next values."""
    series = np.sin(np.arange(steps) / 5)[:, None]
    series = series if rows is None else np.stack([series] * rows, 1)
    return series[:-1], series[1:]


def quiet(model, data, **options):
    return model.fit(data, progress=False, **options)
