"""A running mean of the parameters, which often forecasts better than the last of them (Polyak & Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rnncore.arguments import Array, check_size
from rnncore.training.progress import Progress


class RunningMean:
    """A callback of `fit` that averages the parameters exponentially over the last `updates` updates or so.

    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.Linear(8, 2, seed=0))
    >>> mean = rnncore.training.RunningMean(model, updates=2)
    >>> history = model.fit((np.ones((5, 4, 3)), np.ones((5, 4, 2))), epochs=3, callbacks=[mean], progress=False)
    >>> with mean.applied():
    ...     y, hx = model(np.ones((5, 4, 3)))
    """

    def __init__(self, model: Any, updates: int = 50) -> None:
        self.model = model
        self.updates = check_size("updates", updates, 1)
        self.parameters: Array = model.parameters.copy()

    def __call__(self, progress: Progress) -> None:
        """Take notice of an update."""
        if progress.event == "update":
            mean = self.parameters
            mean += (self.model.parameters - mean) * mean.dtype.type(1 / self.updates)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Lend the model the mean for a while."""
        own = self.model.parameters.copy()
        self.model.parameters[...] = self.parameters
        try:
            yield
        finally:
            self.model.parameters[...] = own
