"""Streams in long operation: several threads, and a million steps in flat memory."""

import concurrent.futures
import signal
import threading
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


def test_a_call_during_another_threads_block_is_refused() -> None:
    layer, x = make("gru", rows=1, steps=5000, H=128)
    stream, results, refusals = Stream(layer), [], set()
    thread = threading.Thread(target=lambda: results.append(stream.run(x)))
    thread.start()
    while thread.is_alive():
        try:
            _ = stream.state
        except RuntimeError as error:
            refusals.add(str(error))
    thread.join()
    assert refusals == {"the stream is in use by another thread"}
    identical(results[0], layer(x)[0])


def test_an_interrupted_block_leaves_the_state_as_it_was() -> None:
    stream, _ = moved(rows=1, H=256)
    state, x = stream.state, np.ones((20_000, 1, 4), "float32")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            stream.run(x)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert stream.state == state
    identical(stream.run(x[:5]), stream.layer(x[:5], state.hx)[0])


def resident() -> int:
    """Return the bytes that this process has in memory."""
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.alone
@pytest.mark.parametrize("keep_out", [True, False])
def test_memory_stays_flat_over_many_steps(keep_out: bool) -> None:
    layer, x = make("rnn_tanh", rows=1, H=4, L=1)
    stream, frame = Stream(layer), x[0]
    out = np.empty((1, 4), "float32") if keep_out else None
    for _ in range(10_000):
        stream.step(frame, out)
    before = resident()
    for _ in range(200_000):
        stream.step(frame, out)
    assert resident() - before < 1 << 20  # what a step could lose is 16 bytes at least


@pytest.mark.alone
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
