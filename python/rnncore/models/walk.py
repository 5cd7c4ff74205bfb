"""A batch's way through the layers of a model and back.

What lies between recurrent layers is worked on for valid steps alone: those are picked into (V, F) before the first
layer that does not look along time, and put back, zeros elsewhere, before the next that does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore import arguments
from rnncore.arguments import Array, Shape
from rnncore.layers.embedding import ByNumber, Embedding
from rnncore.layers.last_step import LastStep
from rnncore.layers.layer_norm import LayerNorm
from rnncore.layers.linear import Linear
from rnncore.layers.recurrent import RecurrentLayer
from rnncore.layers.state import State

# A recurrent layer takes an embedding's rows by number where each comes so often, on average. Where they come less
# often, the table of their products leaves the caches and costs more than it saves. So it stays small beside y, too.
REPEATS = 16


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of a model's call, as they came."""

    model: Any
    x: Any
    hx: Any
    lengths: Any
    resets: Any
    num_threads: int | None
    checkpoint: Any = None


def widths(layers: Sequence[Any]) -> tuple[int | None, int | None]:
    """Return the features that a run of layers takes and gives; None where nothing fixes them."""
    takes = gives = None
    for layer in layers:
        into, out = _width(layer)
        takes = into if takes is None and gives is None else takes
        gives = gives if out is None else out
    return takes, gives


def _width(layer: Any) -> tuple[int | None, int | None]:
    if isinstance(layer, RecurrentLayer):
        return layer.input_size, layer._width
    if isinstance(layer, Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, Embedding):
        return None, layer.embedding_dim
    if isinstance(layer, LayerNorm):
        return layer.normalized_shape, layer.normalized_shape
    return None, None


