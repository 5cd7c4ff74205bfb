"""The forms of data that `fit` takes. Each gives the batches of an epoch, in an order set by the seed and the epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rnncore.padding import pad
from rnncore.training.batches import Batch, as_batch, prepared, rows_of
from rnncore.training.windows import WindowRows, Windows


class Whole:
    """All data as one batch: a long series, or several of them side by side."""

    one_series = True  # truncated backpropagation takes each batch for the next piece of it
    count: int | None = 1

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:  # noqa: ARG002  one protocol for all
        """Yield the batches of an epoch, from number `first` on."""
        yield from [self.batch][first:]


class Rows:
    """Arrays whose rows are the sequences: a batch is some of the rows."""

    one_series = False

    def __init__(self, batch: Batch, model: Any, batch_size: int, shuffle: bool, seed: int) -> None:
        self.batch, self.axis, self.per_step = batch, 0 if model.batch_first else 1, model.per_step
        self.rows = batch.x.shape[self.axis]
        self.size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.count: int | None = -(-self.rows // batch_size)
        self.same = self.rows == 1 or (not shuffle and self.rows <= batch_size)  # each epoch is one batch, the same

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from number `first` on."""
        if self.same:
            yield from [self.batch][first:]
            return
        order = np.random.default_rng([self.seed, epoch]).permutation(self.rows) if self.shuffle else None
        for start in range(first * self.size, self.rows, self.size):
            chosen: Any = slice(start, start + self.size) if order is None else order[start : start + self.size]
            yield rows_of(self.batch, chosen, self.axis, self.per_step)


