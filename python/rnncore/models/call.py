"""A model's call: from the caller's arrays to the compiled engine and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnncore import _core, arguments
from rnncore.arguments import Array, Shape
from rnncore.layers.recurrent import RecurrentLayer
from rnncore.layers.state import State


def describe(named: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the layers as the engine takes them: name, kind (of a recurrent one its cell) and options."""
    return [(name, *layer._described()) for name, layer in named.items()]


def engine_of(layer: Any) -> _core.Model:
    """Return the engine's model of one layer alone."""
    return _core.Model(layer.dtype.name, describe({"0": layer}), layer.weights)


class Call:
    """The arguments of one call, checked, in the form that the engine takes; and what it gives, in the caller's form.

    Raises as the layers do.
    """

    __slots__ = ("batched", "initial", "leading", "lengths", "model", "recurrent", "resets", "rows", "steps", "x")

    def __init__(self, model: Any, x: Any, hx: Any, lengths: Any, resets: Any) -> None:
        self.model = model
        self.x: Array
        self.steps: int
        self.rows: int
        self.recurrent: tuple[RecurrentLayer[Any], ...] = model._recurrent
        self._read_input(x)
        steps, rows, batched, batch_first = self.steps, self.rows, self.batched, model.batch_first
        self.lengths = None if lengths is None else arguments.as_lengths(lengths, steps, rows, batched)
        if model.takes_labels:
            valid = None if self.lengths is None else np.arange(steps)[:, None] < self.lengths
            self.x = self._labels(valid)
        self.resets = None if resets is None else arguments.as_resets(resets, steps, rows, batched, batch_first)
        self.initial = None if hx is None else self.states_of(hx, "hx")

    def _read_input(self, x: Any) -> None:
        """View x as (T, N, I), labels as (T, N), and tell whether it has a batch axis."""
        model = self.model
        labels = model.takes_labels
        values = arguments.as_integers(x, "x") if labels else arguments.as_real(x, "x", model.dtype)
        shape = values.shape
        axes = 2 if labels else 3
        if len(shape) not in (axes - 1, axes):
            raise ValueError(f"x: expected {axes - 1} or {axes} dimensions, got shape {shape}")
        features = model.in_features
        if features is not None and shape[-1] != features:
            raise ValueError(f"x has {shape[-1]} features, the model expects {features}")
        self.batched = len(shape) == axes
        self.leading: Shape = shape if labels else shape[:-1]  # of y and dx too, in the caller's form
        self.x = self.by_time(values)
        self.steps, self.rows = self.x.shape[:2]

    def _labels(self, valid: Array | None) -> Array:
        """Check labels in the caller's form, so that an error names the place in it."""
        count = self.model.layers[0].num_embeddings
        turned = self.batched and self.model.batch_first
        given = self.x.T if turned else self.x if self.batched else self.x[:, 0]
        chosen = None if valid is None else valid.T if turned else valid if self.batched else valid[:, 0]
        labels = arguments.as_labels(given, "x", count, given.shape, chosen)
        return labels.T if turned else labels if self.batched else labels[:, None]

    # ---- states

    def states_of(self, hx: Any, name: str, *, optional: bool = False) -> tuple[Any, ...]:
        """Take a state apart into the arrays of all recurrent layers, one behind the other."""
        count = len(self.recurrent)
        if count == 0:
            raise ValueError(f"{name}: the model has no recurrent layer, expected None")
        states = [hx] if count == 1 else list(hx) if isinstance(hx, (tuple, list)) else None
        if states is None or len(states) != count:
            given = type(hx).__name__ if states is None else f"{len(states)} of them"
            raise ValueError(f"{name}: expected a tuple of {count} states, one for each recurrent layer, got {given}")
        arrays: list[Any] = []
        for layer, state in zip(self.recurrent, states, strict=True):
            if state is None:
                arrays += [None] * len(layer._state_sizes)
                continue
            batched = self.batched or isinstance(state, State)  # a stream's has its rows
            arrays += layer._states(state, name, self.rows, batched, optional=optional)
        return tuple(arrays)

    def empty_states(self) -> tuple[Array, ...]:
        """Allocate the arrays of all recurrent layers."""
        arrays: list[Array] = []
        for layer in self.recurrent:
            arrays += layer._empty_states(self.rows)
        return tuple(arrays)

    def join(self, arrays: tuple[Array, ...]) -> Any:
        """Give the states their form: none, that of the one recurrent layer, or a tuple."""
        states = []
        first = 0
        for layer in self.recurrent:
            end = first + len(layer._state_sizes)
            own = arrays[first:end]
            states.append(layer._join(own, self.batched))
            first = end
        return None if not states else states[0] if len(states) == 1 else tuple(states)

    # ---- outputs

    @property
    def output_shape(self) -> Shape:
        """Of y, in the caller's form."""
        columns = self.model.out_features
        columns = self.x.shape[-1] if columns is None else columns
        if not self.model.per_step:
            return (self.rows, columns) if self.batched else (columns,)
        return (*self.leading, columns)

    @property
    def input_shape(self) -> Shape:
        """Of x, in the caller's form."""
        return (*self.leading, self.x.shape[-1])

    def by_time(self, array: Array) -> Array:
        """View an array in the form of x as (T, N, ...)."""
        if not self.batched:
            return array[:, None]
        return array.swapaxes(0, 1) if self.model.batch_first else array

    def outputs(self, array: Array) -> Array:
        """View an array in the form of y as (T, N, O), or (N, O) behind a LastStep."""
        if self.model.per_step:
            return self.by_time(array)
        return array if self.batched else array[None]

    # ---- the engine

    def forward(self, keep: bool, checkpoint: int, threads: int) -> tuple[Array, Any, Any]:
        """Return y, the final state, and the engine's cache, or None if it is not to be kept."""
        model = self.model
        y = arguments.empty(self.output_shape, model.dtype)
        final = self.empty_states()
        keys = model._dropout_keys() if keep else None  # last, so that a refused call changes nothing
        cache = model._engine.forward(
            model._parameters, self.x, self.initial, self.outputs(y), final, self.lengths, self.resets, keys, keep,
            checkpoint, threads,
        )  # fmt: skip
        return y, self.join(final), cache

    def backward(
        self, cache: _core.ModelCache, dy: Any, dhx: Any, total: Array, input_gradient: bool, threads: int
    ) -> tuple[Array | None, Any]:
        """Add to the flat gradient; return the gradients by x and by the initial state."""
        model = self.model
        d_output = None if dy is None else arguments.as_shaped(dy, "dy", model.dtype, self.output_shape)
        d_final = None if dhx is None else self.states_of(dhx, "dhx", optional=True)
        if d_output is not None:
            d_output = self.outputs(d_output if model.per_step else np.ascontiguousarray(d_output))
        wanted = input_gradient and not model.takes_labels
        dx = arguments.empty(self.input_shape, model.dtype) if wanted else None
        d_initial = self.empty_states()
        own_dx = None if dx is None else self.by_time(dx)
        model._engine.backward(cache, model._parameters, d_output, d_final, own_dx, d_initial, total, threads)
        return dx, self.join(d_initial)
