"""Keras's masks as lengths: both leave out steps, a mask any of them, lengths those at the end."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from rnncore.arguments import Array

__all__ = ["is_mask", "lengths_of"]


def is_mask(layer: Any) -> bool:
    """Tell whether a layer of Keras makes masks."""
    return type(layer).__name__ == "Masking" or bool(getattr(layer, "mask_zero", False))


def lengths_of(model: Any, x: Any) -> Array:
    """Return the lengths (N,) that say for rnncore what the mask of a Keras model says of x.

    The model begins with a Masking layer, which leaves out steps whose features all are its mask_value, or with an
    Embedding of mask_zero=True, which leaves out zeros. Past a row's length rnncore's outputs are zero, where Keras
    repeats the last one.

    Raises ValueError for a model that begins otherwise, and where a masked step stands before one that is not:
    lengths cannot say that.

    >>> import keras, numpy as np, rnncore
    >>> layers = [keras.layers.Masking(-1.0), keras.layers.GRU(8)]
    >>> model = keras.Sequential([keras.Input((None, 1)), *layers])
    >>> x = np.array([[1, 2, 3], [4, -1, -1]], "float32")[..., None]
    >>> lengths = rnncore.keras.lengths_of(model, x)
    >>> lengths.tolist()
    [3, 1]
    >>> y, _ = rnncore.keras.from_keras(model, lengths=True)(x, lengths=lengths)
    >>> bool(np.abs(y - keras.ops.convert_to_numpy(model(x))).max() < 1e-6)
    True
    """
    layer = model
    while isinstance(layer, keras.Model):
        layer = next(inner for inner in layer.layers if type(inner).__name__ != "InputLayer")
    if not is_mask(layer):
        raise ValueError(f"model {model.name}: expected Masking or Embedding(mask_zero=True) first, got {layer.name}")
    values = np.asarray(x)
    axes = 3 if type(layer).__name__ == "Masking" else 2
    if values.ndim != axes:
        raise ValueError(f"x: expected {axes} axes, got shape {values.shape}")
    valid = (values != layer.mask_value).any(axis=2) if axes == 3 else values != 0
    lengths = np.count_nonzero(valid, axis=1)
    gaps = valid != (np.arange(values.shape[1]) < lengths[:, None])
    if gaps.any():
        row = int(gaps.any(axis=1).argmax())
        step = int((~valid[row]).argmax())
        raise ValueError(f"x: row {row} masks step {step} before one that is not: lengths leave out steps at the end")
    return np.asarray(lengths, np.int64)
