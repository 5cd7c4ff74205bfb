"""Timing of two engines in turns, in one process, for the comparisons of the examples."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def report(engines: dict[str, Callable[[], None]], what: str, rounds: int) -> None:
    """Run A B A B ...; print the median of each, and how often the first goes into the others, round by round."""
    for run in engines.values():
        run()  # warm up
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, run in engines.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    first = next(iter(engines))
    for name, taken in times.items():
        ratio = statistics.median(other / own for other, own in zip(taken, times[first], strict=True))
        print(f"{name:8} {statistics.median(taken):8.3f} s for {what}, {ratio:5.2f} x {first}")
