"""The linear head: a fully connected layer over the last axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnncore import arguments
from rnncore._core import Linear as Engine
from rnncore.arguments import Array, Seed, Shape
from rnncore.layers.module import Gradients, Module


@dataclass(frozen=True, slots=True, eq=False)
class LinearCache:
    """What `Linear.forward` keeps for `backward`."""

    _owner: Linear
    _x: Array
    _shape: Shape  # of y


class Linear(Module):
    r"""A fully connected layer, y = x W^T + b, over the last axis of x, whatever axes stand before it.

    Parameters
    ----------
    in_features, out_features
        I, may be 0; O, at least 1.
    bias
        False leaves out b.
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
    """

    in_features: int
    out_features: int
    weight: Array
    bias: Array | None

    _in_sequence = True
    _fixed = Module._fixed | {"in_features", "out_features"}
    _engine: Engine

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
    ) -> None:
        inputs = arguments.check_size("in_features", in_features, 0)
        outputs = arguments.check_size("out_features", out_features, 1)
        self._set(in_features=inputs, out_features=outputs, bias=None)
        layout: list[tuple[str, int, Shape]] = [("weight", 0, (outputs, inputs))]
        if arguments.check_flag("bias", bias):
            layout.append(("bias", outputs * inputs, (outputs,)))
        self._allocate(layout, arguments.check_dtype(dtype))
        self._build()
        self._initialise(np.random.default_rng(seed), 1 / math.sqrt(inputs) if inputs else 0.0)
        self.train()

    def _build(self) -> None:
        dtype: Any = self.dtype.name
        self._engine = Engine(self.in_features, self.out_features, self.bias is not None, dtype)

    def _features(self) -> tuple[int | None, int | None]:
        return self.in_features, self.out_features

    def __call__(self, x: ArrayLike, *, num_threads: int | None = None) -> Array:
        """Map x (..., I) to y (..., O). Raises ValueError for another number of features, TypeError for no numbers."""
        return self._apply(self._read(x), num_threads)

    def forward(self, x: ArrayLike, *, num_threads: int | None = None) -> tuple[Array, LinearCache]:
        """Call it, and return a cache for `backward` too, which refers to x: it has to stay as it is until then."""
        values = self._read(x)
        y = self._apply(values, num_threads)
        return y, LinearCache(self, values, y.shape)

    def backward(
        self,
        cache: LinearCache,
        dy: ArrayLike,
        *,
        input_gradient: bool = True,
        add_to: Array | None = None,
        num_threads: int | None = None,
    ) -> Gradients:
        """Return the gradients by x, dy W, and by the parameters, dy^T x and the sum of dy.

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
        self._engine.backward(self._parameters, x, d_output, dx, d_parameters, threads)
        return Gradients(None if dx is None else dx.reshape(cache._x.shape), d_parameters, self._layout)

    def _read(self, x: ArrayLike) -> Array:
        values = arguments.as_real(x, "x", self.dtype)
        if values.ndim == 0 or values.shape[-1] != self.in_features:
            given = f"{values.shape[-1]} features" if values.ndim else "no axis"
            raise ValueError(f"x has {given}, the layer expects {self.in_features}")
        return values

    def _apply(self, x: Array, num_threads: int | None) -> Array:
        threads = arguments.check_threads(num_threads)
        rows = _rows(x)
        y = arguments.empty((len(rows), self.out_features), self.dtype)
        self._engine.forward(self._parameters, rows, y, threads)
        return y.reshape(*x.shape[:-1], self.out_features)

    def _option(self, name: str) -> Any:
        return self.bias is not None if name == "bias" else super()._option(name)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_engine"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._build()

    def __repr__(self) -> str:
        return self._text(*(f"{name}={value}" for name, value in self._options().items()))


def _rows(array: Array) -> Array:
    """View (..., F) as (rows, F); F may be 0."""
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])
