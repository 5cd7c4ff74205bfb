"""A recurrent node: its attributes, and its arrays checked against hidden_size before anything uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from rnncore.arguments import Array
from rnncore.bridges.onnx.activations import Activation, read_activations
from rnncore.bridges.onnx.attributes import FLOAT, FLOATS, INT, STRING, STRINGS, named, read_attributes
from rnncore.bridges.onnx.operators import BY_CELL, GATES, from_onnx
from rnncore.files import FormatError
from rnncore.layers.cells import CELLS

__all__ = ["INPUTS", "Recurrent", "Weights"]

INPUTS = {
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
}
"""The names that ONNX gives to the inputs of each operator, of which those behind R may be missing."""
_KNOWN = {
    "activation_alpha": FLOATS,
    "activation_beta": FLOATS,
    "activations": STRINGS,
    "clip": FLOAT,
    "direction": STRING,
    "hidden_size": INT,
    "layout": INT,
}
_OWN = {"RNN": {}, "GRU": {"linear_before_reset": INT}, "LSTM": {"input_forget": INT}}
_DIRECTIONS = ("forward", "reverse", "bidirectional")
_DEFAULT_ACTIVATIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}


@dataclass(frozen=True)
class Weights:
    """W (D, G*H, I), R (D, G*H, H), B (D, 2*G*H), P (D, 3*H), in ONNX's order of the gates."""

    W: Array
    R: Array
    B: Array | None
    P: Array | None

    @property
    def input_size(self) -> int:
        """I."""
        return int(self.W.shape[2])


