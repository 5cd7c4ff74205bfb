"""The ONNX backend interface: ONNX's own node tests, and all attributes beside ONNX Runtime."""

import importlib
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import rnncore  # noqa: E402

backend = rnncore.onnx.backend
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def own_cases():
    """ONNX's tests of recurrent nodes; its public loader takes seven seconds to make those of all operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for op_type in ("rnn", "gru", "lstm"):
            importlib.import_module(f"onnx.backend.test.case.node.{op_type}")
        cases = importlib.import_module("onnx.backend.test.case.node")._NodeTestCases
    return {case.name: case for case in cases if case.model.graph.node[0].op_type in GATES}


CASES = own_cases()


def test_all_recurrent_node_tests_of_onnx_are_here():
    assert len(CASES) == 18


@pytest.mark.parametrize("name", CASES)
def test_a_node_test_of_onnx(name):
    case = CASES[name]
    assert backend.is_compatible(case.model)
    for inputs, outputs in case.data_sets:
        results = backend.prepare(case.model).run(inputs)
        assert len(results) == len(outputs)
        for result, expected in zip(results, outputs, strict=True):
            assert result.dtype == expected.dtype
            np.testing.assert_allclose(result, expected, rtol=case.rtol, atol=case.atol)


# ---- attributes, beside ONNX Runtime

T, N, FEATURES, H = 7, 3, 4, 5


def node_model(op_type, arrays, **attributes):
    """A model of one node that reads these arrays, by ONNX's names of its inputs."""
    helper, kinds = onnx.helper, onnx.TensorProto
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    names = [name if name in arrays else "" for name in order if op_type == "LSTM" or name not in ("initial_c", "P")]
    while not names[-1]:
        names.pop()
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op_type == "LSTM" else 2]
    node = helper.make_node(op_type, names, outputs, "cell", **{"hidden_size": H, **attributes})
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    results = [helper.make_tensor_value_info(name, kinds.FLOAT, None) for name in outputs]
    graph = helper.make_graph([node], "node", values, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def draw(op_type, direction="forward", lengths=None, states=True, bias=True, peepholes=False, scale=0.5, seed=0):
    generator = np.random.default_rng(seed)
    D, rows = 2 if direction == "bidirectional" else 1, GATES[op_type] * H
    shapes = {"X": (T, N, FEATURES), "W": (D, rows, FEATURES), "R": (D, rows, H)}
    shapes |= {"B": (D, 2 * rows)} if bias else {}
    shapes |= {"initial_h": (D, N, H)} if states else {}
    shapes |= {"initial_c": (D, N, H)} if states and op_type == "LSTM" else {}
    shapes |= {"P": (D, 3 * H)} if peepholes else {}
    arrays = {name: (scale * generator.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}
    return arrays | ({} if lengths is None else {"sequence_lens": np.array(lengths, np.int32)})


def compare(op_type, arrays, **attributes):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = node_model(op_type, arrays, **attributes)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    results = backend.run_model(model, arrays)
    for result, expected in zip(results, session.run(None, arrays), strict=True):
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    return results


@pytest.mark.parametrize("lengths", [None, [7, 2, 4]], ids=["whole", "lengths"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("op_type", "options"), [*((op_type, {}) for op_type in GATES), ("GRU", {"linear_before_reset": 1})], ids=str
)
def test_directions_and_lengths(op_type, options, direction, lengths):
    compare(op_type, draw(op_type, direction, lengths), direction=direction, **options)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("states", [True, False])
@pytest.mark.parametrize("op_type", GATES)
def test_optional_inputs(op_type, states, bias):
    compare(op_type, draw(op_type, states=states, bias=bias))


ATTRIBUTES = {
    "lstm, clip": ("LSTM", {"clip": 0.2}, {}),
    "lstm, clip and peepholes": ("LSTM", {"clip": 0.3}, {"peepholes": True}),
    "lstm, coupled": ("LSTM", {"input_forget": 1}, {}),
    "lstm, coupled with peepholes": ("LSTM", {"input_forget": 1}, {"peepholes": True}),
    "lstm, peepholes": ("LSTM", {"direction": "bidirectional"}, {"peepholes": True, "direction": "bidirectional"}),
    "lstm, hard": ("LSTM", {"activations": ["HardSigmoid", "Softsign", "Relu"]}, {}),
    "lstm, parameters in turn": (
        "LSTM",
        {"activations": ["Sigmoid", "Elu", "ScaledTanh"], "activation_alpha": [0.5, 0.7], "activation_beta": [1.2]},
        {},
    ),
    "gru, clip": ("GRU", {"clip": 0.2}, {}),
    "gru, leaky": (
        "GRU",
        {"activations": ["HardSigmoid", "LeakyRelu"], "activation_alpha": [0.3, 0.1], "activation_beta": [0.4]},
        {},
    ),
    "gru, softplus": ("GRU", {"activations": ["Sigmoid", "Softplus"], "linear_before_reset": 1}, {}),
    "rnn, relu": ("RNN", {"activations": ["Relu"]}, {}),
    "rnn, one way each": (
        "RNN",
        {"activations": ["Relu", "Tanh"], "direction": "bidirectional"},
        {"direction": "bidirectional", "scale": 0.3},
    ),
    "rnn, threshold": ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.1]}, {}),
    "rnn, affine": ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]}, {}),
    "rnn, clip": ("RNN", {"clip": 0.2, "direction": "reverse"}, {"lengths": [1, 7, 3]}),
}


