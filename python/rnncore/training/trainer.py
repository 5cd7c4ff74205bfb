"""The training loop: epochs, updates, and all that happens between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from rnncore import _core, bptt
from rnncore.arguments import Array
from rnncore.losses import Loss, weight_of
from rnncore.optim import Optimizer, clip_grad_norm, clip_grad_value
from rnncore.training.batches import Batch, cut
from rnncore.training.course import Course
from rnncore.training.cursor import Cursor
from rnncore.training.engine import EngineStep, Sight
from rnncore.training.evaluation import measure
from rnncore.training.history import History
from rnncore.training.interrupts import Interrupts
from rnncore.training.options import Plan
from rnncore.training.progress import Display, Progress
from rnncore.training.ranks import Ranks, Stop
from rnncore.training.shared import SharedSight, SharedStep
from rnncore.training.sources import Source, Whole
from rnncore.training.step import blame, fit_target, run
from rnncore.training.stopping import EarlyStopping


class _StateLost(Exception):  # noqa: N818
    """An update was skipped: the state that led to it is not to be carried on."""


class Trainer(Course):
    """One run of `fit`."""

    def __init__(
        self,
        model: Any,
        source: Source,
        loss: Loss,
        optimizer: Optimizer,
        plan: Plan,
        *,
        schedule: Callable[[int, int], float],
        validation: Source | None,
        stopping: EarlyStopping | None,
        display: Display,
        save: Callable[[Trainer], None] | None,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__(model, schedule, stopping)
        self.source, self.loss, self.optimizer, self.plan = source, loss, optimizer, plan
        self.validation, self.display, self.save, self.ranks = validation, display, save, ranks
        self.cursor = Cursor()
        self.lr = optimizer.lr  # before the schedule
        self.interrupts = Interrupts()
        self._gradient = np.zeros_like(model.parameters)
        self._axis = 1 if model.batch_first else 0
        options = (self._gradient, plan.clip_value, plan.clip_norm, plan.num_threads)
        self._engine: EngineStep | SharedStep | None
        if ranks is None:
            self._engine = EngineStep.of(model, loss, optimizer, *options)
        else:
            step = (self._gradient, self._finite, self._step, plan.num_threads)
            self._engine = SharedStep(ranks, model, loss, *step)

    # ---- the run

    def run(self) -> History:
        """Train until the last epoch, or until something ends it."""
        with self._prepared(), self.interrupts:
            try:
                with self.ranks or nullcontext():
                    while self.cursor.epoch < self.plan.epochs and self.history.stopped is None:
                        self._epoch()
                    if self.ranks is not None:
                        self.ranks.finish()
            except Stop:
                self.history.stopped = "callback"
            except KeyboardInterrupt:
                self.history.stopped = "interrupt"
            if self.history.stopped in ("callback", "interrupt") and self.save:
                self.save(self)
            if self.stopping is not None:
                self.history.best_epoch = self.stopping.best_epoch
                if self.history.stopped != "interrupt":
                    self.stopping.restore(self.model.parameters)
        return self.history

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        """Training mode on; afterwards that, and the learning rate, are as they were."""
        mode = self.model.training
        self.model.train()
        try:
            yield
        finally:
            self.display.close()
            self.optimizer.lr = self.lr
            self.model.train(mode)

    def _epoch(self) -> None:
        cursor = self.cursor
        began = time.perf_counter()
        self.display.epoch_begins(cursor.epoch, self._windows(), cursor.window)
        for batch in self.source.batches(cursor.epoch, cursor.batch):
            if self.plan.k1 is None:
                self._learn(batch)
            else:
                self._learn_windows(batch, self.plan.k1)
        row = {"loss": cursor.epoch_loss}
        if self.validation is not None:
            plan = self.plan
            options = (plan.metrics, plan.stream, plan.num_threads, self.ranks)
            values = measure(self.model, self.validation, self.loss, *options)
            row |= {"val_loss": values.pop("loss"), **values}
        with self.interrupts.whole():
            self._close(
                row
                | {"lr": self.optimizer.lr if cursor.lr is None else cursor.lr, "seconds": time.perf_counter() - began}
            )

    def _close(self, row: dict[str, float]) -> None:
        """Note the epoch, and go on to the next."""
        cursor, epoch = self.cursor, self.cursor.epoch
        self.end_epoch(epoch, row)
        self.display.epoch_ends(epoch, row)
        told = self._progress("epoch", row["loss"])
        self.cursor = Cursor(epoch=epoch + 1, update=cursor.update)
        ended = self._tell(told)
        if self.save:
            self.save(self)
        if ended:
            raise Stop

    def _windows(self) -> int | None:
        """Updates in an epoch, None if that is not known."""
        if self.plan.k1 is None:
            return self.source.count
        if not isinstance(self.source, Whole):
            return None
        steps = int(self.source.batch.x.shape[self._axis])
        return -(-(steps - self.plan.burn_in) // self.plan.k1)

    # ---- a batch

    def _learn(self, batch: Batch) -> None:
        if (sight := self._sight(batch)) is not None:
            self._engine_step(sight, 0, sight.steps, None)
            return
        weight = weight_of(np.shape(batch.target), batch.mask, batch.weights)
        self._gradient.fill(0)
        value, grads, _ = run(
            self.model, batch, self.loss, None, self.plan.num_threads, self._gradient, input_gradient=False
        )
        fine = self._finite(value, grads.parameters, batch, None)
        with self.interrupts.whole():
            self._update(value, grads.parameters, weight, fine)
            self.cursor.batch += 1
            ended = self._after(value)
        if ended:
            raise Stop

    def _learn_windows(self, batch: Batch, k1: int) -> None:
        """Truncated backpropagation through time over a series, from where the cursor stands."""
        cursor, steps = self.cursor, batch.x.shape[self._axis]
        sight = self._sight(batch) if self.plan.k2 in (None, k1) else None
        burn_in = self.plan.burn_in if self._begins() else 0
        if sight is not None and burn_in < steps:
            self._engine_windows(sight, k1, burn_in)
        while cursor.step < steps:
            try:
                self._truncated(batch, k1)
            except _StateLost:
                cursor.hx = None
        with self.interrupts.whole():
            cursor.batch, cursor.step = cursor.batch + 1, 0
            if not self.source.one_series:
                cursor.hx = None  # the next batch holds other series

    def _begins(self) -> bool:
        """Tell whether the cursor stands at the beginning of a series."""
        return self.cursor.step == 0 and (self.cursor.batch == 0 or not self.source.one_series)

    # ---- steps that are one call into the engine

    def _sight(self, batch: Batch) -> Sight | SharedSight | None:
        """View a batch as the engine takes it; None if it has to be gone through call by call."""
        if self._engine is None:
            return None
        sight = self._engine.sight(batch)
        return sight if sight.fits else None

    def _engine_windows(self, sight: Sight | SharedSight, k1: int, burn_in: int) -> None:
        """Take the windows of a series side by side, as `bptt.truncated` does."""
        cursor, begin = self.cursor, self.cursor.step
        if burn_in:
            for first in range(0, burn_in, 4096):
                part = cut(sight.batch, self._axis, slice(first, min(first + 4096, burn_in)))
                options = {"lengths": part.lengths, "resets": part.resets, "num_threads": self.plan.num_threads}
                _, cursor.hx = self.model(part.x, cursor.hx, **options)
            begin = burn_in
        state = None if cursor.hx is None else self.model._state_arrays(cursor.hx, sight.rows)
        while begin < sight.steps:
            end = min(begin + k1, sight.steps)
            state = self._engine_step(sight, begin, end, state)
            begin = end

    def _engine_step(
        self, sight: Any, begin: int, end: int, state: tuple[Array, ...] | None
    ) -> tuple[Array, ...] | None:
        """Take one update; return the final state, None where loss or gradient were not finite."""
        engine, cursor, plan, optimizer = self._engine, self.cursor, self.plan, self.optimizer
        assert engine is not None
        optimizer.lr = self.lr * float(self.schedule(cursor.epoch, cursor.update))
        before, after = engine.updated(), None
        with self.interrupts.whole(lambda: engine.updated() == before):
            value, weight, fine, final = engine.take(sight, begin, end, state)
            self.interrupts.go_on()
            if not fine and plan.on_nonfinite != "skip":
                batch = sight.batch
                part = cut(batch, self._axis, slice(begin, end)) if end - begin != sight.steps else batch
                hx = cursor.hx if plan.k1 is not None else None
                self._finite(value, self._gradient, part, hx)
            self._count(value, weight, fine)
            if plan.k1 is None:
                cursor.batch += 1
            else:
                after = final if fine else None
                cursor.step, cursor.hx = end, self.model._state_of(after)
            ended = self._after(value)
        if ended:
            raise Stop
        return after

    def _truncated(self, batch: Batch, k1: int) -> None:
        offset, cursor = self.cursor.step, self.cursor
        begins = self._begins()
        weight = 0.0

        def loss(y: Array, steps: slice) -> tuple[float, Array]:
            nonlocal weight
            part = cut(batch, self._axis, slice(steps.start + offset, steps.stop + offset))
            weight = weight_of(np.shape(part.target), part.mask, part.weights)
            return self.loss(y, fit_target(part.target, y), mask=part.mask, weights=part.weights)

        def update(window: bptt.Window) -> None:
            steps = slice(window.steps.start + offset, window.steps.stop + offset)
            fine = self._finite(window.loss, window.parameters, cut(batch, self._axis, steps), cursor.hx)
            with self.interrupts.whole():
                self._update(window.loss, window.parameters, weight, fine)
                cursor.step, cursor.hx = steps.stop, window.hx if fine else None
                ended = self._after(window.loss)
            if ended:
                raise Stop
            if not fine:
                raise _StateLost

        rest = cut(batch, self._axis, slice(offset, None))
        bptt.truncated(
            self.model,
            rest.x,
            loss,
            cursor.hx,
            k1=k1,
            k2=self.plan.k2,
            burn_in=self.plan.burn_in if begins else 0,
            update=update,
            lengths=rest.lengths,
            resets=rest.resets,
            num_threads=self.plan.num_threads,
        )

    # ---- an update

    def _finite(self, value: float, gradient: Array, batch: Batch, hx: Any) -> bool:
        if math.isfinite(value) and math.isfinite(_core.squared_norm(gradient)):
            return True
        if self.plan.on_nonfinite == "skip":
            return False
        cursor = self.cursor
        reason = blame(self.model, batch, hx, value, gradient)
        raise FloatingPointError(f"epoch {cursor.epoch + 1}, batch {cursor.window + 1}: {reason}")

    def _update(self, value: float, gradient: Array, weight: float, fine: bool) -> None:
        """Clip and step; a batch with nothing to learn moves nothing, momentum included."""
        if fine and weight > 0:
            self.optimizer.lr = self.lr * float(self.schedule(self.cursor.epoch, self.cursor.update))
            self._step(gradient)
        self._count(value, weight, fine)

    def _count(self, value: float, weight: float, fine: bool) -> None:
        """Note an update, one that was left out included."""
        cursor = self.cursor
        if fine and weight > 0:
            cursor.lr = self.optimizer.lr
            cursor.total += value * weight
            cursor.weight += weight
            cursor.update += 1
        self.history.skipped += not fine
        cursor.window += 1

    def _step(self, gradient: Array) -> None:
        if self.plan.clip_value is not None:
            clip_grad_value(gradient, self.plan.clip_value)
        if self.plan.clip_norm is not None:
            clip_grad_norm(gradient, self.plan.clip_norm)
        self.optimizer.step(gradient)

    def _after(self, value: float) -> bool:
        """Tell the callbacks of an update, then save what they made of it; return True if one wants training to end."""
        self.display.update(self.cursor.epoch_loss)
        ended = self._tell(self._progress("update", value)) if self.plan.callbacks else False
        every = self.plan.checkpoint_every
        if self.save and every is not None and self.cursor.window % every == 0:
            self.save(self)
        return ended

    def _progress(self, event: Any, loss: float) -> Progress:
        cursor = self.cursor
        return Progress(
            event=event,
            epoch=cursor.epoch,
            epochs=self.plan.epochs,
            batch=cursor.window - 1,
            batches=self._windows(),
            update=cursor.update,
            loss=loss,
            epoch_loss=cursor.epoch_loss,
            lr=self.optimizer.lr,
            model=self.model,
            optimizer=self.optimizer,
            history=self.history,
        )

    def _tell(self, progress: Progress) -> bool:
        answers = [callback(progress) for callback in self.plan.callbacks]  # all of them are told
        return any(answer is True for answer in answers)
