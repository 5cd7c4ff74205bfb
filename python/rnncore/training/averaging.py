"""A running mean of the parameters, which often predicts better than the last parameters (Polyak & Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rnncore.arguments import Array, as_shaped, check_positive, check_size
from rnncore.training.progress import Progress


class RunningMean:
    """A callback of `fit` that keeps an exponential mean of the parameters, over about the last `updates` updates.

    Checkpoints of `fit` hold the mean too.

    Parameters
    ----------
    model
        Whose parameters are averaged.
    updates
        About how many of the last updates count, at most.
    share
        They are no more than this part of all updates so far, plus one: the mean forgets where training began.
    keep
        Numbers of updates after which the mean is kept, in `kept`: one course of training tells what shorter ones of
        the same rate would have given.

    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.Linear(8, 2, seed=0))
    >>> mean = rnncore.training.RunningMean(model, updates=2)
    >>> history = model.fit((np.ones((5, 4, 3)), np.ones((5, 4, 2))), epochs=3, callbacks=[mean], progress=False)
    >>> with mean.applied():
    ...     y, hx = model(np.ones((5, 4, 3)))
    >>> course = rnncore.training.RunningMean(model, updates=100, share=0.2, keep=[1, 3])
    >>> history = model.fit((np.ones((5, 4, 3)), np.ones((5, 4, 2))), epochs=3, callbacks=[course], progress=False)
    >>> sorted(course.kept), bool((course.kept[3] == course.parameters).all())
    ([1, 3], True)
    """

    def __init__(self, model: Any, updates: int = 50, share: float | None = None, keep: Sequence[int] = ()) -> None:
        self.model = model
        self.updates = check_size("updates", updates, 1)
        self.share = None if share is None else check_positive("share", share)
        self.keep = tuple(check_size("keep", each, 1) for each in keep)
        self.parameters: Array = model.parameters.copy()
        self.kept: dict[int, Array] = {}
        self.done = 0

    def __call__(self, progress: Progress) -> None:
        """Take notice of an update."""
        if progress.event == "update":
            self.done += 1
            mean = self.parameters
            over = self.updates if self.share is None else min(float(self.updates), 1 + self.share * self.done)
            mean += (self.model.parameters - mean) * mean.dtype.type(1 / over)
            if self.done in self.keep:
                self.kept[self.done] = mean.copy()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the mean, the number of updates, and what was kept."""
        kept = {f"after {done}": mean.copy() for done, mean in self.kept.items()}
        return {"parameters": self.parameters.copy(), "done": self.done, **kept}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where the mean was saved; ValueError for one of another model."""
        like = self.parameters.dtype, self.parameters.shape
        means = {name: as_shaped(value, name, *like) for name, value in state_dict.items() if name != "done"}
        self.parameters[...] = means.pop("parameters")
        self.kept = {int(name.removeprefix("after ")): mean.copy() for name, mean in means.items()}
        self.done = int(state_dict.get("done", 0))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the mean as its parameters, and its own back at the end of the `with` block."""
        own = self.model.parameters.copy()
        self.model.parameters[...] = self.parameters
        try:
            yield
        finally:
            self.model.parameters[...] = own
