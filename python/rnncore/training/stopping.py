"""Early stopping, with the best weights kept."""

from __future__ import annotations

import math
from typing import Any

from rnncore.arguments import Array, check_flag, check_positive, check_size


class EarlyStopping:
    """End training when a number has not improved for `patience` epochs, and go back to the best weights.

    Parameters
    ----------
    patience
        How many epochs without an improvement end training, at least 1.
    monitor
        The column of the history to watch; by default val_loss, or loss if there is no validation data.
    min_delta
        A smaller change than this is no improvement.
    mode
        "min" if smaller numbers are better, "max" if greater ones are, such as accuracy.
    restore_best
        False leaves the model with its last weights.

    >>> EarlyStopping(3, monitor="accuracy", mode="max").patience
    3
    """

    def __init__(
        self,
        patience: int = 10,
        *,
        monitor: str | None = None,
        min_delta: float = 0.0,
        mode: str = "min",
        restore_best: bool = True,
    ) -> None:
        self.patience = check_size("patience", patience, 1)
        self.monitor = monitor
        self.min_delta = check_positive("min_delta", min_delta, zero=True)
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        self.mode = mode
        self.restore_best = check_flag("restore_best", restore_best)
        self.reset()

    def reset(self) -> None:
        """Begin anew: forget all epochs."""
        self.best = math.inf
        self.best_epoch: int | None = None
        self.bad = 0
        self.watched: str | None = None
        self.weights: Array | None = None

    @property
    def ended(self) -> bool:
        """Whether patience is at its end."""
        return self.bad >= self.patience

    def observe(self, epoch: int, row: dict[str, float], parameters: Array) -> bool:
        """Take notice of an epoch's numbers; return True if training is to end."""
        name = self.monitor or self.watched or ("val_loss" if "val_loss" in row else "loss")
        if name not in row:
            raise ValueError(f"monitor: there is no {name!r} among {', '.join(row)}")
        self.watched = name
        value = row[name] if self.mode == "min" else -row[name]
        if value < self.best - self.min_delta:
            self.best, self.best_epoch, self.bad = value, epoch, 0
            self.weights = parameters.copy() if self.restore_best else None
            return False
        self.bad += 1
        return self.ended

    def restore(self, parameters: Array) -> None:
        """Write the best weights."""
        if self.weights is not None:
            parameters[...] = self.weights

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, the weights apart."""
        names = ("best", "best_epoch", "bad", "watched", "mode")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any], weights: Array | None) -> None:
        """Go on where the state was saved; patience, min_delta and restore_best may be others now.

        Raises ValueError for the state of another monitor or mode, and for one without the weights to restore.
        """
        for name, before, now in (
            ("monitor", state.get("watched"), self.monitor),
            ("mode", state.get("mode"), self.mode),
        ):
            if before is not None and now not in (None, before):
                raise ValueError(f"early_stopping: {name} was {before!r}, expected the same as now: {now!r}")
        if self.restore_best and weights is None and state["best_epoch"] is not None:
            raise ValueError("early_stopping: expected restore_best=False, the checkpoint has no best weights")
        self.best, self.best_epoch, self.bad = state["best"], state["best_epoch"], state["bad"]
        self.watched, self.weights = state.get("watched"), weights if self.restore_best else None
