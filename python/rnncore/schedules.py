"""Schedules of the learning rate: each gives a factor for it, by the number of the epoch and of the update.

`fit(schedule=...)` takes one of them or any function ``schedule(epoch, update) -> factor``; both numbers count from 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rnncore.arguments import check_positive, check_size

__all__ = ["Constant", "Cosine", "ReduceOnPlateau", "Schedule", "Step", "Warmup"]

Unit = Literal["epoch", "update"]


class Schedule(Protocol):
    """What `fit` asks of a schedule."""

    def __call__(self, epoch: int, update: int) -> float:
        """Return the factor of the learning rate for the update to come."""
        ...


@dataclass(frozen=True)
class Constant:
    """The learning rate as it is.

    >>> Constant()(epoch=3, update=100)
    1.0
    """

    factor: float = 1.0

    def __call__(self, epoch: int, update: int) -> float:  # noqa: ARG002  one protocol for all
        """Return the factor."""
        return self.factor


@dataclass(frozen=True)
class Step:
    """Times gamma every step_size epochs, or updates: PyTorch's StepLR.

    >>> [Step(2, gamma=0.5)(epoch, 0) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    step_size: int
    gamma: float = 0.1
    per: Unit = "epoch"

    def __post_init__(self) -> None:
        check_size("step_size", self.step_size, 1)
        check_positive("gamma", self.gamma)
        _check_unit(self.per)

    def __call__(self, epoch: int, update: int) -> float:
        """Return the factor."""
        return float(self.gamma ** ((epoch if self.per == "epoch" else update) // self.step_size))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 down to `minimum` within `length` epochs, or updates (Loshchilov & Hutter 2017); then that.

    >>> [round(Cosine(4)(epoch, 0), 3) for epoch in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    length: int
    minimum: float = 0.0
    per: Unit = "epoch"

    def __post_init__(self) -> None:
        check_size("length", self.length, 1)
        check_positive("minimum", self.minimum, zero=True)
        _check_unit(self.per)

    def __call__(self, epoch: int, update: int) -> float:
        """Return the factor."""
        done = min(1.0, (epoch if self.per == "epoch" else update) / self.length)
        return self.minimum + (1 - self.minimum) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Warmup:
    """Grow in a straight line for `length` updates, or epochs, times what `then` says, which is told of losses too.

    >>> [Warmup(4)(0, update) for update in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    length: int
    then: Any = Constant()
    per: Unit = "update"

    def __post_init__(self) -> None:
        check_size("length", self.length, 1)
        _check_unit(self.per)

    def __call__(self, epoch: int, update: int) -> float:
        """Return the factor."""
        done = min(1.0, ((epoch if self.per == "epoch" else update) + 1) / self.length)
        return done * float(self.then(epoch, update))

    def observe(self, loss: float) -> None:
        """Hand an epoch's loss on."""
        if hasattr(self.then, "observe"):
            self.then.observe(loss)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the state of `then`, if it has one."""
        return dict(self.then.state_dict()) if hasattr(self.then, "state_dict") else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was saved."""
        if hasattr(self.then, "load_state_dict"):
            self.then.load_state_dict(state)


class ReduceOnPlateau:
    """Times `factor` when the validation loss (else the loss) has not fallen for more than `patience` epochs.

    To fall is to be below (1 - threshold) times the least so far: PyTorch's ReduceLROnPlateau.

    >>> schedule = ReduceOnPlateau(factor=0.5, patience=1)
    >>> for loss in (1.0, 0.9, 0.9, 0.9):
    ...     schedule.observe(loss)
    >>> schedule(4, 400)
    0.5
    """

    def __init__(
        self, factor: float = 0.1, patience: int = 10, *, threshold: float = 1e-4, minimum: float = 0.0
    ) -> None:
        self.factor = check_positive("factor", factor)
        self.patience = check_size("patience", patience, 0)
        self.threshold = check_positive("threshold", threshold, zero=True)
        self.minimum = check_positive("minimum", minimum, zero=True)
        if self.factor >= 1:
            raise ValueError(f"factor must be less than 1, got {self.factor}")
        self._state: dict[str, Any] = {"now": 1.0, "best": math.inf, "bad": 0}

    def __call__(self, epoch: int, update: int) -> float:  # noqa: ARG002  one protocol for all
        """Return the factor."""
        return float(self._state["now"])

    def observe(self, loss: float) -> None:
        """Take notice of an epoch's loss."""
        state = self._state
        if loss < state["best"] * (1 - self.threshold):
            state["best"], state["bad"] = loss, 0
            return
        state["bad"] += 1
        if state["bad"] > self.patience:
            state["now"], state["bad"] = max(state["now"] * self.factor, self.minimum), 0

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was saved."""
        self._state = {name: state[name] for name in self._state}

    def __repr__(self) -> str:
        options = (f"{name}={value}" for name, value in vars(self).items() if name != "_state")
        return f"ReduceOnPlateau({', '.join(options)})"


def _check_unit(per: object) -> None:
    if per not in ("epoch", "update"):
        raise ValueError(f"per must be 'epoch' or 'update', got {per!r}")
