"""Several processes that act as one: what is asked of them, and what is made of it."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rnncore.arguments import Array

__all__ = ["Alone", "Collective", "exchange", "gather"]


class Collective(Protocol):
    """Processes, the ranks, that call the same methods in the same order.

    `rnncore.distributed.MPICollective` is one; anything with these members will do.
    """

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def size(self) -> int:
        """How many there are."""

    def allreduce_sum(self, array: Array) -> None:
        """Replace a contiguous array, of one shape and dtype on all ranks, by the sum over the ranks."""

    def broadcast(self, array: Array, root: int = 0) -> None:
        """Replace a contiguous array by that of the rank `root`."""

    def barrier(self) -> None:
        """Wait until all ranks are here."""

    def close(self) -> None:
        """Give back what the collective holds; it is not used any more."""


class Alone:
    """The collective of one process.

    >>> Alone().rank, Alone().size
    (0, 1)
    """

    rank, size = 0, 1

    def allreduce_sum(self, array: Array) -> None:
        """Leave the array: it is the sum."""

    def broadcast(self, array: Array, root: int = 0) -> None:
        """Leave the array."""

    def barrier(self) -> None:
        """Wait for nobody."""

    def close(self) -> None:
        """Hold nothing."""


def gather(collective: Collective, values: Array) -> Array:
    """Return the values (n,) of all ranks, (size, n): nothing is rounded, since all others add zero.

    >>> gather(Alone(), np.array([3, 4])).tolist()
    [[3, 4]]
    """
    rows = np.zeros((collective.size, *values.shape), values.dtype)
    rows[collective.rank] = values
    collective.allreduce_sum(rows)
    return rows


def exchange(collective: Collective, text: str) -> list[str]:
    """Return the texts of all ranks, in their order.

    >>> exchange(Alone(), "well")
    ['well']
    """
    own = np.frombuffer(text.encode(), np.uint8)
    sizes = gather(collective, np.array([own.size], np.int64))[:, 0]
    padded = np.zeros(max(int(sizes.max()), 1), np.uint8)
    padded[: own.size] = own
    rows = gather(collective, padded)
    return [row[:size].tobytes().decode() for row, size in zip(rows, sizes, strict=True)]
