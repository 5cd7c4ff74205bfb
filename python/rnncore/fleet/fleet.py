"""Many models of one architecture, each with its own parameters and data: called and trained in one call."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore import arguments
from rnncore.arguments import Array
from rnncore.fleet.file import read_fleet, write_fleet
from rnncore.fleet.stream import FleetStream
from rnncore.fleet.training import each_of, fit
from rnncore.memory import aligned_empty
from rnncore.models.call import Call
from rnncore.sequential import Sequential

__all__ = ["Fleet"]


@dataclass(frozen=True, slots=True, eq=False)
class FleetCache:
    """What `Fleet.forward` keeps for `backward`."""

    _owner: Fleet
    _calls: list[Call]
    _engines: list[Any]


@dataclass(frozen=True, slots=True, eq=False)
class FleetGradients:
    """The gradients of all models."""

    parameters: Array
    """(K, P)."""
    x: Any
    """By the inputs, in their form; None if they were not asked for, or hold labels."""
    hx: list[Any]
    """By the initial states."""


class Fleet:
    """K models of one architecture: one small net for each of thousands of sensors or shops, an ensemble, a population.

    Each has its own parameters, a row of one array (K, P), its own data, rows and lengths. Threads share the models:
    each is worked on by one thread, and has the bits that it has alone.

    Parameters
    ----------
    model
        A `Sequential`; all begin as copies of it.
    size
        K, at least 1.

    Attributes
    ----------
    parameters
        (K, P), writable: row k is `fleet[k].parameters`.
    members
        The models; `fleet[k]` gives one. They save, evaluate and stream as any other.

    Raises TypeError for what is no Sequential, ValueError for a size below 1.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.LSTM(1, 8, seed=0), rnncore.Linear(8, 1, seed=0))
    >>> fleet = rnncore.Fleet(model, 3)
    >>> waves = np.sin(np.arange(101) / np.array([3.0, 5.0, 8.0])[:, None])[..., None, None]  # (K, T + 1, N, 1)
    >>> history = fleet.fit((waves[:, :-1], waves[:, 1:]), k1=20, epochs=20, lr=0.02)
    >>> history.loss.shape, bool((history.loss[-1] < 0.3 * history.loss[0]).all())
    ((20, 3), True)
    >>> y, hx = fleet(waves[:, :-1])
    >>> y.shape, bool((y[1] == fleet[1](waves[1, :-1])[0]).all())
    ((3, 100, 1, 1), True)
    """

    def __init__(self, model: Sequential, size: int) -> None:
        if not isinstance(model, Sequential):
            raise TypeError(f"model should be a Sequential, got {type(model).__name__}")
        if model.weights is not None:
            raise ValueError(f"model: a fleet needs float32 weights, the model has them in {model.weights}")
        count = arguments.check_size("size", size, 1)
        self.parameters = aligned_empty(count * model.parameter_count, model.dtype).reshape(count, -1)
        self.members = tuple(copy.deepcopy(model) for _ in range(count))
        for member, row in zip(self.members, self.parameters, strict=True):
            member._adopt(row)
            member._adopt_all()

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, k: int) -> Sequential:
        try:
            return self.members[k]
        except IndexError:
            raise IndexError(f"there is no model {k} among {len(self)}") from None

    def __iter__(self) -> Iterator[Sequential]:
        return iter(self.members)

    def __repr__(self) -> str:
        return f"Fleet({self.members[0]!r}, {len(self)})"

    # ---- calls

    def __call__(
        self, x: Any, hx: Any = None, *, lengths: Any = None, resets: Any = None, num_threads: int | None = None
    ) -> tuple[Any, list[Any]]:
        """Run all models for inference.

        Each argument holds what each model's own call takes, one for each: an array (K, ...) or a list of K. Returns
        y, (K, ...) if all have one shape, else a list, and the list of the final states. Raises as a model does, and
        ValueError for another number than K.
        """
        y, states, _, _ = self._forward(x, hx, lengths, resets, num_threads, False)
        return y, states

    def forward(
        self, x: Any, hx: Any = None, *, lengths: Any = None, resets: Any = None, num_threads: int | None = None
    ) -> tuple[Any, list[Any], FleetCache]:
        """Run all models for training; returns y, the final states and a cache, which refers to x, hx and y."""
        y, states, calls, engines = self._forward(x, hx, lengths, resets, num_threads, True)
        return y, states, FleetCache(self, calls, engines)

    def _forward(
        self, x: Any, hx: Any, lengths: Any, resets: Any, num_threads: int | None, keep: bool
    ) -> tuple[Any, list[Any], list[Call], list[Any]]:
        threads = arguments.check_threads(num_threads)
        each = zip(
            self.members,
            each_of(self, x, "x"),
            each_of(self, hx, "hx"),
            each_of(self, lengths, "lengths"),
            each_of(self, resets, "resets"),
            strict=True,
        )
        calls = [Call(member, *own) for member, *own in each]
        y = _joined([call.output_shape for call in calls], self.parameters.dtype)
        finals = [call.empty_states() for call in calls]
        told = [
            (
                call.model._parameters, call.x, call.initial, call.outputs(own), final, call.lengths, call.resets,
                call.model._dropout_keys() if keep else None,
            )
            for call, own, final in zip(calls, y, finals, strict=True)
        ]  # fmt: skip
        engines = self.members[0]._engine.forward_all(told, keep, 0, threads)
        return y, [call.join(final) for call, final in zip(calls, finals, strict=True)], calls, engines

    def backward(
        self,
        cache: FleetCache,
        dy: Any = None,
        dhx: Any = None,
        *,
        input_gradient: bool = True,
        num_threads: int | None = None,
    ) -> FleetGradients:
        """Return the gradients of all models from those by y and by the final states, in their form."""
        arguments.check_owner(cache, self)
        threads = arguments.check_threads(num_threads)
        calls, dtype = cache._calls, self.parameters.dtype
        total = np.zeros_like(self.parameters)
        wanted = input_gradient and not self.members[0].takes_labels
        dx = _joined([call.input_shape for call in calls], dtype) if wanted else None
        starts = [call.empty_states() for call in calls]
        told = []
        each = zip(calls, each_of(self, dy, "dy"), each_of(self, dhx, "dhx"), strict=True)
        for k, (call, d_own, d_state) in enumerate(each):
            d_y = None if d_own is None else arguments.as_shaped(d_own, "dy", dtype, call.output_shape)
            d_y = None if d_y is None else call.outputs(d_y if call.model.per_step else np.ascontiguousarray(d_y))
            d_final = None if d_state is None else call.states_of(d_state, "dhx", optional=True)
            own_dx = None if dx is None else call.by_time(dx[k])
            told.append((cache._engines[k], call.model._parameters, d_y, d_final, own_dx, starts[k], total[k]))
        self.members[0]._engine.backward_all(told, threads)
        return FleetGradients(total, dx, [call.join(start) for call, start in zip(calls, starts, strict=True)])

    # ---- training, operation, files

    fit = fit

    def stream(self, batch_size: int = 1, num_threads: int | None = None) -> FleetStream:
        """Open a stream of as many rows of each model: `FleetStream` says what it can do."""
        return FleetStream(self, batch_size, num_threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all models to one file, which `Fleet.load` reads.

        >>> import numpy as np, os, rnncore, tempfile
        >>> fleet = rnncore.Fleet(rnncore.Sequential(rnncore.GRU(1, 2, seed=0)), 3)
        >>> fleet.parameters[1] = 0.5
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fleet.save(os.path.join(folder, "fleet.safetensors"))
        ...     twin = rnncore.Fleet.load(os.path.join(folder, "fleet.safetensors"))
        >>> len(twin), bool((twin.parameters == fleet.parameters).all())
        (3, True)
        """
        write_fleet(path, self.members[0], self.parameters)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Fleet:
        """Read a file of `save`, or a checkpoint of `fit`. Raises as `rnncore.load` does."""
        model, parameters, _, _ = read_fleet(path, Sequential)
        fleet = cls(model, len(parameters))
        fleet.parameters[...] = parameters
        return fleet


def _joined(shapes: list[tuple[int, ...]], dtype: Any) -> Any:
    """Allocate an array for each shape: one for all of them, if they are equal."""
    if all(shape == shapes[0] for shape in shapes):
        return arguments.empty((len(shapes), *shapes[0]), dtype)
    return [arguments.empty(shape, dtype) for shape in shapes]
