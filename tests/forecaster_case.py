"""Daily series and a forecaster that is fitted in no time, for the tests of the forecaster."""

import numpy as np
import pandas as pd

from rnncore.forecasting import Forecaster

STEPS = 240


def wave(steps, seed=0, period=12):
    noise = np.random.default_rng(seed).standard_normal(steps)
    return 10 + 3 * np.sin(2 * np.pi * np.arange(steps) / period) + 0.2 * noise


def panel(steps=STEPS, ahead=0, seed=1):
    """Three daily series that a holiday lifts by 8 and a column of noise does not."""
    random = np.random.default_rng(seed)
    frames = []
    for k, name in enumerate("abc"):
        holiday = (random.random(steps + ahead) < 0.1).astype(float)
        y = 20 + 5 * k + 8 * holiday + 3 * wave(steps + ahead, k, 7) / 3 + random.normal(0, 0.3, steps + ahead)
        days = pd.date_range("2022-01-01", periods=steps + ahead)
        frames.append(pd.DataFrame({"unique_id": name, "ds": days, "y": y, "holiday": holiday,
                                    "noise": random.random(steps + ahead)}))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def parted(frame, steps=STEPS):
    first = frame.ds < pd.Timestamp("2022-01-01") + pd.Timedelta(days=steps)
    return frame[first], frame[~first]


def quick(h=7, **options):
    return Forecaster(h=h, networks=1, epochs=3, **options)
