"""Weights in fewer bits, for inference: what a model is rounded to, and what makes such a model."""

from __future__ import annotations

from copy import deepcopy
from typing import Literal, TypeAlias, TypeVar

from rnncore.layers.module import Module
from rnncore.models.call import engine_of
from rnncore.models.model import Model

__all__ = ["WeightFormat", "quantize"]

WeightFormat: TypeAlias = Literal["bf16", "int8"]
AnyModule = TypeVar("AnyModule", bound=Module)


def quantize(model: AnyModule, weights: WeightFormat) -> AnyModule:
    r"""Return a copy of a model whose calls and streams read their weights in fewer bits.

    All matrices are rounded: those of recurrent layers, of Linear layers and of an Embedding. Biases and other vectors,
    sums, states and activations stay float32, and so does what a call returns.

    - "bf16": the upper 16 bits of a float32, :math:`|w' - w| \le 2^{-8} |w|`, to nearest, ties to even. Calls have the
      bits of float32 calls with the rounded weights.
    - "int8": :math:`w' = s q` with integers q in -127..127 to nearest, zero kept, and a scale s for each row of a
      matrix, which is one gate of one unit: the 127th part of the row's largest magnitude, rounded up to 16 significant
      bits. Recurrent layers add q x up in float32 and multiply the sum by s.

    Recurrent layers of less than 1.84 MB, Linear and Embedding layers read the rounded weights as float32: they gain no
    speed by less. As always, a row's bits depend neither on its batch nor on how it is cut into steps.

    The copy is for inference: its parameters, which hold the rounded values, are read-only, `forward` and `fit` refuse
    it. Train the model and quantize it again. `Sequential.save` writes it with half or a quarter of the bytes.

    Parameters
    ----------
    model
        A `Sequential`, or a recurrent layer, with dtype float32; it stays as it is.
    weights
        "bf16" or "int8".

    Raises ValueError for another dtype, weights that are not finite and a model that is quantized already, TypeError
    for what is no model.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.LSTM(3, 128, seed=0), rnncore.Linear(128, 2, seed=0))
    >>> short = rnncore.quantize(model, "int8")
    >>> x = np.random.default_rng(0).normal(size=(20, 4, 3))
    >>> error = abs(short(x)[0] - model(x)[0]).max()
    >>> bool(0 < error < 0.01), short.weights
    (True, 'int8')
    """
    if not (isinstance(model, Model) or getattr(model, "_looks_along_time", False)):
        raise TypeError(f"model should be a Sequential or a recurrent layer, got {type(model).__name__}")
    if model.weights is not None:
        raise ValueError(f"model has weights in {model.weights} already, expected float32 ones")
    if not isinstance(weights, str):
        raise TypeError(f"weights should be 'bf16' or 'int8', got {weights!r}")
    copy = deepcopy(model)
    engine = copy._engine if isinstance(copy, Model) else engine_of(copy)
    engine.round(weights, copy._parameters)
    copy._shorten(weights)
    return copy
