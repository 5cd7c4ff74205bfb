"""The simple opponents, written apart from the library: repeat, a season again, a profile, ridge regression."""

from __future__ import annotations

import numpy as np
from sets import Problem

LAST = 12  # steps that ridge regression sees, beside those of each season
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
YEARS = {"D": 365.25, "h": 8766.0, "30min": 17532.0, "W-FRI": 52.18, "W-SAT": 52.18}  # steps in a year


def repeat(problem: Problem, y: np.ndarray, end: int, origins: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """(O, H) the last value."""
    return np.repeat(y[origins - 1][:, None], problem.h, 1)


def season(problem: Problem, y: np.ndarray, end: int, origins: np.ndarray) -> np.ndarray:
    """(O, H) a season before; of several seasons the one that repeats itself best in the training part."""
    errors = [np.abs(y[m:end] - y[: end - m]).mean() for m in problem.seasons]
    m = problem.seasons[int(np.argmin(errors))]
    return y[origins[:, None] - m + np.arange(problem.h) % m]


def profile(problem: Problem, y: np.ndarray, end: int, origins: np.ndarray) -> np.ndarray:
    """(O, H) the mean of each place in the longest season, with sine and cosine of the year."""
    x = _calendar(problem, np.arange(len(y) + problem.h))
    weight = _solved(x[:end], y[:end, None], 0.1)
    return (x @ weight)[origins[:, None] + np.arange(problem.h), 0]


def ridge(problem: Problem, y: np.ndarray, end: int, origins: np.ndarray) -> np.ndarray:
    """(O, H) from the last values, those around each season before the target, and the calendar of the target."""
    out, scale = np.empty((len(origins), problem.h)), y[:end].std() + 1e-12
    every, valid = np.arange(end + 1), end - max(problem.h, end // 6)
    calendar = _calendar(problem, np.arange(len(y) + problem.h))
    for k in range(problem.h):
        least = max([LAST] + [-(-(k + 1) // m) * m + 1 for m in problem.seasons])
        known = every[(every >= least) & (every + k < end)]
        x, z = _lags(problem, y / scale, known, k, calendar), y[known + k] - y[known - 1]
        first = known + k < valid
        errors = [np.abs(z[~first] - (x[~first] @ _solved(x[first], z[first, None], p))[:, 0]).mean()
                  for p in PENALTIES]  # fmt: skip
        weight = _solved(x, z[:, None], PENALTIES[int(np.argmin(errors))])
        out[:, k] = (_lags(problem, y / scale, origins, k, calendar) @ weight)[:, 0] + y[origins - 1]
    return out


def _lags(problem: Problem, y: np.ndarray, origins: np.ndarray, k: int, calendar: np.ndarray) -> np.ndarray:
    last = y[origins[:, None] - np.arange(1, LAST + 1)]
    before = [y[origins + k - -(-(k + 1) // m) * m] for m in problem.seasons if m > 1]
    level = last[:, :1]
    lags = [last[:, 1:] - level, *(each[:, None] - level for each in before), level]
    return np.concatenate([*lags, calendar[origins + k]], axis=1)


def _calendar(problem: Problem, steps: np.ndarray) -> np.ndarray:
    m = max(problem.seasons)
    parts = [np.eye(m)[steps % m]]
    if problem.freq in YEARS:
        angle = 2 * np.pi * steps[:, None] / YEARS[problem.freq] * np.arange(1, 4)
        parts += [np.sin(angle), np.cos(angle)]
    return np.concatenate(parts, axis=1)


def _solved(x: np.ndarray, z: np.ndarray, penalty: float) -> np.ndarray:
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ z)


SIMPLE = {"repeat": repeat, "season": season, "profile": profile, "ridge": ridge}
