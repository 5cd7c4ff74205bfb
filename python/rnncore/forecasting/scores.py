"""How good forecasts are: errors for every horizon, whether a difference means anything, and a band around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array

BAND = 0.8  # the share of values that the band is meant to hold
_ROUNDING = 1e-9  # of the values: errors so near to each other are equal
_LEAST_FOR_QUANTILES = 30


@dataclass(frozen=True)
class Scores:
    """Root mean square and mean absolute error for each horizon, in the target's unit."""

    rmse: list[float]
    mae: list[float]
    count: list[int]


def score(forecast: Array, actual: Array, mask: Array) -> Scores:
    """Score forecasts (T, N, H) where the mask is true; NaN for a horizon where it is nowhere."""
    rmse, mae, count = [], [], []
    for h in range(actual.shape[-1]):
        errors = (forecast[..., h] - actual[..., h])[mask[..., h]]
        rmse.append(float(np.sqrt(np.mean(errors**2))) if errors.size else float("nan"))
        mae.append(float(np.mean(np.abs(errors))) if errors.size else float("nan"))
        count.append(int(errors.size))
    return Scores(rmse, mae, count)


@dataclass(frozen=True)
class Comparison:
    """The network against the best other method at one horizon."""

    horizon: int
    best: str
    skill: float  # 1 - RMSE of the network / RMSE of the other
    sigmas: float  # the mean difference of squared errors over its standard error; above 0 the network is better

    @property
    def verdict(self) -> str:
        """Skill only where chance does not explain it (two standard errors)."""
        if self.skill == 0:
            return "equal"
        if self.sigmas > 2:
            return "better"
        return "worse" if self.sigmas < -2 else "no clear difference"


def compare(forecasts: dict[str, Array], scores: dict[str, Scores], actual: Array, mask: Array) -> list[Comparison]:
    """Compare "network" with the best other method for each horizon, after Diebold & Mariano (1995)."""
    others = [name for name in forecasts if name != "network"]
    result = []
    for h in range(actual.shape[-1]):
        best = min(others, key=lambda name: scores[name].rmse[h])
        there = mask[..., h]
        network, other = (np.where(there, (forecasts[name] - actual)[..., h] ** 2, 0.0) for name in ("network", best))
        ours, theirs = scores["network"].rmse[h], scores[best].rmse[h]
        rounding = _ROUNDING * float(np.abs(actual[..., h][there]).max(initial=0.0))
        skill = 0.0 if abs(ours - theirs) <= rounding else 1 - ours / max(theirs, rounding)
        result.append(Comparison(h + 1, best, skill, _sigmas(other - network, there, h + 1)))
    return result


def _sigmas(difference: Array, there: Array, horizon: int) -> float:
    """Mean of (T, N) over its standard error, which allows for what neighbouring steps and series share."""
    steps = there.any(axis=1)
    sums, counts = difference.sum(axis=1)[steps], there.sum(axis=1)[steps]
    mean = sums.sum() / counts.sum()
    rest = sums - mean * counts  # per step, over all series: they may well err together
    lags = min(len(rest) - 1, max(horizon, round(len(rest) ** (1 / 3))))
    variance = rest @ rest
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * (rest[lag:] @ rest[:-lag])  # Bartlett's weights (Newey & West 1987)
    return float(mean / (np.sqrt(variance) / counts.sum())) if variance > 0 else 0.0


def band(errors: Array, mask: Array) -> Array:
    """(2, H): what to add to a forecast for the ends of its band, from errors (T, N, H) = actual - forecast.

    Quantiles of the errors; of a normal distribution with their spread where they are fewer than 30.
    """
    edges = np.zeros((2, errors.shape[-1]))
    for h in range(errors.shape[-1]):
        chosen = errors[..., h][mask[..., h]]
        if chosen.size >= _LEAST_FOR_QUANTILES:
            edges[:, h] = np.quantile(chosen, [(1 - BAND) / 2, (1 + BAND) / 2])
        elif chosen.size:
            edges[:, h] = np.array([-1.2816, 1.2816]) * np.sqrt(np.mean(chosen**2))
    return edges


def coverage(actual: Array, forecast: Array, edges: Array, mask: Array) -> list[float]:
    """Return the share of the values that lie within the band, for each horizon."""
    inside = (actual >= forecast + edges[0]) & (actual <= forecast + edges[1])
    counts = mask.sum(axis=(0, 1))
    shares = np.where(counts > 0, (inside & mask).sum(axis=(0, 1)) / np.maximum(counts, 1), np.nan)
    return [float(share) for share in shares]
