"""Series to forecast: those that ship in packages, and those of a folder that RNNCORE_DATA names."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(os.environ.get("RNNCORE_DATA", "data"))


@dataclass(frozen=True)
class Problem:
    """A long frame, the steps ahead, and how many windows at its end are forecast, how far apart."""

    name: str
    origin: str
    frame: pd.DataFrame  # unique_id, ds, y
    freq: str | int
    season: int  # of the peers that want to be told; the forecaster finds its own
    h: int
    windows: int
    step: int


def _single(y: np.ndarray, ds: object) -> pd.DataFrame:
    return pd.DataFrame({"unique_id": "1", "ds": ds, "y": np.asarray(y, float)})


def air() -> Problem:
    from statsforecast.utils import AirPassengersDF

    frame = AirPassengersDF[["unique_id", "ds", "y"]].astype({"unique_id": str})
    return Problem("air passengers", "statsforecast", frame, "ME", 12, 12, 25, 1)


def weather(place: str) -> Problem:
    from rnncore import datasets

    with datasets.weather().open() as file:
        table = pd.read_csv(file)
    own = table[table.location == place]
    frame = _single(own.temp_max, pd.to_datetime(own.date).to_numpy())
    return Problem(f"{place}, warmest hour", "rnncore", frame, "D", 7, 7, 52, 7)


def _statsmodels(module: str, column: str, freq: str | int, season: int, h: int, windows: int, step: int) -> Problem:
    import importlib

    data = importlib.import_module(f"statsmodels.datasets.{module}").load_pandas().data
    if module == "co2":
        y = data[column].interpolate()
        return Problem("CO2, weekly", "statsmodels", _single(y, y.index), freq, season, h, windows, step)
    if module == "elnino":
        y = data.drop(columns="YEAR").to_numpy().ravel()
        ds = pd.date_range("1950-01-31", periods=len(y), freq="ME")
        return Problem("sea surface, monthly", "statsmodels", _single(y, ds), freq, season, h, windows, step)
    y = data[column]
    return Problem(f"{module} {column}", "statsmodels", _single(y, np.arange(len(y))), freq, season, h, windows, step)


def taxi() -> Problem:
    table = pd.read_csv(DATA / "nab" / "data" / "realKnownCause" / "nyc_taxi.csv")
    frame = _single(table.value, pd.to_datetime(table.timestamp))
    return Problem("taxis of New York, half-hourly", "NAB", frame, "30min", 48, 48, 30, 48)


def transformer() -> Problem:
    table = pd.read_csv(DATA / "ett" / "ETTh1.csv").iloc[: 20 * 30 * 24]
    frame = _single(table.OT, pd.to_datetime(table.date))
    return Problem("transformer oil, hourly", "ETTh1", frame, "h", 24, 24, 60, 24)


def walk() -> Problem:
    random = np.random.default_rng(20)
    y = 100 + np.cumsum(random.standard_normal((5, 1000)), axis=1)
    frame = pd.concat([_single(own, np.arange(1000)).assign(unique_id=str(k)) for k, own in enumerate(y)])
    return Problem("random walks", "drawn", frame, 1, 1, 5, 30, 5)


SETS: dict[str, Callable[[], Problem]] = {
    "air": air,
    "new-york": lambda: weather("New York"),
    "seattle": lambda: weather("Seattle"),
    "co2": lambda: _statsmodels("co2", "co2", "W-SAT", 52, 13, 30, 13),
    "sunspots": lambda: _statsmodels("sunspots", "SUNACTIVITY", 1, 11, 5, 60, 1),
    "nile": lambda: _statsmodels("nile", "volume", 1, 1, 3, 25, 1),
    "sea": lambda: _statsmodels("elnino", "", "ME", 12, 6, 60, 3),
    "consumption": lambda: _statsmodels("macrodata", "realcons", 1, 1, 4, 40, 1),
    "unemployment": lambda: _statsmodels("macrodata", "unemp", 1, 1, 4, 40, 1),
    "taxi": taxi,
    "transformer": transformer,
    "walk": walk,
}


def m4_hourly() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Training and test part of every series."""
    parts = []
    for part in ("train", "test"):
        with (DATA / "m4" / f"Hourly-{part}.csv").open() as file:
            rows = list(csv.reader(file))[1:]
        parts.append([np.array([float(v) for v in row[1:] if v not in ("", "NA")]) for row in rows])
    return parts[0], parts[1]
