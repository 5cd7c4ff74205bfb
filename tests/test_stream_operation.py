"""Streams in long operation: several threads, and a million steps in flat memory."""

import concurrent.futures
from pathlib import Path

import numpy as np
import pytest

from rnncore import Stream
from stream_case import identical, make, moved


def test_forks_in_threads_give_the_serial_results() -> None:
    layer, x = make("gru", rows=1, steps=300, H=32)
    inputs = [x * (k + 1) for k in range(4)]
    stream = Stream(layer)

    def follow(values: np.ndarray) -> np.ndarray:
        with stream.fork() as fork:
            return np.concatenate([np.stack([fork.step(frame) for frame in values[:200]]), fork.run(values[200:])])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(follow, inputs))
    for result, values in zip(results, inputs, strict=True):
        identical(result, layer(values)[0])
    assert not stream.state.h.any()


def resident() -> int:
    """Return the bytes that this process has in memory."""
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.parametrize("keep_out", [True, False])
def test_memory_stays_flat_over_many_steps(keep_out: bool) -> None:
    layer, x = make("rnn_tanh", rows=1, H=4, L=1)
    stream, frame = Stream(layer), x[0]
    out = np.empty((1, 4), "float32") if keep_out else None
    for _ in range(10_000):
        stream.step(frame, out)
    before = resident()
    for _ in range(1_000_000):
        stream.step(frame, out)
    assert resident() - before < 1 << 20


def test_memory_stays_flat_over_forks_and_states() -> None:
    stream, x = moved(H=64)

    def live() -> None:
        with stream.fork() as fork:
            fork.run(x)
            fork.state = fork.state
            fork.keep([2, 0])
            fork.resize(4)
            fork.reset([0])
            fork.refresh()

    for _ in range(200):
        live()
    before = resident()
    for _ in range(2000):
        live()
    assert resident() - before < 1 << 20
