"""M4 hourly by OWA, ETTh1 with the last 96 values as the only input by MSE, and what fit, predict and update cost."""

from __future__ import annotations

import csv
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sets import DATA, m4_hourly

HORIZONS = (96, 192, 336, 720)
PROTOCOLS = ("m4", *(f"etth1-{h}" for h in HORIZONS), "half-hours", "speed")
_TRAIN, _VALID, _TEST = 8640, 2880, 2880  # rows of the usual split


def run_protocol(name: str, out: Any) -> None:
    """Run in a process of its own."""
    began = time.process_time()
    plain = {"m4": m4, "half-hours": half_hours, "speed": speed}
    told = plain[name]() if name in plain else etth1(int(name.split("-")[1]))
    told["seconds"] = time.process_time() - began
    told["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    out.put(told)


def m4() -> dict[str, Any]:
    """sMAPE, MASE and their mean relative to Naive 2 (OWA), as the competition has it."""
    from rnncore.forecasting import Forecaster

    train, test = m4_hourly()
    ids = np.repeat(np.arange(len(train)), [len(y) for y in train])
    columns = {"unique_id": ids, "ds": np.concatenate([np.arange(len(y)) for y in train]), "y": np.concatenate(train)}
    ahead = Forecaster(h=48, seed=7).fit(columns).predict()
    forecast = ahead["rnncore"].to_numpy().reshape(-1, 48)
    low, high = (ahead[f"rnncore-{side}-80"].to_numpy().reshape(-1, 48) for side in ("lo", "hi"))
    actual = np.stack(test)
    smape = np.mean(200 * np.abs(actual - forecast) / (np.abs(actual) + np.abs(forecast) + 1e-12))
    scale = np.array([np.mean(np.abs(y[24:] - y[:-24])) for y in train])
    mase = np.mean(np.mean(np.abs(actual - forecast), axis=1) / scale)
    inside = (actual >= low) & (actual <= high)
    return {
        "smape": float(smape),
        "mase": float(mase),
        "owa": float((smape / 18.383 + mase / 2.395) / 2),
        "cover80": float(inside.mean()),
        "cover80_median_series": float(np.median(inside.mean(axis=1))),
    }


def etth1(horizon: int) -> dict[str, Any]:
    """MSE and MAE of all seven columns, standardised on the training part; validation rows choose and weigh."""
    from rnncore.forecasting import Forecaster
    from rnncore.forecasting.history import lay_out

    with (DATA / "ett" / "ETTh1.csv").open() as file:
        values = np.array([[float(v) for v in row[1:]] for row in list(csv.reader(file))[1:]])
    mean, spread = values[:_TRAIN].mean(axis=0), values[:_TRAIN].std(axis=0)
    values = (values[: _TRAIN + _VALID + _TEST] - mean) / spread
    names = [f"c{k}" for k in range(values.shape[1])]

    def frame(rows: int) -> dict[str, Any]:
        return {
            "unique_id": np.repeat(names, rows),
            "ds": np.tile(np.arange(rows), len(names)),
            "y": values[:rows].T.ravel(),
        }

    told = Forecaster(h=horizon, input_size=96, held_out=_VALID, refit=False, seed=7)
    fitted = told.fit(frame(_TRAIN + _VALID)).ensemble_
    history, _ = lay_out(told._read(frame(len(values))), ahead=horizon)
    square = size = count = 0.0
    origins = np.arange(_TRAIN + _VALID, len(values) - horizon + 1)
    for block in np.array_split(origins, max(1, len(origins) * horizon * 7 // 2_000_000)):
        off = fitted.forecasts(history, block)["rnncore"]
        off -= np.lib.stride_tricks.sliding_window_view(history.y, horizon, axis=1)[:, block]
        square, size, count = square + float((off**2).sum()), size + float(np.abs(off).sum()), count + off.size
    return {"mse": square / count, "mae": size / count}


def half_hours() -> dict[str, Any]:
    """Cost of fitting to three years of half-hours, drawn with a day, a week and a year, and of a forecast."""
    from rnncore.forecasting import Forecaster

    t, random = np.arange(52_608), np.random.default_rng(5)
    day = np.sin(2 * np.pi * t / 48) + 0.4 * np.sin(4 * np.pi * t / 48 + 1)
    week, year = np.where(t // 48 % 7 < 5, 1.0, 0.6), 1 + 0.2 * np.cos(2 * np.pi * t / 17_532)
    noise = np.convolve(random.standard_normal(len(t) + 200), 0.95 ** np.arange(200), "same")[: len(t)]
    frame = pd.DataFrame(
        {"ds": pd.date_range("2012-01-01", periods=len(t), freq="30min"), "y": 5000 + 900 * day * week}
    )
    frame["y"] = frame.y * year + 60 * noise
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    fitted = Forecaster(h=48, seed=7).fit(frame)
    fitted.predict()
    return {"megabytes_before": before, "megabytes_of_table": 8e-6 * frame.size}


def speed() -> dict[str, Any]:
    """CPU time of predict and update: one series, 1000 series in one call, rows one by one and in a block."""
    from rnncore.forecasting import Forecaster

    t, random = np.arange(600), np.random.default_rng(0)
    season = 10 + 3 * np.sin(2 * np.pi * t / 24)
    one = Forecaster(h=24, networks=1).fit({"ds": t, "y": season + random.normal(0, 0.3, 600)})
    many = Forecaster(h=24, networks=1).fit({
        "unique_id": np.repeat(np.arange(1000), 150), "ds": np.tile(t[:150], 1000),
        "y": np.tile(season[:150], 1000) + random.normal(0, 0.3, 150_000),
    })  # fmt: skip
    at = [600]

    def update(rows: int) -> None:
        one.update({"ds": np.arange(at[0], at[0] + rows), "y": np.full(rows, 10.0)})
        at[0] += rows

    told = {"predict_one_ms": _cpu(one.predict, 200), "predict_1000_ms": _cpu(many.predict, 5)}
    told["update_row_us"] = 1000 * _cpu(lambda: update(1), 1023)  # rows that waited are taken in four times
    return told | {"update_in_block_us": _cpu(lambda: update(1000), 5)}


def _cpu(call: Callable[[], Any], times: int) -> float:
    """Milliseconds of one call."""
    call()
    began = time.process_time()
    for _ in range(times):
        call()
    return 1000 * (time.process_time() - began) / times
