"""One peer on one set: errors, CPU seconds and memory."""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np
from peers import forecasts
from sets import SETS


def measure(name: str, peer: str, out: Any) -> None:
    """Run in a process of its own: errors, time and memory."""
    problem = SETS[name]()
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
            told[f"cover{level}"] = float(((found.y >= low) & (found.y <= high))[found.y.notna()].mean())
    out.put(told)
