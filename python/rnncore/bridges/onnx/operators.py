"""How the cells of the engine correspond to ONNX's operators RNN, GRU and LSTM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnncore.arguments import Array

__all__ = ["BY_CELL", "GATES", "Operator", "from_onnx", "to_onnx"]

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
"""Blocks of hidden_size rows in W and R."""
_ORDER = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}
"""Of each gate of ONNX (n; z r n; i o f c) the place among those of the engine (n; r z n; i f g o)."""


@dataclass(frozen=True)
class Operator:
    """A cell's operator, and the attributes that make it compute what the cell computes."""

    op_type: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    activations: tuple[str, ...] = ()  # of one direction, where they are not ONNX's defaults


BY_CELL = {
    "rnn_tanh": Operator("RNN", activations=("Tanh",)),
    "rnn_relu": Operator("RNN", activations=("Relu",)),
    "gru": Operator("GRU", {"linear_before_reset": 1}),
    "lstm": Operator("LSTM"),
    "lstm_peephole": Operator("LSTM"),
}


def to_onnx(op_type: str, array: Array) -> Array:
    """Put the blocks of gates (G*H, ...) from the engine's order into ONNX's."""
    return _blocks(array, _ORDER[op_type])


def from_onnx(op_type: str, array: Array) -> Array:
    """Put the blocks of gates (G*H, ...) from ONNX's order into the engine's.

    >>> from_onnx("GRU", to_onnx("GRU", np.arange(6))).tolist()
    [0, 1, 2, 3, 4, 5]
    """
    return _blocks(array, np.argsort(_ORDER[op_type]).tolist())


def _blocks(array: Array, order: Sequence[int]) -> Array:
    gates = array.reshape(len(order), len(array) // len(order), *array.shape[1:])
    return gates[list(order)].reshape(array.shape)
