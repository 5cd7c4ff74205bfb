"""Layer normalisation over the features of each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnncore import arguments
from rnncore.arguments import Array
from rnncore.layers.module import Gradients, Layout, Module


@dataclass(frozen=True, slots=True, eq=False)
class LayerNormCache:
    """What `LayerNorm.forward` keeps for `backward`."""

    _owner: LayerNorm
    _normal: Array  # x, of mean 0 and variance 1
    _inverse: Array  # 1 / the spread of x


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
        self.train()

    def _features(self) -> tuple[int | None, int | None]:
        return self.normalized_shape, self.normalized_shape

    def __call__(self, x: ArrayLike) -> Array:
        """Normalise x (..., F). Raises ValueError for another number of features, TypeError for no numbers."""
        return self.forward(x)[0]

    def forward(self, x: ArrayLike) -> tuple[Array, LayerNormCache]:
        """Call it, and return a cache for `backward` too."""
        values = arguments.as_real(x, "x", self.dtype)
        if values.ndim == 0 or values.shape[-1] != self.normalized_shape:
            given = f"{values.shape[-1]} features" if values.ndim else "no axis"
            raise ValueError(f"x has {given}, the layer expects {self.normalized_shape}")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            normal = values - values.mean(axis=-1, keepdims=True)
            variance = (normal * normal).mean(axis=-1, keepdims=True)
            inverse = 1 / np.sqrt(variance + self.dtype.type(self.eps))
            normal *= inverse
            y = normal.copy() if self.weight is None else normal * self.weight
            if self.bias is not None:
                y += self.bias
        return y, LayerNormCache(self, normal, inverse)

    def backward(
        self, cache: LayerNormCache, dy: ArrayLike, *, input_gradient: bool = True, add_to: Array | None = None
    ) -> Gradients:
        """Return the gradients by x and by the parameters of dy (..., F); keywords as of `Linear.backward`."""
        arguments.check_owner(cache, self)
        normal, size = cache._normal, self.normalized_shape
        d_output = arguments.as_shaped(dy, "dy", self.dtype, normal.shape)
        if add_to is None:
            total = np.zeros(self.parameters.size, self.dtype)
        else:
            total = arguments.as_flat_gradient(add_to, "add_to", self.parameters.size, self.dtype)
        if self.weight is not None:
            total[:size] += (d_output * normal).reshape(-1, size).sum(axis=0)
        if self.bias is not None:
            total[size:] += d_output.reshape(-1, size).sum(axis=0)
        dx = None
        if input_gradient:
            d_normal = d_output if self.weight is None else d_output * self.weight
            along = (d_normal * normal).mean(axis=-1, keepdims=True)
            dx = (d_normal - d_normal.mean(axis=-1, keepdims=True) - normal * along) * cache._inverse
        return Gradients(dx, total, self._layout)

    def _option(self, name: str) -> Any:
        if name == "bias":
            return self.bias is not None or self.weight is None
        return self.weight is not None if name == "elementwise_affine" else super()._option(name)

    def __repr__(self) -> str:
        affine = f"elementwise_affine={self.weight is not None}"
        bias = [] if self._option("bias") else ["bias=False"]
        return self._text(f"({self.normalized_shape},)", f"eps={self.eps}", affine, *bias)
