"""Many models of one architecture, each with its own parameters and data: called and trained in one call."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnncore import _core, arguments
from rnncore.arguments import Array
from rnncore.memory import aligned_empty
from rnncore.models.call import Call
from rnncore.sequential import Sequential
from rnncore.stream import Stream
from rnncore.training.engine import EngineStep, Sight
from rnncore.training.fitting import as_optimizer
from rnncore.training.sources import as_source
from rnncore.training.step import as_loss

__all__ = ["Fleet", "FleetStream"]


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
    >>> losses = fleet.fit((waves[:, :-1], waves[:, 1:]), k1=20, epochs=20, lr=0.02)
    >>> losses.shape, bool((losses[-1] < 0.3 * losses[0]).all())
    ((20, 3), True)
    >>> y, hx = fleet(waves[:, :-1])
    >>> y.shape, bool((y[1] == fleet[1](waves[1, :-1])[0]).all())
    ((3, 100, 1, 1), True)
    """

    def __init__(self, model: Sequential, size: int) -> None:
        if not isinstance(model, Sequential):
            raise TypeError(f"model should be a Sequential, got {type(model).__name__}")
        count = arguments.check_size("size", size, 1)
        self.parameters = aligned_empty(count * model.parameter_count, model.dtype).reshape(count, -1)
        self.members = tuple(copy.deepcopy(model) for _ in range(count))
        for member, row in zip(self.members, self.parameters, strict=True):
            member._adopt(row)
            member._adopt_all()

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, k: int) -> Sequential:
        return self.members[k]

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
            self._each(x, "x"),
            self._each(hx, "hx"),
            self._each(lengths, "lengths"),
            self._each(resets, "resets"),
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
        each = zip(calls, self._each(dy, "dy"), self._each(dhx, "dhx"), strict=True)
        for k, (call, d_own, d_state) in enumerate(each):
            d_y = None if d_own is None else arguments.as_shaped(d_own, "dy", dtype, call.output_shape)
            d_y = None if d_y is None else call.outputs(d_y if call.model.per_step else np.ascontiguousarray(d_y))
            d_final = None if d_state is None else call.states_of(d_state, "dhx", optional=True)
            own_dx = None if dx is None else call.by_time(dx[k])
            told.append((cache._engines[k], call.model._parameters, d_y, d_final, own_dx, starts[k], total[k]))
        self.members[0]._engine.backward_all(told, threads)
        return FleetGradients(total, dx, [call.join(start) for call, start in zip(calls, starts, strict=True)])

    def _each(self, values: Any, name: str) -> Sequence[Any]:
        if values is None:
            return [None] * len(self)
        if not hasattr(values, "__len__") or len(values) != len(self):
            given = len(values) if hasattr(values, "__len__") else type(values).__name__
            raise ValueError(f"{name}: expected {len(self)}, one for each model, got {given}")
        return values  # type: ignore[no-any-return]

    # ---- training

    def fit(
        self,
        data: Any,
        *,
        loss: Any = "mse",
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int = 0,
        optimizer: Any = "adam",
        lr: float | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        k1: int | None = None,
        num_threads: int | None = None,
    ) -> Array:
        """Train all models, each on its own data, and return the mean losses, (epochs, K).

        Parameters
        ----------
        data
            A list of K, each what `fit` of a model takes; or a pair (x, target) of arrays (K, ...).
        loss, epochs, batch_size, shuffle, seed, optimizer, lr, clip_norm, clip_value, k1
            As of a model's `fit`, the same for all: the loss one of rnncore's, the optimiser a name.
        num_threads
            At most so many threads for all models together.

        Each model ends with the bits of its own `fit`. Raises as that does, and FloatingPointError that names the model
        whose loss or gradient is not finite: it is left as it was before that update, as are no others.
        """
        count = arguments.check_size("epochs", epochs, 0)
        if k1 is not None:
            arguments.check_size("k1", k1, 1)
        threads = arguments.check_threads(num_threads)
        limits = [None if limit is None else arguments.check_positive(name, limit)
                  for name, limit in (("clip_value", clip_value), ("clip_norm", clip_norm))]  # fmt: skip
        if isinstance(data, tuple) and len(data) == 2:
            data = list(zip(self._each(data[0], "x"), self._each(data[1], "target"), strict=True))
        options: Any = {"batch_size": batch_size, "shuffle": shuffle, "seed": seed, "whole": k1 is not None}
        learners = []
        for k, (member, own) in enumerate(zip(self.members, self._each(data, "data"), strict=True)):
            try:
                learners.append(_Learner(member, own, loss, optimizer, lr, limits, k1, options))
            except (TypeError, ValueError) as error:
                raise type(error)(f"model {k}: {error}") from None
        losses = np.zeros((count, len(self)))
        modes = [member.training for member in self.members]
        for member in self.members:
            member.train()
        try:
            for epoch in range(count):
                losses[epoch] = self._epoch(learners, epoch, threads)
        finally:
            for member, mode in zip(self.members, modes, strict=True):
                member.train(mode)
        return losses

    def _epoch(self, learners: list[_Learner], epoch: int, threads: int) -> list[float]:
        live = [(k, learner, learner.updates(epoch)) for k, learner in enumerate(learners)]
        while live:
            calls, going = [], []
            for k, learner, updates in live:
                if (call := next(updates, None)) is not None:
                    calls.append(call)
                    going.append((k, learner, updates))
            results = _core.step_all([learner.engine._training for _, learner, _ in going], calls, threads)
            for (k, learner, _), (value, weight, fine) in zip(going, results, strict=True):
                if not fine:
                    what = f"the loss is {value:g}" if not np.isfinite(value) else "a gradient is not finite"
                    raise FloatingPointError(f"model {k}, epoch {epoch + 1}: {what}")
                learner.total += value * weight
                learner.weight += weight
            live = going
        return [learner.total / learner.weight if learner.weight else 0.0 for learner in learners]

    # ---- operation

    def stream(self, batch_size: int = 1) -> FleetStream:
        """Open a stream of each model, of so many rows each."""
        return FleetStream([Stream(member, batch_size) for member in self.members])


