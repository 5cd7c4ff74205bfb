"""Training steps that several ranks take together, each with its share of the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.losses import Loss, weight_of
from rnncore.training.batches import Batch, cut, rows_of
from rnncore.training.ranks import Ranks
from rnncore.training.share import Share
from rnncore.training.stateful import drawing
from rnncore.training.step import run

__all__ = ["SharedSight", "SharedStep"]


class SharedSight:
    """A prepared batch as a rank sees it: the rows of its share, and of each part of it."""

    fits = True

    def __init__(self, model: Any, share: Share, batch: Batch) -> None:
        self._time, self._axis, self._per_step = (1, 0, model.per_step) if model.batch_first else (0, 1, model.per_step)
        total = batch.x.shape[self._axis]
        own = share.rows(total)
        self.batch = rows_of(batch, own, self._axis, self._per_step)
        self.rows = own.stop - own.start
        self.parts = [(n, slice(part.start - own.start, part.stop - own.start)) for n, part in share.parts(total)]

    @property
    def steps(self) -> int:
        """T."""
        return int(self.batch.x.shape[self._time])

    def part(self, rows: slice, begin: int, end: int) -> Batch:
        """Return steps of some rows."""
        part = rows_of(self.batch, rows, self._axis, self._per_step)
        return part if end - begin == self.steps else cut(part, self._time, slice(begin, end))


class SharedStep:
    """What `EngineStep` is, for all ranks together: the update is that of the whole batch, and the same everywhere.

    The gradient of a batch is the mean of those of its parts, weighted by what they hold: sum w_k g_k / sum w_k.
    """

    def __init__(
        self,
        ranks: Ranks,
        model: Any,
        loss: Loss,
        gradient: Array,
        check: Callable[[float, Array, Batch, Any], bool],
        update: Callable[[Array], None],
        num_threads: int | None,
    ) -> None:
        self.ranks, self.model, self.loss, self.gradient = ranks, model, loss, gradient
        self.check, self.update, self.num_threads = check, update, num_threads
        self._keys = [layer._keys for _, layer in drawing(model)]

    def sight(self, batch: Batch) -> SharedSight:
        """View a batch as the rank's share of it."""
        return SharedSight(self.model, self.ranks.share, batch)

    def updated(self) -> int:
        """Count the meetings so far: a step that has come to its meeting is not given up."""
        return self.ranks.meetings

    def take(
        self, sight: SharedSight, begin: int, end: int, initial: tuple[Array, ...] | None
    ) -> tuple[float, float, bool, tuple[Array, ...]]:
        """Learn from the steps [begin, end) of a batch, as `EngineStep.take` does; loss and weight are those of all."""
        buffer = self.ranks.clear()
        first_keys = [keys.count for keys in self._keys]
        finals = []
        try:
            for number, rows in sight.parts:
                self._draw_from(first_keys, number)
                state = None if initial is None else tuple([array[:, rows] for array in initial])
                row = buffer[number if len(buffer) > 1 else 0]
                finals.append(self._part(sight.part(rows, begin, end), self.model._state_of(state), row))
        finally:
            self._draw_from(first_keys, 0)
        total = self.ranks.meet()
        self._draw_from(first_keys, self.ranks.share.slots)
        value, weight, skipped = total[-3:].tolist()
        if weight:
            value /= weight
            np.multiply(total[:-3], total.dtype.type(1 / weight), out=self.gradient)
        fine = not skipped and self.check(value, self.gradient, sight.batch, None)
        if fine and weight:
            self.update(self.gradient)
        return value, weight, fine, self._joined(finals)

    def _draw_from(self, first_keys: list[int], number: int) -> None:
        """Let each part have dropout of its own, whichever rank it is on."""
        for keys, first in zip(self._keys, first_keys, strict=True):
            keys.go_to(first + number)

    def _part(self, part: Batch, hx: Any, row: Array) -> tuple[Array, ...]:
        """Put the gradient of a part times its weight, and the three sums, into its row; return its final state."""
        gradient, sums = row[:-6], row[-6:-3]
        weight = weight_of(np.shape(part.target), part.mask, part.weights)
        value, _, final = run(self.model, part, self.loss, hx, self.num_threads, gradient, input_gradient=False)
        if self.check(value, gradient, part, hx):
            gradient *= gradient.dtype.type(weight)
            sums[:] = value * weight, weight, 0
        else:
            gradient.fill(0)
            sums[2] = 1
        rows = part.x.shape[0 if self.model.batch_first else 1]
        return () if final is None else self.model._state_arrays(final, rows)

    def _joined(self, finals: list[tuple[Array, ...]]) -> tuple[Array, ...]:
        if len(finals) == 1:
            return finals[0]
        if finals:
            return tuple([np.concatenate(arrays, axis=1) for arrays in zip(*finals, strict=True)])
        layers = self.model._recurrent
        return tuple([np.zeros(shape, self.model.dtype) for layer in layers for shape in layer._state_shapes(0)])
