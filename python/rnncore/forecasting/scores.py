"""How good forecasts are: errors for every horizon, whether a difference means anything, and what bands hold.

Arrays are (N, O, H): series, origins, horizons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array

_ROUNDING = 1e-9  # of the values: errors so near to each other are equal
NAME = "rnncore"


@dataclass(frozen=True)
class Scores:
    """Errors for each horizon, in the target's unit, and of all horizons together the two that have none."""

    rmse: list[float]
    mae: list[float]
    count: list[int]
    total_rmse: float
    total_mae: float
    mase: float  # mean over the series of their error over that of the season repeated in training
    smape: float  # percent


def score(forecast: Array, actual: Array, mask: Array, naive_error: Array) -> Scores:
    """Score where the mask is true; NaN for a horizon where it is nowhere. naive_error (N,): see `seasonal_error`."""
    off = np.where(mask, forecast - np.where(mask, actual, 0), 0.0)
    count = mask.sum(axis=(0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        rmse = np.sqrt((off**2).sum(axis=(0, 1)) / count)
        mae = np.abs(off).sum(axis=(0, 1)) / count
        total = mask.sum()
        each = np.abs(off).sum(axis=(1, 2)) / mask.sum(axis=(1, 2)) / naive_error
        size = np.abs(np.where(mask, forecast, 0)) + np.abs(np.where(mask, actual, 0))
        relative = np.where(mask, 200 * np.abs(off) / np.where(size > 0, size, 1), 0).sum() / total
    fine = each[np.isfinite(each)]
    return Scores(
        rmse.tolist(),
        mae.tolist(),
        count.tolist(),
        float(np.sqrt((off**2).sum() / max(total, 1))),
        float(np.abs(off).sum() / max(total, 1)),
        float(fine.mean()) if fine.size else float("nan"),
        float(relative),
    )


def seasonal_error(y: Array, season: int) -> Array:
    """(N,) mean |y_t - y_(t - season)| of training values (N, T): what MASE is relative to (Hyndman & Koehler 2006)."""
    season = season if season < y.shape[1] else 1
    change = np.abs(y[:, season:] - y[:, :-season])
    known = ~np.isnan(change)
    mean: Array = np.where(known, change, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(mean > 0, mean, np.nan)


@dataclass(frozen=True)
class Comparison:
    """The forecast against the best opponent at one horizon."""

    horizon: int
    best: str
    skill: float  # 1 - RMSE of the forecast / RMSE of the other
    sigmas: float  # the mean difference of squared errors over its standard error; above 0 the forecast is better

    @property
    def verdict(self) -> str:
        """Skill only where chance does not explain it (two standard errors)."""
        if self.skill == 0:
            return "equal"
        if self.sigmas > 2:
            return "better"
        return "worse" if self.sigmas < -2 else "no clear difference"


def compare(forecasts: dict[str, Array], scores: dict[str, Scores], actual: Array, mask: Array) -> list[Comparison]:
    """Compare the forecast with the best opponent for each horizon, after Diebold & Mariano (1995)."""
    others = [name for name in forecasts if name != NAME]
    result = []
    for h in range(actual.shape[-1]):
        if not mask[..., h].any():
            continue
        best = min(others, key=lambda name: scores[name].rmse[h])
        there = mask[..., h]
        truth = np.where(there, actual[..., h], 0)
        ours_squared, theirs_squared = (
            np.where(there, (forecasts[name][..., h] - truth) ** 2, 0.0) for name in (NAME, best)
        )
        ours, theirs = scores[NAME].rmse[h], scores[best].rmse[h]
        rounding = _ROUNDING * float(np.abs(truth).max(initial=0.0))
        skill = 0.0 if abs(ours - theirs) <= rounding else 1 - ours / max(theirs, rounding)
        result.append(Comparison(h + 1, best, skill, _sigmas((theirs_squared - ours_squared).T, there.T, h + 1)))
    return result


def _sigmas(difference: Array, there: Array, horizon: int) -> float:
    """Mean of (O, N) over its standard error, which allows for what neighbouring origins and series share."""
    steps = there.any(axis=1)
    sums, counts = difference.sum(axis=1)[steps], there.sum(axis=1)[steps]
    mean = sums.sum() / counts.sum()
    rest = sums - mean * counts  # per origin, over all series: they may well err together
    lags = min(len(rest) - 1, max(horizon, round(len(rest) ** (1 / 3))))
    variance = rest @ rest
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * (rest[lag:] @ rest[:-lag])  # Bartlett's weights (Newey & West 1987)
    return float(mean / (np.sqrt(variance) / counts.sum())) if variance > 0 else 0.0


@dataclass(frozen=True)
class Band:
    """How a band did: the share of the values that it held, and its interval score (Winkler 1972)."""

    level: float
    coverage: list[float]  # of each horizon
    total: float
    winkler: float  # mean width and, for each value outside, 2 / (1 - level) times how far
    pinball: float  # mean loss of the two ends


def judge_band(low: Array, high: Array, actual: Array, mask: Array, level: float) -> Band:
    """Judge a band for `level` percent where the mask is true."""
    truth = np.where(mask, actual, 0)
    inside = (truth >= low) & (truth <= high) & mask
    count = mask.sum(axis=(0, 1))
    share = np.where(count > 0, inside.sum(axis=(0, 1)) / np.maximum(count, 1), np.nan)
    alpha = 1 - level / 100
    outside = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    winkler = float(np.where(mask, high - low + 2 / alpha * outside, 0).sum() / max(mask.sum(), 1))
    total = float(inside.sum() / max(mask.sum(), 1))
    return Band(level, [float(each) for each in share], total, winkler, winkler * alpha / 4)