@dataclass(eq=False)
class _Learner:
    """One model's way through its data."""

    member: Sequential
    data: Any
    loss: Any
    optimizer: Any
    lr: float | None
    limits: list[float | None]
    k1: int | None
    options: dict[str, Any]
    total: float = field(default=0.0, init=False)
    weight: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        function = as_loss(self.loss)
        self.source = as_source(self.data, self.member, function, **self.options)
        gradient = np.zeros_like(self.member.parameters)
        chosen = as_optimizer(self.optimizer, self.member, self.lr)
        engine = EngineStep.of(self.member, function, chosen, gradient, *self.limits, 1)
        if engine is None:
            raise ValueError("a fleet learns with the losses and optimisers of rnncore, got one of the caller's own")
        self.engine = engine

    def updates(self, epoch: int) -> Iterator[tuple[Any, ...]]:
        """Yield the arguments of each step of the engine in this epoch."""
        self.total = self.weight = 0.0
        state: tuple[Array, ...] | None = None
        for batch in self.source.batches(epoch):
            sight = Sight(self.member, self.engine.loss, batch)
            if not sight.fits:
                raise ValueError(f"target of shape {np.shape(batch.target)} does not fit the outputs of the model")
            state = state if self.source.one_series else None
            every = self.k1 or sight.steps
            for begin in range(0, max(sight.steps, 1), max(every, 1)):
                end = min(begin + every, sight.steps)
                call, state = self.engine.call(sight, begin, end, state if self.k1 else None)
                yield call


class FleetStream:
    """The streams of all models of a fleet, `streams`, stepped together.

    >>> import numpy as np, rnncore
    >>> fleet = rnncore.Fleet(rnncore.Sequential(rnncore.GRU(3, 4, seed=0)), 5)
    >>> stream = fleet.stream(batch_size=2)
    >>> stream.step(np.ones((5, 2, 3), "float32")).shape
    (5, 2, 4)
    """

    def __init__(self, streams: list[Stream]) -> None:
        self.streams = streams

    def step(self, x: Any) -> Array:
        """Take one step with every row of every model: x (K, N, I), or (K, I) where N is 1; y in its form."""
        if len(x) != len(self.streams):
            raise ValueError(f"x: expected {len(self.streams)}, one for each model, got {len(x)}")
        return np.stack([stream.step(own) for stream, own in zip(self.streams, x, strict=True)])

    def reset(self) -> None:
        """Set the state of all rows of all models to their start."""
        for stream in self.streams:
            stream.reset()


def _joined(shapes: list[tuple[int, ...]], dtype: Any) -> Any:
    """Allocate an array for each shape: one for all of them, if they are equal."""
    if all(shape == shapes[0] for shape in shapes):
        return arguments.empty((len(shapes), *shapes[0]), dtype)
    return [arguments.empty(shape, dtype) for shape in shapes]
