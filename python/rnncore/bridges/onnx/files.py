"""ONNX files read without trust: flat graphs of bounded size, whose tensors lie in the file and are what they say."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto, numpy_helper

from rnncore.arguments import Array
from rnncore.bridges.onnx.attributes import named
from rnncore.files import FormatError

__all__ = ["MOST_BYTES", "MOST_NODES", "Declared", "Graph", "check", "read", "tensor_array"]

MOST_BYTES = 1 << 30
MOST_NODES = 10_000
_OPSETS = range(7, 30)  # the recurrent operators have meant the same since 7
_ELEMENTS: dict[int, int] = {
    TensorProto.FLOAT: 4, TensorProto.DOUBLE: 8, TensorProto.INT32: 4, TensorProto.INT64: 8, TensorProto.BOOL: 1,
}  # fmt: skip
_TYPED: dict[int, str] = {
    TensorProto.FLOAT: "float_data", TensorProto.DOUBLE: "double_data", TensorProto.INT32: "int32_data",
    TensorProto.INT64: "int64_data", TensorProto.BOOL: "int32_data",
}  # fmt: skip


@dataclass(frozen=True)
class Declared:
    """An input or output of a graph."""

    name: str
    element: int  # TensorProto's number of the dtype
    shape: tuple[int | str | None, ...]


@dataclass(frozen=True)
class Graph:
    """A checked graph: every name is written once, before it is read."""

    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, Array]
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    opset: int


def read(path: str | os.PathLike[str], *, most_bytes: int = MOST_BYTES, most_nodes: int = MOST_NODES) -> Graph:
    """Read and check a file. Raises FileNotFoundError, and FormatError for what is no such graph."""
    with Path(path).open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise FormatError(f"{path} has more than {most_bytes} bytes, the most that is read")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RecursionError, ValueError) as error:
        raise FormatError(f"{path} is no ONNX file: {error}") from None
    return check(model, most_nodes=most_nodes)


def check(model: onnx.ModelProto, *, most_nodes: int = MOST_NODES) -> Graph:
    """Check a model's graph. Raises FormatError, which names the node or tensor."""
    if not model.HasField("graph"):
        raise FormatError("the file holds no graph: expected an ONNX model")
    if model.functions:
        raise FormatError("the model has functions of its own: expected a flat graph")
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    if len(versions) != 1 or versions[0] not in _OPSETS:
        raise FormatError(f"the model names the operator sets {versions}: expected one, {_OPSETS[0]} to {_OPSETS[-1]}")
    graph = model.graph
    if len(graph.node) > most_nodes:
        raise FormatError(f"the graph has {len(graph.node)} nodes, the most that is read is {most_nodes}")
    if graph.sparse_initializer:
        raise FormatError("the graph has sparse tensors: expected dense ones")
    constants = {tensor.name: tensor_array(tensor, f"tensor {tensor.name[:100]!r}") for tensor in graph.initializer}
    if len(constants) != len(graph.initializer) or "" in constants:
        raise FormatError("the graph has two tensors of one name, or one without a name")
    inputs = tuple(_declared(each) for each in graph.input if each.name not in constants)
    known = {*constants, *(each.name for each in inputs)}
    if len(known) != len(constants) + len(inputs) or "" in known:
        raise FormatError("the graph has two inputs of one name, or one without a name")
    for node in graph.node:
        _check_node(node, known)
    for output in graph.output:
        if output.name not in known:
            raise FormatError(f"the graph's output {output.name[:100]!r} is written by no node")
    return Graph(tuple(graph.node), constants, inputs, tuple(map(_declared, graph.output)), versions[0])


def _check_node(node: onnx.NodeProto, known: set[str]) -> None:
    if node.domain not in ("", "ai.onnx"):
        raise FormatError(f"{named(node)} is of the domain {node.domain[:100]!r}: expected ONNX's own operators")
    for attribute in node.attribute:
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) or attribute.HasField("g"):
            raise FormatError(f"{named(node)} holds a graph of its own: expected a flat graph")
    for name in node.input:
        if name and name not in known:
            raise FormatError(f"{named(node)} reads {name[:100]!r}, which nothing before it has written")
    for name in node.output:
        if name in known:
            raise FormatError(f"{named(node)} writes {name[:100]!r}, which stands there already")
        if name:
            known.add(name)


def tensor_array(tensor: TensorProto, owner: str) -> Array:
    """Return a tensor's numbers, after its sizes were checked against the bytes that are there."""
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise FormatError(f"{owner} lies in another file: expected all data in one, as external_data=False writes it")
    if tensor.data_type not in _ELEMENTS:
        expected = ", ".join(TensorProto.DataType.Name(kind) for kind in _ELEMENTS)
        raise FormatError(f"{owner} is of the element type {tensor.data_type}: expected one of {expected}")
    if tensor.HasField("segment"):
        raise FormatError(f"{owner} is a segment of a tensor: expected a whole one")
    shape = tuple(tensor.dims)
    if len(shape) > 8 or any(size < 0 for size in shape):
        raise FormatError(f"{owner} has the shape {shape[:9]}: expected at most 8 axes and no negative size")
    if tensor.HasField("raw_data"):
        given = len(tensor.raw_data) / _ELEMENTS[tensor.data_type]
    else:
        given = len(getattr(tensor, _TYPED[tensor.data_type]))
    if given != math.prod(shape):
        raise FormatError(f"{owner} has {given:g} numbers, its shape {shape} says {math.prod(shape)}")
    array = numpy_helper.to_array(tensor)
    return np.array(array, array.dtype.newbyteorder("="))


def _declared(value: onnx.ValueInfoProto) -> Declared:
    if not value.type.HasField("tensor_type"):
        raise FormatError(f"the value {value.name[:100]!r} is no tensor")
    kind = value.type.tensor_type
    sizes: list[int | str | None] = []
    if not kind.HasField("shape"):
        return Declared(value.name, kind.elem_type, ())
    for dimension in kind.shape.dim:
        if dimension.HasField("dim_value"):
            if dimension.dim_value < 0:
                raise FormatError(f"the value {value.name[:100]!r} has a negative size")
            sizes.append(dimension.dim_value)
        else:
            sizes.append(dimension.dim_param or None)
    return Declared(value.name, kind.elem_type, tuple(sizes))
