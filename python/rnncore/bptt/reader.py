"""A long sequence read piece by piece: an array, a memory map larger than the memory, or an iterator of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rnncore import arguments
from rnncore.arguments import Array

__all__ = ["Blocks", "Source"]

Source: TypeAlias = "ArrayLike | Iterable[ArrayLike]"

_UNKNOWN = 1 << 62  # the number of steps of a sequence whose end has not been seen yet


class Blocks:
    """The steps of x with their lengths and resets, read in order and held for as long as they are needed.

    Blocks of x are (T, N, I), (N, T, I) with batch_first, or (T, I). Labels are integers below `labels`, and have no
    axis I. An array is checked as a whole before its first step; of an iterator of blocks, lengths and resets are
    checked when its end is reached.

    >>> import numpy as np
    >>> blocks = Blocks(iter(np.split(np.arange(20.0).reshape(10, 2), 5)))
    >>> blocks.reach(3), blocks.x(1, 3).tolist(), blocks.reach(None)
    (3, [[2.0, 3.0], [4.0, 5.0]], 10)
    """

    def __init__(
        self,
        x: Source,
        *,
        batch_first: bool = False,
        labels: int | None = None,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
    ) -> None:
        self._whole = not _is_iterator(x)
        pieces: Any = (x,) if self._whole else x
        self._pending: Iterator[ArrayLike] = iter(pieces)
        self._held: list[tuple[int, Array]] = []  # number of its first step, block
        self._lent = False  # whether the last block may be a buffer that the iterator fills again
        self._begin = 0  # earlier steps are not needed any more
        self._steps = 0  # how many were read so far
        self._form: tuple[int, ...] | None = None  # the shape of a block without its time axis
        self._batch_first = batch_first
        self._axes = 3 if labels is None else 2  # how many a batch has: labels have no features
        self._lengths, self._resets = lengths, resets
        if self._whole:  # everything is known before the first step
            self.reach(None)
            if labels is not None:
                self._check_labels(self._held[0][1], labels)

    # ---- reading

    def reach(self, stop: int | None) -> int:
        """Read up to step `stop`, or to the end if None; return `stop`, or the number of steps if that is smaller."""
        while (stop is None or self._steps < stop) and self._read():
            pass
        return self._steps if stop is None else min(stop, self._steps)

    def _read(self) -> bool:
        self._keep_last()
        try:
            block = next(self._pending)
        except StopIteration:
            self._check_rows()
            return False
        array = arguments.as_array(block, "x")
        if array.ndim not in (self._axes - 1, self._axes):
            expected = f"{self._axes - 1}D or {self._axes}D"
            raise ValueError(f"x: expected input to be {expected}, got {array.ndim}D instead, shape {array.shape}")
        form = tuple(np.delete(array.shape, self._axis_of(array.ndim)).tolist())
        if self._form is None:
            self._form = form
        elif form != self._form:
            raise ValueError(f"x: a block of shape {array.shape} does not go on from the blocks before it")
        self._held.append((self._steps, array))
        self._lent = not self._whole
        self._steps += array.shape[self.axis]
        return True

    def _keep_last(self) -> None:
        """Copy what is still needed of the last block, since the iterator may fill its memory again."""
        if self._lent and self._held:
            first, block = self._held[-1]
            begin = max(first, self._begin)
            self._held[-1] = (begin, self.cut(block, begin - first, block.shape[self.axis]).copy())
        self._lent = False

    def forget(self, begin: int) -> None:
        """Let go of blocks that end before the step `begin`."""
        self._begin = begin
        while self._held and self._held[0][0] + self._held[0][1].shape[self.axis] <= begin:
            del self._held[0]

    # ---- pieces

    @property
    def axis(self) -> int:
        """The time axis of x."""
        return self._axis_of(0 if self._form is None else len(self._form) + 1)

    def _axis_of(self, ndim: int) -> int:
        return 1 if self._batch_first and ndim == self._axes else 0

    def cut(self, array: Array, begin: int, end: int) -> Array:
        """Return the steps of an array in the form of x, or of a mask of it."""
        return array[(slice(None),) * self.axis + (slice(begin, end),)]

    def x(self, begin: int, end: int) -> Array:
        """Return steps that were reached and not forgotten; they are a view where one block holds all of them."""
        parts = [
            self.cut(block, max(begin - first, 0), max(end - first, 0))
            for first, block in self._held
            if first < end and begin < first + block.shape[self.axis]
        ]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts, self.axis) if parts else self.cut(self._held[0][1], 0, 0)

    def rows(self, begin: int, end: int) -> dict[str, Any]:
        """Return lengths and resets of some steps, as a network takes them."""
        options: dict[str, Any] = {}
        if self._lengths is not None:
            options["lengths"] = np.clip(self._checked_lengths(_UNKNOWN) - begin, 0, end - begin)
        if self._resets is not None:
            resets = arguments.as_array(self._resets, "resets")
            if resets.ndim != (2 if self._batched else 1):
                raise ValueError(f"resets: expected an axis of time and those of the rows, got shape {resets.shape}")
            if resets.shape[self.axis] < end:
                raise ValueError(f"resets: expected one for each step, got {resets.shape[self.axis]}, x has more steps")
            options["resets"] = self.cut(resets, begin, end)
        return options

    def _check_rows(self) -> None:
        """Check lengths and resets against all steps."""
        if self._form is None:
            return
        if self._lengths is not None:
            self._checked_lengths(self._steps)
        if self._resets is not None:
            by_row = self._batched and self._batch_first
            arguments.as_resets(self._resets, self._steps, self._rows, self._batched, by_row)

    def _check_labels(self, labels: Array, count: int) -> None:
        """Refuse labels out of range before the end of their row. Nothing of the array's size is allocated for it."""
        arguments.as_integers(labels, "x")
        if not labels.size or 0 <= labels.min() <= labels.max() < count:
            return
        by_row = labels[None] if not self._batched else labels if self._batch_first else labels.T
        ends = [self._steps] * self._rows if self._lengths is None else self._checked_lengths(self._steps)
        for row, end in enumerate(ends):
            wrong = np.flatnonzero((by_row[row, :end] < 0) | (by_row[row, :end] >= count))
            if wrong.size:
                place = [wrong[0], row][: len(labels.shape)]
                at = ", ".join(map(str, reversed(place) if self.axis else place))
                raise ValueError(f"x[{at}] is {by_row[row, wrong[0]]}, expected 0 to {count - 1}")

    def _checked_lengths(self, steps: int) -> Array:
        assert self._lengths is not None
        return arguments.as_lengths(self._lengths, steps, self._rows, self._batched)

    @property
    def _batched(self) -> bool:
        return self._form is not None and len(self._form) == self._axes - 1

    @property
    def _rows(self) -> int:
        return self._form[0] if self._form is not None and self._batched else 1


def _is_iterator(x: Any) -> bool:
    """Tell whether x is an iterator of blocks, rather than an array or what NumPy turns into one."""
    return isinstance(x, Iterable) and not hasattr(x, "__array__") and not isinstance(x, (list, tuple))
