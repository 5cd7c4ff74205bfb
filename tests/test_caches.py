"""The sizes of the caches choose blocks and what is asked for ahead: they are told, may be given, and change no bit."""

import os
import subprocess
import sys

import pytest

import rnncore

TOLD = "import rnncore; print(rnncore.show_config(mode='dicts')['caches'])"
# Rows of several tiles, sums of several blocks, what backward needs beyond four second caches, steps of a stream whose
# weights are read to and fro.
DIGEST = """
import hashlib
import numpy as np
import rnncore

generator, digest = np.random.default_rng(0), hashlib.sha256()
for kind in (rnncore.LSTM, rnncore.GRU, rnncore.RNN):
    for dtype in ("float32", "float64"):
        layer = kind(150, 130, dtype=dtype, seed=0)
        x = generator.normal(size=(3, 17, 150)).astype(dtype)
        y, _, cache = layer.forward(x)
        grads = layer.backward(cache, np.ones_like(y))
        stream = rnncore.Stream(layer)
        for array in (y, grads.x, grads.parameters, *(stream.step(x[t, 0]) for t in range(3))):
            digest.update(array.tobytes())
print(digest.hexdigest())
"""


def run(code, **environment):
    # A new process: the sizes are read once.
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_the_sizes_are_told_and_may_be_given():
    first, second, third = rnncore.show_config(mode="dicts")["caches"]
    assert 0 < first < second
    assert third == 0 or third > second
    assert run(TOLD, RNNCORE_CACHES="16,256,0").stdout == f"{(16 << 10, 256 << 10, 0)}\n"


@pytest.mark.parametrize("text", ["32", "32,512", "32,512,-1", "0,512,1024", "32K,512K,1M", "32,512,1024,", "a,b,c"])
def test_sizes_that_are_none_are_refused_at_import(text):
    done = run(TOLD, RNNCORE_CACHES=text)
    assert done.returncode == 1
    assert f"RNNCORE_CACHES is '{text}', expected the sizes of three caches in KB" in done.stderr


def test_results_have_the_same_bits_whatever_the_sizes():
    digests = [run(DIGEST, RNNCORE_CACHES=sizes).stdout for sizes in ("4,32,0", "32,512,16384", "48,2048,480000")]
    assert digests[0].strip()
    assert len(set(digests)) == 1
