"""A model written as an ONNX graph."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rnncore._core import __version__
from rnncore.arguments import Array, check_flag
from rnncore.bridges.onnx.operators import BY_CELL, to_onnx
from rnncore.files import replace_file
from rnncore.layers.cells import CELLS
from rnncore.models.model import Model

__all__ = ["export"]

OPSET, IR_VERSION = 20, 9  # of 2023; Gelu came with this opset
LARGEST = (1 << 31) - 1  # bytes in one protobuf message
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "gelu": "Gelu"}


def export(model: Model, path: str | os.PathLike[str], state: bool = True, *, lengths: bool = False) -> None:
    """Write a model to an ONNX file, which ONNX Runtime and others run.

    The graph computes what ``model(x, hx)`` does, without dropout and resets, for any number of steps and rows. Its
    first input is ``x`` and its first output ``y``, in the form of the model's own. The file is checked by onnx and
    replaced in one go.

    Parameters
    ----------
    model
        A `Sequential` of RNN, GRU, LSTM (also with peepholes), Linear, Embedding, LayerNorm, LastStep and Dropout.
    path
        The file.
    state
        True makes inputs of the initial state, ``0.h`` and ``0.c`` of the layer named 0, each (L*D, N, H), and outputs
        of the final state, ``0.hn`` and ``0.cn``. With False sequences begin from zeros or the learned state.
    lengths
        True makes an input ``lengths`` (N,) int32 of the valid steps of each row.

    Raises TypeError for what is no model, and ValueError for a layer that ONNX has no operator for: a projection of an
    LSTM, LeakyRNN, MGU.

    >>> import rnncore
    >>> model = rnncore.Sequential(rnncore.LSTM(3, 8, seed=0), rnncore.Linear(8, 2, seed=0))
    >>> export(model, "model.onnx")
    >>> [value.name for value in onnx.load("model.onnx").graph.input]
    ['x', '0.h', '0.c']
    """
    if not isinstance(model, Model):
        raise TypeError(f"model should be a rnncore.Sequential, got {type(model).__name__}")
    graph = _Graph(model, check_flag("state", state), check_flag("lengths", lengths))
    try:
        written = graph.finish()
        onnx.checker.check_model(written, full_check=True)
        content = written.SerializeToString()
    except (ValueError, onnx.checker.ValidationError) as error:
        size = model.parameters.nbytes
        if size < LARGEST:
            raise
        raise ValueError(f"the model has {size} bytes of parameters, an ONNX file holds {LARGEST}") from error
    replace_file(path, content)


class _Graph:
    """A graph under construction: the layers' nodes one behind the other, steps first whatever the form of x."""

    def __init__(self, model: Model, state: bool, lengths: bool) -> None:
        self.model, self.state = model, state
        self.type = helper.np_dtype_to_tensor_dtype(model.dtype)
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.now = "x"  # the name of the last layer's output
        self.last: tuple[str, int] | None = None  # of the last recurrent node: its final h (D, N, H), and D*H
        self.padded = False  # is now anything but zero past the rows' lengths?
        self.form = ["batch", "steps"] if model.batch_first else ["steps", "batch"]
        if model.takes_labels:
            self.input("x", self.form, TensorProto.INT64)
        else:
            self.input("x", [*self.form, model.in_features or "features"])
        if model.batch_first:
            self.now = self.node("Transpose", ["x"], perm=[1, 0] if model.takes_labels else [1, 0, 2])
        self.first = self.now  # steps and rows are read from its shape
        self.lengths = "lengths" if lengths else ""
        if lengths:
            self.input("lengths", ["batch"], TensorProto.INT32)
            self.padded = True
        for name, layer in model.named_layers().items():
            kind, options = layer._described()
            if kind in BY_CELL:
                self.recurrent(name, kind, options, layer.named_parameters())
            elif kind in _WRITERS:
                _WRITERS[kind](self, name, options, layer.named_parameters())
            else:
                known = ", ".join(sorted({*(cell.op_type for cell in BY_CELL.values()), *_WRITERS}))
                raise ValueError(f"layer {name} ({type(layer).__name__}) has no operator in ONNX: expected {known}")

    def finish(self) -> onnx.ModelProto:
        """Return the whole model."""
        if self.model.per_step:
            if self.padded:
                zero = self.constant("zero", np.zeros((), self.model.dtype))
                self.now = self.node("Where", [self.valid(), self.now, zero])
            if self.model.batch_first:
                self.now = self.node("Transpose", [self.now], perm=[1, 0, 2])
            form = self.form
        else:
            form = ["batch"]
        self.nodes.append(helper.make_node("Identity", [self.now], ["y"]))
        y = helper.make_tensor_value_info("y", self.type, [*form, self.model.out_features or "features"])
        graph = helper.make_graph(self.nodes, "rnncore", self.inputs, [y, *self.outputs], list(self.constants.values()))
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="rnncore",
            producer_version=__version__,
        )

    # ---- parts

    def input(self, name: str, shape: list[Any], kind: int | None = None) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, self.type if kind is None else kind, shape))
        return name

    def constant(self, name: str, array: Any) -> str:
        """Add a constant, unless there is one of this name."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(np.shape(array)), name)
        return name

    def numbers(self, *values: int) -> str:
        """Add a vector of integers: axes, shapes, sizes."""
        return self.constant(f"numbers.{'.'.join(map(str, values))}", np.array(values, np.int64))

    def node(self, op_type: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node of one output; return its name."""
        return self.several(op_type, inputs, 1, **attributes)[0]

    def several(self, op_type: str, inputs: list[str], count: int, **attributes: Any) -> list[str]:
        """Add a node of several outputs; return their names."""
        name = f"{op_type}.{len(self.nodes)}"
        outputs = [f"{name}.{k}" for k in range(count)]
        self.nodes.append(helper.make_node(op_type, inputs, outputs, name, **attributes))
        return outputs

    def valid(self) -> str:
        """Return (T, N, 1) bools: true within the rows' lengths."""
        steps = self.node("Squeeze", [self.node("Shape", [self.first], start=0, end=1), self.numbers(0)])
        steps = self.node("Cast", [steps], to=TensorProto.INT32)
        start, one = (self.constant(f"int32.{k}", np.array(k, np.int32)) for k in (0, 1))
        places = self.node("Unsqueeze", [self.node("Range", [start, steps, one]), self.numbers(1)])
        return self.node("Unsqueeze", [self.node("Less", [places, "lengths"]), self.numbers(2)])

    # ---- recurrent layers

    def recurrent(self, name: str, cell: str, options: dict[str, Any], parameters: dict[str, Array]) -> None:
        operator = BY_CELL[cell]
        if options.get("proj_size"):
            raise ValueError(f"layer {name} (LSTM) has a projection, which ONNX's LSTM has not: expected proj_size=0")
        hidden, count, states = options["hidden_size"], options["num_layers"], CELLS[cell].states
        suffixes = ["", "_reverse"][: 1 + options["bidirectional"]]
        directions = len(suffixes)
        initial = self.initial_states(name, states, options, parameters)
        finals: list[list[str]] = []
        for k in range(count):
            ends = [f"_l{k}{suffix}" for suffix in suffixes]
            inputs = [self.now, *self.weights(name, cell, k, [_of(parameters, end) for end in ends])]
            inputs[4:4] = [self.lengths, *(state[k] for state in initial)]
            while not inputs[-1]:
                inputs.pop()
            attributes = {"hidden_size": hidden, "direction": "bidirectional" if directions == 2 else "forward"}
            if operator.activations:
                attributes["activations"] = list(operator.activations) * directions
            y, *final = self.several(operator.op_type, inputs, 1 + len(states), **attributes, **operator.attributes)
            if directions == 1:
                self.now = self.node("Squeeze", [y, self.numbers(1)])
            else:  # (T, D, N, H) -> (T, N, D*H)
                swapped = self.node("Transpose", [y], perm=[0, 2, 1, 3])
                self.now = self.node("Reshape", [swapped, self.numbers(0, 0, directions * hidden)])
            finals.append(final)
        self.last, self.padded = (finals[-1][0], directions * hidden), False
        if self.state:
            for state, parts in zip(states, zip(*finals, strict=True), strict=True):
                output = f"{name}.{state}n"
                self.nodes.append(helper.make_node("Concat", list(parts), [output], axis=0))
                shape = [count * directions, "batch", hidden]
                self.outputs.append(helper.make_tensor_value_info(output, self.type, shape))

    def initial_states(
        self, name: str, states: tuple[str, ...], options: dict[str, Any], parameters: dict[str, Array]
    ) -> list[list[str]]:
        """Return the names of the initial states (D, N, H): of each array, of each layer of the stack."""
        count, hidden, directions = options["num_layers"], options["hidden_size"], 1 + options["bidirectional"]
        if not self.state and not options["learned_state"]:
            return [[""] * count for _ in states]
        found = []
        for state in states:
            if self.state:
                whole = self.input(f"{name}.{state}", [count * directions, "batch", hidden])
            else:
                learned = [array for own, array in parameters.items() if own.startswith(f"{state}0_l")]
                constant = self.constant(f"{name}.{state}0", np.stack(learned)[:, None])
                rows = self.node("Shape", [self.first], start=1, end=2)
                sizes = [self.numbers(count * directions), rows, self.numbers(hidden)]
                whole = self.node("Expand", [constant, self.node("Concat", sizes, axis=0)])
            if count == 1:
                found.append([whole])
            else:
                found.append(self.several("Split", [whole, self.numbers(*[directions] * count)], count, axis=0))
        return found

    def weights(self, name: str, cell: str, k: int, directions: list[dict[str, Array]]) -> list[str]:
        """Return the names of W, R and B, and of P behind them; "" where there is none."""
        op_type = BY_CELL[cell].op_type
        arrays = {
            "W": [to_onnx(op_type, own["weight_ih"]) for own in directions],
            "R": [to_onnx(op_type, own["weight_hh"]) for own in directions],
            "B": [
                np.concatenate([to_onnx(op_type, own["bias_ih"]), to_onnx(op_type, own["bias_hh"])])
                for own in directions
                if "bias_ih" in own
            ],
            "P": [
                np.concatenate([own[vector] for vector in CELLS[cell].vectors])
                for own in directions
                if CELLS[cell].vectors
            ],
        }
        return [
            self.constant(f"{name}.{letter}_l{k}", np.stack(stacked)) if stacked else ""
            for letter, stacked in arrays.items()
        ]

    # ---- the others

    def linear(self, name: str, options: dict[str, Any], parameters: dict[str, Array]) -> None:
        self.now = self.node("MatMul", [self.now, self.constant(f"{name}.weight", parameters["weight"].T)])
        if options["bias"]:
            self.now = self.node("Add", [self.now, self.constant(f"{name}.bias", parameters["bias"])])
        if options["activation"] is not None:
            self.now = self.node(_ACTIVATIONS[options["activation"]], [self.now])
        self.padded = bool(self.lengths)

    def embedding(self, name: str, _options: dict[str, Any], parameters: dict[str, Array]) -> None:
        self.now = self.node("Gather", [self.constant(f"{name}.weight", parameters["weight"]), self.now], axis=0)

    def layer_norm(self, name: str, options: dict[str, Any], parameters: dict[str, Array]) -> None:
        ones = np.ones(options["normalized_shape"], self.model.dtype)
        inputs = [self.now, self.constant(f"{name}.weight", parameters.get("weight", ones))]
        if "bias" in parameters:
            inputs.append(self.constant(f"{name}.bias", parameters["bias"]))
        self.now = self.node("LayerNormalization", inputs, axis=-1, epsilon=options["eps"])
        self.padded = bool(self.lengths)

    def last_step(self, _name: str, _options: dict[str, Any], _parameters: dict[str, Array]) -> None:
        assert self.last is not None  # a model has its LastStep right behind a recurrent layer
        final, width = self.last
        rows = self.node("Transpose", [final], perm=[1, 0, 2])
        self.now = self.node("Reshape", [rows, self.numbers(0, width)])

    def dropout(self, _name: str, _options: dict[str, Any], _parameters: dict[str, Array]) -> None:
        pass  # inference


def _of(parameters: dict[str, Array], end: str) -> dict[str, Array]:
    """Take out the parameters whose names end so, and cut the end off."""
    return {name[: -len(end)]: array for name, array in parameters.items() if name.endswith(end)}


_WRITERS = {
    "Linear": _Graph.linear,
    "Embedding": _Graph.embedding,
    "LayerNorm": _Graph.layer_norm,
    "LastStep": _Graph.last_step,
    "Dropout": _Graph.dropout,
}
