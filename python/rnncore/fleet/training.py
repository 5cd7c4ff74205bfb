"""Training a fleet: the updates of all models side by side, each on its own data."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from rnncore import _core, arguments
from rnncore.fleet.file import read_fleet, write_fleet
from rnncore.fleet.history import FleetHistory, FleetProgress
from rnncore.fleet.learner import Learner
from rnncore.models.file import architecture
from rnncore.models.model import Model
from rnncore.schedules import Constant
from rnncore.training.checkpoints import check_checkpoint
from rnncore.training.options import (
    Plan,
    as_functions,
    as_stopping,
    check_schedule,
    loss_name,
    read_plan,
    schedule_text,
)
from rnncore.training.stateful import stateful
from rnncore.training.step import as_loss
from rnncore.training.stopping import EarlyStopping

__all__ = ["each_of", "fit"]


FleetCallback: TypeAlias = Callable[[FleetProgress], object]


def each_of(fleet: Any, values: Any, name: str) -> Sequence[Any]:
    """Return one value for each model; None is none for each."""
    if values is None:
        return [None] * len(fleet)
    if not hasattr(values, "__len__") or len(values) != len(fleet):
        given = len(values) if hasattr(values, "__len__") else type(values).__name__
        raise ValueError(f"{name}: expected {len(fleet)}, one for each model, got {given}")
    return values  # type: ignore[no-any-return]


def fit(
    fleet: Any,
    data: Any,
    *,
    loss: Any = "mse",
    epochs: int = 1,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int = 0,
    optimizer: Any = "adam",
    lr: float | None = None,
    schedule: Callable[[int, int], float] | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    k1: int | None = None,
    validation: Any = None,
    early_stopping: EarlyStopping | int | None = None,
    callbacks: Iterable[FleetCallback] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    num_threads: int | None = None,
) -> FleetHistory:
    """Train all models, each on its own data; return the course of it.

    Parameters
    ----------
    data
        A list of K, each what `fit` of a model takes; or a pair (x, target) of arrays (K, ...).
    loss, epochs, batch_size, shuffle, seed, optimizer, lr, schedule, clip_norm, clip_value, k1
        As of a model's `fit`, the same for all: the loss one of rnncore's, the optimiser a name, the schedule a copy
        for each model.
    validation
        Data in the same form, on which the loss of each model is taken after each epoch.
    early_stopping
        As of a model's `fit`, for each model by itself: one that has stopped rests while the others go on, and has its
        best weights in the end.
    callbacks
        Functions that are called with a `FleetProgress` after each epoch; training ends if one returns True.
    checkpoint, resume
        A file that is replaced after each epoch; `Fleet.load` reads its models, with early stopping the best so far.
        With resume=True, if the file exists, training goes on from what it holds, to the same bits as without the
        interruption. It keeps no state of callbacks: one that has a state is refused.
    num_threads
        At most so many threads for all models together.

    Each model ends with the bits of its own `fit`. Raises as that does, and FloatingPointError that names the model
    whose loss or gradient is not finite: it has not taken that update, the others have.

    >>> import numpy as np, rnncore
    >>> fleet = rnncore.Fleet(rnncore.Sequential(rnncore.GRU(1, 4, seed=0), rnncore.Linear(4, 1, seed=0)), 2)
    >>> waves = np.sin(np.arange(81) / np.array([[3.0], [5.0]]))[..., None]  # (K, T + 1, 1)
    >>> train, held_out = (waves[:, :40], waves[:, 1:41]), (waves[:, 40:-1], waves[:, 41:])
    >>> history = fleet.fit(train, k1=20, epochs=50, lr=0.05, validation=held_out, early_stopping=5)
    >>> history.val_loss.shape == history.loss.shape, bool((np.nanmin(history.val_loss, axis=0) < 0.05).all())
    (True, True)
    """
    function = as_loss(loss)
    plan = read_plan(
        fleet[0], epochs=epochs, k1=k1, clip_norm=clip_norm, clip_value=clip_value, num_threads=num_threads
    )
    check_schedule(schedule)
    options = {
        "batch_size": arguments.check_size("batch_size", batch_size, 1),
        "shuffle": arguments.check_flag("shuffle", shuffle),
        "seed": arguments.check_size("seed", seed, 0, math.inf),
    }
    each = zip(fleet, _pairs(fleet, data, "data"), _pairs(fleet, validation, "validation"), strict=True)
    learners = []
    for k, (member, own, held_out) in enumerate(each):
        stopping = as_stopping(copy.deepcopy(early_stopping))
        try:
            learner = Learner(member, function, plan, copy.deepcopy(schedule or Constant()), stopping)
            learner.prepare(own, held_out, optimizer, lr, options)
        except (TypeError, ValueError) as error:
            raise type(error)(f"model {k}: {error}") from None
        learners.append(learner)
    run = _Run(fleet, plan, learners, as_functions("callbacks", callbacks), arguments.check_threads(num_threads))
    check_checkpoint(checkpoint, fleet[0], resume, run.callbacks, schedule)
    if resume and (owners := stateful(run.callbacks)):
        kind = type(owners[0]).__name__
        raise TypeError(f"callbacks: to resume a fleet, they should have no state, got a {kind}")
    if checkpoint is not None:
        run.path = Path(checkpoint)
        run.settings = {
            "models": len(fleet),
            "loss": loss_name(function),
            "optimizer": repr(learners[0].optimizer),
            "schedule": None if schedule is None else schedule_text(schedule),
            **options,
            **{name: getattr(plan, name) for name in ("k1", "clip_norm", "clip_value")},
        }
        if resume and run.path.exists():
            run.resume()
    return run.train()


def _pairs(fleet: Any, data: Any, name: str) -> Sequence[Any]:
    """Return each model's own data: of a list, or of a pair of arrays (K, ...)."""
    if isinstance(data, tuple) and len(data) == 2:
        x, target = each_of(fleet, data[0], "x"), each_of(fleet, data[1], "target")
        return list(zip(x, target, strict=True))
    return each_of(fleet, data, name)


