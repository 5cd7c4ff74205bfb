"""What each net is worth on each task."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from rnncore.arguments import Array
from rnncore.contrast.nets import NETS
from rnncore.contrast.tasks import Data, Task

__all__ = ["Result", "measure"]


@dataclass(frozen=True)
class Result:
    """One net on one task."""

    task: str
    net: str
    score: float
    """Root mean squared error on the test part, or accuracy for classes."""
    parameters: int
    training_seconds: float
    """Of the processor."""
    step_microseconds: float
    """For one more step of a sequence that comes one by one, and its new prediction."""
    memory: dict[int, int]
    """Length of a sequence -> bytes to be kept to go on with it."""
    longer: dict[int, float] = field(default_factory=dict)
    """Length -> score on sequences of other lengths than those trained on; empty where the net cannot."""


def measure(task: Task, net: str, *, seed: int = 0) -> Result:
    """Train one net of NETS on a task, and measure it."""
    made = NETS[net](task, seed)
    began = time.process_time()
    made.fit(task)
    seconds = time.process_time() - began
    others = task.longer if made.any_length else {}
    return Result(
        task.name,
        net,
        score(task, made.predict(task.test[0]), task.test),
        made.parameters(),
        seconds,
        1e6 * made.step_seconds(task),
        {length: made.memory(length) for length in (100, 1_000, 10_000, 100_000)},
        {length: score(task, made.predict(data[0]), data) for length, data in others.items()},
    )


def score(task: Task, found: Array, data: Data) -> float:
    """Return accuracy for classes, else the root mean squared error."""
    if task.classes:
        return float(np.mean(found == data[1]))
    return float(np.sqrt(np.mean((found - data[1]) ** 2)))
