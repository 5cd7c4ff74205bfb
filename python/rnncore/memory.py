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

__all__ = ["Memory", "Place", "aligned_empty", "at_place", "leave", "place_of", "same_place", "was_left"]

_ALIGNMENT = 64  # bytes: a cache line, and the widest register


class Memory:
    """Bytes that begin on a cache line. It is the last base of all arrays that are views on them."""

    def __init__(self, nbytes: int) -> None:
        block = empty((nbytes + _ALIGNMENT,), np.dtype(np.uint8))
        start = -_address(block) % _ALIGNMENT
        self._bytes = block[start : start + nbytes]
        self.left: list[tuple[int, int]] = []
        """The bytes, from and to, of layers whose parameters have moved into the memory of a model."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._bytes.__array_interface__

    def __reduce__(self) -> tuple[Any, ...]:
        return _filled, (self._bytes, self.left)


def _filled(content: Array, left: list[tuple[int, int]]) -> Memory:
    memory = Memory(content.nbytes)
    memory._bytes[...] = content
    memory.left = left
    return memory


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a flat vector lies in a memory."""

    memory: Memory
    start: int  # bytes
    size: int  # elements
    dtype: DType

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size * self.dtype.itemsize

    def vector(self) -> Array:
        """View the vector."""
        return np.asarray(self.memory)[self.start : self.end].view(self.dtype)


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
    memory = _memory_of(vector)
    if memory is None:
        return vector
    start = _address(vector) - _address(memory._bytes) if vector.size else 0
    return Place(memory, start, vector.size, vector.dtype)


def leave(vector: Array, new: Array) -> None:
    """Note that a layer has moved from one vector to another; nothing changes if that is in the same memory."""
    place = place_of(vector)
    if isinstance(place, Place) and place.memory is not _memory_of(new):
        place.memory.left.append((place.start, place.end))


def was_left(vector: Array) -> bool:
    """Tell whether a vector overlaps one that a layer has left."""
    memory = _memory_of(vector)
    if memory is None or not memory.left:
        return False
    place = place_of(vector)
    return isinstance(place, Place) and any(place.start < end and start < place.end for start, end in memory.left)


def _memory_of(vector: Array) -> Memory | None:
    base: Any = vector
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, Memory) else None


def at_place(place: Place | Array) -> Array:
    """Return the vector that `place_of` was given, or its copy."""
    return place.vector() if isinstance(place, Place) else place


def same_place(one: Array, other: Array) -> bool:
    """Tell whether two flat vectors are the same numbers in the same memory."""
    return _address(one) == _address(other) and one.size == other.size and one.dtype == other.dtype


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
