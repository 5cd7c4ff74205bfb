"""Where a run of training stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Cursor:
    """Where training stands: all that a checkpoint has to know besides weights and moments."""

    epoch: int = 0
    batch: int = 0  # of the source, done in this epoch
    step: int = 0  # of this batch, where windows are cut from it
    window: int = 0  # updates tried in this epoch
    update: int = 0  # in all
    hx: Any = None  # carried
    total: float = 0.0  # of the losses in this epoch, by their weight
    weight: float = 0.0
    lr: float | None = None  # of the last update in this epoch

    @property
    def epoch_loss(self) -> float:
        """Mean since the epoch began."""
        return self.total / self.weight if self.weight else 0.0
