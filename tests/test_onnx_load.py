"""Models read from ONNX files of any origin: they compute what their origin computes, or the node is named."""

import warnings
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import rnncore  # noqa: E402
from model_case import classifier, draw, regressor, speller  # noqa: E402
from rnncore.files import FormatError  # noqa: E402
from test_onnx_export import arrays_of, state_of  # noqa: E402
from variants import LAYERS  # noqa: E402

T, N = 7, 3


# ---- what rnncore itself writes


@pytest.mark.parametrize("lengths", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("state", [True, False], ids=["state", "no state"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("make", [regressor, classifier, speller])
def test_a_model_comes_back_from_its_own_file(tmp_path, make, batch_first, state, lengths):
    path, model = tmp_path / "model.onnx", make(batch_first=batch_first).eval()
    rnncore.onnx.export(model, path, state, lengths=lengths)
    twin = rnncore.onnx.load(path)
    kept = [repr(layer) for layer in model.layers if not isinstance(layer, rnncore.Dropout)]
    assert list(map(repr, twin.layers)) == kept
    x = draw(N, T, 3, dtype="float32") if batch_first else draw(T, N, 3, dtype="float32")
    x = np.random.default_rng(0).integers(0, 7, x.shape[:2]) if model.takes_labels else x
    hx = state_of(model, N) if state else None
    options = {"lengths": [7, 2, 0]} if lengths else {}
    y, final = model(x, hx, **options)
    y_twin, final_twin = twin(x, hx, **options)
    np.testing.assert_array_equal(y_twin, y)
    for one, other in zip(arrays_of(final_twin), arrays_of(final), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "options", [{"num_layers": 3, "bidirectional": True}, {"bias": False}, {"learned_state": True}], ids=str
)
@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "gru", "lstm", "lstm_peephole"])
def test_all_options_of_a_recurrent_layer_come_back(tmp_path, cell, options):
    path, model = tmp_path / "model.onnx", rnncore.Sequential(LAYERS[cell](4, 5, **options, seed=0))
    model.parameters[...] = draw(model.parameter_count)
    rnncore.onnx.export(model, path, state=False)
    twin = rnncore.onnx.load(path)
    assert repr(twin) == repr(model)
    np.testing.assert_array_equal(twin.parameters, model.parameters)


# ---- what PyTorch writes


def torch_module(kind, last, **options):
    """An embedding, a recurrent layer, a norm and a head, of the whole sequence or of its end."""
    torch = pytest.importorskip("torch")

    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            width = 5 * (1 + options.get("bidirectional", False))
            self.embed = torch.nn.Embedding(11, 4)
            self.core = getattr(torch.nn, kind)(4, 5, **options)
            self.drop = torch.nn.Dropout(0.5)
            self.norm = torch.nn.LayerNorm(width)
            self.first = torch.nn.Linear(width, 6)
            self.second = torch.nn.Linear(6, 3, bias=False)

        def forward(self, x):
            y, hx = self.core(self.embed(x))
            h = hx[0] if kind == "LSTM" else hx
            if last == "step":
                y = y[:, -1] if options.get("batch_first") else y[-1]
            elif last == "state":
                y = torch.cat([h[-2], h[-1]], dim=1) if options.get("bidirectional") else h[-1]
            return self.second(torch.relu(self.first(self.norm(self.drop(y)))))

    return Tagger().eval()


def write_by_torch(path, module, inputs, names, dynamic, exporter, outputs=("y",)):
    """Both of torch's exporters: the old one traces, the new one goes by torch.export."""
    torch = pytest.importorskip("torch")
    options = {"input_names": names, "output_names": list(outputs)}
    if exporter == "trace":
        options["dynamic_axes"] = dynamic
    else:
        pytest.importorskip("onnxscript")
        dims = {label: torch.export.Dim(label) for axes in dynamic.values() for label in axes.values()}
        options["dynamic_shapes"] = tuple({k: dims[v] for k, v in dynamic.get(name, {}).items()} for name in names)
        options |= {"external_data": False, "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, path, dynamo=exporter == "export", **options)


TORCH = {
    "lstm": ("LSTM", None, {}),
    "lstm, rows first, two ways, two levels": (
        "LSTM", None, {"batch_first": True, "bidirectional": True, "num_layers": 2}
    ),
    "gru, last step": ("GRU", "step", {"batch_first": True, "num_layers": 2}),
    "gru, last state of both ways": ("GRU", "state", {"bidirectional": True, "batch_first": True}),
    "lstm, last state": ("LSTM", "state", {"num_layers": 2}),
    "rnn, relu": ("RNN", None, {"nonlinearity": "relu", "bidirectional": True}),
    "rnn, without biases": ("RNN", "step", {"bias": False}),
}  # fmt: skip


TWO_WAYS = "lstm, rows first, two ways, two levels"
WRITTEN = [(name, "open", "trace") for name in TORCH]
WRITTEN += [(TWO_WAYS, "fixed", "trace"), ("lstm, last state", "fixed", "trace")]
WRITTEN += [(TWO_WAYS, "fixed", "export"), ("gru, last step", "open", "export")]  # seconds each


@pytest.mark.parametrize(("name", "sizes", "exporter"), WRITTEN)
def test_a_model_of_pytorch(tmp_path, name, sizes, exporter):
    torch = pytest.importorskip("torch")
    kind, last, options = TORCH[name]
    module, path = torch_module(kind, last, **options), tmp_path / "model.onnx"
    form = ("rows", "steps") if options.get("batch_first") else ("steps", "rows")
    x = torch.randint(0, 11, (N, T) if options.get("batch_first") else (T, N))
    dynamic = {"x": dict(enumerate(form))} if sizes == "open" else {}
    write_by_torch(str(path), module, (x,), ["x"], dynamic, exporter)
    model = rnncore.onnx.load(path)
    np.testing.assert_allclose(model(x.numpy())[0], module(x).detach().numpy(), rtol=0, atol=1e-6)
    if (sizes, exporter) == ("open", "trace"):  # the other exporter fixes the steps
        x = torch.randint(0, 11, (2, 9))
        np.testing.assert_allclose(model(x.numpy())[0], module(x).detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "exporter"), [("LSTM", "trace"), ("GRU", "trace"), ("RNN", "trace"), ("LSTM", "export")]
)
def test_a_recurrent_layer_of_pytorch_with_its_states(tmp_path, kind, exporter):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module, path = getattr(torch.nn, kind)(4, 5, 2, bidirectional=True).eval(), tmp_path / "model.onnx"
    x, h, c = torch.randn(T, N, 4), torch.randn(4, N, 5), torch.randn(4, N, 5)
    hx = (h, c) if kind == "LSTM" else h
    names = ["x", "h", "c"] if kind == "LSTM" else ["x", "h"]
    dynamic = {name: {0: "steps", 1: "rows"} if name == "x" else {1: "rows"} for name in names}
    if exporter == "export":
        dims = {label: torch.export.Dim(label) for label in ("steps", "rows")}
        shapes = [{k: dims[v] for k, v in dynamic[name].items()} for name in names]
        dynamic_shapes = (shapes[0], tuple(shapes[1:]) if kind == "LSTM" else shapes[1])
        pytest.importorskip("onnxscript")
        options = {"dynamic_shapes": dynamic_shapes, "external_data": False, "verbose": False}
    else:
        options = {"dynamic_axes": dynamic}
    outputs = ["y", "hn", "cn"][: len(names)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (x, hx), str(path), dynamo=exporter == "export", input_names=names, output_names=outputs, **options
        )
    model = rnncore.onnx.load(path)
    assert len(model) == 1
    y, final = module(x, hx)
    given = (h.numpy(), c.numpy()) if kind == "LSTM" else h.numpy()
    y_twin, final_twin = model(x.numpy(), given)
    np.testing.assert_allclose(y_twin, y.detach().numpy(), rtol=0, atol=1e-6)
    expected = final if kind == "LSTM" else (final,)
    for one, other in zip(arrays_of(final_twin), expected, strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), rtol=0, atol=1e-6)


# ---- what Keras and tf2onnx write: files kept, since TensorFlow is too large to install for a test

KERAS = Path(__file__).parent / "data" / "keras_onnx"


@pytest.mark.parametrize("writer", ["tf2onnx", "keras"])
@pytest.mark.parametrize("name", ["lstm_every_step", "lstm_last_step", "lstm_stacked", "text_both_ways"])
def test_a_model_of_keras(name, writer):
    model = rnncore.onnx.load(KERAS / f"{name}_{writer}.onnx")
    with np.load(KERAS / f"{name}.npz") as kept:
        np.testing.assert_allclose(model(kept["x"])[0], kept["y"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("writer", ["tf2onnx", "keras"])
def test_a_loop_of_keras_is_named(writer):
    with pytest.raises(FormatError, match=r"while_loop' \(Loop\) holds a graph of its own: expected a flat graph"):
        rnncore.onnx.load(KERAS / f"gru_{writer}.onnx")


# ---- graphs by hand


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


# ---- files that are not trusted


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
