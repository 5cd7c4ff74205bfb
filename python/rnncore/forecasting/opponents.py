"""What a forecast has to beat: the last value, each season repeated, what is usual for the time, ridge regression.

All are fitted to what lies before the history's end. Skill is claimed over the best of them.
"""

from __future__ import annotations

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.climatology import find_cycles, fit_climatology, usual
from rnncore.forecasting.ensemble import Ensemble, naive
from rnncore.forecasting.history import History, blocks
from rnncore.forecasting.periods import Periods
from rnncore.forecasting.windows import Windows

_LEAST_TURNS = 3  # of the longest season, for its profile
_YEAR_HARMONICS = 3


def titles(names: list[str], step: str) -> dict[str, str]:
    """What to call the methods in a sentence."""
    fixed = {
        "rnncore": "the forecast",
        "repeat": "repeating the last value",
        "climatology": "climatology",
        "profile": "the mean of each place in the season",
        "ridge": "ridge regression",
        "ridge of lags": "ridge regression on the last steps",
    }
    return {name: fixed.get(name, f"repeating the last {name.split()[-1]} {step}s") for name in names}


RIDGES = ("ridge", "ridge of lags")  # on the window and the season's places; on the last steps of all columns


def forecast(history: History, fitted: Ensemble, origins: Array, members: dict[str, Array]) -> dict[str, Array]:
    """Forecasts (N, O, H) of every opponent; ridge regression's are among those of the members."""
    found = {name: fitted.cut(values) for name, values in naive(Windows(history, fitted.layout), origins).items()}
    found["climatology"] = _climatology(history, fitted.layout.periods, origins, fitted.layout.horizon)
    profile = _profile(history, fitted.layout.periods, origins, fitted.layout.horizon)
    if profile is not None:
        found["profile"] = profile
    return found | {name: members[name] for name in RIDGES if name in members}


def _climatology(history: History, periods: Periods, origins: Array, horizon: int) -> Array:
    """A mean and the harmonics of year, week, day and the seasons of the data, where they are worth it."""
    out = np.empty((len(history.y), len(origins), horizon), np.float32)
    steps = origins[:, None] + np.arange(horizon)
    for n in range(len(history.y)):
        where = np.arange(history.first[n], history.end)
        if not where.size or np.isnan(history.y[n, where]).all():
            out[n] = 0.0
            continue
        cycles = find_cycles(history.grid, len(where), periods.seasons)
        own = fit_climatology(history.grid, cycles, history.offset[n] + where, history.y[n, where, None])
        out[n] = usual([own], history.grid, steps, history.offset[n : n + 1])[:, 0, :, 0]
    return out


def _profile(history: History, periods: Periods, origins: Array, horizon: int) -> Array | None:
    """The mean of each place in the longest season (hour of the week, say), and the year's harmonics beside it."""
    season = periods.longest
    if season == 1 or history.end < _LEAST_TURNS * season:
        return None
    out = np.empty((len(history.y), len(origins), horizon), np.float32)
    steps = origins[:, None] + np.arange(horizon)
    size = _places(history, periods, np.zeros(1, np.int64)).shape[1]
    for n in range(len(history.y)):
        where = np.arange(history.first[n], history.end)
        known = where[~np.isnan(history.y[n, where])]
        if not known.size:
            out[n] = 0.0
            continue
        gram, moment = 1e-3 * np.eye(size), np.zeros(size)
        for here in blocks(len(known), size):
            x = _places(history, periods, history.offset[n] + known[here])
            gram += x.T @ x
            moment += x.T @ history.y[n, known[here]]
        weight = np.linalg.solve(gram, moment)
        every = np.empty(steps.max() + 1 - steps.min())
        for here in blocks(len(every), size):
            where = history.offset[n] + steps.min() + np.arange(here.start, here.stop)
            every[here] = _places(history, periods, where) @ weight
        out[n] = every[steps - steps.min()]
    return out


def _places(history: History, periods: Periods, positions: Array) -> Array:
    """One column for each place in the longest season, and sine and cosine of the year."""
    place = np.eye(periods.longest)[periods.phase(history.grid, positions, periods.longest)]
    if not periods.year:
        return place
    angle = 2 * np.pi * positions[:, None] / periods.year * np.arange(1, _YEAR_HARMONICS + 1)
    return np.concatenate([place, np.sin(angle), np.cos(angle)], axis=1)
