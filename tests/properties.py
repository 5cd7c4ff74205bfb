"""Strategies for property tests: layers and everything that a call of them takes, of any small size."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from layer_case import LAYERS, Case, make_case

# A recorded sequence of examples in CI, others in every run elsewhere; no deadline, since machines pause.
settings.register_profile(
    "rnncore",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("rnncore")


@st.composite
def cases(draw, min_steps: int = 0, dtypes=("float32", "float64"), **fixed) -> tuple[Case, dict]:
    """A case, and the keywords lengths and resets of its calls, each there or not."""
    cell, dtype = draw(st.sampled_from(sorted(LAYERS))), draw(st.sampled_from(dtypes))
    T, N, I = draw(st.integers(min_steps, 9)), draw(st.integers(0, 7)), draw(st.integers(0, 9))  # noqa: E741
    H, L = draw(st.integers(1, 20)), draw(st.integers(1, 3))
    options = {name: draw(st.booleans()) for name in ("bias", "batch_first", "bidirectional")} | fixed
    case = make_case(cell, T, N, I, H, L, seed=draw(st.integers(0, 2**32 - 1)), dtype=dtype, **options)
    keywords = {}
    if draw(st.booleans()):
        keywords["lengths"] = np.array(draw(st.lists(st.integers(0, T), min_size=N, max_size=N)), np.int64)
    if draw(st.booleans()):
        resets = draw(st.lists(st.booleans(), min_size=T * N, max_size=T * N))
        resets = np.array(resets, bool).reshape(T, N)
        keywords["resets"] = resets.T if case.layer.batch_first else resets
    return case, keywords


@st.composite
def twins(draw, array: np.ndarray) -> np.ndarray:
    """An equal array elsewhere: strided, turned around, in another order, misaligned, byte-swapped or read-only."""
    kind = draw(st.sampled_from(["same", "strided", "backwards", "transposed", "misaligned", "swapped", "read-only"]))
    if kind == "same" or array.ndim == 0:
        return array
    if kind == "strided":
        step = draw(st.lists(st.integers(1, 3), min_size=array.ndim, max_size=array.ndim))
        wide = np.full([n * s for n, s in zip(array.shape, step, strict=True)], np.nan, array.dtype)
        view = wide[tuple(slice(None, None, s) for s in step)]
        view[...] = array
        return view
    if kind == "backwards":
        axis = draw(st.integers(0, array.ndim - 1))
        return np.flip(np.flip(array, axis).copy(), axis)
    if kind == "transposed":
        order = draw(st.permutations(range(array.ndim)))
        return array.transpose(order).copy().transpose(np.argsort(order))
    if kind == "misaligned":
        view = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    if kind == "swapped":
        return array.astype(array.dtype.newbyteorder())
    view = array.copy()
    view.flags.writeable = False
    return view