@dataclass(frozen=True)
class Recurrent:
    """What a node of RNN, GRU or LSTM computes, but for its weights."""

    node: onnx.NodeProto
    hidden_size: int
    direction: str
    batch_first: bool  # ONNX's layout=1: x (N, T, I), y (N, T, D, H), states (N, D, H)
    activations: tuple[tuple[Activation, ...], ...]  # of each direction
    clip: float | None
    linear_before_reset: bool
    input_forget: bool

    @classmethod
    def read(cls, node: onnx.NodeProto) -> Recurrent:
        """Read a node. Raises FormatError for what ONNX does not say of it."""
        op_type = node.op_type
        if op_type not in INPUTS:
            raise FormatError(f"{named(node)}: expected one of {', '.join(INPUTS)}")
        values = read_attributes(node, {**_KNOWN, **_OWN[op_type]})
        direction = values.get("direction", "forward")
        if direction not in _DIRECTIONS:
            raise FormatError(f"{named(node)}: direction should be one of {', '.join(_DIRECTIONS)}")
        count = 2 if direction == "bidirectional" else 1
        flags = {}
        for name in ("layout", "linear_before_reset", "input_forget"):
            flags[name] = values.get(name, 0)
            if flags[name] not in (0, 1):
                raise FormatError(f"{named(node)}: {name} should be 0 or 1, got {flags[name]}")
        hidden = values.get("hidden_size")
        if hidden is None or hidden < 1:
            raise FormatError(f"{named(node)}: hidden_size should be at least 1, got {hidden}")
        if values.get("clip", 1.0) <= 0:
            raise FormatError(f"{named(node)}: clip should be above 0, got {values['clip']:g}")
        if len(node.input) > len(INPUTS[op_type]) or len(node.input) < 3 or not all(node.input[:3]):
            raise FormatError(f"{named(node)}: expected the inputs X, W, R and at most {', '.join(INPUTS[op_type])}")
        if len(node.output) > (3 if op_type == "LSTM" else 2):
            raise FormatError(f"{named(node)} has {len(node.output)} outputs")
        return cls(
            node=node,
            hidden_size=hidden,
            direction=direction,
            batch_first=bool(flags["layout"]),
            activations=_activations(node, values, count),
            clip=values.get("clip"),
            linear_before_reset=bool(flags["linear_before_reset"]),
            input_forget=bool(flags["input_forget"]),
        )

    @property
    def op_type(self) -> str:
        """RNN, GRU or LSTM."""
        return str(self.node.op_type)

    @property
    def directions(self) -> int:
        """D."""
        return len(self.activations)

    @property
    def state_count(self) -> int:
        """Arrays in a state: h, and c of an LSTM."""
        return 2 if self.op_type == "LSTM" else 1

    def inputs(self) -> dict[str, str]:
        """ONNX's name of an input -> that of its value in the graph, of those that are there."""
        return {own: name for own, name in zip(INPUTS[self.op_type], self.node.input, strict=False) if name}

    def weights(self, arrays: dict[str, Array]) -> Weights:
        """Check W, R, B and P, of which the last two may be missing, and return them."""
        rows, W = GATES[self.op_type] * self.hidden_size, arrays["W"]
        if W.ndim != 3:
            raise FormatError(f"{named(self.node)}: W should have 3 axes, got {W.ndim}")
        shapes = {
            "W": (self.directions, rows, W.shape[2]),
            "R": (self.directions, rows, self.hidden_size),
            "B": (self.directions, 2 * rows),
            "P": (self.directions, 3 * self.hidden_size),
        }
        for name, shape in shapes.items():
            if name in arrays:
                self.check(name, arrays[name], shape, W.dtype)
        return Weights(W, arrays["R"], arrays.get("B"), arrays.get("P"))

    def check(self, name: str, array: Array, shape: Sequence[int], dtype: Any) -> None:
        """Raise FormatError for an array of another shape or dtype."""
        if array.shape != tuple(shape):
            raise FormatError(
                f"{named(self.node)}: {name} should have the shape {tuple(shape)} by hidden_size={self.hidden_size}, "
                f"got {array.shape}"
            )
        if array.dtype != dtype or array.dtype not in (np.float32, np.float64):
            raise FormatError(
                f"{named(self.node)}: {name} should be float32 or float64 as W and X are, got {array.dtype}"
            )

    def cell(self, peepholes: bool) -> str | None:
        """Return the engine's cell that computes what the node does in each direction, None if there is none."""
        plain = {tuple(each.plain for each in functions) for functions in self.activations}
        if self.clip is not None or self.input_forget or len(plain) > 1:
            return None
        for cell, operator in BY_CELL.items():
            if operator.op_type != self.op_type or bool(CELLS[cell].vectors) != peepholes:
                continue
            if plain != {operator.activations or _DEFAULT_ACTIVATIONS[self.op_type]}:
                continue
            if self.op_type == "GRU" and not self.linear_before_reset:
                continue
            return cell
        return None

    def parameters(self, weights: Weights, level: int = 0) -> dict[str, Array]:
        """Return the weights under the names that they have in a layer, as its level of so many."""
        found = {}
        for d, reverse in enumerate(("", "_reverse")[: self.directions]):
            own = {"weight_ih": weights.W[d], "weight_hh": weights.R[d]}
            if weights.B is not None:
                own["bias_ih"], own["bias_hh"] = np.split(weights.B[d], 2)
            found.update({f"{name}_l{level}{reverse}": from_onnx(self.op_type, array) for name, array in own.items()})
            if weights.P is not None:
                vectors = zip(CELLS["lstm_peephole"].vectors, np.split(weights.P[d], 3), strict=True)
                found.update({f"{name}_l{level}{reverse}": array for name, array in vectors})
        return found

    def layer_options(self, cell: str) -> dict[str, Any]:
        """Return the options of a layer of this cell, sizes and biases apart."""
        options: dict[str, Any] = {"bidirectional": self.directions == 2}
        if cell == "lstm_peephole":
            options["peepholes"] = True
        if self.op_type == "RNN":
            options["nonlinearity"] = cell.removeprefix("rnn_")
        return options


def _activations(node: onnx.NodeProto, values: dict[str, Any], count: int) -> tuple[tuple[Activation, ...], ...]:
    """Return the functions of each of so many directions, those that the attributes name or ONNX's defaults."""
    defaults = _DEFAULT_ACTIVATIONS[node.op_type]
    each = len(defaults)
    names = values.get("activations") or list(defaults) * count
    if len(names) != each * count:
        raise FormatError(
            f"{named(node)}: expected {each * count} activations, {each} for each direction, got {len(names)}"
        )
    alphas, betas = values.get("activation_alpha", []), values.get("activation_beta", [])
    functions = read_activations(names, alphas, betas, named(node))
    return tuple(functions[k : k + each] for k in range(0, len(functions), each))
