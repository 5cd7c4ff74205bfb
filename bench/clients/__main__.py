"""Programs that others wrote over PyTorch, with and without the engine: python bench/clients [NAME ...].

Each trains a small model of a library twice, from the same seeds, as it stands and with one line more,
`with rnncore.torch.accelerated():`. The table holds how far apart their losses are, and how many times as long PyTorch
takes, in CPU time, the least of --repeats runs in turns. Needs the libraries named, each `pip install`ed beside
PyTorch: sb3-contrib, darts with pytorch-lightning, neuralforecast, skorch; one that is missing is told.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import os
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from clients import CLIENTS

import rnncore


def measured(client, accelerate: bool) -> tuple[list[float], float, dict[str, int]]:
    """Return losses, CPU seconds, and the calls that went to PyTorch itself."""
    before = rnncore.torch.fallbacks()
    with rnncore.torch.accelerated() if accelerate else contextlib.nullcontext():
        began = time.process_time()
        losses = client()
        seconds = time.process_time() - began
    more = {reason: n - before.get(reason, 0) for reason, n in rnncore.torch.fallbacks().items()}
    return losses, seconds, {reason: n for reason, n in more.items() if n}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CLIENTS), help=", ".join(CLIENTS))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    print("| client | losses | difference | PyTorch, CPU s | with rnncore | ratio |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for name in arguments.names:
        needs, client = CLIENTS[name]
        missing = [package for package in needs if importlib.util.find_spec(package) is None]
        if missing:
            print(f"| {name} | needs {', '.join(missing)} | | | | |", flush=True)
            continue
        client()  # imports, and what is compiled or allocated once
        runs = [[measured(client, accelerate) for accelerate in (False, True)] for _ in range(arguments.repeats)]
        (theirs, _, _), (ours, _, fallbacks) = runs[0]
        difference = float(np.max(np.abs(np.subtract(theirs, ours)) / np.maximum(1, np.abs(theirs))))
        plain, fast = (min(run[k][1] for run in runs) for k in (0, 1))
        told = f" (to PyTorch: {fallbacks})" if fallbacks else ""
        print(
            f"| {name}{told} | {len(theirs)} | {difference:.1e} | {plain:.2f} | {fast:.2f} | {plain / fast:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
