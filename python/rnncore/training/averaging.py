"""A running mean of the parameters, which often predicts better than the last parameters (Polyak & Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rnncore.arguments import Array, as_shaped, check_size
from rnncore.training.progress import Progress


class RunningMean:
    """A callback of `fit` that keeps an exponential mean of the parameters, over about the last `updates` updates.

    Checkpoints of `fit` hold the mean too.

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

    def state_dict(self) -> dict[str, Array]:
        """Return what a checkpoint keeps: the mean."""
        return {"parameters": self.parameters.copy()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where the mean was saved; ValueError for one of another model."""
        self.parameters[...] = as_shaped(
            state_dict["parameters"], "parameters", self.parameters.dtype, self.parameters.shape
        )

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the mean as its parameters, and its own back at the end of the `with` block."""
        own = self.model.parameters.copy()
        self.model.parameters[...] = self.parameters
        try:
            yield
        finally:
            self.model.parameters[...] = own
