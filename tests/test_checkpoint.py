"""Checkpointed backpropagation through time: the bits of the full one, in the memory of a block."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, Case, Result, as_tuple, make_case

each_cell = pytest.mark.parametrize("cell", LAYERS)
LENGTHS = [17, 0, 3, 16, 9]


def train(case: Case, num_threads=1, **keywords) -> Result:
    """Forward and two times backward."""
    y, hx, cache = case.layer.forward(case.x, case.hx, num_threads=num_threads, **keywords)
    results = []
    for _ in range(2):
        grads = case.layer.backward(cache, case.dy, case.dhx, num_threads=num_threads)
        arrays = {"y": y, "dx": grads.x, "dparameters": grads.parameters}
        arrays |= {f"h{k}": h for k, h in enumerate(as_tuple(hx))}
        results.append(Result(arrays | {f"dh{k}": h for k, h in enumerate(as_tuple(grads.hx))}))
    results[0].assert_identical(results[1])
    return results[0]


@each_cell
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("layers", "dropout"), [(1, 0.0), (2, 0.0), (3, 0.3)])
@pytest.mark.parametrize("ragged", [False, True])
def test_every_block_length_gives_the_bits_of_the_full_one(cell, dtype, layers, dropout, ragged):
    keywords = {}
    if ragged:
        keywords = {"lengths": LENGTHS, "resets": np.random.default_rng(1).random((17, 5)) < 0.15}

    def case() -> Case:  # drawn again: each call has the first mask of dropout
        return make_case(cell, 17, 5, 3, 7, layers, dtype=dtype, dropout=dropout)

    full = train(case(), **keywords)
    for checkpoint in (1, 4, 16, 17, 100, "auto"):
        full.assert_identical(train(case(), checkpoint=checkpoint, **keywords))


@each_cell
@pytest.mark.parametrize(("T", "N", "H"), [(60, 9, 64), (500, 1, 40), (33, 7, 5)])
def test_two_threads_give_the_bits_of_one(cell, T, N, H):
    case = make_case(cell, T, N, 24, H, 2, dtype="float32")
    lengths = np.random.default_rng(2).integers(0, T + 1, N)
    full = train(case, lengths=lengths)
    for checkpoint in (7, "auto"):
        full.assert_identical(train(case, num_threads=2, lengths=lengths, checkpoint=checkpoint))


@each_cell
def test_batch_first_and_a_single_sequence(cell):
    case = make_case(cell, batch_first=True)
    train(case).assert_identical(train(case, checkpoint=2))
    alone = make_case(cell, N=1)

    def squeeze(hx):
        return tuple(h[:, 0] for h in hx) if isinstance(hx, tuple) else hx[:, 0]

    alone = alone.but(x=alone.x[:, 0], hx=squeeze(alone.hx), dy=alone.dy[:, 0], dhx=squeeze(alone.dhx))
    train(alone).assert_identical(train(alone, checkpoint=3))


@each_cell
@pytest.mark.parametrize(("T", "N"), [(0, 3), (4, 0)])
def test_nothing_to_do(cell, T, N):
    case = make_case(cell, T, N)
    train(case).assert_identical(train(case, checkpoint=2))


@each_cell
def test_no_state_and_no_gradient_of_it_need_be_given(cell):
    case = make_case(cell).but(hx=None, dhx=None)
    train(case).assert_identical(train(case, checkpoint=3))


def test_nan_stays_in_its_row():
    case = make_case("lstm")
    clean = train(case, checkpoint=2)
    x = case.x.copy()
    x[3, 1] = np.nan
    spoiled = train(case.but(x=x), checkpoint=2)
    others = [0, 2, 3]
    np.testing.assert_array_equal(spoiled["y"][:, others], clean["y"][:, others])
    np.testing.assert_array_equal(spoiled["dx"][:, others], clean["dx"][:, others])
    assert np.isnan(spoiled["y"][3:, 1]).all()


@pytest.mark.parametrize(
    ("checkpoint", "error", "message"),
    [
        (0, ValueError, "checkpoint must be at least 1, got 0"),
        (-1, ValueError, "checkpoint must be at least 1, got -1"),
        (2.0, TypeError, "checkpoint should be of type int, got: float"),
        (True, TypeError, "checkpoint should be of type int, got: bool"),
        ("sqrt", ValueError, "checkpoint should be None, 'auto' or a number of steps, got 'sqrt'"),
    ],
)
def test_what_is_no_block_length_is_refused(checkpoint, error, message):
    case = make_case("gru")
    with pytest.raises(error, match=f"^{message}$"):
        case.layer.forward(case.x, checkpoint=checkpoint)


def test_a_bidirectional_layer_is_refused():
    layer = rnncore.GRU(3, 5, bidirectional=True, seed=0)
    with pytest.raises(ValueError, match="^checkpoint: expected None for a bidirectional layer, it reads the future"):
        layer.forward(np.zeros((4, 2, 3)), checkpoint=2)


MEASURE = """
import re, numpy as np, rnncore
def status(name):
    with open("/proc/self/status") as file:
        return int(re.search(name + r":\\s+([0-9]+)", file.read())[1]) * 1024
T, H = {steps}, 256
layer = rnncore.LSTM(32, H, seed=0)
x, dy = np.ones((T, 1, 32), np.float32), np.ones((T, 1, H), np.float32)
layer.backward(layer.forward(x[:9], checkpoint=3)[2], dy[:9])
before = status("VmRSS")
y, hx, cache = layer.forward(x, checkpoint={checkpoint!r})
grads = layer.backward(cache, dy)
print(status("VmHWM") - before - y.nbytes - grads.x.nbytes)
"""


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_of_a_long_sequence_is_that_of_its_root():
    peak = {}
    for checkpoint in ("auto", None):
        code = textwrap.dedent(MEASURE).format(steps=20_000, checkpoint=checkpoint)
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        peak[checkpoint] = int(done.stdout)
    assert peak[None] > 20_000 * 6 * 256 * 4  # six numbers per unit and step
    assert peak["auto"] < 16 << 20
