"""A packed batch, as PyTorch's PackedSequence: all rows of step 0, then all rows of step 1 that are so long, and so on.

Sizes (T,) are how many rows each step has, none more than the step before; without any a batch is (T, N, ...).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rnncore import arguments
from rnncore.arguments import Array

__all__ = ["as_batch_sizes", "lengths_of", "repacked", "unpacked"]


def as_batch_sizes(value: ArrayLike, data: Array) -> Array:
    """Return the sizes of a packed batch as int64. Raises ValueError, which names batch_sizes, for what are none."""
    sizes = arguments.as_integers(value, "batch_sizes")
    falls = sizes.ndim == 1 and bool((np.diff(sizes.astype(np.int64)) <= 0).all())
    if not falls or not sizes.size or sizes[-1] < 1:
        raise ValueError("batch_sizes: expected positive integers (T,), none greater than the one before")
    if int(sizes.sum()) != len(data):
        raise ValueError(f"batch_sizes add up to {int(sizes.sum())}, x has {len(data)} rows")
    return sizes.astype(np.int64, copy=False)


def lengths_of(sizes: Array) -> Array:
    """Return the steps of each row.

    >>> lengths_of(np.array([3, 2, 2, 1])).tolist()
    [4, 3, 1]
    """
    return np.asarray(np.count_nonzero(_valid(sizes), axis=0), np.int64)


def unpacked(data: Array, sizes: Array | None, fill: bool = False) -> Array:
    """Lay a packed batch out as (T, N, ...): a view if all rows are equally long. Past a row's end zeros if `fill`.

    >>> unpacked(np.array([1, 2, 3, 4]), np.array([2, 1, 1]), fill=True).tolist()
    [[1, 2], [3, 0], [4, 0]]
    """
    if sizes is None:
        return data
    shape = (len(sizes), int(sizes[0]), *data.shape[1:])
    if _is_full(sizes):
        return data.reshape(shape)
    whole = np.zeros(shape, data.dtype) if fill else np.empty(shape, data.dtype)
    whole[_valid(sizes)] = data
    return whole


def repacked(whole: Array, sizes: Array | None) -> Array:
    """Undo `unpacked`."""
    if sizes is None:
        return whole
    if _is_full(sizes):
        return whole.reshape(-1, *whole.shape[2:])
    return np.asarray(whole[_valid(sizes)])


def _is_full(sizes: Array) -> bool:
    return bool(sizes[-1] == sizes[0])


def _valid(sizes: Array) -> Array:
    """Return bools (T, N): whether a row is so long."""
    return np.asarray(np.arange(sizes[0]) < sizes[:, None])
