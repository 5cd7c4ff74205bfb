"""Streams in the middle of a sequence, with what follows."""

from __future__ import annotations

import numpy as np

from layer_case import LAYERS
from rnncore import Stream

CELLS = sorted(LAYERS)


def identical(actual, expected) -> None:
    np.testing.assert_array_equal(actual, expected, strict=True)


def make(cell="lstm", rows=3, I=4, H=5, L=2, *, steps=9, dtype="float32", seed=0, **options):  # noqa: E741
    """Return a layer and an x for it; the state of a stream over it is never zero after a step."""
    generator = np.random.default_rng(seed)
    layer = LAYERS[cell](I, H, L, dtype=dtype, seed=generator, **options)
    return layer, generator.normal(size=(steps, rows, I)).astype(dtype)


def moved(cell="lstm", rows=3, **options) -> tuple[Stream, np.ndarray]:
    """Return a stream in the middle of a sequence, and an x for what follows."""
    layer, x = make(cell, rows, **options)
    stream = Stream(layer, rows)
    stream.run(x.swapaxes(0, 1) if layer.batch_first else x)
    return stream, x
