"""Sequences of different length: into one array and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnncore


@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5),
    further=st.sampled_from([(), (3,), (0,), (2, 2)]),
    dtype=st.sampled_from(["float32", "float64", "int64", "bool"]),
    batch_first=st.booleans(),
)
def test_there_and_back(lengths, further, dtype: str, batch_first: bool) -> None:
    generator = np.random.default_rng(0)
    arrays = [(9 * generator.normal(size=(length, *further))).astype(dtype) for length in lengths]
    x, valid = rnncore.pad(arrays, batch_first=batch_first)
    assert x.shape == ((len(lengths), max(lengths)) if batch_first else (max(lengths), len(lengths))) + further
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(valid, np.array(lengths, np.int64), strict=True)
    for array, part in zip(arrays, rnncore.unpad(x, valid, batch_first=batch_first), strict=True):
        np.testing.assert_array_equal(part, array, strict=True)
        assert part.base is not None
    for n, length in enumerate(lengths):
        assert not (x[n, length:] if batch_first else x[length:, n]).any()


@pytest.mark.parametrize("batch_first", [False, True])
def test_padded_rows_come_out_as_alone(batch_first: bool) -> None:
    generator = np.random.default_rng(0)
    layer = rnncore.LSTM(3, 5, bidirectional=True, batch_first=batch_first, seed=0)
    arrays = [generator.normal(size=(length, 3)) for length in (4, 0, 7, 1)]
    x, lengths = rnncore.pad(arrays, batch_first=batch_first)
    y, _ = layer(x, lengths=lengths)
    for part, array in zip(rnncore.unpad(y, lengths, batch_first=batch_first), arrays, strict=True):
        np.testing.assert_array_equal(part, layer(array)[0], strict=True)


def test_a_common_dtype_is_found() -> None:
    assert rnncore.pad([np.zeros(2, "float32"), np.zeros(3, "float32")])[0].dtype == np.float32
    assert rnncore.pad([np.zeros(2, "float32"), np.zeros(3, "float64")])[0].dtype == np.float64
    assert rnncore.pad([[1, 2], [True]])[0].tolist() == [[1, 1], [2, 0]]


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "sequences should hold at least one array, got none", lambda: rnncore.pad([])),
        (TypeError, "sequences should be a list of arrays, got NoneType", lambda: rnncore.pad(None)),
        (TypeError, "sequences should be a list of arrays, got dict", lambda: rnncore.pad({1: [1.0]})),
        (ValueError, r"sequences\[1\]: expected a time axis, got shape \(\)", lambda: rnncore.pad([[1], 1])),
        (
            ValueError,
            r"sequences\[1\]: expected shape \(T, 3\) as of sequences\[0\], got \(2, 4\)",
            lambda: rnncore.pad([np.zeros((2, 3)), np.zeros((2, 4))]),
        ),
        (TypeError, r"sequences\[0\] must hold numbers or bools, got dtype <U1", lambda: rnncore.pad(["a"])),
        (
            TypeError,
            r"sequences\[1\] must hold plain numbers, got a masked array: fill it first",
            lambda: rnncore.pad([np.zeros(3), np.ma.masked_array([1.0, 2.0], mask=[0, 1])]),
        ),
        (TypeError, "y must hold plain numbers, got a masked", lambda: rnncore.unpad(np.ma.masked_all((3, 2)), [1, 2])),
        (TypeError, "batch_first should be of type bool", lambda: rnncore.pad([[1]], batch_first=1)),
        (ValueError, "y: expected a time and a batch axis", lambda: rnncore.unpad(np.zeros(3), [1])),
        (ValueError, r"lengths: expected shape \(2,\)", lambda: rnncore.unpad(np.zeros((3, 2)), [1])),
        (ValueError, r"lengths\[1\] is 4, expected 0 to 3", lambda: rnncore.unpad(np.zeros((3, 2)), [1, 4])),
        (TypeError, "lengths must hold integers", lambda: rnncore.unpad(np.zeros((3, 2)), [1.0, 2.0])),
    ],
)
def test_refusals(error, message: str, call) -> None:
    with pytest.raises(error, match=message):
        call()
