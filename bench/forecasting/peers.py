"""Peers on the same windows: statsforecast's AutoETS, AutoTheta and MSTL, LightGBM on the same lags, and opponents."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sets import Problem

PEERS = ("rnncore", "AutoETS", "AutoTheta", "MSTL", "SeasonalNaive", "LightGBM")


def forecasts(problem: Problem, peer: str) -> pd.DataFrame:
    """A frame with unique_id, ds, cutoff, y and the column of the peer, from origins at the end of each series."""
    warnings.simplefilter("ignore")
    if peer == "rnncore":
        from rnncore.forecasting import Forecaster

        return Forecaster(h=problem.h, seed=7).cross_validation(problem.frame, problem.windows, problem.step)
    return _lightgbm(problem) if peer == "LightGBM" else _statsforecast(problem, peer)


def _statsforecast(problem: Problem, peer: str) -> pd.DataFrame:
    from statsforecast import StatsForecast, models

    season = problem.season
    model = {
        "AutoETS": lambda: models.AutoETS(season_length=season if season <= 24 else 1),  # longer ones it cannot
        "AutoTheta": lambda: models.AutoTheta(season_length=season),
        "MSTL": lambda: models.MSTL(season_length=season),
        "SeasonalNaive": lambda: models.SeasonalNaive(season_length=season),
    }[peer]()
    runner = StatsForecast(models=[model], freq=problem.freq, n_jobs=1)
    found = runner.cross_validation(
        df=problem.frame, h=problem.h, n_windows=problem.windows, step_size=problem.step, refit=False
    )
    return found.reset_index().rename(columns={str(model): peer})


def _lightgbm(problem: Problem) -> pd.DataFrame:
    """One model for all horizons: lags over two seasons less the last value, the place in the season, the horizon."""
    import lightgbm

    h, season = problem.h, problem.season
    lags = max(2 * season, 2 * h, 12)
    behind = h + problem.step * (problem.windows - 1)
    x, z, plan = [], [], []
    for name, own in problem.frame.groupby("unique_id"):
        y = own.y.to_numpy()
        for o in range(lags, len(y) - behind - h + 1):
            x.append(_rows(y, o, lags, h, season))
            z.append(y[o : o + h] - y[o - 1])
        plan += [(name, own, len(y) - behind + problem.step * k) for k in range(problem.windows)]
    model = lightgbm.LGBMRegressor(n_estimators=200, num_leaves=31, learning_rate=0.05, n_jobs=1, verbose=-1)
    keep = slice(None, None, max(1, len(x) * h // 400_000))  # rows enough
    model.fit(np.concatenate(x[keep]), np.concatenate(z[keep]))
    frames = []
    for name, own, o in plan:
        y = own.y.to_numpy()
        ahead = model.predict(_rows(y, o, lags, h, season)) + y[o - 1]
        part = own.iloc[o : o + h]
        frames.append(
            pd.DataFrame(
                {"unique_id": name, "ds": part.ds, "cutoff": own.ds.iloc[o - 1], "y": part.y, "LightGBM": ahead}
            )
        )
    return pd.concat(frames)


def _rows(y: np.ndarray, o: int, lags: int, h: int, season: int) -> np.ndarray:
    window = y[o - lags : o] - y[o - 1]
    steps = np.arange(h)
    last = np.array([y[o - season + s % season] - y[o - 1] for s in steps])
    return np.column_stack([np.repeat(window[None], h, 0), steps, (o + steps) % season, last])
