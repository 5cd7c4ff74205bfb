"""Sequences of different length in one array, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from rnncore import arguments
from rnncore.arguments import Array

__all__ = ["pad", "unpad"]


def pad(sequences: Iterable[ArrayLike], *, batch_first: bool = False) -> tuple[Array, Array]:
    """Put sequences of different length into one array, with zeros past each one's end.

    Parameters
    ----------
    sequences
        N arrays (T_n, I), or (T_n, ...) all with the same further axes, such as targets (T_n,). Numbers or bools; their
        common dtype is kept.
    batch_first
        x is (N, T, I) instead of (T, N, I).

    Returns
    -------
    x, lengths
        x (T, N, I), T the greatest length; lengths (N,) int64, as the layers take them.

    Raises ValueError for no sequences, numbers without a time axis and different further axes, TypeError for what is no
    collection of arrays, for arrays that hold neither numbers nor bools, and for masked ones.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> x, lengths = rnncore.pad([np.ones((2, 3)), np.ones((5, 3)), np.ones((0, 3))])
    >>> x.shape, lengths
    ((5, 3, 3), array([2, 5, 0]))
    >>> y, h = rnncore.GRU(3, 8, seed=0)(x, lengths=lengths)
    >>> [part.shape for part in rnncore.unpad(y, lengths)]
    [(2, 8), (5, 8), (0, 8)]
    """
    arguments.check_flag("batch_first", batch_first)
    if isinstance(sequences, Mapping) or not hasattr(sequences, "__iter__"):
        raise TypeError(f"sequences should be a list of arrays, got {type(sequences).__name__}")
    arrays = [_sequence(value, f"sequences[{n}]") for n, value in enumerate(sequences)]
    if not arrays:
        raise ValueError("sequences should hold at least one array, got none")
    further = arrays[0].shape[1:]
    for n, array in enumerate(arrays):
        if array.shape[1:] != further:
            expected = ", ".join(map(str, ("T", *further)))
            raise ValueError(f"sequences[{n}]: expected shape ({expected}) as of sequences[0], got {array.shape}")
    lengths = np.array([len(array) for array in arrays], np.int64)
    steps, rows, dtype = int(lengths.max()), len(arrays), np.result_type(*{array.dtype for array in arrays})
    x = np.zeros((rows, steps, *further) if batch_first else (steps, rows, *further), dtype)
    by_row = x if batch_first else x.swapaxes(0, 1)
    for row, array in zip(by_row, arrays, strict=True):
        row[: len(array)] = array
    return x, lengths


def unpad(y: ArrayLike, lengths: ArrayLike, *, batch_first: bool = False) -> list[Array]:
    """Take sequences of different length out of one array: the first lengths[n] steps of every row n.

    Parameters
    ----------
    y
        (T, N, ...), or (N, T, ...) if batch_first.
    lengths
        (N,) integers in 0..T.

    Returns a list of N arrays (T_n, ...), views on y. Raises ValueError for a y of fewer than two axes and for lengths
    of a wrong shape or out of range, TypeError for lengths that are no integers.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> [part.tolist() for part in rnncore.unpad(np.arange(6).reshape(3, 2), [1, 3])]
    [[0], [1, 3, 5]]
    """
    arguments.check_flag("batch_first", batch_first)
    array = arguments.as_array(y, "y")
    if array.ndim < 2:
        raise ValueError(f"y: expected a time and a batch axis, got shape {array.shape}")
    by_row = array if batch_first else array.swapaxes(0, 1)
    valid = arguments.as_lengths(lengths, by_row.shape[1], by_row.shape[0], True)
    return [row[:length] for row, length in zip(by_row, valid, strict=True)]


def _sequence(value: ArrayLike, name: str) -> Array:
    array = arguments.as_array(value, name)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers or bools, got dtype {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"{name}: expected a time axis, got shape {array.shape}")
    return array
