"""What it costs to train on several ranks, what that predicts for clusters, and how many series a worker does.

    mpiexec -n 2 python bench/distributed.py messages --json messages.json     # sums over the ranks, by size
    mpiexec -n 2 python bench/distributed.py update --json update.json         # 2 ranks with 2 B rows beside 1 with B
    python bench/distributed.py model messages.json update.json --plot distributed.png
    python bench/distributed.py series --json series.json                      # fit and predict, one worker and two

The model of an update on N ranks: t(N) = c B / N + a(N), with c B the time of a batch of B rows on one rank, and the
sum of S = 4 P bytes after Rabenseifner (Thakur, Rabenseifner and Gropp 2005): a(N) = 2 log2(N) latency
+ 2 (N - 1) / N S / bandwidth. What it leaves out: a rank with few rows multiplies them less well.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import rnncore

HIDDEN, STEPS, ROWS = 480, 25, 32  # an LSTM of about 1 M weights; rows of a rank
NETS = {"100 k": 1e5, "1 M": 1e6, "10 M": 1e7}  # weights
LINKS = {  # seconds, bytes a second
    "10 Gbit/s over TCP, assumed": (30e-6, 1.1e9),
    "40 Gbit/s Ethernet, published": (1.93e-6, 37.23e9 / 8),  # Squyres 2014, blogs.cisco.com: MPI over 40Gb Ethernet
}
RANKS = [2**k for k in range(9)]
BATCH = 256  # rows of the whole batch in the model: one a rank where there are most


def messages(collective: Any) -> dict[str, Any]:
    """Median seconds of a sum over the ranks, by bytes."""
    found = {}
    for size in [2**k for k in range(3, 26, 2)]:
        buffer = np.zeros(max(size // 4, 1), np.float32)
        times = []
        for _ in range(200 if size < 2**20 else 20):
            collective.barrier()
            began = time.perf_counter()
            collective.allreduce_sum(buffer)
            times.append(time.perf_counter() - began)
        found[size] = statistics.median(times)
    return {"ranks": collective.size, "seconds": found}


def seconds_of_an_update(collective: Any, rows: int, updates: int = 12) -> float:
    """Median seconds between two updates of a net of about 1 M weights, each rank with one thread."""
    random = np.random.default_rng(0)
    x = random.standard_normal((STEPS, rows, 32), dtype=np.float32)
    target = random.standard_normal((STEPS, rows, 1), dtype=np.float32)
    model = rnncore.Sequential(rnncore.LSTM(32, HIDDEN, seed=0), rnncore.Linear(HIDDEN, 1, seed=0))
    marks: list[float] = []
    options: Any = {"epochs": updates, "batch_size": rows, "progress": False, "num_threads": 1}
    options["callbacks"] = [lambda progress: marks.append(time.perf_counter()) if progress.event == "update" else None]
    model.fit((x, target), collective=collective, **options)
    return statistics.median(np.diff(marks[1:]).tolist())


def update(collective: Any) -> dict[str, Any]:
    """An update of all ranks beside one of a rank alone with its share of the rows, by turns, five times."""
    pairs = []
    for _ in range(5):
        collective.barrier()
        together = seconds_of_an_update(collective, ROWS * collective.size)
        collective.barrier()
        alone = seconds_of_an_update(None, ROWS)  # on all ranks at the same time: memory is shared as it is together
        pairs.append((together, alone))
    together, alone = (statistics.median(each) for each in zip(*pairs, strict=True))
    overhead = statistics.median(each / own - 1 for each, own in pairs)
    return {"ranks": collective.size, "rows": ROWS, "together": together, "alone": alone, "overhead": overhead}


def sines(first: int, count: int) -> Any:
    """A long frame of series with 60 rows each."""
    import pandas as pd

    random = np.random.default_rng(first)
    y = 10 + 3 * np.sin(np.arange(60) * 0.9 + random.uniform(0, 6, (count, 1))) + random.normal(0, 0.5, (count, 60))
    ids = np.repeat([f"series {first + k}" for k in range(count)], 60)
    return pd.DataFrame({"unique_id": ids, "ds": np.tile(np.arange(60), count), "y": y.ravel()})


def series(partitions: int = 8, each: int = 500) -> dict[str, dict[str, float]]:
    """Series a second: fitting without networks, and forecasting, by the clock, on one worker and on two."""
    from rnncore.distributed import fit_partition, map_partitions, predict_partition

    found: dict[str, dict[str, float]] = {}
    frames = [sines(each * k, each) for k in range(partitions)]
    with tempfile.TemporaryDirectory() as folder:
        functions = {
            "fit": functools.partial(fit_partition, folder=folder, h=7, networks=0),
            "predict": functools.partial(predict_partition, model=folder),
        }
        for name, function in functions.items():
            found[name] = {}
            for workers in (1, 2):
                options: Any = {"engine": "joblib", "workers": workers}
                map_partitions(iter(frames[:workers]), function, **options)  # workers that have started, and imported
                began = time.perf_counter()
                map_partitions(iter(frames), function, **options)
                found[name][f"{workers} workers"] = partitions * each / (time.perf_counter() - began)
    return found


def model(measured: dict[str, Any], one: dict[str, Any], plot: Path) -> None:
    """Print, and draw, the speed-up that the model predicts."""
    from matplotlib.figure import Figure

    times = {int(size): seconds for size, seconds in measured["seconds"].items()}
    small, large = min(times), max(times)
    rounds = 2 * math.log2(measured["ranks"])
    here = times[small] / rounds, 2 * (1 - 1 / measured["ranks"]) * large / (times[large] - times[small])
    print(f"here: latency {here[0] * 1e6:.1f} us, {here[1] / 1e9:.2f} GB/s; overhead {one['overhead']:.1%}")
    links = {"this machine": here, **LINKS}
    weights = 4 * HIDDEN * (32 + HIDDEN + 2)
    per_row = one["alone"] / ROWS / weights  # seconds by row and weight: products take nearly all of the time
    figure = Figure(figsize=(4 * len(NETS), 3.8), layout="constrained")
    drawn = figure.subplots(1, len(NETS), sharey=True)
    for axes, (name, size) in zip(drawn, NETS.items(), strict=True):
        for link, (latency, bandwidth) in links.items():
            batch = per_row * size * BATCH
            speed = []
            for ranks in RANKS:
                send = 2 * math.log2(ranks) * latency + 2 * (ranks - 1) / ranks * 4 * size / bandwidth
                speed.append(batch / (batch / ranks + send))
            half = next((n for n, s in zip(RANKS, speed, strict=True) if s < n / 2), None)
            told = ", ".join(f"{n}: {s:.1f}" for n, s in zip(RANKS[1:], speed[1:], strict=True))
            print(f"{name} weights, {link}: {told}" + (f"; below half from {half} ranks" if half else ""))
            axes.plot(RANKS, speed, marker="o", markersize=3, label=link)
        axes.plot(RANKS, RANKS, color="0.7", linestyle=":", label="ideal")
        axes.set(xscale="log", yscale="log", title=f"{name} weights", xlabel="ranks")
        axes.set_xticks(RANKS, [str(ranks) for ranks in RANKS])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    drawn[0].set_ylabel("speed-up")
    drawn[0].legend()
    figure.savefig(plot, dpi=110)


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["messages", "update", "model", "series"])
    parser.add_argument("files", nargs="*", type=Path, help="of model: those of messages and update")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, default=Path("distributed.png"))
    asked = parser.parse_args()
    if asked.what == "model":
        measured, one = (json.loads(path.read_text()) for path in asked.files)
        model(measured, one, asked.plot)
        return
    rank, found = 0, {}
    if asked.what == "series":
        found = series()
    else:
        from rnncore.distributed import MPICollective

        with MPICollective() as collective:
            rank = collective.rank
            found = {"messages": messages, "update": update}[asked.what](collective)
    if rank == 0:
        print(json.dumps(found, indent=1))
        if asked.json is not None:
            asked.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
