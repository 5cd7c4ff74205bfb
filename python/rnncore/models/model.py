"""A model: layers one behind the other, over one flat vector of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rnncore import _core, arguments
from rnncore.arguments import Array
from rnncore.layers.dropout import Dropout
from rnncore.layers.embedding import Embedding
from rnncore.layers.last_step import LastStep
from rnncore.layers.layer_norm import LayerNorm
from rnncore.layers.linear import Linear
from rnncore.layers.module import Gradients, Layout, Module
from rnncore.layers.recurrent import RecurrentLayer
from rnncore.models.call import Call, describe

__all__ = ["Layer", "Model", "ModelCache", "ModelGradients"]

Layer: TypeAlias = "RecurrentLayer[Any] | Linear | Embedding | LayerNorm | Dropout | LastStep"


@dataclass(frozen=True, slots=True, eq=False)
class ModelCache:
    """What `Model.forward` keeps for `backward`."""

    _owner: Model
    _call: Call
    _engine: _core.ModelCache


@dataclass(frozen=True, slots=True, eq=False)
class ModelGradients(Gradients):
    """The gradients of a model."""

    hx: Any
    """By the initial state, in its form."""


class Model(Module):
    """What `rnncore.Sequential` is, without training and files."""

    layers: tuple[Layer, ...]
    batch_first: bool
    takes_labels: bool
    """Whether x holds integers: the first layer is an Embedding."""
    per_step: bool
    """Whether y has a time axis: there is no LastStep."""
    in_features: int | None
    """The features of x, None if any will do, or if it holds integers."""
    out_features: int | None
    """The features of y, None if there is nothing that fixes them."""

    _fixed = Module._fixed | {"layers", "batch_first", "takes_labels", "per_step", "in_features", "out_features"}
    _names: tuple[str, ...]
    _engine: _core.Model
    _dropping: list[tuple[int, Any]]  # place and layer, of those that have something to drop out
    _recurrent: tuple[RecurrentLayer[Any], ...]

    def __init__(self, *layers: Layer | Mapping[str, Layer]) -> None:
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            named = dict(layers[0])
        else:
            named = {str(k): layer for k, layer in enumerate(layers)}  # type: ignore[misc]
        _check(named)
        self._hold(tuple(named.values()), tuple(named))
        layout: Layout = []
        offset = 0
        for name, layer in named.items():
            layout += [(f"{name}.{own}", offset + start, shape) for own, start, shape in layer._layout]
            offset += layer.parameter_count
        self._allocate(layout, self.layers[0].dtype)
        self._adopt_all()
        self._build()
        self.train()

    def _hold(self, layers: tuple[Any, ...], names: tuple[str, ...]) -> None:
        """Take layers, and what they say of themselves, as the model's."""
        recurrent = tuple(layer for layer in layers if layer._looks_along_time)
        takes, gives = _widths(layers)
        self._set(
            layers=layers,
            batch_first=recurrent[0].batch_first if recurrent else False,
            takes_labels=layers[0].takes_labels,
            per_step=all(layer.per_step for layer in layers),
            in_features=takes,
            out_features=gives,
            _names=names,
            _recurrent=recurrent,
            _dropping=[(k, layer) for k, layer in enumerate(layers) if layer._drops],
        )

    def _build(self) -> None:
        self._set(_engine=_core.Model(self.dtype.name, describe(self.named_layers()), self._weights))

    def _shorten(self, weights: str) -> None:
        super()._shorten(weights)
        self._share()
        self._build()

    def _adopt_all(self) -> None:
        offset = 0
        for layer in self.layers:
            layer._adopt(self._parameters[offset : offset + layer.parameter_count])
            layer._set(_part_of_a_model=True)
            offset += layer.parameter_count

    def _share(self) -> None:
        """Let the layers hold the model's parameters as it does: read-only, in fewer bits."""
        offset = 0
        for layer in self.layers:
            layer._set(_weights=self._weights)
            layer._bind(self._parameters[offset : offset + layer.parameter_count])
            offset += layer.parameter_count

    # ---- calls

    def __call__(
        self,
        x: ArrayLike,
        hx: Any = None,
        *,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> tuple[Array, Any]:
        """Run the model for inference: no dropout, nothing is kept. Returns y and the final state.

        Arguments are those of a recurrent layer's call; x holds integers (T, N) if the first layer is an Embedding. y
        is (T, N, O), zero past a row's length, or (N, O) behind `LastStep`. Raises as the layers do.
        """
        threads = arguments.check_threads(num_threads)
        y, state, _ = Call(self, x, hx, lengths, resets).forward(False, 0, threads)
        return y, state

    def forward(
        self,
        x: ArrayLike,
        hx: Any = None,
        *,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        checkpoint: Any = None,
        num_threads: int | None = None,
    ) -> tuple[Array, Any, ModelCache]:
        """Run the model for training; returns y, the final state and a cache. The cache refers to x, hx and y.

        checkpoint is passed on to the recurrent layers.
        """
        every, threads = arguments.check_checkpoint(checkpoint), arguments.check_threads(num_threads)
        if every and any(layer.bidirectional for layer in self._recurrent):
            raise ValueError(
                f"checkpoint: expected None for a bidirectional layer, it reads the future; got {checkpoint!r}"
            )
        call = Call(self, x, hx, lengths, resets)
        y, state, cache = call.forward(True, every, threads)
        if self._refers_to_y:
            y.flags.writeable = False
        return y, state, ModelCache(self, call, cache)

    def backward(
        self,
        cache: ModelCache,
        dy: ArrayLike | None = None,
        dhx: Any = None,
        *,
        input_gradient: bool = True,
        add_to: Array | None = None,
        num_threads: int | None = None,
    ) -> ModelGradients:
        """Return the gradients of a loss from those by y and by the final state; arguments as of a recurrent layer's.

        There is no `grads.x` if the first layer is an Embedding. Raises as the layers do.
        """
        arguments.check_owner(cache, self)
        threads = arguments.check_threads(num_threads)
        if add_to is None:
            total = np.zeros(self._parameters.size, self.dtype)
        else:
            total = arguments.as_flat_gradient(add_to, "add_to", self._parameters.size, self.dtype)
        dx, d_initial = cache._call.backward(cache._engine, dy, dhx, total, input_gradient, threads)
        return ModelGradients(dx, total, self._layout, d_initial)

    @property
    def _refers_to_y(self) -> bool:
        return self.layers[-1]._refers_to_y

    def _state_arrays(self, hx: Any, rows: int) -> tuple[Array, ...]:
        """Take a state of a batch apart into arrays; its inverse is `_state_of`."""
        states = hx if len(self._recurrent) > 1 else (hx,)
        arrays: list[Array] = []
        for layer, state in zip(self._recurrent, states, strict=True):
            arrays += layer._states(state, "hx", rows, True)
        return tuple(arrays)

    def _state_of(self, arrays: tuple[Array, ...] | None) -> Any:
        """Join arrays of all recurrent layers, of a batch, into a state in the form of the calls."""
        if not arrays:
            return None
        if len(self._recurrent) == 1:
            return self._recurrent[0]._join(arrays)
        states, first = [], 0
        for layer in self._recurrent:
            end = first + len(layer._state_sizes)
            states.append(layer._join(arrays[first:end]))
            first = end
        return tuple(states)

    def _dropout_keys(self) -> Array | None:
        """Draw a key for each layer that drops out in this call, 0 for the others; None if none does."""
        drawing = [(k, layer) for k, layer in self._dropping if layer.training]
        if not drawing:
            return None
        keys = np.zeros(len(self.layers), np.uint64)
        for k, layer in drawing:
            keys[k] = layer._keys.next()
        return keys

    # ---- modes, parts, copies

    def _first(self, count: int) -> Model:
        """Return a model of the first layers on the same parameters, in eval mode: to look at what they give."""
        part = object.__new__(Model)
        part._hold(self.layers[:count], self._names[:count])
        size = sum(layer.parameter_count for layer in part.layers)
        part._set(
            dtype=self.dtype,
            batch_first=self.batch_first,
            training=False,
            _dropping=[],
            _parameters=self._parameters[:size],
            _views={},
            _weights=self._weights,
        )
        part._build()
        return part

    def train(self, mode: bool = True) -> Self:
        """Switch training mode of all layers on or off."""
        for layer in self.layers:
            layer.train(mode)
        super().train(mode)
        return self

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, key: int | str) -> Layer:
        return self.layers[self._names.index(key) if isinstance(key, str) else key]

    def named_layers(self) -> dict[str, Layer]:
        """Name -> layer, in their order."""
        return dict(zip(self._names, self.layers, strict=True))

    def __getstate__(self) -> dict[str, Any]:
        left_out = ("_engine", "_dropping", "_recurrent")
        return {name: value for name, value in super().__getstate__().items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_weights": None})  # until its layers share its parameters
        self._hold(self.layers, self._names)
        self._adopt_all()
        self._build()
        if (weights := state.get("_weights")) is not None:
            self._shorten(weights)

    def __repr__(self) -> str:
        lines = [f"  ({name}): {layer!r}" for name, layer in self.named_layers().items()]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


def _check(named: dict[str, Any]) -> None:
    """Refuse layers that do not fit, before any of them is touched."""
    if not named:
        raise ValueError("a model needs at least one layer, got none")
    for name, layer in named.items():
        if not getattr(layer, "_in_sequence", False):
            raise TypeError(f"layer {name} should be a layer of rnncore, got {type(layer).__name__}")
        if "." in name or not name:
            raise ValueError(f"the name of a layer must hold no dot and not be empty, got {name!r}")
        if layer.__dict__.get("_part_of_a_model"):
            raise ValueError(f"layer {name} ({_kind(layer)}) is part of a model already: copy.deepcopy it")
        if layer.weights is not None:
            raise ValueError(f"layer {name} ({_kind(layer)}) has weights in {layer.weights}: quantize the whole model")
    if len({id(layer) for layer in named.values()}) != len(named):
        raise ValueError("a layer stands in the model twice: copy.deepcopy it")
    if sum(not layer.per_step for layer in named.values()) > 1:
        raise ValueError("a model has at most one LastStep")
    names, layers = list(named), list(named.values())
    given: tuple[str, int] | None = None  # who gives how many features
    for k, (name, layer) in enumerate(named.items()):
        here = f"layer {name} ({_kind(layer)})"
        if layer.dtype != layers[0].dtype:
            raise ValueError(f"{here} is {layer.dtype}, layer {names[0]} ({_kind(layers[0])}) {layers[0].dtype}")
        if layer.takes_labels and k:
            raise ValueError(f"{here} takes integers: it must be the first layer")
        if not layer.per_step and (not k or not layers[k - 1]._looks_along_time):
            above = [f"layer {names[j]} ({_kind(layers[j])})" for j in range(k) if layers[j]._looks_along_time]
            hint = f": put it right behind {above[-1]}, for the same result" if above else ""
            raise ValueError(f"{here} must follow a recurrent layer{hint}")
        if layer._looks_along_time and not all(before.per_step for before in layers[:k]):
            raise ValueError(f"{here} needs all steps, and stands behind a LastStep")
        takes, gives = layer._features()
        if takes is not None and given is not None and takes != given[1]:
            raise ValueError(f"{here} expects {takes} features, {given[0]} gives {given[1]}")
        given = (here, gives) if gives is not None else given
    recurrent = [(name, layer) for name, layer in named.items() if layer._looks_along_time]
    for name, layer in recurrent:
        if layer.batch_first != recurrent[0][1].batch_first:
            raise ValueError(f"layers {recurrent[0][0]} and {name} differ in batch_first")


def _widths(layers: Sequence[Any]) -> tuple[int | None, int | None]:
    """Return the features that a run of layers takes and gives; None where nothing fixes them."""
    takes = gives = None
    for layer in layers:
        into, out = layer._features()
        takes = into if takes is None and gives is None else takes
        gives = gives if out is None else out
    return takes, gives


def _kind(layer: Any) -> str:
    return type(layer).__name__
