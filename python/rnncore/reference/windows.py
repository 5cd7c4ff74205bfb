"""NumPy twin of src/rnncore/windows.cpp: what windows of a long series look like, and their values, shifted and scaled.

Sizes: K windows of L values, the k-th from starts[k] on.
"""

import numpy as np

from rnncore.reference.activations import Array


def describe(values: Array, starts: Array, length: int, last: int, lag: int) -> Array:
    """Return (K, 4): mean of the last values, mean |x_t - x_(t - lag)|, mean |x_t|, standard deviation.

    >>> describe(np.array([0.0, 1.0, 3.0, 7.0]), np.array([0, 1]), 3, 1, 2).round(4).tolist()
    [[3.0, 3.0, 1.3333, 1.2472], [7.0, 6.0, 3.6667, 2.4944]]
    """
    x = values[starts[:, None] + np.arange(length)]
    change = np.abs(x[:, lag:] - x[:, :-lag]).mean(axis=1) if lag < length else np.zeros(len(x))
    return np.stack([x[:, -last:].mean(axis=1), change, np.abs(x).mean(axis=1), x.std(axis=1)], axis=1)


def gather(values: Array, starts: Array, level: Array, scale: Array, limit: float, steps: int, columns: int) -> Array:
    """Return (steps, K, columns): the windows of steps * columns values, (x - level) / scale, cut to [-limit, limit].

    >>> gather(np.arange(5.0), np.array([1, 0]), np.zeros(2), np.full(2, 2.0), 1.5, 2, 2).tolist()
    [[[0.5, 1.0], [0.0, 0.5]], [[1.5, 1.5], [1.0, 1.5]]]
    """
    x = values[starts[:, None] + np.arange(steps * columns)]
    z = np.clip((x - level[:, None]) / scale[:, None], -limit, limit)
    return np.moveaxis(z.reshape(len(starts), steps, columns), 1, 0)
