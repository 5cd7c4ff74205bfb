"""A fleet in operation: one state for each row of each model, stepped in one call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnncore import _core, arguments
from rnncore.arguments import Array, Shape

__all__ = ["FleetStream"]


class FleetStream:
    """Streams of all models of a fleet, stepped together: one call for all, threads share the models.

    Every row of every model has the bits of a `Stream` of that model. The weights are those of the moment of
    construction, or of the last `refresh`. One thread at a time may use it; a refused call changes nothing.

    Parameters
    ----------
    fleet
        Of models with one or more recurrent layers that look backwards only.
    batch_size
        N, the rows of each model.
    num_threads
        At most so many threads for all models; they take part where there is work for them.

    Raises ValueError for models that no stream can have.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> fleet = rnncore.Fleet(rnncore.Sequential(rnncore.GRU(3, 4, seed=0)), 5)
    >>> stream = fleet.stream(batch_size=2)
    >>> y = stream.step(np.ones((5, 2, 3)))
    >>> y.shape, bool((y[1] == rnncore.Stream(fleet[1], 2).step(np.ones((2, 3)))).all())
    ((5, 2, 4), True)
    >>> stream.run(np.ones((5, 10, 2, 3))).shape
    (5, 10, 2, 4)
    """

    def __init__(self, fleet: Any, batch_size: int = 1, num_threads: int | None = None) -> None:
        model = fleet.members[0]
        if not model._recurrent:
            kinds = ", ".join(type(layer).__name__ for layer in model.layers)
            raise ValueError(f"models that stream have a recurrent layer; got {kinds}")
        self.fleet, self.batch_size = fleet, arguments.check_size("batch_size", batch_size, 1)
        self._threads = arguments.check_threads(num_threads)
        self._engine = _core.FleetStream(model._engine, fleet.parameters, len(fleet), self.batch_size)

    def step(self, x: ArrayLike) -> Array:
        """Take one step with every row of every model.

        x is (K, N, I), or (K, I) where N is 1; integers (K, N), or (K,), for an Embedding. y has its form, with O for
        I. Raises ValueError for another shape, TypeError for what holds no real numbers.
        """
        values, y, one_row = self._arrays(x, ())
        self._engine.step(values, y, self._threads)
        return y[:, 0] if one_row else y

    def run(self, x: ArrayLike) -> Array:
        """Take T steps in one go, with the bits of as many: x is (K, T, N, I), or (K, T, I) where N is 1.

        An interrupt (Ctrl-C) leaves all states as they were. Raises as `step` does.
        """
        steps = np.shape(x)[1] if np.ndim(x) > 1 else 0
        values, y, one_row = self._arrays(x, (steps,))
        self._engine.run(values, y, steps, self._threads)
        return y[:, :, 0] if one_row else y

    def _arrays(self, x: ArrayLike, steps: Shape) -> tuple[Array, Array, bool]:
        """Return x with all its axes, room for y, and whether the caller left out that of the rows."""
        model = self.fleet.members[0]
        features = () if model.takes_labels else (model.in_features,)
        values = arguments.as_integers(x, "x") if model.takes_labels else arguments.as_real(x, "x", model.dtype)
        leading = (len(self.fleet), *steps)
        whole, short = (*leading, self.batch_size, *features), (*leading, *features)
        one_row = self.batch_size == 1 and values.shape == short
        if values.shape != whole and not one_row:
            expected = f"{whole} or {short}" if self.batch_size == 1 else str(whole)
            raise ValueError(f"x: expected shape {expected}, got {values.shape}")
        y = arguments.empty((*leading, self.batch_size, model.out_features), model.dtype)
        return np.ascontiguousarray(values).reshape(whole), y, one_row

    @property
    def state(self) -> list[Any]:
        """The states, copies: one for each model, in the form of its call. Assign such a list.

        Raises ValueError for another number of models, and as a model does for a state that does not fit.
        """
        arrays = self._engine.states()
        return [member._state_of(tuple(array[k] for array in arrays)) for k, member in enumerate(self.fleet)]

    @state.setter
    def state(self, states: Any) -> None:
        if not hasattr(states, "__len__") or len(states) != len(self.fleet):
            given = len(states) if hasattr(states, "__len__") else type(states).__name__
            raise ValueError(f"state: expected {len(self.fleet)}, one for each model, got {given}")
        each = [member._state_arrays(own, self.batch_size) for member, own in zip(self.fleet, states, strict=True)]
        self._engine.set_states(tuple(np.stack(arrays) for arrays in zip(*each, strict=True)))

    def reset(self, models: Iterable[int] | None = None) -> None:
        """Set all rows of all models to their start, or those of some models, named by their numbers.

        Raises IndexError for a model that is not there.
        """
        self._engine.reset(list(range(len(self.fleet)) if models is None else models))

    def refresh(self) -> None:
        """Take over the parameters of the fleet as they are now; the states stay."""
        self._engine.replace(self.fleet.parameters)

    def __len__(self) -> int:
        return len(self.fleet)
