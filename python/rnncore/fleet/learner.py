"""One model of a fleet on its way through its data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.training.engine import EngineStep, Sight
from rnncore.training.evaluation import measure
from rnncore.training.fitting import as_optimizer
from rnncore.training.history import History
from rnncore.training.sources import Source, as_source
from rnncore.training.stateful import drawing
from rnncore.training.stopping import EarlyStopping
from rnncore.training.trainer import Plan

__all__ = ["Learner"]


@dataclass(eq=False)
class Learner:
    """One model's way through its data."""

    member: Any
    loss: Any
    plan: Plan
    stopping: EarlyStopping | None
    schedule: Any
    history: History = field(default_factory=History)
    update: int = 0
    total: float = 0.0
    weight: float = 0.0

    def prepare(self, data: Any, validation: Any, optimizer: Any, lr: float | None, options: dict[str, Any]) -> None:
        """Read the data and bind the model to what it learns with, before anything changes."""
        member, plan, whole = self.member, self.plan, self.plan.k1 is not None
        self.source: Source = as_source(data, member, self.loss, whole=whole, **options)
        self.held_out: Source | None = None
        if validation is not None:
            self.held_out = as_source(validation, member, self.loss, whole=whole, batch_size=options["batch_size"])
        self.optimizer = as_optimizer(optimizer, member, lr)
        self.lr = self.optimizer.lr
        gradient = np.zeros_like(member.parameters)
        engine = EngineStep.of(member, self.loss, self.optimizer, gradient, plan.clip_value, plan.clip_norm, 1)
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
            sight = Sight(self.member, self.engine.loss, batch)
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
            values = measure(self.member, self.held_out, self.loss, [], plan.stream, plan.num_threads)
            row["val_loss"] = values["loss"]
        row["lr"] = self.optimizer.lr
        self.history.add(row)
        observe = getattr(self.schedule, "observe", None)
        if observe is not None:
            observe(row.get("val_loss", row["loss"]))
        if self.stopping is not None and self.stopping.observe(epoch, row, self.member.parameters):
            self.history.stopped = "early stopping"

    # ---- what a checkpoint keeps, the arrays apart

    def told(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        state = getattr(self.schedule, "state_dict", None)
        return {
            "update": self.update,
            "history": vars(self.history),
            "stopping": None if self.stopping is None else self.stopping.state_dict(),
            "schedule": None if state is None else state(),
            "keys": {name: layer._keys.__getstate__() for name, layer in drawing(self.member)},
        }

    def take_over(self, told: dict[str, Any], best: Array | None, optimizer: dict[str, Array]) -> None:
        """Go on where that was saved."""
        self.optimizer.load_state_dict(optimizer)
        self.update = told["update"]
        vars(self.history).update(told["history"])
        if self.stopping is not None and told["stopping"] is not None:
            self.stopping.load_state_dict(told["stopping"], best)
        patient = self.stopping is None or not self.stopping.ended
        self.history.stopped = None if patient else "early stopping"
        load = getattr(self.schedule, "load_state_dict", None)
        if load is not None and told["schedule"]:
            load(told["schedule"])
        for name, layer in drawing(self.member):
            layer._keys.__setstate__(told["keys"][name])
