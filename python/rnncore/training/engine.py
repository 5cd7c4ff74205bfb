"""Training steps that are one call into the engine: forward, loss, backward, clipping and update."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnncore import _core
from rnncore.arguments import Array, check_threads
from rnncore.losses import Loss, engine_loss
from rnncore.models.model import Model
from rnncore.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from rnncore.training.batches import Batch

__all__ = ["EngineStep", "Sight"]


class Sight:
    """A prepared batch as the engine sees it: (T, N, ...) whatever the model's form, without T behind a LastStep."""

    def __init__(self, model: Any, loss: _core.Loss, batch: Batch) -> None:
        turned, per_step = model.batch_first, model.per_step
        self.batch = batch

        def by_time(array: Any) -> Any:
            return array.swapaxes(0, 1) if turned and array is not None else array

        self.x: Array = by_time(batch.x)
        self.lengths, self.resets = batch.lengths, by_time(batch.resets)
        self.target, self.mask, self.weights = (
            _three_axes(by_time(array) if per_step else array, per_step)
            for array in (batch.target, batch.mask, batch.weights)
        )
        features = self.x.shape[-1] if model.out_features is None else model.out_features
        wanted = 1 if loss.of_labels else features // loss.outputs_per_feature
        leading = self.x.shape[:2] if per_step else (1, self.x.shape[1])
        self._parts: dict[tuple[int, int], tuple[Any, ...]] = {}
        self.fits = features % loss.outputs_per_feature == 0 and self.target.shape == (*leading, wanted)

    def part(self, begin: int, end: int) -> tuple[Any, ...]:
        """Return x, lengths, resets, target, mask and weights of the steps [begin, end), made once."""
        made = self._parts.get((begin, end))
        if made is None:
            made = self._parts[begin, end] = self._part(begin, end)
        return made

    def _part(self, begin: int, end: int) -> tuple[Any, ...]:
        steps, whole = slice(begin, end), end - begin == self.x.shape[0]

        def of(array: Any) -> Any:
            return array if whole or array is None else array[steps]

        lengths = self.lengths if whole or self.lengths is None else np.clip(self.lengths - begin, 0, end - begin)
        resets = None if self.resets is None else np.ascontiguousarray(of(self.resets))
        return of(self.x), lengths, resets, of(self.target), of(self.mask), of(self.weights)

    @property
    def steps(self) -> int:
        """T."""
        return int(self.x.shape[0])

    @property
    def rows(self) -> int:
        """N."""
        return int(self.x.shape[1])


def _three_axes(array: Any, per_step: bool) -> Any:
    """Give an array an axis of time, if it has none, and one of features."""
    if array is None:
        return None
    array = array if per_step else array[None]
    return array[..., None] if array.ndim == 2 else array


class EngineStep:
    """A model, one of the losses and one of the optimisers, and what a step of training needs besides the batch."""

    def __init__(
        self,
        model: Any,
        loss: _core.Loss,
        optimizer: Optimizer,
        gradient: Array,
        clip_value: float | None,
        clip_norm: float | None,
        num_threads: int | None,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.threads = check_threads(num_threads)
        self._training = _core.Training(
            model._engine, loss, optimizer._kind, optimizer._arrays, optimizer._steps, optimizer._options(), gradient,
            clip_value, clip_norm,
        )  # fmt: skip
        self._sight: Sight | None = None
        self._shapes = [(layer, k) for layer in model._recurrent for k in range(len(layer._state_sizes))]

    @classmethod
    def of(cls, model: Any, loss: Loss, optimizer: Optimizer, *options: Any) -> EngineStep | None:
        """Bind them together; None for a loss or an optimiser of the caller's own, and a model in several parts."""
        engine = engine_loss(loss)
        known = type(optimizer) in (SGD, Adam, AdamW, RMSprop) and isinstance(model, Model)
        if engine is None or not known or len(optimizer._form) != 1:
            return None
        return cls(model, engine, optimizer, *options)

    def sight(self, batch: Batch) -> Sight:
        """View a batch as the engine takes it; one that comes again, as where all data are one batch, is kept."""
        if self._sight is None or self._sight.batch is not batch:
            self._sight = Sight(self.model, self.loss, batch)
        return self._sight

    def updated(self) -> int:
        """Count the updates so far."""
        return self.optimizer.steps

    def take(
        self, sight: Sight, begin: int, end: int, initial: tuple[Array, ...] | None
    ) -> tuple[float, float, bool, tuple[Array, ...]]:
        """Learn from the steps [begin, end) of a batch: loss, weight, whether all was finite, and the final state.

        Where loss or gradient are not finite, or nothing has weight, nothing is updated.
        """
        call, final = self.call(sight, begin, end, initial)
        step: Any = self._training.step
        value, weight, fine = step(*call, self.threads)
        return value, weight, fine, final

    def call(
        self, sight: Sight, begin: int, end: int, initial: tuple[Array, ...] | None
    ) -> tuple[tuple[Any, ...], tuple[Array, ...]]:
        """Return the arguments of the engine's step, and the arrays that it writes the final state to."""
        x, lengths, resets, target, mask, weights = sight.part(begin, end)
        rows, dtype = sight.rows, self.model.dtype
        final = tuple([np.empty((layer._state_axis, rows, layer._state_sizes[k]), dtype) for layer, k in self._shapes])
        keys = self.model._dropout_keys()
        return (self.optimizer.lr, x, initial, final, lengths, resets, keys, target, mask, weights), final
