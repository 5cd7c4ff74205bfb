"""One model of a fleet on its way through its data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.training.course import Course
from rnncore.training.engine import EngineStep
from rnncore.training.evaluation import measure
from rnncore.training.options import Plan, as_optimizer
from rnncore.training.sources import Source, as_source
from rnncore.training.stopping import EarlyStopping

__all__ = ["Learner"]


class Learner(Course):
    """One model's way through its data."""

    def __init__(self, model: Any, loss: Any, plan: Plan, schedule: Any, stopping: EarlyStopping | None) -> None:
        super().__init__(model, schedule, stopping)
        self.loss, self.plan = loss, plan
        self.update, self.total, self.weight = 0, 0.0, 0.0

    def prepare(self, data: Any, validation: Any, optimizer: Any, lr: float | None, options: dict[str, Any]) -> None:
        """Read the data and bind the model to what it learns with, before anything changes."""
        model, plan, whole = self.model, self.plan, self.plan.k1 is not None
        self.source: Source = as_source(data, model, self.loss, whole=whole, **options)
        self.held_out: Source | None = None
        if validation is not None:
            self.held_out = as_source(validation, model, self.loss, whole=whole, batch_size=options["batch_size"])
        self.optimizer = as_optimizer(optimizer, model, lr)
        self.lr = self.optimizer.lr
        gradient = np.zeros_like(model.parameters)
        engine = EngineStep.of(model, self.loss, self.optimizer, gradient, plan.clip_value, plan.clip_norm, 1)
        if engine is None:
            raise ValueError("a fleet learns with the losses and optimisers of rnncore, got one of the caller's own")
        self.engine = engine

    @property
    def ended(self) -> bool:
        """Whether early stopping has ended its training."""
        return self.history.stopped is not None

    def updates(self, epoch: int) -> Iterator[tuple[Any, ...]]:
        """Yield the arguments of each step of the engine in this epoch."""
        self.total = self.weight = 0.0
        state: tuple[Array, ...] | None = None
        k1 = self.plan.k1
        for batch in self.source.batches(epoch):
            sight = self.engine.sight(batch)
            if not sight.fits:
                raise ValueError(f"target of shape {np.shape(batch.target)} does not fit the outputs of the model")
            state = state if self.source.one_series else None
            every = k1 or sight.steps
            for begin in range(0, max(sight.steps, 1), max(every, 1)):
                end = min(begin + every, sight.steps)
                self.optimizer.lr = self.lr * float(self.schedule(epoch, self.update))
                call, state = self.engine.call(sight, begin, end, state if k1 else None)
                yield call

    def note(self, value: float, weight: float) -> None:
        """Take notice of an update."""
        self.total += value * weight
        self.weight += weight
        self.update += weight > 0

    def close(self, epoch: int) -> None:
        """Note the epoch."""
        row = {"loss": self.total / self.weight if self.weight else 0.0}
        if self.held_out is not None:
            plan = self.plan
            values = measure(self.model, self.held_out, self.loss, [], plan.stream, plan.num_threads)
            row["val_loss"] = values["loss"]
        row["lr"] = self.optimizer.lr
        self.end_epoch(epoch, row)

    def told(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, in what JSON can hold."""
        return {"update": self.update, **super().told()}

    def resume(self, told: dict[str, Any], best: Array | None, optimizer: dict[str, Array]) -> None:
        """Go on where that was told."""
        if self.stopping is not None and told["stopping"] is not None:
            self.stopping.load_state_dict(told["stopping"], best)
        self.optimizer.load_state_dict(optimizer)
        self.update = told["update"]
        self.take_over(told)
