"""What every trainable layer has: parameters in one flat vector, named views on it, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np

from rnncore.arguments import Array, DType, Shape, as_real
from rnncore.memory import aligned_empty, at_place, leave, place_of

Layout: TypeAlias = list[tuple[str, int, Shape]]  # (name, offset, shape) in the order of the flat vector


def named_views(vector: Array, layout: Layout) -> dict[str, Array]:
    """Name -> view on a flat vector."""
    return {name: vector[offset : offset + math.prod(shape)].reshape(shape) for name, offset, shape in layout}


_asked: ContextVar[Callable[[Layout], None] | None] = ContextVar("_asked", default=None)


@contextmanager
def asked_first(check: Callable[[Layout], None]) -> Iterator[None]:
    """Call `check` with the layout of what is constructed meanwhile, before its parameters are allocated."""
    token = _asked.set(check)
    try:
        yield
    finally:
        _asked.reset(token)


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """What backward returns: the gradient of the loss by x and by the parameters."""

    _x: Array | None
    parameters: Array
    """Flat, in the order of the layer's own parameters."""
    _layout: Layout

    @property
    def x(self) -> Array:
        """The gradient by the input, in its shape; AttributeError if backward was told input_gradient=False."""
        if self._x is None:
            raise AttributeError("the gradient of x was not computed: backward was called with input_gradient=False")
        return self._x

    @property
    def named(self) -> dict[str, Array]:
        """Parameter name -> view on `parameters`."""
        return named_views(self.parameters, self._layout)


