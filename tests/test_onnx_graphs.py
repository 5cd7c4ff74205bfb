"""What nodes a graph may have: those that are layers are read, whatever moves axes between them, the others named."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import rnncore  # noqa: E402
from model_case import draw  # noqa: E402
from onnx_graphs import GRU, ONE, SQUEEZED, value, weights, write  # noqa: E402
from rnncore.files import FormatError  # noqa: E402

T, N = 7, 3


def test_older_operator_sets_and_rows_first(tmp_path):
    """Axes as attributes, as before operator set 13; layout=1, where y is (N, T, D, H)."""
    squeeze = ("Squeeze", ["Y"], ["y"], {"axes": [1]})
    model = rnncore.onnx.load(write(tmp_path / "old.onnx", [GRU, squeeze], weights(), opset=11))
    x = draw(T, N, 4, dtype="float32")
    gru = (*GRU[:3], {**GRU[3], "layout": 1})
    squeeze = ("Squeeze", ["Y", "two"], ["y"])
    turned = rnncore.onnx.load(
        write(tmp_path / "rows.onnx", [gru, squeeze], {**weights(), "two": np.array([2])}, [value("x", "n", "t", 4)])
    )
    assert turned[0].batch_first
    np.testing.assert_array_equal(turned(x.swapaxes(0, 1))[0], model(x)[0].swapaxes(0, 1))


def test_rows_first_states_are_read_along_their_own_axis(tmp_path):
    """Of layout=1 a state is (N, D, H): as many rows as directions must not be taken for these."""
    both = weights(directions=2)
    node = ("GRU", ["x", "W", "R", "B", "", "h0"], ["Y", "y"], {**GRU[3], "layout": 1, "direction": "bidirectional"})
    last = [node, ("Reshape", ["y", "flat"], ["z"])]
    inputs = [value("x", "n", "t", 4), value("h0", 2, 2, 5)]
    path = write(tmp_path / "model.onnx", last, {**both, "flat": np.array([0, 10])}, inputs, [value("z", None)])
    model = rnncore.onnx.load(path)
    x, h0 = draw(2, T, 4, dtype="float32"), draw(2, 2, 5, dtype="float32")
    arrays = {"x": x, "h0": h0, **{name: both[name] for name in "WRB"}}
    run = rnncore.onnx.backend.run_node(onnx.load(path).graph.node[0], [arrays[name] for name in ("x", *"WRB", "h0")])
    np.testing.assert_array_equal(model(x, h0.swapaxes(0, 1))[0], run[1].reshape(2, 10))


def test_a_head_by_gemm_over_flattened_steps(tmp_path):
    weight, bias = draw(2, 5, dtype="float32"), draw(2, seed=1, dtype="float32")
    nodes = [
        GRU,
        ("Reshape", ["Y", "flat"], ["rows"]),
        ("Gemm", ["rows", "weight", "bias"], ["z"], {"transB": 1}),
        ("Sigmoid", ["z"], ["s"]),
        ("Shape", ["Y"], ["shape"]),
        ("Gather", ["shape", "front"], ["sizes"]),
        ("Concat", ["sizes", "left"], ["target"], {"axis": 0}),
        ("Reshape", ["s", "target"], ["y"]),
    ]
    constants = {"flat": np.array([-1, 5]), "front": np.array([0, 2]), "left": np.array([-1]), "weight": weight}
    model = rnncore.onnx.load(write(tmp_path / "model.onnx", nodes, {**weights(), **constants, "bias": bias}))
    y, _ = model[0](draw(T, N, 4))
    np.testing.assert_allclose(model(draw(T, N, 4))[0], 1 / (1 + np.exp(-(y @ weight.T + bias))), rtol=0, atol=1e-6)


def test_a_constant_initial_state_becomes_a_learned_one(tmp_path):
    h = draw(1, 1, 5, dtype="float32")
    node = ("GRU", ["x", "W", "R", "B", "", "h0"], ["Y"], GRU[3])
    same = np.repeat(h, N, axis=1)
    model = rnncore.onnx.load(write(tmp_path / "same.onnx", [node, SQUEEZED], {**weights(), **ONE, "h0": same}))
    np.testing.assert_array_equal(model["0"].h0_l0, h[0, 0])
    same[0, 1] += 1
    with pytest.raises(FormatError, match=r"'GRU-0' \(GRU\): its initial_h is a constant that differs from row to row"):
        rnncore.onnx.load(write(tmp_path / "rows.onnx", [node, SQUEEZED], {**weights(), **ONE, "h0": same}))


def test_nodes_that_lead_nowhere_do_not_matter(tmp_path):
    nodes = [GRU, ("Softmax", ["Y"], ["unused"]), SQUEEZED]
    assert len(rnncore.onnx.load(write(tmp_path / "model.onnx", nodes, {**weights(), **ONE}))) == 1


def lstm(**attributes):
    return [("LSTM", ["x", "W", "R"], ["Y"], {"hidden_size": 5, **attributes}), SQUEEZED]


def gru(*behind, **attributes):
    return [(*GRU[:3], {**GRU[3], **attributes}), ("Squeeze", ["Y", "one"], ["s"]), *behind]


LSTM_WEIGHTS = {name: array for name, array in weights(gates=4).items() if name != "B"}
LINEAR = {"M": draw(5, 2, dtype="float32")}
REFUSED = {
    "reset before the product": (gru(linear_before_reset=0), {}, "no layer computes a GRU that resets before"),
    "clip": (lstm(clip=1.0), LSTM_WEIGHTS, r"'LSTM-0' \(LSTM\): no layer computes clip; rnncore.onnx.backend runs"),
    "coupled": (lstm(input_forget=1), LSTM_WEIGHTS, "no layer computes input_forget=1"),
    "backwards alone": (lstm(direction="reverse"), LSTM_WEIGHTS, "no layer computes direction=reverse alone"),
    "other activations": (lstm(activations=["HardSigmoid", "Tanh", "Tanh"]), LSTM_WEIGHTS, "these activations"),
    "another operator": (gru(("Softmax", ["s"], ["y"])), {}, r"'Softmax-2' \(Softmax\): no layer computes this"),
    "a sum of two": (gru(("Add", ["s", "s"], ["y"])), {}, r"'Add-2' \(Add\): it works on outputs of layers"),
    "an activation of a GRU": (gru(("Relu", ["s"], ["y"])), {}, "an activation stands behind a Linear"),
    "a branch": (
        gru(("MatMul", ["s", "M"], ["m"]), ("MatMul", ["s", "M"], ["y"]), ("Identity", ["m"], ["z"])),
        LINEAR,
        r"'MatMul-3' \(MatMul\): it reads something other than what the layer before it gives",
    ),
    "another product": (gru(("MatMul", ["s", "M"], ["y"])), {"M": draw(6, 2)}, "weights take 6 features, .* gives 5"),
    "a dtype": (gru(("MatMul", ["s", "M"], ["y"])), {"M": draw(5, 2)}, "its parameters are float64, expected float32"),
    "the first step": (gru(("Gather", ["s", "zero"], ["y"])), {"zero": np.array(0)}, "not its last step"),
    "part of the sequence": (
        gru(("Slice", ["s", "one", "end"], ["y"])), {"end": np.array([3])}, "it cuts off a part of the sequence"
    ),
    "turned around": (gru(("Transpose", ["s"], ["y"], {"perm": [1, 0, 2]})), {}, "'y' has its axes in another order"),
    "joined axes": (gru(("Reshape", ["s", "r"], ["y"])), {"r": np.array([0, -1])}, "the features do not lie"),
    "a cut feature": (gru(("Reshape", ["s", "r"], ["y"])), {"r": np.array([0, 0, 5, 2])}, "it cuts up or joins axes"),
    "an unknown attribute": (gru(wings=2), {}, "has the attribute 'wings', expected activation_alpha"),
    "weights that are computed": (
        [("Relu", ["W"], ["V"]), ("GRU", ["x", "V", "R"], ["y"], GRU[3])], {}, r"'Relu-0' \(Relu\)"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "constants", "message"), REFUSED.values(), ids=REFUSED)
def test_a_node_that_no_layer_computes_is_named(tmp_path, nodes, constants, message):
    last = nodes[-1][2][0]
    outputs = [value("z", None), value("y", None)] if last == "z" else [value("s" if last == "s" else "y", None)]
    path = write(tmp_path / "model.onnx", nodes, {**weights(), **ONE, **constants}, outputs=outputs)
    with pytest.raises(FormatError, match=message):
        rnncore.onnx.load(path)
