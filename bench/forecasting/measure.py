"""One peer on one set: errors, what the bands hold, CPU seconds and memory."""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np
from peers import forecasts
from sets import SETS


def measure(name: str, peer: str, before: bool, out: Any) -> None:
    """Run in a process of its own: errors, time and memory. `before`: on what lies before the test part alone."""
    problem = SETS[name]().before() if before else SETS[name]()
    began = time.process_time()
    found = forecasts(problem, peer)
    seconds = time.process_time() - began
    off = (found[peer] - found.y).to_numpy(float)
    off = off[np.isfinite(off)]
    told = {
        "rmse": float(np.sqrt(np.mean(off**2))),
        "mae": float(np.mean(np.abs(off))),
        "seconds": seconds,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if peer == "rnncore":
        for level in (80, 95):
            low, high = found[f"rnncore-lo-{level}"], found[f"rnncore-hi-{level}"]
            known = found.y.notna()
            inside = ((found.y >= low) & (found.y <= high))[known]
            outside = (low - found.y).clip(lower=0) + (found.y - high).clip(lower=0)
            told[f"cover{level}"] = float(inside.mean())
            told[f"cover{level}_median_series"] = float(inside.groupby(found.unique_id[known]).mean().median())
            told[f"winkler{level}"] = float((high - low + 200 / (100 - level) * outside)[known].mean())
    out.put(told)
