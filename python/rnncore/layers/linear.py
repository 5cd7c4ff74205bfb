"""The linear head: a fully connected layer over the last axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnncore import arguments
from rnncore._core import Linear as Engine
from rnncore._core import activations
from rnncore.arguments import Array, Seed, Shape
from rnncore.layers.module import Gradients, Module

Activation: TypeAlias = Literal["relu", "tanh", "sigmoid", "gelu"]
ACTIVATIONS: tuple[str, ...] = tuple(activations())


@dataclass(frozen=True, slots=True, eq=False)
class LinearCache:
    """What `Linear.forward` keeps for `backward`."""

    _owner: Linear
    _x: Array
    _shape: Shape  # of y
    _kept: Array | None  # what the gradient of the activation is computed from: y, or the sums before it


class Linear(Module):
    r"""A fully connected layer, y = f(x W^T + b), over the last axis of x, whatever axes stand before it.

    Parameters
    ----------
    in_features, out_features
        I, may be 0; O, at least 1.
    bias
        False leaves out b.
    activation
        f: "relu" max(z, 0), "tanh", "sigmoid" 1 / (1 + exp(-z)), "gelu" z Phi(z) with the normal distribution's Phi
        (Hendrycks and Gimpel 2016); None leaves the sums z as they are.
    dtype
        "float32" or "float64", of parameters and results.
    seed
        For `numpy.random.default_rng`: parameters are uniform in +-1/sqrt(I) as PyTorch's.

    Attributes
    ----------
    weight, bias
        (O, I) and (O,): views on the flat vector `parameters`. `bias` is None if left out.

    A row's result does not depend on the rows beside it, nor the gradients on the number of threads: the bits are the
    same.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> head = rnncore.Linear(16, 2, seed=0)
    >>> head
    Linear(in_features=16, out_features=2, bias=True)
    >>> y, cache = head.forward(np.ones((5, 3, 16)))
    >>> grads = head.backward(cache, np.ones_like(y))
    >>> y.shape, grads.x.shape, grads.named["bias"].tolist()
    ((5, 3, 2), (5, 3, 16), [15.0, 15.0])
    >>> rnncore.Linear(16, 2, activation="relu", seed=0)
    Linear(in_features=16, out_features=2, bias=True, activation='relu')
    """

    in_features: int
    out_features: int
    weight: Array
    bias: Array | None
    activation: Activation | None

    _in_sequence = True
    _fixed = Module._fixed | {"in_features", "out_features", "activation"}
    _engine: Engine

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        activation: Activation | None = None,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
    ) -> None:
        inputs = arguments.check_size("in_features", in_features, 0)
        outputs = arguments.check_size("out_features", out_features, 1)
        if activation not in (None, *ACTIVATIONS):
            known = ", ".join(map(repr, ACTIVATIONS))
            raise ValueError(f"activation must be one of {known} or None, got {activation!r}")
        self._set(in_features=inputs, out_features=outputs, bias=None, activation=activation)
        layout: list[tuple[str, int, Shape]] = [("weight", 0, (outputs, inputs))]
        if arguments.check_flag("bias", bias):
            layout.append(("bias", outputs * inputs, (outputs,)))
        self._allocate(layout, arguments.check_dtype(dtype))
        self._build()
        self._initialise(np.random.default_rng(seed), 1 / math.sqrt(inputs) if inputs else 0.0)
        self.train()

    def _build(self) -> None:
        dtype: Any = self.dtype.name
        self._engine = Engine(self.in_features, self.out_features, self.bias is not None, dtype, self.activation)

    def _features(self) -> tuple[int | None, int | None]:
        return self.in_features, self.out_features

    def __call__(self, x: ArrayLike, *, num_threads: int | None = None) -> Array:
        """Map x (..., I) to y (..., O). Raises ValueError for another number of features, TypeError for no numbers."""
        return self._apply(self._read(x), num_threads)[0]

    def forward(self, x: ArrayLike, *, num_threads: int | None = None) -> tuple[Array, LinearCache]:
        """Call it, and return a cache for `backward` too, which refers to x: it has to stay as it is until then.

        With an activation but "gelu" it refers to y too, which is read-only then.
        """
        values = self._read(x)
        y, sums = self._apply(values, num_threads, keep=True)
        kept = None
        if self.activation is not None:
            kept = _rows(y) if sums is None else sums
            y.flags.writeable = sums is not None
        return y, LinearCache(self, values, y.shape, kept)

    def backward(
        self,
        cache: LinearCache,
        dy: ArrayLike,
        *,
        input_gradient: bool = True,
        add_to: Array | None = None,
        num_threads: int | None = None,
    ) -> Gradients:
        """Return the gradients by x, dz W, and by the parameters, dz^T x and the sum of dz, where dz = f'(z) dy.

        As of a recurrent layer: input_gradient=False leaves out `grads.x`, and add_to is a flat vector (P,) to which
        the gradient by the parameters is added. Raises ValueError for a wrong shape or another layer's cache.
        """
        arguments.check_owner(cache, self)
        d_output = _rows(arguments.as_shaped(dy, "dy", self.dtype, cache._shape))
        threads = arguments.check_threads(num_threads)
        if add_to is None:
            d_parameters = np.zeros(self.parameters.size, self.dtype)
        else:
            d_parameters = arguments.as_flat_gradient(add_to, "add_to", self.parameters.size, self.dtype)
        x = _rows(cache._x)
        dx = arguments.empty(x.shape, self.dtype) if input_gradient else None
        self._engine.backward(self._parameters, x, cache._kept, d_output, dx, d_parameters, threads)
        return Gradients(None if dx is None else dx.reshape(cache._x.shape), d_parameters, self._layout)

    def _read(self, x: ArrayLike) -> Array:
        values = arguments.as_real(x, "x", self.dtype)
        if values.ndim == 0 or values.shape[-1] != self.in_features:
            given = f"{values.shape[-1]} features" if values.ndim else "no axis"
            raise ValueError(f"x has {given}, the layer expects {self.in_features}")
        return values

    def _apply(self, x: Array, num_threads: int | None, *, keep: bool = False) -> tuple[Array, Array | None]:
        """Return y, and the sums before the activation if they are to be kept and backward needs them."""
        threads = arguments.check_threads(num_threads)
        rows = _rows(x)
        y = arguments.empty((len(rows), self.out_features), self.dtype)
        sums = arguments.empty(y.shape, self.dtype) if keep and self._engine.keeps_sums else None
        self._engine.forward(self._parameters, rows, y, sums, threads)
        return y.reshape(*x.shape[:-1], self.out_features), sums

    @property
    def _refers_to_y(self) -> bool:
        return self.activation is not None

    def _option(self, name: str) -> Any:
        return self.bias is not None if name == "bias" else super()._option(name)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_engine"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"activation": None, **state})
        self._build()

    def __repr__(self) -> str:
        options = self._options()
        activation = options.pop("activation")
        parts = [f"{name}={value}" for name, value in options.items()]
        return self._text(*parts, *([] if activation is None else [f"activation={activation!r}"]))


def _rows(array: Array) -> Array:
    """View (..., F) as (rows, F); F may be 0."""
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])
