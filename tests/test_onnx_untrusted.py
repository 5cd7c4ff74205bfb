"""ONNX files that could harm: they are refused before they take memory, time or other files."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import rnncore  # noqa: E402
from onnx_graphs import GRU, ONE, SQUEEZED, value, weights, write  # noqa: E402
from rnncore.files import FormatError  # noqa: E402


def changed(tmp_path, change):
    path = write(tmp_path / "model.onnx", [GRU, SQUEEZED], {**weights(), **ONE})
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def nested(model):
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["z"], "choice", then_branch=body, else_branch=body))


def grown(model):
    model.graph.initializer[0].dims[1] = 1 << 40


def wide(model):
    model.graph.node[0].attribute[0].i = 1 << 50


def several(model):
    model.graph.node.extend([onnx.helper.make_node("Identity", ["x"], [f"v{k}"]) for k in range(10_001)])


UNTRUSTED = {
    "data in another file": (external, "tensor 'W' lies in another file"),
    "a graph within": (nested, r"node 'choice' \(If\) holds a graph of its own"),
    "a tensor larger than its data": (grown, r"tensor 'W' has 60 numbers, its shape \(1, 1099511627776, 4\) says"),
    "an enormous hidden_size": (wide, r"node 'GRU-0' \(GRU\): W should have the shape"),
    "too many nodes": (several, "the graph has 10003 nodes, the most that is read is 10000"),
    "functions": (lambda model: model.functions.add(name="f"), "the model has functions of its own"),
    "another domain": (lambda model: setattr(model.graph.node[1], "domain", "com.x"), "is of the domain 'com.x'"),
    "no operator set": (lambda model: model.ClearField("opset_import"), r"operator sets \[\]: expected one, 7 to 29"),
    "names that nothing writes": (lambda model: model.graph.node.pop(0), "reads 'Y', which nothing before it"),
    "names written twice": (lambda model: model.graph.node.append(model.graph.node[0]), "writes 'Y', which stands"),
    "a negative size": (
        lambda model: model.graph.initializer[0].dims.__setitem__(0, -1), "tensor 'W' has the shape .*no negative size"
    ),
    "strings": (lambda model: setattr(model.graph.initializer[0], "data_type", 8), "is of the element type 8"),
    "nothing": (lambda model: model.ClearField("graph"), "the file holds no graph"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), UNTRUSTED.values(), ids=UNTRUSTED)
def test_a_file_that_could_harm_is_refused(tmp_path, change, message):
    with pytest.raises(FormatError, match=message):
        rnncore.onnx.load(changed(tmp_path, change))


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    for content in (b"", b"not a model", bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(FormatError):
            rnncore.onnx.load(path)
    with pytest.raises(FileNotFoundError):
        rnncore.onnx.load(tmp_path / "missing.onnx")


def test_sizes_and_constants_cannot_grow_without_end(tmp_path):
    """A node more doubles the vector, the number or the constant: each is stopped while it is small."""
    doubling = [("Concat", [f"v{k}", f"v{k}"], [f"v{k + 1}"], {"axis": 0}) for k in range(60)]
    squaring = [("Mul", [f"v{k}", f"v{k}"], [f"v{k + 1}"]) for k in range(60)]
    reading = ("Reshape", ["x", "v60"], ["y"])
    huge = [("ConstantOfShape", ["size"], ["v0"]), *doubling, ("MatMul", ["x", "v60"], ["y"])]
    for nodes, constants in (
        ([("Shape", ["x"], ["v0"]), *doubling, reading], {}),
        ([("Shape", ["x"], ["v0"]), *squaring, reading], {}),
        (huge, {"size": np.array([1 << 60, 1 << 60])}),
        ([*doubling, ("MatMul", ["x", "v60"], ["y"])], {"v0": np.ones((64, 4), np.float32)}),
    ):
        with pytest.raises(FormatError, match="more|no tensor has|weights"):
            rnncore.onnx.load(write(tmp_path / "model.onnx", nodes, constants))


PLACES = {
    "cut": [("Slice", ["x", "start", "end"], ["y"])],
    "turned around": [("Slice", ["x", "last", "before", "zero", "last"], ["y"])],
    "split": [("Split", ["x"], ["y"], {"axis": 0, "num_outputs": 1 << 40})],
}


@pytest.mark.parametrize("nodes", PLACES.values(), ids=PLACES)
def test_an_axis_longer_than_memory_is_not_walked(tmp_path, nodes):
    places = {"start": 1, "end": 1 << 50, "last": -1, "before": -(1 << 62), "zero": 0}
    constants = {name: np.array([place]) for name, place in places.items()}
    path = write(tmp_path / "model.onnx", nodes, constants, [value("x", 1 << 60, 3, 4)])
    with pytest.raises(FormatError, match="more than 1000|the most that lie side by side are 1000"):
        rnncore.onnx.load(path)
