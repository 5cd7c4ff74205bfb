"""The ranks that train one model together: they meet at each update, and what ends one of them ends all."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np

from rnncore import _core
from rnncore.arguments import Array
from rnncore.training.collective import Collective, exchange, gather
from rnncore.training.interrupts import Interrupts
from rnncore.training.share import PARTS, Share

__all__ = ["CHECK_EVERY", "RankError", "Ranks", "Stop", "digest", "mapped"]

CHECK_EVERY = 100  # meetings between two comparisons of the weights
_STOPPED, _INTERRUPTED, _FAILED = range(3)  # flags behind the sums, the worst last


class Stop(Exception):  # noqa: N818  it is no error
    """A callback wants training to end."""


class RankError(RuntimeError):
    """Another rank has failed, or holds other weights; `rank` is its number."""

    def __init__(self, rank: int, text: str) -> None:
        super().__init__(f"rank {rank}: {text}")
        self.rank = rank


class Ranks:
    """All ranks of a run of `fit`.

    They meet in one kind of call alone: the sum of a buffer of one size, with a flag for what has ended a rank. So a
    rank that fails, wherever that is, joins the next meeting with its flag, and all others learn of it there. Whatever
    else ranks exchange follows upon a meeting at once, with nothing in between that can fail.

    As a context it tells the others of an exception that leaves it.
    """

    def __init__(self, collective: Collective, deterministic: bool) -> None:
        self.collective = collective
        self.rank, self.size = collective.rank, collective.size
        self.share = Share(self.rank, self.size, max(PARTS, self.size) if deterministic else 0)
        self.deterministic = deterministic
        self.meetings = 0
        self._weights: Array | None = None
        self._buffer: Array | None = None
        self._over = False  # all know how it ended, or cannot be told

    # ---- before the first update

    def agree(self, told: Mapping[str, Any]) -> list[str]:
        """Check that all ranks say the same; return the names of their machines. Raises ValueError on all ranks."""
        own = {"host": socket.gethostname(), "cores": sorted(os.sched_getaffinity(0)), "told": dict(told)}
        everyone = self._exchange(own)
        for rank, other in enumerate(everyone):
            for name, value in everyone[0]["told"].items():
                if other["told"].get(name) != value:
                    self._over = True
                    given = other["told"].get(name)
                    raise ValueError(f"{name}: rank {rank} has {given}, rank 0 has {value}; expected the same on all")
        neighbours = [other for other in everyone if other["host"] == own["host"]]
        cores = set().union(*(other["cores"] for other in neighbours))
        self.num_threads = max(1, min(len(cores) // len(neighbours), _core.get_num_threads()))
        return [other["host"] for other in everyone]

    def _exchange(self, content: dict[str, Any]) -> list[dict[str, Any]]:
        with self._uninterrupted():
            everyone = [json.loads(text) for text in exchange(self.collective, json.dumps(content))]
        for rank, other in enumerate(everyone):
            if "error" in other and "error" not in content:
                self._over = True
                raise RankError(rank, other["error"])
        return everyone

    def begin(self, weights: Array, dropout_keys: list[Any]) -> None:
        """Give all ranks the weights and the state of dropout of rank 0."""
        self._weights = weights
        keys = np.array([[keys._seed, keys._count] for keys in dropout_keys], np.uint64).reshape(-1, 2).view(np.int64)
        with self._uninterrupted():
            self.collective.broadcast(weights)
            self.collective.broadcast(keys)
        for own, (seed, count) in zip(dropout_keys, keys.view(np.uint64).tolist(), strict=True):
            own.__setstate__({"_seed": seed, "_count": count})
        slots = self.share.slots if self.deterministic else 1
        self._buffer = np.zeros((slots, weights.size + 6), weights.dtype)

    # ---- meetings

    def clear(self) -> Array:
        """Return the buffer of the next meeting, all zero: rows of a gradient, three sums, and the flags."""
        assert self._buffer is not None
        self._buffer.fill(0)
        return self._buffer

    def meet(self) -> Array:
        """Add up the buffers of all ranks, and their rows in order: the gradient and the three sums.

        Raises what has ended another rank: RankError, KeyboardInterrupt or Stop.
        """
        assert self._buffer is not None
        self.meetings += 1
        buffer = self._buffer
        with self._uninterrupted():
            self.collective.allreduce_sum(buffer)
            total = buffer[0]
            for row in buffer[1:]:
                total += row
            flags = total[-3:]
            if flags.any():
                self._over = True
                self._end(flags, "")
            if self.meetings % CHECK_EVERY == 0:
                self._compare()
        sums: Array = total[:-3]
        return sums

    def totals(self, values: Array) -> Array:
        """Return the sums of float64 numbers over the ranks, in their order."""
        self.clear()
        self.meet()
        with self._uninterrupted():
            sums: Array = gather(self.collective, values).sum(axis=0)
            return sums

    def collected(self, array: Array) -> Array:
        """Join arrays (L, rows, H) of all ranks along their rows."""
        self.clear()
        self.meet()
        with self._uninterrupted():
            rows = gather(self.collective, np.array([array.shape[1]], np.int64))[:, 0]
            begin = int(rows[: self.rank].sum())
            whole = np.zeros((array.shape[0], int(rows.sum()), array.shape[2]), array.dtype)
            whole[:, begin : begin + array.shape[1]] = array
            self.collective.allreduce_sum(whole)
        return whole

    def finish(self) -> None:
        """Meet once more, and compare the weights a last time."""
        self.clear()
        self.meet()
        with self._uninterrupted():
            self._compare()

    def _compare(self) -> None:
        assert self._weights is not None
        digests = gather(self.collective, np.array([int(digest(self._weights)[:15], 16)], np.int64))[:, 0]
        others = np.flatnonzero(digests != digests[0])
        if others.size:
            self._over = True
            raise RankError(int(others[0]), f"other weights than rank 0 at meeting {self.meetings}")

    # ---- how it ends

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or self._over:
            return
        self._over = True
        text = f"{type(error).__name__}: {error}"
        if self._buffer is None:
            self._exchange({"error": text})
            return
        flag = {Stop: _STOPPED, KeyboardInterrupt: _INTERRUPTED}.get(type(error), _FAILED)
        flags = self.clear()[0, -3:]
        flags[flag] = 1
        with self._uninterrupted():
            self.collective.allreduce_sum(self._buffer)
            self._end(self._buffer[:, -3:].sum(axis=0), text if flag == _FAILED else "", type(error))

    def _end(self, flags: Array, text: str, own: type[BaseException] | None = None) -> None:
        """Raise what has ended another rank, unless it is what has ended this one."""
        texts = exchange(self.collective, text)
        if flags[_FAILED]:
            if not text:
                raise next(RankError(rank, each) for rank, each in enumerate(texts) if each) from None
        else:
            worst = KeyboardInterrupt if flags[_INTERRUPTED] else Stop
            if own is not worst:
                raise worst from None

    @contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        """Let Ctrl-C wait: a rank that leaves a call before the others would meet them in another one."""
        with Interrupts() as interrupts, interrupts.whole():
            try:
                yield
            except (Stop, KeyboardInterrupt, RankError):
                raise
            except BaseException:
                self._over = True  # the connection is broken: nobody can be told
                raise

    def saver(self, save: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return what saves a run on rank 0, with the carried state of all ranks."""

        def joined(trainer: Any) -> None:
            cursor = trainer.cursor
            own = cursor.hx
            cursor.hx = mapped(self.collected, own)
            try:
                if self.rank == 0:
                    save(trainer)
            finally:
                cursor.hx = own

        return joined


def mapped(function: Callable[[Array], Any], hx: Any) -> Any:
    """Apply a function to each array of a state, which may be nested.

    >>> mapped(np.shape, (np.ones(2), (np.ones(3), None)))
    ((2,), ((3,), None))
    """
    if isinstance(hx, (tuple, list)):
        return tuple([mapped(function, part) for part in hx])
    return None if hx is None else function(hx)


def digest(*arrays: Any) -> str:
    """Return a digest of arrays, their shapes and dtypes.

    >>> digest(np.zeros(3)) == digest(np.zeros(3)), digest(np.zeros(3)) == digest(np.zeros((3, 1)))
    (True, False)
    """
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        if array is not None:
            found.update(f"{array.dtype}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return found.hexdigest()
