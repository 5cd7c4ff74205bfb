"""The activation functions that a recurrent node of ONNX may name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array
from rnncore.files import FormatError
from rnncore.reference.activations import relu, sigmoid, tanh

__all__ = ["Activation", "read_activations"]

_NEEDED = math.nan  # ONNX has no default
_FUNCTIONS: dict[str, tuple[Callable[[Array, float, float], Array], float | None, float | None]] = {
    "Relu": (lambda x, _a, _b: relu(x), None, None),
    "Tanh": (lambda x, _a, _b: tanh(x), None, None),
    "Sigmoid": (lambda x, _a, _b: sigmoid(x), None, None),
    "Affine": (lambda x, a, b: a * x + b, _NEEDED, _NEEDED),
    "LeakyRelu": (lambda x, a, _b: np.where(x >= 0, x, a * x), 0.01, None),
    "ThresholdedRelu": (lambda x, a, _b: np.where(x >= a, x, 0.0 * x), 1.0, None),
    "ScaledTanh": (lambda x, a, b: a * tanh(b * x), _NEEDED, _NEEDED),
    "HardSigmoid": (lambda x, a, b: np.clip(a * x + b, 0.0, 1.0), 0.2, 0.5),
    "Elu": (lambda x, a, _b: np.where(x >= 0, x, a * np.expm1(np.minimum(x, 0.0))), 1.0, None),
    "Softsign": (lambda x, _a, _b: x / (1 + np.abs(x)), None, None),
    "Softplus": (lambda x, _a, _b: np.logaddexp(0.0, x), None, None),
}
"""Name -> function of x, alpha and beta, and the defaults of these two; None where it has none."""


@dataclass(frozen=True)
class Activation:
    """A function with its parameters.

    >>> Activation("LeakyRelu", 0.1, 0.0)(np.array([-1.0, 2.0])).tolist()
    [-0.1, 2.0]
    """

    name: str
    alpha: float
    beta: float

    def __call__(self, x: Array) -> Array:
        """Apply it."""
        return _FUNCTIONS[self.name][0](x, self.alpha, self.beta)

    @property
    def plain(self) -> str:
        """The name of a function that has no parameters; else a text that is no name."""
        _, alpha, beta = _FUNCTIONS[self.name]
        return self.name if alpha is None and beta is None else f"{self.name}({self.alpha}, {self.beta})"


def read_activations(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float], owner: str
) -> tuple[Activation, ...]:
    """Give each function its parameters: those that take one consume the next, or have their default if none is left.

    Raises FormatError for an unknown name and for parameters that no function takes.
    """
    left = [list(alphas), list(betas)]
    found = []
    for name in names:
        if name not in _FUNCTIONS:
            raise FormatError(f"{owner}: activations should be among {', '.join(_FUNCTIONS)}, got {name[:100]!r}")
        values = []
        for kind, default, rest in zip(("alpha", "beta"), _FUNCTIONS[name][1:], left, strict=True):
            values.append(0.0 if default is None else rest.pop(0) if rest else default)
            if math.isnan(values[-1]):
                raise FormatError(f"{owner}: the activation {name} needs a value in activation_{kind}")
        found.append(Activation(name, *values))
    if any(left):
        raise FormatError(f"{owner} has more values of activation_alpha or activation_beta than its activations take")
    return tuple(found)
