"""How much each member counts, found on held-out origins, and the gate: where nothing beats repeating, repeat.

Weights go with the fourth power of the inverse error. In panels each series has its own, its error drawn to the
pool's. For a single series they minimise the held-out squared error, with a penalty for leaving the former weights.
Few independent windows draw both to equal weights.
"""

from __future__ import annotations

import numpy as np

from rnncore.arguments import Array

_POWER = 4
_POOL = 2.0  # windows that the pool counts for beside a series' own, and equal weights beside all
_LEAVING = 40.0
_GAIN = 0.01  # of the error, that has to be saved over repeating


def combine(forecasts: list[Array], actual: Array, independent: float) -> Array:
    """(M, N) weights of M members' forecasts (N, O, H); `independent` windows lie in the held-out part of a series."""
    known = ~np.isnan(actual)
    errors = [np.where(known, np.abs(f - actual), 0) for f in forecasts]
    count = np.maximum(known.sum(axis=(1, 2)), 1)
    own = np.stack([e.sum(axis=(1, 2)) / count for e in errors])  # (M, N)
    size = own.mean(axis=0)
    usable = (size > 0) & np.isfinite(size) & known.any(axis=(1, 2))
    if not usable.any():
        return np.full(own.shape, 1 / len(forecasts))
    relative = own[:, usable] / size[usable]
    pool = relative.mean(axis=1, keepdims=True)
    series = own.shape[1]
    if series > 1:
        every = np.repeat(pool, series, 1)
        every[:, usable] = (independent * relative + _POOL * pool) / (independent + _POOL)
        weights = _by_error(every)
    else:
        signed = np.stack([(f - actual)[known] for f in forecasts]).astype(np.float64)
        weights = _stacked(signed, _by_error(pool), independent)
    windows = series * independent
    return (windows * weights + _POOL / len(forecasts)) / (windows + _POOL)


def _by_error(errors: Array) -> Array:
    inverse = np.maximum(errors / errors.min(axis=0), 1e-9) ** -_POWER
    weights: Array = inverse / inverse.sum(axis=0)
    return weights


def _stacked(signed: Array, towards: Array, independent: float) -> Array:
    """Weights on the simplex that minimise w'Gw + c |w - towards|^2, G the second moments of errors (M, K)."""
    gram = signed @ signed.T / signed.shape[1]
    gram /= np.diag(gram).min() + 1e-300
    penalty = _LEAVING / max(independent, 1e-9)
    quadratic = gram + penalty * np.eye(len(gram))
    rate = 1 / np.linalg.norm(quadratic, 2)
    weights = towards[:, 0]
    for _ in range(2000):
        weights = _simplex(weights - rate * (quadratic @ weights - penalty * towards[:, 0]))
    return weights[:, None]


def _simplex(v: Array) -> Array:
    """The nearest point with weights of at least 0 that sum to 1 (Duchi et al. 2008)."""
    u = np.sort(v)[::-1]
    excess = (np.cumsum(u) - 1) / np.arange(1, len(v) + 1)
    return np.maximum(v - excess[np.flatnonzero(u > excess)[-1]], 0)


def gains(forecast: Array, repeat: Array, actual: Array, independent: float) -> bool:
    """Tell whether a forecast is worth more than repeating: by 1 % of both errors, and a standard error of the first.

    Errors are compared series by series in the scale of repeating's; neighbouring origins count as one where they share
    what they forecast.
    """
    known = ~np.isnan(actual)
    ours, theirs = (np.where(known, f - actual, 0.0) for f in (forecast, repeat))
    count = np.maximum(known.sum(axis=(1, 2)), 1)
    scale = np.maximum(np.abs(theirs).sum(axis=(1, 2)) / count, 1e-300)[:, None, None]
    ours, theirs = ours / scale, theirs / scale
    if not known.any() or not np.abs(theirs).sum() > 0:
        return False
    if (ours**2).sum() > (1 - _GAIN) ** 2 * (theirs**2).sum() or np.abs(ours).sum() > (1 - _GAIN) * np.abs(theirs).sum():
        return False
    each = (np.abs(theirs) - np.abs(ours)).sum(axis=2) / np.maximum(known.sum(axis=2), 1)  # (N, O)
    windows = max(1.0, independent * len(actual))
    return bool(each.mean() > each.std() / np.sqrt(windows))