class Walk:
    """One call: reads the arguments, and remembers what backward needs."""

    output_shape: Shape

    def __init__(self, call: Call, states: int) -> None:
        model = call.model
        self.call = call
        self.time_axis = 1 if model.batch_first else 0
        self.x, self.batched = self._input(model, call.x)
        leading = self.x.shape[:2]
        steps, rows = leading[self.time_axis], leading[1 - self.time_axis]
        self.lengths: Array | None = None
        self.valid: Array | None = None
        if call.lengths is not None:
            self.lengths = arguments.as_lengths(call.lengths, steps, rows, self.batched)
            if (self.lengths < steps).any():
                by_time = np.arange(steps)[:, None] < self.lengths
                self.valid = by_time.T if self.time_axis else by_time
        if model.takes_labels:
            self.x = arguments.as_labels(self.x, "x", model.layers[0].num_embeddings, self.x.shape, self.valid)
        self.resets = None
        if call.resets is not None:
            resets = arguments.as_resets(call.resets, steps, rows, self.batched, model.batch_first)
            self.resets = resets.T if self.time_axis else resets
        self.hx = self.states_of(call.hx, "hx", states)
        self.caches: list[Any] = []
        self.picked: list[bool] = []

    def _input(self, model: Any, x: Any) -> tuple[Array, bool]:
        """View x as (T, N, ...), or (N, T, ...) if batch_first, and tell whether it has a batch axis."""
        axes = 2 if model.takes_labels else 3
        values = arguments.as_integers(x, "x") if model.takes_labels else arguments.as_real(x, "x", model.dtype)
        if values.ndim not in (axes - 1, axes):
            raise ValueError(f"x: expected {axes - 1} or {axes} dimensions, got shape {values.shape}")
        features = model.in_features
        if features is not None and values.shape[-1] != features:
            raise ValueError(f"x has {values.shape[-1]} features, the model expects {features}")
        batched = values.ndim == axes
        return (values if batched else np.expand_dims(values, 1 - self.time_axis)), batched

    def states_of(self, hx: Any, name: str, count: int) -> list[Any]:
        """Take a state apart, one for each recurrent layer; each gets a batch axis."""
        if hx is None:
            return [None] * count
        if count == 0:
            raise ValueError(f"{name}: the model has no recurrent layer, expected None")
        states = [hx] if count == 1 else list(hx) if isinstance(hx, (tuple, list)) else None
        if states is None or len(states) != count:
            given = type(hx).__name__ if states is None else f"{len(states)} of them"
            raise ValueError(f"{name}: expected a tuple of {count} states, one for each recurrent layer, got {given}")
        return states if self.batched else [_each(state, lambda array: np.expand_dims(array, 1)) for state in states]

    # ---- forward

    def infer(self, layers: Sequence[Any]) -> tuple[Array, Any]:
        """Return y and the final state."""
        return self._go(layers, False)

    def forward(self, layers: Sequence[Any]) -> tuple[Array, Any]:
        """The same, for training; keeps the caches."""
        y, state = self._go(layers, True)
        self.output_shape = y.shape
        return y, state

    def _go(self, layers: Sequence[Any], keep: bool) -> tuple[Array, Any]:
        values: Any = self.x
        picked, per_step = False, True
        given, final, threads = iter(self.hx), [], self.call.num_threads
        for place, layer in enumerate(layers):
            cache = None
            if isinstance(layer, RecurrentLayer):
                values, picked = self._put_back(values) if picked else values, False
                rows: dict[str, Any] = {"lengths": self.lengths, "resets": self.resets, "num_threads": threads}
                if keep and self.call.checkpoint is not None:
                    rows["checkpoint"] = self.call.checkpoint
                if keep:
                    values, state, cache = layer.forward(values, next(given), **rows)
                else:
                    values, state = layer(values, next(given), **rows)
                final.append(state)
            elif isinstance(layer, LastStep):
                values, per_step = _top(final[-1], layers[len(self.caches) - 1]), False
            elif place == 0 and (numbers := self._numbers(layers)):
                table, cache = layer.forward(numbers[0])
                values = ByNumber(table, numbers[1])
            else:
                if per_step and self.valid is not None and not picked:
                    values, picked = values[self.valid], True
                more = {"num_threads": threads} if isinstance(layer, Linear) else {}
                values, cache = layer.forward(values, **more) if keep else (layer(values, **more), None)
            self.caches.append(cache)
            self.picked.append(picked)
        y = self._put_back(values) if picked else values
        return self._like_input(y, per_step), self._join(final)

    def _numbers(self, layers: Sequence[Any]) -> tuple[Array, Array] | None:
        """Return the distinct numbers that x holds, and the place of each step's among them, (T, N).

        Only where a recurrent layer takes the rows of an Embedding, and each of them REPEATS times or more.
        """
        if not isinstance(layers[0], Embedding) or not any(isinstance(layer, RecurrentLayer) for layer in layers[1:2]):
            return None
        valid = self.x if self.valid is None else self.x[self.valid]
        rows, places = np.unique(valid, return_inverse=True)
        if not 0 < REPEATS * rows.size <= valid.size:
            return None
        labels = places.reshape(self.x.shape) if self.valid is None else self._put_back(places)
        return rows, np.ascontiguousarray(labels.T if self.time_axis else labels)

    def _put_back(self, values: Array) -> Array:
        """(V, F) -> (T, N, F), zeros past the rows' lengths."""
        assert self.valid is not None
        whole = np.zeros((*self.valid.shape, *values.shape[1:]), values.dtype)
        whole[self.valid] = values
        return whole

    def _like_input(self, y: Array, per_step: bool) -> Array:
        return y if self.batched else y[0] if not per_step else y.take(0, axis=1 - self.time_axis)

    def _join(self, states: list[Any]) -> Any:
        """Give the states their form: none, that of the one recurrent layer, or a tuple."""
        if not self.batched:
            states = [_each(state, lambda array: array[:, 0]) for state in states]
        return None if not states else states[0] if len(states) == 1 else tuple(states)

    # ---- backward

    def backward(
        self,
        layers: Sequence[Any],
        dy: Array | None,
        d_final: list[Any],
        total: Array,
        input_gradient: bool,
        threads: int | None,
    ) -> tuple[Array | None, Any]:
        """Add to the flat gradient; return the gradients by x and by the initial state."""
        per_step = not any(isinstance(layer, LastStep) for layer in layers)
        values = dy
        if dy is not None and not self.batched:
            values = np.expand_dims(dy, 1 - self.time_axis if per_step else 0)
        picked, end, place = False, total.size, len(d_final)
        d_initial: list[Any] = []
        d_top: Array | None = None
        for k in range(len(layers) - 1, -1, -1):
            layer, cache = layers[k], self.caches[k]
            part = total[end - layer.parameter_count : end]
            end -= layer.parameter_count
            wanted = input_gradient or end > 0  # a layer below learns
            if isinstance(layer, RecurrentLayer):
                values = self._put_back(values) if picked and values is not None else values
                place -= 1
                d_state = _with_top(d_final[place], d_top, layer)
                grads = layer.backward(cache, values, d_state, input_gradient=wanted, add_to=part, num_threads=threads)
                d_initial.insert(0, grads.hx)
                values, picked, d_top = grads.x if wanted else None, False, None
            elif isinstance(layer, LastStep):
                d_top, values = values, None
            elif values is not None:
                if self.picked[k] and not picked:
                    values, picked = values[self.valid], True
                more = {"num_threads": threads} if isinstance(layer, Linear) else {}
                if isinstance(layer, Embedding):
                    layer.backward(cache, values, add_to=part)
                    values = None
                else:
                    values = layer.backward(cache, values, input_gradient=wanted, add_to=part, **more)._x
        if values is None and input_gradient and not isinstance(layers[0], Embedding):
            values = np.zeros(self.x.shape, total.dtype)  # dy was None, and nothing recurrent lies below
        if values is not None:
            values = self._like_input(self._put_back(values) if picked else values, True)
        return values, self._join(d_initial)


def _each(state: Any, change: Any) -> Any:
    """Change each array of a state, which may be None, a State, an array or a tuple (h, c)."""
    if state is None or isinstance(state, State):  # that of a stream, with its batch axis
        return state
    return (
        tuple(_each(part, change) for part in state) if isinstance(state, (tuple, list)) else change(np.asarray(state))
    )


def _top(state: Any, layer: Any) -> Array:
    """(L*D, N, H) -> (N, D*H): h of the top layer, its directions side by side."""
    h = state[0] if isinstance(state, tuple) else state
    top = h[-2:] if layer.bidirectional else h[-1:]
    joined: Array = np.concatenate(list(top), axis=1)
    return joined


def _with_top(d_state: Any, d_top: Array | None, layer: Any) -> Any:
    """Add the gradient by the top layer's h to that by the final state."""
    if d_top is None:
        return d_state
    parts = list(d_state) if isinstance(d_state, (tuple, list)) else [d_state]
    directions = 2 if layer.bidirectional else 1
    dh = np.zeros((layer.num_layers * directions, len(d_top), layer._width // directions), d_top.dtype)
    if parts[0] is not None:
        dh += np.asarray(parts[0], d_top.dtype)
    for direction in range(directions):
        place = direction - directions
        dh[place] += d_top[:, direction * dh.shape[2] : (direction + 1) * dh.shape[2]]
    if len(layer._state_sizes) == 1:
        return dh
    return (dh, parts[1] if len(parts) > 1 else None)
