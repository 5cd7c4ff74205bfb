"""A robust covariance of errors over channels, and the matrix that makes them independent and of one size."""

from __future__ import annotations

import numpy as np

from rnncore.arguments import Array

__all__ = ["whitening"]

_KEPT = 0.75  # of the rows, the nearest ones
_STEPS = 10
_SHRINKAGE = 0.05  # towards the diagonal: channels may repeat each other


def whitening(errors: Array) -> tuple[Array, Array]:
    """Return W (C, C) with W e of covariance 1 for usual errors e (T, C), and the spread (C,) of each channel.

    Concentration steps of the minimum covariance determinant (Rousseeuw & Van Driessen 1999): begin with the channels'
    interquartile ranges, then three quarters of the rows again and again, those nearest by the last covariance. Rows
    with NaN are left out. Without a row to go by W is the identity.

    >>> import numpy as np
    >>> e = np.random.default_rng(0).normal(size=(2000, 2)) @ [[2.0, 1.0], [0.0, 1.0]]
    >>> e[:40] += 50
    >>> W, _ = whitening(e)
    >>> bool(np.abs(W @ np.cov(e[40:].T) @ W.T - np.eye(2)).max() < 0.2)
    True
    """
    channels = errors.shape[1]
    rows = errors[np.isfinite(errors).all(axis=1)]
    if len(rows) < 2:
        return np.eye(channels), np.ones(channels)
    low, high = np.quantile(rows, [0.25, 0.75], axis=0)
    spread = (high - low) / 1.349
    spread = np.maximum(np.maximum(spread, 0.05 * rows.std(axis=0)), 1e-6)
    scaled = (rows - np.median(rows, axis=0)) / spread
    inverse, previous = np.eye(channels), None
    covariance = np.eye(channels)
    for _ in range(_STEPS if channels > 1 and len(rows) > 5 * channels else 0):
        distance = np.einsum("ti,ij,tj->t", scaled, inverse, scaled)
        nearest = np.argpartition(distance, int(_KEPT * len(rows)))[: max(int(_KEPT * len(rows)), 2)]
        nearest.sort()
        if previous is not None and np.array_equal(nearest, previous):
            break
        covariance, previous = np.cov(scaled[nearest].T), nearest
        size = np.sqrt(np.maximum(np.diag(covariance), 1e-6))
        correlation = (1 - _SHRINKAGE) * covariance / np.outer(size, size) + _SHRINKAGE * np.eye(channels)
        covariance = correlation  # of scaled errors, whose spread is 1 by the quartiles
        inverse = np.linalg.inv(covariance)
    return np.linalg.inv(np.linalg.cholesky(covariance)) / spread, spread
