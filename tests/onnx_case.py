"""ONNX files changed at random: what a reader that trusts nothing has to take or to refuse."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx

import rnncore
from model_case import classifier, regressor, speller
from rnncore.files import FormatError

KEPT = Path(__file__).parent / "data" / "keras_onnx"
STEPS, ROWS = 4, 2
NUMBERS = (-(1 << 63), -(1 << 31), -2, -1, 0, 1, 2, 3, 5, 7, 1 << 31, 1 << 40, (1 << 63) - 1)


def corpus() -> list[bytes]:
    """Files of several writers."""
    contents = [path.read_bytes() for path in sorted(KEPT.glob("*.onnx"))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        for make in (regressor, classifier, speller):
            for batch_first in (False, True):
                rnncore.onnx.export(make(batch_first=batch_first), path, not batch_first, lengths=batch_first)
                contents.append(path.read_bytes())
    return contents


def changed_bytes(rng: np.random.Generator, content: bytes) -> bytes:
    """Change, cut out or double some bytes."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 8))):
        place, count = int(rng.integers(len(data))), int(rng.integers(1, 9))
        kind = rng.integers(4)
        if kind == 0:
            data[place] = int(rng.integers(256))
        elif kind == 1:
            data[place] ^= 1 << int(rng.integers(8))
        elif kind == 2 and len(data) > 100:
            del data[place : place + count]
        else:
            data[place:place] = data[place : place + count]
    return bytes(data)


def changed_graph(rng: np.random.Generator, content: bytes) -> bytes:
    """Change numbers, names and nodes of a graph, so that it stays a graph."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    names = [name for node in graph.node for name in (*node.input, *node.output)] + [""]
    for _ in range(int(rng.integers(1, 4))):
        node = graph.node[int(rng.integers(len(graph.node)))]
        number = NUMBERS[int(rng.integers(len(NUMBERS)))]
        kind = int(rng.integers(9))
        if kind == 0 and node.input:
            node.input[int(rng.integers(len(node.input)))] = names[int(rng.integers(len(names)))]
        elif kind == 1 and node.attribute:
            attribute = node.attribute[int(rng.integers(len(node.attribute)))]
            if attribute.ints:
                attribute.ints[int(rng.integers(len(attribute.ints)))] = number
            else:
                attribute.i = number
        elif kind == 2 and node.attribute:
            del node.attribute[int(rng.integers(len(node.attribute)))]
        elif kind == 3:
            node.op_type = graph.node[int(rng.integers(len(graph.node)))].op_type
        elif kind == 4:
            tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
            if tensor.dims:
                tensor.dims[int(rng.integers(len(tensor.dims)))] = number
        elif kind == 5:
            tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
            if tensor.data_type == onnx.TensorProto.INT64 and len(tensor.raw_data) == 8 * np.prod(tensor.dims) > 0:
                array = np.array(onnx.numpy_helper.to_array(tensor))
                array.ravel()[int(rng.integers(array.size))] = np.array(number).astype(array.dtype)
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        elif kind == 6 and len(graph.node) > 1:
            graph.node.remove(node)
        elif kind == 7 and len(node.input) > 1:
            first, second = rng.choice(len(node.input), 2, replace=False)
            node.input[first], node.input[second] = node.input[second], node.input[first]
        elif kind == 8:
            value = graph.input[int(rng.integers(len(graph.input)))]
            if value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].dim_value = number
    return model.SerializeToString()


def attempt(content: bytes, path: Path) -> rnncore.Sequential | None:
    """Read a file as a model and as a graph of recurrent nodes; return the model if it is one.

    Anything but a model or a FormatError, a ValueError of the backend's, is a fault of the reader and is raised.
    """
    path.write_bytes(content)
    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # protobuf's own errors: no message at all
        model = None
    if model is not None:
        rnncore.onnx.backend.is_compatible(model)
    try:
        return rnncore.onnx.load(path)
    except FormatError:
        return None


def input_of(model: rnncore.Sequential) -> np.ndarray:
    """Labels or numbers of STEPS steps and ROWS rows, in the form of the model."""
    shape = (ROWS, STEPS) if model.batch_first else (STEPS, ROWS)
    if model.takes_labels:
        return np.arange(STEPS * ROWS).reshape(shape) % model.layers[0].num_embeddings
    return np.linspace(-1, 1, STEPS * ROWS * (model.in_features or 3)).reshape(*shape, -1)
