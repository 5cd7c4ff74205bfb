"""The memory of parameters: it begins on a cache line, and a copy keeps together all vectors that lie in it.

A model, its layers and its optimiser hold views on one flat vector. NumPy copies and pickles each view as an array of
its own, so that the optimiser of a copied model would train a vector that no model reads. Therefore they hand over a
`Place` instead: `copy` and `pickle` meet the same `Memory` in all of them, and copy it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore.arguments import Array, DType, empty

__all__ = ["Memory", "Place", "aligned_empty", "at_place", "place_of", "same_place"]

_ALIGNMENT = 64  # bytes: a cache line, and the widest register


class Memory:
    """Bytes that begin on a cache line. It is the last base of all arrays that are views on them."""

    def __init__(self, nbytes: int) -> None:
        block = empty((nbytes + _ALIGNMENT,), np.dtype(np.uint8))
        start = -_address(block) % _ALIGNMENT
        self._bytes = block[start : start + nbytes]

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._bytes.__array_interface__

    def __reduce__(self) -> tuple[Any, ...]:
        return _filled, (self._bytes,)


def _filled(content: Array) -> Memory:
    memory = Memory(content.nbytes)
    memory._bytes[...] = content
    return memory


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a flat vector lies in a memory."""

    memory: Memory
    start: int  # bytes
    size: int  # elements
    dtype: DType

    def vector(self) -> Array:
        """View the vector."""
        end = self.start + self.size * self.dtype.itemsize
        return np.asarray(self.memory)[self.start : end].view(self.dtype)


def aligned_empty(size: int, dtype: DType) -> Array:
    """Allocate a flat vector in a memory of its own."""
    return Place(Memory(size * dtype.itemsize), 0, size, dtype).vector()


def place_of(vector: Array) -> Place | Array:
    """Return the place of a flat vector that lies in a `Memory`, and any other vector as it is.

    >>> import copy
    >>> whole = aligned_empty(4, np.dtype("float32"))
    >>> twin, half = (at_place(place) for place in copy.deepcopy((place_of(whole), place_of(whole[2:]))))
    >>> half[...] = 7
    >>> twin[2:].tolist(), bool((whole[2:] == 7).any())
    ([7.0, 7.0], False)
    """
    base: Any = vector
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, Memory):
        return vector
    start = _address(vector) - _address(base._bytes) if vector.size else 0
    return Place(base, start, vector.size, vector.dtype)


def at_place(place: Place | Array) -> Array:
    """Return the vector that `place_of` was given, or its copy."""
    return place.vector() if isinstance(place, Place) else place


def same_place(one: Array, other: Array) -> bool:
    """Tell whether two flat vectors are the same numbers in the same memory."""
    return _address(one) == _address(other) and one.size == other.size and one.dtype == other.dtype


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