class Sequences:
    """Lists of sequences of different lengths: a batch holds some of about the same length."""

    one_series = False
    _POOL = 16  # sequences for this many batches are drawn at a time, and sorted by length

    def __init__(self, batch: Batch, model: Any, loss: Any, batch_size: int, shuffle: bool, seed: int) -> None:
        self.model, self.size, self.shuffle, self.seed = model, batch_size, shuffle, seed
        number = len(batch.x)
        for name in ("lengths", "resets"):
            if getattr(batch, name) is not None:
                raise ValueError(f"{name}: expected None, a list of sequences has its own")
        lists = {name: getattr(batch, name) for name in ("target", "mask", "weights", "static")}
        for name, values in lists.items():
            if values is not None and len(values) != number:
                raise ValueError(f"{name}: expected {number}, one for each sequence of x, got {len(values)}")
        self.sequences = [
            _one(batch, n, model, loss, [name for name, values in lists.items() if values is not None])
            for n in range(number)
        ]
        self.lengths = np.array([len(each.x) for each in self.sequences], np.int64)
        self.count: int | None = -(-number // batch_size)

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from number `first` on."""
        number, size = len(self.sequences), self.size
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(number) if self.shuffle else np.arange(number)
        pool = self._POOL * size if self.shuffle else number
        chunks = []
        for start in range(0, number, pool):
            part = order[start : start + pool]
            part = part[np.argsort(self.lengths[part], kind="stable")] if self.shuffle else part
            chunks += [part[k : k + size] for k in range(0, len(part), size)]
        if self.shuffle:
            chunks = [chunks[k] for k in random.permutation(len(chunks))]
        for chunk in chunks[first:]:
            yield self._join([self.sequences[k] for k in chunk])

    def check_burn_in(self, burn_in: int) -> None:
        """Refuse sequences that end before their first loss."""
        short = np.flatnonzero(self.lengths <= burn_in)
        if burn_in and short.size:
            given = self.lengths[short[0]]
            raise ValueError(f"sequence {short[0]} has {given} steps, expected more than the burn_in of {burn_in}")

    def _join(self, parts: list[Batch]) -> Batch:
        first, batch_first = parts[0], self.model.batch_first
        x, lengths = pad([part.x for part in parts], batch_first=batch_first)

        def join(name: str) -> Any:
            arrays = [getattr(part, name) for part in parts]
            if arrays[0] is None:
                return None
            return pad(arrays, batch_first=batch_first)[0] if self.model.per_step else np.stack(arrays)

        mask = join("mask")
        if self.model.per_step and (lengths < lengths.max()).any():
            valid = np.arange(lengths.max())[:, None] < lengths
            valid = valid.T if batch_first else valid
            mask = valid if mask is None else mask & valid.reshape(valid.shape + (1,) * (mask.ndim - 2))
        static = None if first.static is None else np.stack([part.static for part in parts])
        weights = join("weights")
        return replace(first, x=x, target=join("target"), lengths=lengths, mask=mask, weights=weights, static=static)


def _one(batch: Batch, n: int, model: Any, loss: Any, names: list[str]) -> Batch:
    """Check one sequence of a list; x (T, I), target (T, ...) or (...)."""
    try:
        one = prepared(Batch(batch.x[n], **{name: getattr(batch, name)[n] for name in names}), model, loss)
    except (ValueError, TypeError) as error:
        raise type(error)(f"sequence {n}: {error}") from None
    own = 0 if model.batch_first or not model.per_step else 1

    def bare(array: Any, axis: int = own) -> Any:
        return None if array is None else np.asarray(array).take(0, axis=axis)

    x = bare(one.x, 0 if model.batch_first else 1)
    static = None if one.static is None else one.static[0]
    return Batch(x, bare(one.target), mask=bare(one.mask), weights=bare(one.weights), static=static)


class Blocks:
    """Batches from an iterable, which is gone through once in each epoch, or from a function that makes an iterator."""

    one_series = True  # truncated backpropagation takes each batch for the next piece of it

    def __init__(self, data: Iterable[Any] | Callable[[], Iterator[Any]], model: Any, loss: Any) -> None:
        self.data, self.model, self.loss = data, model, loss
        try:
            self.count: int | None = len(data)  # type: ignore[arg-type]
        except TypeError:
            self.count = None

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from number `first` on; ValueError if there are none."""
        blocks, number = self.data() if callable(self.data) else self.data, -1
        for number, block in enumerate(blocks):
            if number >= first:
                yield prepared(as_batch(block, f"data[{number}]"), self.model, self.loss)
        if number < 0:
            raise ValueError(
                f"data: no batch in epoch {epoch + 1}; what can be gone through only once has to come as a function "
                "that makes it anew"
            )


Source = Whole | Rows | Sequences | Blocks | WindowRows


def as_source(
    data: Any, model: Any, loss: Any, *, batch_size: int = 32, shuffle: bool = False, seed: int = 0, whole: bool = False
) -> Source:
    """Make a source of batches of what the caller gave; with `whole`, arrays are series, not rows to draw from."""
    if isinstance(data, Windows):
        if whole:
            raise ValueError("k1: expected None for Windows, which are sequences of their own")
        return WindowRows(data, model, loss, batch_size, shuffle, seed)
    if not isinstance(data, (Batch, Mapping, tuple)):
        if callable(data) or isinstance(data, Iterable):
            return Blocks(data, model, loss)
        raise TypeError(f"data: expected (x, target), a Batch, or an iterable of such, got {type(data).__name__}")
    batch = as_batch(data)
    if isinstance(batch.x, (list, tuple)) and not (batch.x and np.isscalar(batch.x[0])) and _ragged(batch.x):
        return Sequences(batch, model, loss, batch_size, shuffle, seed)
    checked = prepared(batch, model, loss)
    if 0 in checked.x.shape[:2]:
        raise ValueError(f"x holds nothing to learn from: its shape is {np.shape(batch.x)}")
    return Whole(checked) if whole else Rows(checked, model, batch_size, shuffle, seed)


def _ragged(x: Any) -> bool:
    """Tell whether a list holds sequences, that is arrays, rather than the numbers of one."""
    return all(isinstance(part, np.ndarray) or (isinstance(part, list) and np.ndim(part) in (1, 2)) for part in x)
