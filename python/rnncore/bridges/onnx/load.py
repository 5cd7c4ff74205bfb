"""A model read from an ONNX graph, whoever has written it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import onnx

from rnncore.bridges.onnx.attributes import named, read_attributes
from rnncore.bridges.onnx.chain import Chain
from rnncore.bridges.onnx.computing import COMPUTING
from rnncore.bridges.onnx.files import Declared, Graph, read
from rnncore.bridges.onnx.recurrent import INPUTS, Recurrent
from rnncore.bridges.onnx.selecting import SELECTING
from rnncore.bridges.onnx.shaping import SHAPING
from rnncore.bridges.onnx.values import Atom, Axis, Constant, Product, Tensor, Value, without_units
from rnncore.files import FormatError
from rnncore.sequential import Sequential

__all__ = ["load"]

_OPERATIONS = {**SHAPING, **SELECTING, **COMPUTING}


def load(path: str | os.PathLike[str]) -> Sequential:
    """Read an ONNX file into a model, as PyTorch's exporters, Keras, tf2onnx and `export` write them.

    The graph has to be a line of layers that `Sequential` has: nodes RNN, GRU (with linear_before_reset=1) and LSTM in
    one direction or both, products with a bias and an activation, an embedding, layer normalisations, the last step;
    and whatever only moves axes between them. Recurrent nodes one upon the other become one layer of several levels.
    The model has the form of the graph's input (steps or rows first), takes an input of lengths as ``lengths`` and
    inputs of the state as ``hx``; it is in eval mode, and its parameters may be trained on.

    Nothing in the file is trusted or executed: graphs within graphs, functions, data in other files and unknown
    attributes are refused, and so are more than 10,000 nodes and 1 GiB.

    Raises FileNotFoundError, and `rnncore.files.FormatError`, a ValueError, which names the node that is no layer's.

    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.Linear(8, 2, seed=0))
    >>> rnncore.onnx.export(model, "model.onnx")
    >>> twin = load("model.onnx")
    >>> twin
    Sequential(
      (0): GRU(3, 8)
      (1): Linear(in_features=8, out_features=2, bias=True)
    )
    >>> bool((twin(np.ones((5, 4, 3)))[0] == model(np.ones((5, 4, 3)))[0]).all())
    True
    """
    try:
        return _Reader(read(path)).model()
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from None


class _Reader:
    """Goes through the nodes that lead to the outputs, and knows of each value what `values` tells."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.chain = Chain()
        self.used = {name for node in graph.nodes for name in node.input} | {each.name for each in graph.outputs}
        self.values: dict[str, Value] = {name: Constant.of(array) for name, array in graph.constants.items()}
        tables = [len(array) for array in graph.constants.values() if array.ndim == 2 and array.dtype.kind == "f"]
        self.chain.labels = max(tables, default=0)
        for declared in graph.inputs:
            axes = self.chain.inputs[declared.name] = _axes(declared)
            self.values[declared.name] = Tensor(axes, (("input", declared.name),))

    def model(self) -> Sequential:
        for node in _needed(self.graph):
            try:
                results = self.run(node)
            except FormatError:
                raise
            except ValueError as error:
                raise FormatError(f"{named(node)}: {error}") from None
            for name, result in zip(node.output, results, strict=False):
                if name:
                    self.values[name] = result
        self.finish()
        return self.chain.build()

    def run(self, node: onnx.NodeProto) -> Sequence[Value]:
        """Return the outputs of a node."""
        if node.op_type in INPUTS:
            return self.recur(node)
        if node.op_type not in _OPERATIONS:
            raise ValueError("no layer computes this operator")
        known, operation = _OPERATIONS[node.op_type]
        attributes = read_attributes(node, known)
        if node.op_type == "Split":
            attributes.setdefault("num_outputs", len(node.output))
        inputs = [self.values[name] if name else None for name in node.input]
        result = operation(self.chain, attributes, inputs)
        results = result if isinstance(result, Sequence) else [result]
        missing = [name for name in node.output[len(results) :] if name and name in self.used]
        if missing:
            raise ValueError(f"its output {missing[0][:100]!r} is read, which no layer gives")
        return results

    def recur(self, node: onnx.NodeProto) -> Sequence[Value]:
        recurrent = Recurrent.read(node)
        values = {own: self.values[name] for own, name in recurrent.inputs().items()}
        arrays = {}
        for own in ("W", "R", "B", "P"):
            value = values.pop(own, None)
            if value is None:
                continue
            if not isinstance(value, Constant) or not value.whole:
                raise ValueError(f"its {own} is no constant")
            arrays[own] = value.array
        return self.chain.recur(recurrent, recurrent.weights(arrays), values)

    def finish(self) -> None:
        """Find the output y among the graph's outputs; the others have to be final states."""
        chain, outputs = self.chain, self.graph.outputs
        results = [self.values[each.name] for each in outputs]
        states = [isinstance(result, Tensor) and result.parts[0][0] == "final" for result in results]
        mains = [k for k, is_state in enumerate(states) if not is_state] or [0]
        if not outputs or len(mains) > 1:
            names = ", ".join(repr(outputs[k].name[:100]) for k in mains) if outputs else "none"
            raise FormatError(f"the graph should have one output that is no final state, got {names}")
        name = outputs[mains[0]].name[:100]
        try:
            front = chain.read(results[mains[0]])
        except ValueError as error:
            raise FormatError(f"the graph's output {name!r}: {error}") from None
        if tuple(map(without_units, front)) != tuple(map(without_units, chain.expected_axes())):
            raise FormatError(f"the graph's output {name!r} has its axes in another order than the input")


def _needed(graph: Graph) -> list[onnx.NodeProto]:
    """Return the nodes that lead to the outputs, in their order."""
    wanted = {each.name for each in graph.outputs}
    nodes = []
    for node in reversed(graph.nodes):
        if wanted.intersection(name for name in node.output if name):
            wanted.update(name for name in node.input if name)
            nodes.append(node)
    return nodes[::-1]


def _axes(declared: Declared) -> tuple[Axis, ...]:
    """Give each axis of an input an atom of its own name."""
    axes = []
    for k, size in enumerate(declared.shape):
        name = f"{declared.name}.{k}"
        axes.append((Atom(name, size if isinstance(size, int) else Product(1, (name,))),))
    return tuple(axes)
