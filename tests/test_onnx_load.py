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
