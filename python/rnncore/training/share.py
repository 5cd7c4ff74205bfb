"""Which rows of a batch belong to which rank, and which of them are added up together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["PARTS", "Share"]

PARTS = 12  # of a batch, where sums are not to depend on the number of ranks: 1, 2, 3, 4, 6 and 12 share them evenly


@dataclass(frozen=True)
class Share:
    """The share of a rank: consecutive rows, in one part, or in some of the parts that each batch is divided into.

    >>> [Share(rank, 3).rows(8) for rank in range(3)]
    [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
    >>> list(Share(1, 2, 4).parts(9))  # number and rows
    [(2, slice(4, 6, None)), (3, slice(6, 9, None))]
    """

    rank: int
    size: int
    count: int = 0
    """Parts of a batch; 0 stands for one a rank."""

    @property
    def slots(self) -> int:
        """How many parts a batch has at most."""
        return self.count or self.size

    def _own(self) -> range:
        return range(self.slots * self.rank // self.size, self.slots * (self.rank + 1) // self.size)

    def rows(self, total: int) -> slice:
        """Return the rank's rows of so many."""
        own = self._own()
        return slice(total * own.start // self.slots, total * own.stop // self.slots)

    def parts(self, total: int) -> Iterator[tuple[int, slice]]:
        """Yield number and rows of the rank's parts that are not empty."""
        for number in self._own():
            rows = slice(total * number // self.slots, total * (number + 1) // self.slots)
            if rows.start < rows.stop:
                yield number, rows