@pytest.mark.parametrize(("op_type", "attributes", "options"), ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_attributes(op_type, attributes, options):
    with_them = compare(op_type, draw(op_type, **options), **attributes)
    direction = {"direction": attributes["direction"]} if "direction" in attributes else {}
    without = backend.run_model(node_model(op_type, draw(op_type, **options), **direction), draw(op_type, **options))
    if attributes.keys() - direction.keys():
        assert not np.allclose(with_them[0], without[0]), "the attribute changes something"


@pytest.mark.parametrize("op_type", GATES)
def test_rows_first(op_type):
    """Of layout=1, which ONNX Runtime has not: the results of layout=0, turned around."""
    arrays = draw(op_type, "bidirectional", [7, 2, 4])
    y, *states = backend.run_model(node_model(op_type, arrays, direction="bidirectional"), arrays)
    turned = {
        name: array.swapaxes(0, 1) if name in ("X", "initial_h", "initial_c") else array
        for name, array in arrays.items()
    }
    model = node_model(op_type, turned, direction="bidirectional", layout=1)
    y_turned, *states_turned = backend.run_model(model, turned)
    np.testing.assert_array_equal(y_turned, y.transpose(2, 0, 1, 3))
    for state, other in zip(states, states_turned, strict=True):
        np.testing.assert_array_equal(other, state.swapaxes(0, 1))


@pytest.mark.parametrize("op_type", GATES)
def test_the_engine_and_numpy_agree_in_float64(op_type):
    arrays = {name: array.astype(np.float64) for name, array in draw(op_type, "bidirectional").items()}
    options = {"direction": "bidirectional"} | ({"linear_before_reset": 1} if op_type == "GRU" else {})
    fast = backend.run_node(node_model(op_type, arrays, **options).graph.node[0], list(arrays.values()))
    slow = backend.run_node(node_model(op_type, arrays, clip=1e9, **options).graph.node[0], list(arrays.values()))
    for one, other in zip(fast, slow, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_a_row_of_no_steps_keeps_its_initial_state():
    arrays = draw("LSTM", lengths=[7, 0, 4])
    y, h, c = backend.run_model(node_model("LSTM", arrays), arrays)
    assert not y[:, :, 1].any()
    np.testing.assert_array_equal(h[:, 1], arrays["initial_h"][:, 1])
    np.testing.assert_array_equal(c[:, 1], arrays["initial_c"][:, 1])


def test_nodes_one_behind_the_other_and_weights_as_constants():
    arrays = draw("GRU", states=False)
    model = node_model("GRU", arrays)
    for name in ("W", "R", "B"):
        model.graph.initializer.append(onnx.numpy_helper.from_array(arrays[name], name))
    prepared = backend.prepare(model)
    first, *_ = prepared.run([arrays["X"]])
    again, *_ = prepared.run({"X": arrays["X"]})
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, backend.run_model(node_model("GRU", arrays), arrays)[0])


# ---- what does not fit


def changed(name, array):
    arrays = draw("LSTM", peepholes=True, lengths=[7, 7, 7])
    return {**arrays, name: array(arrays[name])}


WRONG_ARRAYS = {
    "W": (lambda a: a[:, :-1], r"W should have the shape \(1, 20, 4\) by hidden_size=5, got \(1, 19, 4\)"),
    "R": (lambda a: a[:, :, :-1], r"R should have the shape \(1, 20, 5\)"),
    "B": (lambda a: a[:, :-1], r"B should have the shape \(1, 40\)"),
    "P": (lambda a: a.astype(np.float64), "P should be float32 or float64 as W and X are, got float64"),
    "X": (lambda a: a[..., :-1], "X should have 3 axes, the last of size 4"),
    "initial_c": (lambda a: a[:, :-1], r"initial_c should have the shape \(1, 3, 5\)"),
    "sequence_lens": (lambda a: a + 1, r"sequence_lens should be 3 integers in 0\.\.7"),
}


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_an_array_that_does_not_fit_is_named(name):
    change, message = WRONG_ARRAYS[name]
    arrays = changed(name, change)
    with pytest.raises(ValueError, match=rf"node 'cell' \(LSTM\): {message}"):
        backend.run_model(node_model("LSTM", arrays), arrays)


WRONG_ATTRIBUTES = {
    "unknown": ("GRU", {"shuffle": 1}, "has the attribute 'shuffle', expected activation_alpha"),
    "of another operator": ("GRU", {"input_forget": 1}, "has the attribute 'input_forget'"),
    "of another kind": ("GRU", {"hidden_size": 5.0}, "the attribute 'hidden_size' is not of the kind"),
    "direction": ("GRU", {"direction": "sideways"}, "direction should be one of forward, reverse, bidirectional"),
    "layout": ("GRU", {"layout": 2}, "layout should be 0 or 1, got 2"),
    "clip": ("GRU", {"clip": -1.0}, "clip should be above 0"),
    "clip that is no number": ("GRU", {"clip": float("nan")}, "the attribute 'clip' is not finite"),
    "hidden_size": ("GRU", {"hidden_size": 0}, "hidden_size should be at least 1, got 0"),
    "an enormous hidden_size": ("GRU", {"hidden_size": 1 << 40}, r"W should have the shape \(1, 3298534883328, 4\)"),
    "activations": ("GRU", {"activations": ["Sigmoid", "Swish"]}, "activations should be among Relu, Tanh"),
    "one activation": ("GRU", {"activations": ["Sigmoid"]}, "expected 2 activations, 2 for each direction, got 1"),
    "a parameter that is missing": ("RNN", {"activations": ["Affine"]}, "needs a value in activation_alpha"),
    "parameters that nothing takes": ("RNN", {"activation_alpha": [0.5]}, "more values of activation_alpha"),
}


@pytest.mark.parametrize(("op_type", "attributes", "message"), WRONG_ATTRIBUTES.values(), ids=WRONG_ATTRIBUTES)
def test_an_attribute_that_does_not_serve_is_named(op_type, attributes, message):
    arrays = draw(op_type)
    model = node_model(op_type, arrays, **attributes)
    with pytest.raises(ValueError, match=message):
        backend.run_model(model, arrays)


def test_other_nodes_and_devices_are_refused():
    node = onnx.helper.make_node("Relu", ["x"], ["y"], "bend")
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:]))
    assert not backend.is_compatible(model)
    with pytest.raises(ValueError, match=r"node 'bend' \(Relu\): expected one of RNN, GRU, LSTM"):
        backend.prepare(model)
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA")
    arrays = draw("RNN")
    with pytest.raises(ValueError, match="device should be 'CPU', got 'CUDA'"):
        backend.prepare(node_model("RNN", arrays), "CUDA")
    with pytest.raises(ValueError, match=r"expected 5 arrays \(X, W, R, B, initial_h\), got 4"):
        backend.run_model(node_model("RNN", arrays), list(arrays.values())[:-1])
