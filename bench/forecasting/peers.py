"""Peers on the same windows: simple ones, statsforecast's AutoETS, AutoTheta and MSTL, LightGBM on the same lags."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sets import Problem
from simple import SIMPLE

PEERS = ("rnncore", *SIMPLE, "AutoETS", "AutoTheta", "MSTL", "LightGBM")


def applies(problem: Problem, peer: str) -> bool:
    """Whether a peer can forecast such series: MSTL takes seasons apart, and wants one."""
    return peer != "MSTL" or max(problem.seasons) > 1


def forecasts(problem: Problem, peer: str) -> pd.DataFrame:
    """A frame with unique_id, ds, cutoff, y and the column of the peer, from origins at the end of each series."""
    warnings.simplefilter("ignore")
    if peer == "rnncore":
        from rnncore.forecasting import Forecaster

        return Forecaster(h=problem.h, seed=7).cross_validation(problem.frame, problem.windows, problem.step)
    if peer in SIMPLE:
        return _simple(problem, peer)
    return _lightgbm(problem) if peer == "LightGBM" else _statsforecast(problem, peer)


def _simple(problem: Problem, peer: str) -> pd.DataFrame:
    frames = []
    for name, own in problem.frame.groupby("unique_id"):
        y = own.y.to_numpy()
        end = len(y) - problem.h - problem.step * (problem.windows - 1)
        origins = end + problem.step * np.arange(problem.windows)
        frames.append(_framed(name, own, origins, problem.h, peer, SIMPLE[peer](problem, y, end, origins)))
    return pd.concat(frames)


def _framed(name: str, own: pd.DataFrame, origins: np.ndarray, h: int, peer: str, ahead: np.ndarray) -> pd.DataFrame:
    steps = (origins[:, None] + np.arange(h)).ravel()
    return pd.DataFrame({
        "unique_id": name, "ds": own.ds.to_numpy()[steps], "cutoff": np.repeat(own.ds.to_numpy()[origins - 1], h),
        "y": own.y.to_numpy()[steps], peer: np.asarray(ahead).ravel(),
    })  # fmt: skip


def _statsforecast(problem: Problem, peer: str) -> pd.DataFrame:
    from statsforecast import StatsForecast, models

    season = problem.seasons[0]
    model = {
        "AutoETS": lambda: models.AutoETS(season_length=season if season <= 24 else 1),  # longer ones it cannot
        "AutoTheta": lambda: models.AutoTheta(season_length=season),
        "MSTL": lambda: models.MSTL(season_length=list(problem.seasons)),
    }[peer]()
    runner = StatsForecast(models=[model], freq=problem.freq, n_jobs=1)
    found = runner.cross_validation(
        df=problem.frame, h=problem.h, n_windows=problem.windows, step_size=problem.step, refit=False
    )
    return found.reset_index().rename(columns={str(model): peer})


def _lightgbm(problem: Problem) -> pd.DataFrame:
    """One model for all horizons: lags over the seasons less the last value, the place in each, the horizon."""
    import lightgbm

    h = problem.h
    lags = max(12, 2 * problem.seasons[0], *problem.seasons)
    behind = h + problem.step * (problem.windows - 1)
    most = int(problem.frame.groupby("unique_id").size().sum())
    every = max(1, most * h // 400_000)  # rows enough
    x, z, plan = [], [], []
    for name, own in problem.frame.groupby("unique_id"):
        y = own.y.to_numpy()
        for o in range(lags, len(y) - behind - h + 1, every):
            x.append(_rows(y, o, lags, h, problem.seasons))
            z.append(y[o : o + h] - y[o - 1])
        plan.append((name, own, len(y) - behind + problem.step * np.arange(problem.windows)))
    model = lightgbm.LGBMRegressor(n_estimators=200, num_leaves=31, learning_rate=0.05, n_jobs=1, verbose=-1)
    model.fit(np.concatenate(x).astype(np.float32), np.concatenate(z))
    frames = []
    for name, own, origins in plan:
        y = own.y.to_numpy()
        ahead = [model.predict(_rows(y, o, lags, h, problem.seasons).astype(np.float32)) + y[o - 1] for o in origins]
        frames.append(_framed(name, own, origins, h, "LightGBM", np.array(ahead)))
    return pd.concat(frames)


def _rows(y: np.ndarray, o: int, lags: int, h: int, seasons: tuple[int, ...]) -> np.ndarray:
    window = y[o - lags : o] - y[o - 1]
    steps = np.arange(h)
    places = [column for m in seasons for column in ((o + steps) % m, y[o - m + steps % m] - y[o - 1])]
    return np.column_stack([np.repeat(window[None], h, 0), steps, *places])