class Module:
    """Base of the layers: one flat vector of parameters, and views on it under PyTorch's names."""

    dtype: DType
    training: bool
    """Set by `train` and `eval`."""

    # What a model asks of its layers. These are the usual answers; a class that answers otherwise says so.
    takes_labels: bool = False
    """Whether x holds integers."""
    per_step: bool = True
    """Whether y has a time axis, rather than one output for a whole sequence."""
    _looks_along_time: ClassVar[bool] = False  # whether a step depends on others, and there is a state
    _in_sequence: ClassVar[bool] = False  # whether it may stand in a Sequential

    # attributes that the constructor sets for good
    _fixed: ClassVar[frozenset[str]] = frozenset({"dtype", "takes_labels", "per_step"})
    _printed_first: ClassVar[tuple[str, ...]] = ()  # options that PyTorch names first in its text
    _parameters: Array
    _layout: Layout
    _views: dict[str, Array]
    _weights: str | None = None

    def _set(self, **attributes: Any) -> None:
        """Set attributes past the guard of __setattr__."""
        self.__dict__.update(attributes)

    def _allocate(self, layout: Layout, dtype: DType) -> None:
        if check := _asked.get():
            check(layout)
        self._set(dtype=dtype, _layout=layout)
        self._bind(aligned_empty(sum(math.prod(shape) for _, _, shape in layout), dtype))

    def _bind(self, vector: Array) -> None:
        """Take a flat vector as the parameters."""
        views = named_views(vector, self._layout)
        self._set(_parameters=vector, _views=views, **views)

    def _initialise(self, generator: np.random.Generator, bound: float, count: int | None = None) -> None:
        # drawn in float64 whatever the dtype: one seed gives the same parameters, up to rounding, in both
        drawn = self._parameters[:count]
        drawn[...] = generator.uniform(-bound, bound, drawn.size)
        self._parameters[drawn.size :] = 0

    def _shorten(self, weights: str) -> None:
        """Let calls read so much of the parameters, which were rounded to it and do not change from now on."""
        vector = self._parameters.view()
        vector.flags.writeable = False
        self._set(_weights=weights)
        self._bind(vector)

    def _check_weights(self, weights: object) -> None:
        """Check in what pack() or a stream shall read the weights; the engine knows which formats there are."""
        if weights is not None and not isinstance(weights, str):
            raise TypeError(f"weights should be 'bf16', 'int8' or None, got {weights!r}")
        if weights is not None and self._weights not in (None, weights):
            raise ValueError(f"weights: the layer has them in {self._weights} already, got {weights!r}")

    def _adopt(self, vector: Array) -> None:
        """Move the parameters to a part of another flat vector: that of the model this layer becomes a part of."""
        vector[...] = self._parameters
        leave(self._parameters, vector)
        self._bind(vector)

    def _features(self) -> tuple[int | None, int | None]:
        """Return how many features x and y have; None where the layer fixes nothing."""
        return None, None

    def _described(self) -> tuple[str, dict[str, Any]]:
        """Return what the engine is to know: its name for this kind of layer, and the options."""
        kind = next(kind for kind in type(self).__mro__ if "_in_sequence" in vars(kind))  # behind a caller's subclass
        return kind.__name__, self._options()

    @property
    def _drops(self) -> bool:
        """Whether forward in training mode draws a mask of dropout."""
        return False

    @property
    def _refers_to_y(self) -> bool:
        """Whether backward reads y again."""
        return False

    def _options(self) -> dict[str, Any]:
        """Name -> value of what the constructor needs to make this layer again, dtype and seed apart."""
        return {name: self._option(name) for name in _signature(type(self))}

    def _option(self, name: str) -> Any:
        """Return the value of one option: as a rule the attribute that bears its name."""
        return getattr(self, name)

    def __repr__(self) -> str:
        """Write the call that makes the layer: what has no default, then what differs from its default."""
        options, defaults = self._options(), _signature(type(self))
        needed = [str(options.pop(name)) for name, default in defaults.items() if default is Parameter.empty]
        changed = [name for name, value in options.items() if not np.array_equal(value, defaults[name])]
        changed.sort(key=lambda name: name not in self._printed_first)
        return self._text(*needed, *(f"{name}={_in_short(options[name])}" for name in changed))

    def _text(self, *parts: str) -> str:
        """Join the parts of a layer's text; its dtype is one of them where it is not float32."""
        dtype = [] if self.dtype == np.float32 else [f"dtype={self.dtype}"]
        return f"{type(self).__name__}({', '.join([*parts, *dtype])})"

    # ---- parameters

    @property
    def parameters(self) -> Array:
        """All parameters: a flat vector (P,), writable, the same object for life."""
        return self._parameters

    @parameters.setter
    def parameters(self, value: Array) -> None:  # so that `layer.parameters -= step` works
        if value is not self._parameters:
            raise AttributeError("parameters is one vector for life: assign in place, parameters[...] = value")

    @property
    def parameter_count(self) -> int:
        """P, the number of parameters."""
        return self._parameters.size

    @property
    def weights(self) -> str | None:
        """What calls read of the weights: "bf16" or "int8" of what `rnncore.quantize` has made, None for all bits."""
        return self._weights

    def named_parameters(self) -> dict[str, Array]:
        """Name -> view on `parameters`, under PyTorch's names and in its order."""
        return dict(self._views)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Array:
            """Find the views, which stand in __dict__ under their names: layer.weight_ih_l0."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._fixed:
            raise AttributeError(f"{name} is fixed when the layer is constructed")
        view = self.__dict__.get("_views", {}).get(name)
        if view is not None and value is not view:  # `layer.weight_ih_l0 *= 2` assigns the view itself
            raise AttributeError(f"{name} is a view on parameters: assign in place, {name}[...] = value")
        super().__setattr__(name, value)

    # ---- modes

    def train(self, mode: bool = True) -> Self:
        """Switch training mode on or off: `forward` applies dropout only in training mode."""
        self.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Switch training mode off."""
        return self.train(False)

    # ---- checkpoints and copies

    def state_dict(self) -> dict[str, Array]:
        """Name -> copy of the parameter, in PyTorch's format."""
        return {name: view.copy() for name, view in self._views.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy parameters from a mapping of names to arrays or PyTorch tensors.

        Raises ValueError that lists every missing key, unexpected key and size mismatch, and TypeError for a value that
        holds no real numbers. The parameters then stay as they were.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        loaded = np.empty_like(self._parameters)
        views = named_views(loaded, self._layout)
        problems = []
        for text, keys in (
            ("Missing", [name for name in views if name not in state_dict]),
            ("Unexpected", [name for name in state_dict if name not in views]),
        ):
            if keys:
                names = ", ".join(f'"{key}"' for key in keys)
                problems.append(f"{text} key(s) in state_dict: {names}.")
        for name, view in views.items():
            if name not in state_dict:
                continue
            array = as_real(_without_graph(state_dict[name]), name, self.dtype)
            if array.shape == view.shape:
                view[...] = array
            else:
                problems.append(
                    f"size mismatch for {name}: copying a param with shape {array.shape} from checkpoint, "
                    f"the shape in current model is {view.shape}."
                )
        if problems:
            header = f"Error(s) in loading state_dict for {type(self).__name__}:"
            raise ValueError("\n\t".join([header, *problems]))
        self._parameters[...] = loaded

    def __copy__(self) -> Self:
        return deepcopy(self)  # a copy with the same parameters would not be one

    def __getstate__(self) -> dict[str, Any]:
        left_out = {"_views", "_part_of_a_model", *self._views}
        kept = {name: value for name, value in self.__dict__.items() if name not in left_out}
        return {**kept, "_parameters": place_of(self._parameters)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set(**state)
        self._set(dtype=np.dtype(self.dtype.name))  # NumPy's own object, by which streams know it, not a copy
        if isinstance(state["_parameters"], np.ndarray):  # pickled by version 0.1, as a vector of its own
            self._allocate(state["_layout"], state["dtype"])
            self._parameters[...] = state["_parameters"]
        else:
            self._bind(at_place(state["_parameters"]))
        if self._weights is not None:
            self._shorten(self._weights)


def _in_short(value: Any) -> str:
    """Write an option; of a long array, its shape only."""
    array = np.asarray(value)
    return str(value) if array.size <= 100 else f"<array of shape {array.shape}>"


def _signature(kind: type[Module]) -> dict[str, Any]:
    """Option -> default, `Parameter.empty` for none, in the order of a layer's constructor; dtype and seed apart."""
    parameters = list(signature(kind.__init__).parameters.values())[1:]
    return {each.name: each.default for each in parameters if each.name not in ("dtype", "seed")}


def _without_graph(value: Any) -> Any:
    """Return what NumPy can view: of a PyTorch tensor that asks for gradients, or lives elsewhere, its bare values."""
    return value.detach().cpu() if hasattr(value, "detach") else value
