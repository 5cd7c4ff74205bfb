"""What a fleet's `fit` tells: the course of all models, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.training.history import History

__all__ = ["FleetHistory", "FleetProgress"]


class FleetHistory:
    """The course of a fleet's training: `history[k]` is the `History` of model k.

    `stopped` is "callback" if one ended training, else None; a model that early stopping ended has it in its own.
    """

    def __init__(self, models: list[History]) -> None:
        self.models = models
        self.stopped: str | None = None

    def __getitem__(self, k: int) -> History:
        return self.models[k]

    def __len__(self) -> int:
        """Return the number of epochs."""
        return max(len(history) for history in self.models)

    def column(self, name: str) -> Array:
        """Return (epochs, K) numbers, NaN where a model had stopped. Raises KeyError for an unknown name."""
        values = np.full((len(self), len(self.models)), np.nan)
        for k, history in enumerate(self.models):
            if len(history):
                values[: len(history), k] = history[name]
        return values

    @property
    def loss(self) -> Array:
        """The mean losses, (epochs, K)."""
        return self.column("loss")

    @property
    def val_loss(self) -> Array:
        """Those of the validation data."""
        return self.column("val_loss")

    def __repr__(self) -> str:
        return f"FleetHistory({len(self)} epochs of {len(self.models)} models)"


@dataclass(frozen=True, slots=True)
class FleetProgress:
    """Where a fleet's `fit` stands after an epoch."""

    epoch: int
    epochs: int
    fleet: Any
    history: FleetHistory
