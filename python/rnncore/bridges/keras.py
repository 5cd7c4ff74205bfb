"""Keras's models as rnncore's, and back: the same outputs from the same weights."""

from rnncore.bridges.from_keras import from_keras
from rnncore.bridges.keras_masks import lengths_of
from rnncore.bridges.to_keras import to_keras

__all__ = ["from_keras", "lengths_of", "to_keras"]
