"""The course of a model's training from epoch to epoch, alone or in a fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnncore.training.history import History
from rnncore.training.stateful import drawing
from rnncore.training.stopping import EarlyStopping

__all__ = ["Course"]


class Course:
    """What follows upon an epoch: its numbers go to the history, the schedule and early stopping."""

    def __init__(self, model: Any, schedule: Callable[[int, int], float], stopping: EarlyStopping | None) -> None:
        self.model, self.schedule, self.stopping = model, schedule, stopping
        self.history = History()

    def end_epoch(self, epoch: int, row: dict[str, float]) -> None:
        """Take notice of an epoch's numbers."""
        self.history.add(row)
        observe = getattr(self.schedule, "observe", None)
        if observe is not None:
            observe(row.get("val_loss", row["loss"]))
        if self.stopping is not None and self.stopping.observe(epoch, row, self.model.parameters):
            self.history.stopped = "early stopping"

    def told(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, in what JSON can hold."""
        state = getattr(self.schedule, "state_dict", None)
        return {
            "history": vars(self.history),
            "stopping": None if self.stopping is None else self.stopping.state_dict(),
            "schedule": None if state is None else state(),
            "keys": {name: layer._keys.__getstate__() for name, layer in drawing(self.model)},
        }

    def take_over(self, told: dict[str, Any]) -> None:
        """Go on where that was told; early stopping, which may refuse its state, has loaded it before."""
        vars(self.history).update(told["history"])
        patient = self.stopping is None or not self.stopping.ended
        self.history.stopped = None if patient else "early stopping"
        load = getattr(self.schedule, "load_state_dict", None)
        if load is not None and told["schedule"]:
            load(told["schedule"])
        for name, layer in drawing(self.model):
            layer._keys.__setstate__(told["keys"][name])
