"""How much each member counts, found on held-out origins, and the gate: where nothing beats repeating, repeat.

Weights go with the fourth power of the inverse error. In panels each series has its own, its error drawn to the
pool's. For a single series they minimise the held-out squared error, with a penalty for leaving the former weights.
Few independent windows draw both to equal weights, of which the last season repeated has none, and a member that errs
more than twice as much as the best the less the more it does.
"""

from __future__ import annotations

import numpy as np

from rnncore.arguments import Array

_POWER = 4
_POOL = 2.0  # windows that the pool counts for beside a series' own, and equal weights beside all
_LEAVING = 40.0
_FEW = 20  # series, whose squared errors are minimised together
_NEAR = 2.0  # errors of the best: up to that, members are drawn to equal weights
_WORST = 10.0  # mean errors: what is further off counts as that
_GAIN = 0.01  # of the error, that has to be saved over repeating


def combine(
    forecasts: list[Array],
    actual: Array,
    independent: float,
    doubt: Array | None = None,
    prior: Array | None = None,
) -> Array:
    """(M, N, H) weights of M members' forecasts (N, O, H); `independent` windows are held out of each series.

    `doubt` (M,) is a factor of each member's errors: above 1 where it was chosen on the same origins. `prior` (M,)
    are the weights that few windows draw to, by default equal ones.
    """
    prior = np.full(len(forecasts), 1 / len(forecasts)) if prior is None else prior
    doubt = np.ones(len(forecasts)) if doubt is None else doubt
    known = ~np.isnan(actual)
    series, _, horizon = actual.shape
    pairs = list(zip(doubt, forecasts, strict=True))
    sums = np.stack([d * np.abs(_missed(f, actual, known)).sum(axis=1) for d, f in pairs])  # (M, N, H)
    own = sums.sum(axis=2) / np.maximum(known.sum(axis=(1, 2)), 1)  # (M, N)
    size = own.mean(axis=0)
    usable = (size > 0) & np.isfinite(size) & known.any(axis=(1, 2))
    if not usable.any():
        return np.broadcast_to(prior[:, None, None], (*own.shape, horizon)).copy()
    relative = own[:, usable] / size[usable]
    pool = relative.mean(axis=1, keepdims=True)
    every = np.repeat(pool, series, 1)
    if series > 1:
        every[:, usable] = (independent * relative + _POOL * pool) / (independent + _POOL)
    weights = _by_error(every)
    behind = _floored(every) / _floored(every).min(axis=0)  # errors of the best
    drawn = _POOL * prior[:, None] * np.minimum(1, _NEAR / behind) ** _POWER  # (M, N)
    scaled = sums[:, usable] / size[usable][:, None]
    by_horizon = scaled.sum(axis=1) / np.maximum(known[usable].sum(axis=(0, 1)), 1)  # (M, H)
    if series <= _FEW:  # squared errors of all series in the same scale
        counts = known.sum(axis=(0, 1))
        moments = _moments(pairs, actual, np.where(usable, size, np.inf)[:, None])
        gram = moments.sum(axis=0) / max(1, int(counts.sum()))
        pooled = _stacked(gram, _by_error(pool)[:, 0], series * independent)[:, None]
        weights = pooled if series == 1 else weights * pooled / _by_error(pool)
        weights = weights / np.maximum(weights.sum(axis=0), 1e-9)
    out = np.empty((*weights.shape, horizon))
    for h in range(horizon):
        near = slice(int(h / 1.5), int(1.5 * h) + 1)
        windows = independent * horizon / (h + 1)
        if series == 1:
            gram = moments[near].sum(axis=0) / max(1, int(counts[near].sum()))
            out[..., h] = _stacked(gram, weights[:, 0], windows)[:, None]
        else:
            drift = (by_horizon[:, near].mean(axis=1) / np.maximum(by_horizon.mean(axis=1), 1e-300)) ** -_POWER
            tilted = weights * np.clip(drift, 0.2, 5.0)[:, None]
            out[..., h] = tilted / tilted.sum(axis=0)
        count = series * windows
        out[..., h] = (count * out[..., h] + drawn) / (count + drawn.sum(axis=0))
    return out


def _by_error(errors: Array) -> Array:
    """(M, N) weights that sum to 1."""
    sizes = _floored(errors)
    inverse = (sizes / sizes.min(axis=0)) ** -_POWER
    weights: Array = inverse / inverse.sum(axis=0)
    return weights


def _floored(errors: Array) -> Array:
    """Errors (M, N), of which one of zero counts as a millionth of the largest."""
    floored: Array = np.maximum(errors, np.maximum(1e-6 * errors.max(axis=0), 1e-300))
    return floored


def _missed(forecast: Array, actual: Array, known: Array) -> Array:
    """Errors, zero where unknown."""
    off: Array = forecast - actual
    off[~known] = 0.0
    return off


def _moments(pairs: list[tuple[float, Array]], actual: Array, size: Array) -> Array:
    """(H, M, M) sums of products of the members' errors, each with its doubt and over `size` (N, 1), by horizon."""
    found = []
    for h in range(actual.shape[-1]):
        truth = actual[..., h]
        known = ~np.isnan(truth)
        off = [np.clip(d * (f[..., h] - truth) / size, -_WORST, _WORST)[known] for d, f in pairs]
        found.append(np.stack(off) @ np.stack(off).T)
    return np.stack(found)


def _stacked(gram: Array, towards: Array, independent: float) -> Array:
    """Weights on the simplex that minimise w'Gw + c |w - towards|^2, G (M, M) the second moments of errors."""
    gram = gram / (np.diag(gram).min() + 1e-300)
    penalty = _LEAVING / max(independent, 1e-9)
    quadratic = gram + penalty * np.eye(len(gram))
    rate = 1 / np.linalg.norm(quadratic, 2)
    weights = towards
    for _ in range(200):
        weights = _simplex(weights - rate * (quadratic @ weights - penalty * towards))
    return weights


def _simplex(v: Array) -> Array:
    """The nearest point with weights of at least 0 that sum to 1 (Duchi et al. 2008)."""
    u = np.sort(v)[::-1]
    excess = (np.cumsum(u) - 1) / np.arange(1, len(v) + 1)
    nearest: Array = np.maximum(v - excess[np.flatnonzero(u > excess)[-1]], 0)
    return nearest


def gains(forecast: Array, repeat: Array, actual: Array, independent: float, sure: float = 1.0) -> bool:
    """Tell whether a forecast is worth more than repeating: by 1 % of both errors, and so many standard errors.

    Errors are compared series by series in the scale of repeating's; neighbouring origins count as one where they share
    what they forecast.
    """
    known = ~np.isnan(actual)
    ours, theirs = (np.abs(_missed(f, actual, known)) for f in (forecast, repeat))
    count = np.maximum(known.sum(axis=(1, 2)), 1)
    scale = np.maximum(theirs.sum(axis=(1, 2)) / count, 1e-300)[:, None, None]
    ours /= scale
    theirs /= scale
    if not known.any() or not theirs.sum() > 0:
        return False
    if np.vdot(ours, ours) > (1 - _GAIN) ** 2 * np.vdot(theirs, theirs) or ours.sum() > (1 - _GAIN) * theirs.sum():
        return False
    each = (theirs.sum(axis=2) - ours.sum(axis=2)) / np.maximum(known.sum(axis=2), 1)  # (N, O)
    windows = max(1.0, independent * len(actual))
    return bool(each.mean() > sure * each.std() / np.sqrt(windows))
