"""Layer normalisation over the features of each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnncore import arguments
from rnncore._core import Model as Engine
from rnncore._core import ModelCache
from rnncore.arguments import Array, Shape
from rnncore.layers.module import Gradients, Layout, Module


@dataclass(frozen=True, slots=True, eq=False)
class LayerNormCache:
    """What `LayerNorm.forward` keeps for `backward`."""

    _owner: LayerNorm
    _engine: ModelCache
    _shape: Shape


class LayerNorm(Module):
    r"""Layer normalisation (Ba et al. 2016) over the last axis of x.

    ::

        y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias

    Parameters
    ----------
    normalized_shape
        F, the features of x, at least 1; or (F,), as PyTorch prints it.
    eps
        Keeps the divisor from 0.
    elementwise_affine
        False leaves out weight and bias.
    bias
        False leaves out bias.
    dtype
        "float32" or "float64", of parameters and results.

    Attributes
    ----------
    weight, bias
        (F,), 1 and 0 at first: views on the flat vector `parameters`; None if left out.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> norm = rnncore.LayerNorm(2, eps=0.0)
    >>> norm([[1.0, 3.0], [10.0, 30.0]]).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    normalized_shape: int
    eps: float
    weight: Array | None
    bias: Array | None

    _in_sequence = True
    _fixed = Module._fixed | {"normalized_shape", "eps"}
    _engine: Engine

    def __init__(
        self,
        normalized_shape: int | tuple[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        features: Any = normalized_shape
        if isinstance(features, tuple) and len(features) == 1:
            features = features[0]
        size = arguments.check_size("normalized_shape", features, 1)
        self._set(normalized_shape=size, eps=arguments.check_positive("eps", eps, zero=True), weight=None, bias=None)
        layout: Layout = []
        if arguments.check_flag("elementwise_affine", elementwise_affine):
            layout.append(("weight", 0, (size,)))
            if arguments.check_flag("bias", bias):
                layout.append(("bias", size, (size,)))
        self._allocate(layout, arguments.check_dtype(dtype))
        self.parameters[:size] = 1
        self.parameters[size:] = 0
        self._build()
        self.train()

    def _features(self) -> tuple[int | None, int | None]:
        return self.normalized_shape, self.normalized_shape

    def _build(self) -> None:
        self._engine = Engine(self.dtype.name, [("0", "LayerNorm", self._options())])

    def __call__(self, x: ArrayLike) -> Array:
        """Normalise x (..., F). Raises ValueError for another number of features, TypeError for no numbers."""
        return self._apply(x, False)[0]

    def forward(self, x: ArrayLike) -> tuple[Array, LayerNormCache]:
        """Call it, and return a cache for `backward` too."""
        y, cache = self._apply(x, True)
        assert cache is not None
        return y, LayerNormCache(self, cache, y.shape)

    def _apply(self, x: ArrayLike, keep: bool) -> tuple[Array, ModelCache | None]:
        values = arguments.as_real(x, "x", self.dtype)
        if values.ndim == 0 or values.shape[-1] != self.normalized_shape:
            given = f"{values.shape[-1]} features" if values.ndim else "no axis"
            raise ValueError(f"x has {given}, the layer expects {self.normalized_shape}")
        y = arguments.empty(values.shape, self.dtype)
        cache = self._engine.forward(self._parameters, self._rows(values), None, self._rows(y), (), keep=keep)
        return y, cache

    def _rows(self, array: Array) -> Array:
        """View (..., F) as one step of rows, (1, R, F)."""
        return array.reshape(1, math.prod(array.shape[:-1]), self.normalized_shape)

    def backward(
        self, cache: LayerNormCache, dy: ArrayLike, *, input_gradient: bool = True, add_to: Array | None = None
    ) -> Gradients:
        """Return the gradients by x and by the parameters of dy (..., F); keywords as of `Linear.backward`."""
        arguments.check_owner(cache, self)
        d_output = arguments.as_shaped(dy, "dy", self.dtype, cache._shape)
        if add_to is None:
            total = np.zeros(self.parameters.size, self.dtype)
        else:
            total = arguments.as_flat_gradient(add_to, "add_to", self.parameters.size, self.dtype)
        dx = arguments.empty(cache._shape, self.dtype) if input_gradient else None
        rows = None if dx is None else self._rows(dx)
        self._engine.backward(cache._engine, self._parameters, self._rows(d_output), None, rows, None, total)
        return Gradients(dx, total, self._layout)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_engine"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._build()

    def _option(self, name: str) -> Any:
        if name == "bias":
            return self.bias is not None or self.weight is None
        return self.weight is not None if name == "elementwise_affine" else super()._option(name)

    def __repr__(self) -> str:
        affine = f"elementwise_affine={self.weight is not None}"
        bias = [] if self._option("bias") else ["bias=False"]
        return self._text(f"({self.normalized_shape},)", f"eps={self.eps}", affine, *bias)