@dataclass(eq=False)
class _Run:
    """One run of `fit`."""

    fleet: Any
    plan: Plan
    learners: list[Learner]
    callbacks: list[FleetCallback]
    threads: int
    path: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    epoch: int = 0

    def train(self) -> FleetHistory:
        history = FleetHistory([learner.history for learner in self.learners])
        modes = [member.training for member in self.fleet]
        for member in self.fleet:
            member.train()
        try:
            while self.epoch < self.plan.epochs and history.stopped is None:
                live = [(k, learner) for k, learner in enumerate(self.learners) if not learner.ended]
                if not live:
                    break
                self._epoch(live)
                for _, learner in live:
                    learner.close(self.epoch)
                told = FleetProgress(self.epoch, self.plan.epochs, self.fleet, history)
                self.epoch += 1
                answers = [callback(told) for callback in self.callbacks]  # all of them are told
                if any(answer is True for answer in answers):
                    history.stopped = "callback"
                self.save()
        finally:
            for member, learner, mode in zip(self.fleet, self.learners, modes, strict=True):
                member.train(mode)
                learner.optimizer.lr = learner.lr
        for learner in self.learners:
            if learner.stopping is not None:
                learner.history.best_epoch = learner.stopping.best_epoch
                learner.stopping.restore(learner.model.parameters)
        return history

    def _epoch(self, learners: list[tuple[int, Learner]]) -> None:
        live = [(k, learner, learner.updates(self.epoch)) for k, learner in learners]
        while live:
            calls, going = [], []
            for k, learner, updates in live:
                if (call := next(updates, None)) is not None:
                    calls.append(call)
                    going.append((k, learner, updates))
            trainings = [learner.engine._training for _, learner, _ in going]
            results = _core.step_all(trainings, calls, self.threads)
            for (k, learner, _), (value, weight, fine) in zip(going, results, strict=True):
                if not fine:
                    what = f"the loss is {value:g}" if not np.isfinite(value) else "a gradient is not finite"
                    raise FloatingPointError(f"model {k}, epoch {self.epoch + 1}: {what}")
                learner.note(value, weight)
            live = going

    # ---- checkpoints

    def save(self) -> None:
        """Replace the file: the best weights, where early stopping restores them, with the last ones beside them."""
        if self.path is None:
            return
        states = [learner.optimizer.state_dict() for learner in self.learners]
        arrays = {f"optimizer.{name}": np.stack([state[name] for state in states]) for name in states[0]}
        parameters = self.fleet.parameters
        best = [None if each.stopping is None else each.stopping.weights for each in self.learners]
        if any(weights is not None for weights in best):
            arrays["last"] = parameters
            parameters = np.stack([own if w is None else w for own, w in zip(parameters, best, strict=True)])
        told = {"settings": self.settings, "epoch": self.epoch, "models": [each.told() for each in self.learners]}
        write_fleet(self.path, self.fleet[0], parameters, arrays, {"fit": json.dumps(told)})

    def resume(self) -> None:
        """Go on from where the file says the run was; ValueError for another one, before anything has changed."""
        assert self.path is not None
        model, parameters, arrays, metadata = read_fleet(self.path, Model)
        if architecture(model) != architecture(self.fleet[0]):
            raise ValueError(f"{self.path} holds models like {model!r}, expected {self.fleet[0]!r}")
        if "fit" not in metadata:
            raise ValueError(f"{self.path} holds a fleet, but no checkpoint of fit")
        told = json.loads(metadata["fit"])
        for name, now in json.loads(json.dumps(self.settings)).items():
            if told["settings"].get(name) != now:
                before = told["settings"].get(name)
                raise ValueError(f"{self.path}: {name} was {before!r}, expected the same as now: {now!r}")
        has_best = "last" in arrays
        for k, (learner, own) in enumerate(zip(self.learners, told["models"], strict=True)):
            state = {
                name.partition(".")[2]: array[k] for name, array in arrays.items() if name.startswith("optimizer.")
            }
            learner.resume(own, parameters[k].copy() if has_best else None, state)
        self.fleet.parameters[...] = arrays["last"] if has_best else parameters
        self.epoch = told["epoch"]
