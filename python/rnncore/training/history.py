"""What `fit` returns: the course of training."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any


class History:
    """One number per epoch for each of: loss, val_loss and metrics (if there is validation data), lr, seconds.

    `history["val_loss"]` is a list, and so is `history.val_loss`. `stopped` says why training ended before its last
    epoch ("early stopping", "callback" or "interrupt"); it is None if it did not. `skipped` is the number of updates
    left out because numbers were not finite. `best_epoch` is counted from 0; it is None without early stopping.

    >>> history = History()
    >>> history.add({"loss": 2.0, "lr": 0.1})
    >>> history.add({"loss": 1.0, "lr": 0.1})
    >>> history.loss, len(history)
    ([2.0, 1.0], 2)
    """

    def __init__(self) -> None:
        self.columns: dict[str, list[float]] = {}
        self.stopped: str | None = None
        self.skipped = 0
        self.best_epoch: int | None = None

    def add(self, row: dict[str, float]) -> None:
        """Append an epoch."""
        for name, value in row.items():
            self.columns.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> list[float]:
        return self.columns[name]

    def __getattr__(self, name: str) -> list[float]:
        try:
            return self.__dict__["columns"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(f"the history has no {name!r}") from None

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return max(map(len, self.columns.values()), default=0)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the loss, and the validation loss, over the epochs; return the figure, or write it to a file.

        Needs the package matplotlib (`pip install rnncore[apps]`).
        """
        try:
            from matplotlib.figure import Figure
            from matplotlib.ticker import MaxNLocator
        except ImportError:
            raise ImportError("plot needs the package matplotlib: pip install 'rnncore[apps]'") from None
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        for name, label in (("loss", "training"), ("val_loss", "validation")):
            if name in self.columns:
                values = self.columns[name]
                axes.plot(range(1, len(values) + 1), values, label=label)
        if self.best_epoch is not None:
            axes.axvline(self.best_epoch + 1, color="0.6", linestyle=":", label="best")
        drawn = [value for name in ("loss", "val_loss") for value in self.columns.get(name, []) if math.isfinite(value)]
        if drawn and min(drawn) > 0 and max(drawn) > 20 * min(drawn):
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
        if path is None:
            return figure
        figure.savefig(os.fspath(path), dpi=150)
        return None

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.columns.items() if values)
        ended = f", ended by {self.stopped}" if self.stopped else ""
        return f"History({len(self)} epochs: {last}{ended})" if last else f"History(0 epochs{ended})"
