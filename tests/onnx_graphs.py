"""Graphs made node by node: a GRU over x (T, N, 4) to begin with."""

import numpy as np
import onnx

from model_case import draw


def value(name, *shape, kind=None):
    return onnx.helper.make_tensor_value_info(name, kind or onnx.TensorProto.FLOAT, shape)


def write(path, nodes, constants=None, inputs=None, outputs=None, opset=20):
    """Write a graph; its nodes are (operator, inputs, outputs, attributes)."""
    made = [
        onnx.helper.make_node(op, take, give, f"{op}-{k}", **dict(*rest))
        for k, (op, take, give, *rest) in enumerate(nodes)
    ]
    tensors = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = onnx.helper.make_graph(
        made, "by hand", inputs or [value("x", "t", "n", 4)], outputs or [value("y", None)], tensors
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def weights(seed=0, gates=3, features=4, hidden=5, directions=1):
    rows = gates * hidden
    return {
        "W": draw(directions, rows, features, seed=seed, dtype="float32"),
        "R": draw(directions, rows, hidden, seed=seed + 1, dtype="float32"),
        "B": draw(directions, 2 * rows, seed=seed + 2, dtype="float32"),
    }


GRU = ("GRU", ["x", "W", "R", "B"], ["Y", "h"], {"hidden_size": 5, "linear_before_reset": 1})
SQUEEZED = ("Squeeze", ["Y", "one"], ["y"])
ONE = {"one": np.array([1])}
