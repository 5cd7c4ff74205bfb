"""What callbacks are told, and the line that shows how training goes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Progress:
    """Where `fit` stands, after each update and after each epoch."""

    event: Literal["update", "epoch"]
    epoch: int
    epochs: int
    batch: int
    """The number of the last batch done in this epoch."""
    batches: int | None
    """How many batches an epoch has, None if that is not known."""
    update: int
    """How many updates there were so far, in all epochs."""
    loss: float
    """The loss of this batch; after an epoch, that of the epoch."""
    epoch_loss: float
    """The mean loss since the epoch began."""
    lr: float
    model: Any
    optimizer: Any
    history: Any


Callback: TypeAlias = Callable[[Progress], object]


class Display:
    """A bar for each epoch if tqdm is installed, otherwise a line for each; nothing if none is wanted.

    >>> Display(False, 3).epoch_begins(0, None)
    """

    def __init__(self, wanted: bool, epochs: int) -> None:
        self.epochs = epochs
        self._bar: Any = None
        self._tqdm: Any = None
        self._wanted = wanted
        if wanted:
            try:
                from tqdm import tqdm
            except ImportError:
                tqdm = None
            self._tqdm = tqdm

    def epoch_begins(self, epoch: int, batches: int | None, done: int = 0) -> None:
        """Open a bar."""
        if self._tqdm is not None:
            name = f"epoch {epoch + 1}/{self.epochs}"
            self._bar = self._tqdm(total=batches, initial=done, desc=name, file=sys.stderr, unit="batch", leave=True)

    def update(self, loss: float) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
            self._bar.update()

    def epoch_ends(self, epoch: int, row: dict[str, float]) -> None:
        """Show what the epoch gave."""
        if not self._wanted:
            return
        told = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
        if self._bar is not None:
            self._bar.set_postfix_str(told, refresh=True)
            self.close()
        else:
            print(f"epoch {epoch + 1}/{self.epochs}: {told}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave no bar open."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
