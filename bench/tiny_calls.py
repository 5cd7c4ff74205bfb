"""Counts the instructions of calls from Python on tiny work with Callgrind, and prints them as a table.

    python bench/tiny_calls.py

Layers of 4 inputs and 8 units, one row, one step. Each case is a process of many calls less one of few, so that what
comes before the first call does not count; the loop in Python does. The kernels are those of AVX2, since Callgrind does
not know AVX-512, and all is done on one thread: others spin as long as they like.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import rnncore

FEW, MANY = 100, 1100
ONE_THREAD = {"RNNCORE_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
LAYERS = {"LSTM": rnncore.LSTM, "GRU": rnncore.GRU, "RNN": rnncore.RNN}


def cases() -> dict[str, Callable[[], Any]]:
    """Name -> what is done once."""
    x, dy, row = np.ones((1, 1, 4), np.float32), np.ones((1, 1, 8), np.float32), np.ones(4, np.float32)
    found: dict[str, Callable[[], Any]] = {}
    for name, kind in LAYERS.items():
        layer = kind(4, 8, seed=0)
        found[f"{name}, layer(x)"] = partial(layer, x)
        found[f"{name}, forward and backward"] = partial(both, layer, x, dy)
    lstm = rnncore.LSTM(4, 8, seed=0)
    hx = lstm(x)[1]
    found["LSTM, layer(x, hx)"] = partial(lstm, x, hx)
    dy_model = dy[..., :2].copy()
    model = rnncore.Sequential(rnncore.LSTM(4, 8, seed=0), rnncore.Linear(8, 2, seed=0))
    found["LSTM and Linear, model(x)"] = partial(model, x)
    found["LSTM and Linear, forward and backward"] = partial(both, model, x, dy_model)
    found["LSTM, stream.step(row)"] = partial(rnncore.Stream(lstm).step, row)
    return found


def both(layer: Any, x: np.ndarray, dy: np.ndarray) -> None:
    layer.backward(layer.forward(x)[2], dy)


def count(case: str, calls: int) -> int:
    """Instructions of a process that makes so many calls."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, __file__]
    environment = os.environ | {"RNNCORE_ISA": "avx2", "PYTHONHASHSEED": "0"} | ONE_THREAD
    told = subprocess.run(
        [*command, case, str(calls)], check=True, capture_output=True, text=True, env=environment
    ).stderr
    collected = re.search(r"Collected : (\d+)", told)
    assert collected, told
    return int(collected[1])


def main() -> None:
    if len(sys.argv) == 3:
        call = cases()[sys.argv[1]]
        for _ in range(int(sys.argv[2])):
            call()
        return
    print("| call | instructions |\n| --- | ---: |")
    for case in cases():
        print(f"| {case} | {(count(case, MANY) - count(case, FEW)) / (MANY - FEW):.0f} |", flush=True)


if __name__ == "__main__":
    main()
