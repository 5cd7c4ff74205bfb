"""A million steps from a file and from an iterator: forward and truncated backward in bounded memory."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from rnncore.bptt.reader import Blocks

T, H = 1_000_000, 64

WORK = """
import re, sys
import numpy as np, rnncore
def status(name):
    with open("/proc/self/status") as file:
        return int(re.search(name + r":\\s+([0-9]+)", file.read())[1]) << 10
def loss(y, steps):
    counted.append(steps.stop - steps.start)
    return float(np.square(y).mean()), 2 / y.size * y
kind, path = sys.argv[1:]
mapped = np.memmap(path, np.float32, "r").reshape({T}, 1, 2)
source = mapped if kind == "map" else (np.array(mapped[t : t + 1000]) for t in range(0, {T}, 1000))
layer, counted = rnncore.GRU(2, {H}, seed=0), []
rnncore.bptt.truncated(layer, mapped[:2000], loss, k1=1000, update=id)
counted.clear()
before = status("RssAnon")
peak = before
def update(window):
    global peak
    peak = max(peak, status("RssAnon"))
    layer.parameters -= 0.01 * window.parameters
if kind == "forward":
    stream, total = rnncore.Stream(layer), 0
    for t in range(0, {T}, 10_000):
        total += float(stream.run(mapped[t : t + 10_000]).sum())
        peak = max(peak, status("RssAnon"))
    y, hx = layer(mapped)
    assert abs(total - float(y.sum(dtype="float64"))) < 1e-3 * abs(total) and (hx == stream.state.h).all()
    print({T}, peak - before)
else:
    result = rnncore.bptt.truncated(layer, source, loss, k1=1000, k2=1500, burn_in=5000, update=update)
    assert np.isfinite(result.loss) and np.isfinite(layer.parameters).all()
    print(sum(counted), peak - before)
"""


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["forward", "map", "blocks"])
def test_a_million_steps_take_the_memory_of_a_window(kind, tmp_path):
    path = tmp_path / "x.bin"
    np.random.default_rng(0).random((T, 2), dtype=np.float32).tofile(path)
    code = textwrap.dedent(WORK).format(T=T, H=H)
    done = subprocess.run([sys.executable, "-c", code, kind, path], check=True, capture_output=True, text=True)
    steps, memory = map(int, done.stdout.split())
    assert steps == (T if kind == "forward" else T - 5000)
    assert memory < 16 << 20


def test_blocks_are_let_go_once_they_are_behind():
    given = (np.full((10, 2), float(k)) for k in range(100))
    blocks = Blocks(given)
    for begin in range(0, 1000, 7):
        end = blocks.reach(begin + 7)
        np.testing.assert_array_equal(blocks.x(begin, end)[:, 0], np.arange(begin, end) // 10)
        blocks.forget(begin)
        assert len(blocks._held) <= 3
    assert end == blocks.reach(None) == 1000


def test_blocks_after_the_last_one_are_none():
    blocks = Blocks(iter([np.zeros((3, 2))]))
    assert [blocks.reach(stop) for stop in (2, 3, 4, None)] == [2, 3, 3, 3]
    assert blocks.x(3, 3).shape == (0, 2)
