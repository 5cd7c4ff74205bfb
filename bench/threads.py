"""What threads cost and bring: the model of docs/threads.md, its constants measured here, and what they predict.

    cmake --preset bench && cmake --build --preset bench
    OMP_WAIT_POLICY=active python bench/threads.py      # two quiet cores, under three minutes

The model: a call that takes t on one thread takes on n threads

    rows shared:   region(n) + share(N, n) t                       each thread takes its rows through all steps
    units shared:  region(n) + share(panels, n) t + T barrier(n)   all take part in every step, and meet behind it

where share(count, n) = ceil(count / n) / count is the largest thread's part, and never less than the weights take to be
read: T n bytes / bandwidth(n) where rows are shared (each thread reads all of them), T bytes / bandwidth(n) where units
are. region and barrier grow with n: one line of memory passes from core to core for each thread.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import rnncore

sys.path.insert(0, str(Path(__file__).with_name("compare")))
from cases import GATES

PEAK = Path(__file__).resolve().parents[1] / "build" / "bench" / "bench" / "rnncore_peak"
CASES = [
    ("lstm", 64, 32, 16, 100),
    ("lstm", 128, 64, 16, 100),
    ("lstm", 128, 64, 32, 100),
    ("gru", 128, 64, 32, 100),
    ("rnn", 128, 64, 32, 100),
    ("lstm", 256, 256, 64, 50),
    ("lstm", 512, 512, 32, 50),
    ("gru", 512, 512, 32, 50),
    ("lstm", 128, 128, 1, 100),
    ("lstm", 256, 256, 1, 100),
    ("lstm", 512, 512, 1, 50),
    ("gru", 512, 512, 1, 50),
]
ON_PAPER = (4, 8, 16, 32, 64)
SECONDS, ROUNDS = 0.05, 12  # of a turn, and how many turns each number of threads gets


class Peak:
    """A process of rnncore_peak."""

    def __init__(self, threads: int) -> None:
        command = [str(PEAK), str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: str) -> float:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def best(self, question: str, choose=max) -> float:
        return choose(self.ask(question) for _ in range(5))

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def width() -> int:
    """Return the units in a register."""
    return {"avx512": 16, "avx2": 8}.get(rnncore.show_config(mode="dicts")["isa"], 4)


def times(layer, x) -> dict[int, float]:
    """Return the fastest call on one thread and on two, in turns."""
    best = {1: math.inf, 2: math.inf}
    for _ in range(ROUNDS):
        for threads in best:
            end = time.perf_counter() + SECONDS
            while time.perf_counter() < end:
                start = time.perf_counter()
                layer(x, num_threads=threads)
                best[threads] = min(best[threads], time.perf_counter() - start)
    return best


def predicted(case, t: float, n: int, constants: dict[str, float]) -> float:
    """Return the seconds of a call on n threads that takes t on one."""
    cell, H, _, N, T = case
    by_rows = N >= 4  # more rows than a tile has are not split by units
    count = N if by_rows else -(-H // width())
    parts = min(n, count)
    share = -(-count // parts) / count
    grows = parts / 2 if parts > 1 else 0
    size = 4 * GATES[cell] * H * H
    reading = T * size * (parts if by_rows else 1) / (constants["read"] * parts)
    compute = share * t if by_rows else share * t + T * grows * constants["barrier"]
    return grows * constants["region"] + max(compute, reading)


def main() -> None:
    if not PEAK.is_file():
        sys.exit("bench/threads.py needs rnncore_peak: cmake --preset bench && cmake --build --preset bench")
    one, two = Peak(1), Peak(2)
    # In seconds, and bytes a second of one core of two that read at the same time.
    constants = {
        "region": 1e-6 * two.best("region", min),
        "barrier": 1e-6 * two.best("barrier", min),
    }
    print(f"isa {rnncore.show_config(mode='dicts')['isa']}, caches {rnncore.show_config(mode='dicts')['caches']}")
    print(f"region of two threads {1e6 * constants['region']:.2f} us, barrier {1e6 * constants['barrier']:.3f} us")
    reads = {}
    for H in sorted({case[1] for case in CASES}):
        for cell, gates in GATES.items():
            size = 4 * gates * H * H
            reads[cell, H] = 1e9 * two.best(f"read float32 {size}") / 2
            alone = one.best(f"read float32 {size}")
            print(f"read {size >> 10} KB: one {alone:.0f}, two {2e-9 * reads[cell, H]:.0f} GB/s")
    one.close()
    two.close()
    heads = " | ".join(f"{n}" for n in ON_PAPER)
    print(f"\n| cell | H | I | N | T | 1 thread | 2 threads | measured | predicted | {heads} |")
    print("| --- " * (9 + len(ON_PAPER)) + "|")
    for case in CASES:
        cell, H, I, N, T = case  # noqa: E741
        layer = getattr(rnncore, cell.upper())(I, H, seed=0)
        best = times(layer, np.random.default_rng(0).normal(size=(T, N, I)).astype(np.float32))
        known = {**constants, "read": reads[cell, H]}
        speed = [best[1] / predicted(case, best[1], n, known) for n in (2, *ON_PAPER)]
        row = [cell, H, I, N, T, f"{1e3 * best[1]:.2f} ms", f"{1e3 * best[2]:.2f} ms", f"{best[1] / best[2]:.2f}"]
        print("| " + " | ".join(map(str, [*row, *(f"{s:.2f}" for s in speed)])) + " |", flush=True)


if __name__ == "__main__":
    main()
