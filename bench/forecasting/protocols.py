"""Published protocols: M4 hourly by OWA, ETTh1 with the last 96 values as the only input by MSE."""

from __future__ import annotations

import csv
import resource
import time
from typing import Any

import numpy as np
from sets import DATA, m4_hourly

HORIZONS = (96, 192, 336, 720)
PROTOCOLS = ("m4", *(f"etth1-{h}" for h in HORIZONS))
_TRAIN, _VALID, _TEST = 8640, 2880, 2880  # rows of the usual split


def run_protocol(name: str, out: Any) -> None:
    """Run in a process of its own."""
    began = time.process_time()
    told = m4() if name == "m4" else etth1(int(name.split("-")[1]))
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
