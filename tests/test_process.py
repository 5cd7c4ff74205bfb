"""Sizes beyond memory, denormal numbers, signals, threads and forks end no process and spoil no layer."""

import contextlib
import os
import signal
import threading
import time
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, make_case
from variants import in_form

every_cell = pytest.mark.parametrize("cell", LAYERS)


def in_child(work, seconds=5):
    """Run work in a forked child under a watchdog; its exit must be that of a success."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads about: that is the point
        child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            return
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail(f"the child hung for {seconds} s")
        time.sleep(0.005)


# ---- sizes


@every_cell
@pytest.mark.parametrize("sizes", [(2**62, 1), (1, 2**31), (2**32, 2**32), (2**63 - 1, 2**63 - 1), (3, 2**62)])
def test_sizes_beyond_memory_are_refused_without_allocating(cell, sizes):
    for layers in (1, 3):
        with pytest.raises((MemoryError, OverflowError, ValueError), match=r"[0-9]"):
            LAYERS[cell](*sizes, layers)


@every_cell
def test_sizes_beyond_any_integer_are_refused(cell):
    with pytest.raises((MemoryError, OverflowError, ValueError, TypeError)):
        LAYERS[cell](2**64, 5)
    with pytest.raises((MemoryError, OverflowError, ValueError, TypeError)):
        LAYERS[cell](3, 5, 2**64)


@every_cell
@pytest.mark.parametrize("shape", [(2**40, 2**18), (2**30, 2**30), (2**60, 1), (1, 2**60)])
def test_results_beyond_memory_are_a_memory_error_that_says_how_much(cell, shape):
    layer = LAYERS[cell](0, 5, seed=0)
    x = np.empty((*shape, 0), np.float32)
    for call in (layer, layer.forward):
        with pytest.raises(MemoryError, match=r"^unable to allocate [0-9]+ bytes for an array of shape"):
            call(x)


def test_memory_that_runs_out_is_a_memory_error_and_the_layer_stays_usable():
    import resource

    layer = rnncore.LSTM(16, 64, 2, bidirectional=True, seed=0)
    x = np.ones((3000, 64, 16), np.float32)
    before = layer.parameters.copy()
    small, _ = layer(x[:10])

    def work():
        with open("/proc/self/statm") as statm:  # noqa: PTH123
            used = int(statm.read().split()[0]) * resource.getpagesize()
        refused = 0
        for room in (1 << 20, 1 << 25, 1 << 27, 1 << 28, 3 << 27):
            resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
            try:
                layer.forward(x)
            except MemoryError as error:
                refused += any(character.isdigit() for character in str(error))
        assert refused >= 2
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        np.testing.assert_array_equal(layer.parameters, before)
        np.testing.assert_array_equal(layer(x[:10])[0], small)

    in_child(work, 30)


def test_memory_that_runs_out_in_backward_or_a_stream_is_a_memory_error_and_changes_nothing():
    import resource

    layer = rnncore.LSTM(16, 64, 2, seed=0)
    x = np.ones((800, 32, 16), np.float32)  # dx has more than the pieces of the hoard
    y, _, cache = layer.forward(x)
    expected, total = layer.backward(cache, y), np.ones_like(layer.parameters)
    stream = rnncore.Stream(layer, 32)
    stream.run(x[:5])
    state, following = stream.state, rnncore.Stream(layer, 32)
    following.state = state
    after = following.run(x)

    def work():
        with open("/proc/self/statm") as statm:  # noqa: PTH123
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), resource.RLIM_INFINITY))
        hoard = []
        for call in (
            lambda: rnncore.Stream(layer, 10**6),  # the first to fail gives up what the engine has kept
            lambda: layer.backward(cache, y, add_to=total),
            lambda: stream.run(np.broadcast_to(x[0], (40_000, 32, 16))),
            lambda: stream.resize(10**6),
            lambda: rnncore.LSTM(4000, 4000),
        ):
            with pytest.raises(MemoryError, match=r"[0-9]"):
                call()
            with contextlib.suppress(MemoryError):
                while True:  # what earlier calls freed would do for the next
                    hoard.append(np.empty(1 << 19, np.uint8))
        hoard.clear()
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert (total == 1).all()
        np.testing.assert_array_equal(layer.backward(cache, y).parameters, expected.parameters)
        assert stream.state == state
        np.testing.assert_array_equal(stream.run(x), after)

    in_child(work, 60)


# ---- time


@pytest.mark.alone
@every_cell
def test_decaying_states_are_not_slow(cell):
    """States and weights that run into denormal numbers cost at most half as much again."""
    layer = LAYERS[cell](8, 32, bias=False, dtype="float32", seed=0)
    layer.parameters *= 0.05
    x = np.zeros((400, 16, 8), np.float32)
    states = [np.full((1, 16, 32), scale, np.float32) for scale in (1e-38, 0.5)]
    hx = [in_form(h for _ in layer.state_names) for h in states]
    best = [np.inf, np.inf]
    for _ in range(40):  # in turns, and the best of each: other work on the machine comes and goes
        for k in (0, 1):
            scale = x if k == 0 else x + np.float32(0.5)
            start = time.perf_counter()
            layer(scale, hx[k], num_threads=1)
            best[k] = min(best[k], time.perf_counter() - start)
    assert best[0] <= 1.5 * best[1]


@pytest.mark.alone
@every_cell
def test_decaying_gradients_are_not_slow(cell):
    """Gradients that run into denormal numbers on their way back cost at most half as much again."""
    layer = LAYERS[cell](8, 32, bias=False, dtype="float32", seed=0)
    layer.parameters *= 0.05
    x = np.full((400, 16, 8), 0.5, np.float32)
    y, _, cache = layer.forward(x, num_threads=1)
    last = np.zeros_like(y)
    last[-1] = 1
    gradients = (last, np.ones_like(y))
    assert 0 < np.abs(layer.backward(cache, last).x[-30:]).max() < 1  # it reaches back, and shrinks
    best = [np.inf, np.inf]
    for _ in range(40):
        for k in (0, 1):
            start = time.perf_counter()
            layer.backward(cache, gradients[k], num_threads=1)
            best[k] = min(best[k], time.perf_counter() - start)
    assert best[0] <= 1.5 * best[1]


@pytest.mark.alone
@every_cell
def test_steps_of_a_decaying_stream_are_not_slow(cell):
    layer = LAYERS[cell](8, 32, bias=False, dtype="float32", seed=0)
    layer.parameters *= 0.05
    frames = np.zeros((1, 8), np.float32), np.full((1, 8), 0.5, np.float32)
    h = np.full((1, 1, 32), 1e-38, np.float32)
    stream, best = rnncore.Stream(layer), [np.inf, np.inf]
    for _ in range(100):
        for k in (0, 1):
            stream.state = in_form(h for _ in layer.state_names)
            start = time.perf_counter()
            for _ in range(50):
                stream.step(frames[k])
            best[k] = min(best[k], time.perf_counter() - start)
    assert best[0] <= 1.5 * best[1]


@pytest.mark.alone
@pytest.mark.parametrize("mode", ["infer", "forward", "backward"])
@pytest.mark.parametrize(("T", "N", "I", "H"), [(4000, 64, 64, 128), (16000, 1, 1, 512)])
def test_ctrl_c_ends_a_long_call_soon(mode, T, N, I, H):  # noqa: E741
    layer = rnncore.LSTM(I, H, 2, seed=0)
    x = np.ones((T // 4 if mode == "backward" else T, N, I), np.float32)
    cache = layer.forward(x)[2] if mode == "backward" else None
    dy = np.ones((*x.shape[:2], H), np.float32)
    before, sent = layer.parameters.copy(), []

    def press():
        time.sleep(0.3)
        sent.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)

    small, _ = layer(x[:5])
    presser = threading.Thread(target=press)
    presser.start()

    def work():
        while True:  # the signal falls into one call or another
            {
                "infer": lambda: layer(x),
                "forward": lambda: layer.forward(x),
                "backward": lambda: layer.backward(cache, dy),
            }[mode]()

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        signal.signal(signal.SIGINT, previous)
    assert time.monotonic() - sent[0] < 0.3
    presser.join()
    np.testing.assert_array_equal(layer.parameters, before)
    np.testing.assert_array_equal(layer(x[:5])[0], small)


# ---- threads and processes


@every_cell
def test_threads_on_one_layer_get_the_serial_results(cell):
    case = make_case(cell, 20, 8, 6, 24, 2, dtype="float32")
    cases = [case.but(x=case.x + np.float32(k)) for k in range(8)]
    serial = [each.train(num_threads=1) for each in cases]

    def hammer(k):
        for _ in range(20):
            serial[k].assert_identical(cases[k].train(num_threads=1 + k % 2))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hammer, range(8)))


def test_dropout_of_concurrent_calls_never_repeats():
    case = make_case("gru", 5, 2, 3, 20, 2, dropout=0.5)
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda _: case.layer.forward(case.x)[0].tobytes(), range(200)))
    assert len(set(outputs)) == 200


def test_a_forked_child_works_in_parallel():
    case = make_case("lstm", 20, 32, 16, 64, 2, dtype="float32")
    parent = case.train(num_threads=2)
    in_child(lambda: parent.assert_identical(case.train(num_threads=2)))
    parent.assert_identical(case.train(num_threads=2))


def test_a_child_forked_during_another_threads_call_works():
    case = make_case("lstm", 40, 32, 16, 64, 2, dtype="float32")
    serial, stop = case.train(num_threads=1), threading.Event()

    def hammer():
        while not stop.is_set():
            case.train(num_threads=2)

    with ThreadPoolExecutor(1) as pool:
        hammering = pool.submit(hammer)
        try:
            for _ in range(10):
                in_child(lambda: serial.assert_identical(case.train(num_threads=2)))
        finally:
            stop.set()
        hammering.result()


def test_a_layer_and_forks_of_a_stream_serve_threads_at_the_same_time():
    case = make_case("gru", 30, 8, 6, 24, 2, dtype="float32")
    y, _ = case.layer(case.x)
    stream = rnncore.Stream(case.layer, 8)

    def work(k):
        own = stream.fork()
        for _ in range(20):
            if k % 2:
                np.testing.assert_array_equal(case.layer(case.x, num_threads=2)[0], y)
            else:
                own.reset()
                np.testing.assert_array_equal(own.run(case.x), y)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))


def test_ctrl_c_ends_a_deep_bidirectional_call_on_two_threads():
    """Each thread has a direction; whenever the signal comes, all of them leave."""
    layer = rnncore.GRU(8, 24, 40, bidirectional=True, seed=0)
    x = np.ones((300, 1, 8), np.float32)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for delay in np.linspace(0.06, 0.2, 12):
            signal.setitimer(signal.ITIMER_REAL, delay)
            with contextlib.suppress(KeyboardInterrupt):
                for _ in range(20):
                    layer(x, num_threads=2)
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert layer(x, num_threads=2)[0].shape == (300, 1, 48)
