"""Models in ONNX files: ONNX Runtime computes what the model computes."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import rnncore  # noqa: E402
from model_case import classifier, draw, regressor, speller  # noqa: E402
from rnncore.cli import main  # noqa: E402
from variants import LAYERS  # noqa: E402

T, N = 7, 3
CELLS = ["rnn_tanh", "rnn_relu", "gru", "lstm", "lstm_peephole"]


def arrays_of(hx):
    """The arrays of a state, whatever its form."""
    if hx is None:
        return []
    return [array for part in hx for array in arrays_of(part)] if isinstance(hx, tuple) else [hx]


def state_of(model, rows, seed=3):
    """A state of a model that is not zero, in the form of its calls."""
    arrays = [
        draw(*shape, seed=seed + k, dtype=model.dtype)
        for k, shape in enumerate(shape for layer in model._recurrent for shape in layer._state_shapes(rows))
    ]
    return model._state_of(tuple(arrays))


def run(path, x, hx=None, lengths=None):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    feed = {"x": x} if lengths is None else {"x": x, "lengths": np.array(lengths, np.int32)}
    feed |= dict(zip([name for name in names if name not in feed], arrays_of(hx), strict=True))
    return session.run(None, feed)


def check(tmp_path, model, x, lengths=None, state=True, tolerance=1e-6):
    """Export and compare with the model's own results, the final state too."""
    path = tmp_path / "model.onnx"
    rnncore.onnx.export(model, path, state, lengths=lengths is not None)
    given = state_of(model, x.shape[0 if model.batch_first else 1]) if state else None
    y, hx = model(x, given, lengths=lengths)
    results = run(path, x, given, lengths)
    expected = [y, *(arrays_of(hx) if state else [])]
    assert len(results) == len(expected)
    for result, one in zip(results, expected, strict=True):
        assert result.shape == one.shape
        assert result.dtype == one.dtype
        np.testing.assert_allclose(result, one, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("lengths", [None, [7, 2, 4]], ids=["whole", "lengths"])
@pytest.mark.parametrize("state", [True, False], ids=["state", "no state"])
@pytest.mark.parametrize("form", ["", "batch_first", "bidirectional"])
@pytest.mark.parametrize("cell", CELLS)
def test_onnxruntime_computes_what_the_layer_computes(tmp_path, cell, form, state, lengths):
    model = rnncore.Sequential(LAYERS[cell](4, 5, 2, **({form: True} if form else {}), seed=0))
    check(
        tmp_path,
        model,
        draw(N, T, 4, dtype="float32") if form == "batch_first" else draw(T, N, 4, dtype="float32"),
        lengths,
        state,
    )


@pytest.mark.parametrize("options", [{"num_layers": 3}, {"bias": False}, {"learned_state": True}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_layers_biases_and_the_learned_state(tmp_path, cell, options):
    layer = LAYERS[cell](4, 5, **options, seed=0)
    if layer.learned_state:
        for name, view in layer.named_parameters().items():
            if name[1:4] == "0_l":
                view[...] = draw(*view.shape, seed=len(name))
    model = rnncore.Sequential(layer)
    for state in (False, True):
        check(tmp_path, model, draw(T, N, 4, dtype="float32"), state=state)


@pytest.mark.parametrize("lengths", [None, [7, 2, 4]], ids=["whole", "lengths"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("make", [regressor, classifier, speller])
def test_whole_models(tmp_path, make, batch_first, lengths):
    model = make(batch_first=batch_first)
    shape = (N, T) if batch_first else (T, N)
    x = draw(*shape, 3, dtype="float32")
    if model.takes_labels:
        x = np.random.default_rng(0).integers(0, 7, shape)
    check(tmp_path, model, x, lengths)
    check(tmp_path, model, x, lengths, state=False)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu", None])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers_alone(tmp_path, activation, bias):
    model = rnncore.Sequential(
        rnncore.Linear(3, 6, bias, activation=activation, seed=0), rnncore.Linear(6, 2, seed=1), rnncore.Dropout(0.5)
    )
    check(tmp_path, model, draw(T, N, 3, dtype="float32"))
    check(tmp_path, model, draw(T, N, 3, dtype="float32"), [7, 0, 4])


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"elementwise_affine": False}, {"eps": 0.1}], ids=str)
def test_layer_normalisation(tmp_path, options):
    norm = rnncore.LayerNorm(5, **options)
    norm.parameters[...] = draw(norm.parameter_count)
    check(tmp_path, rnncore.Sequential(rnncore.GRU(4, 5, seed=0), norm), draw(T, N, 4, dtype="float32"), [7, 2, 4])


def test_one_file_serves_any_number_of_steps_and_rows_and_goes_on_from_its_state(tmp_path):
    model, path = regressor(), tmp_path / "model.onnx"
    rnncore.onnx.export(model, path)
    for steps, rows in ((1, 1), (12, 1), (2, 9)):
        x = draw(steps, rows, 3, dtype="float32")
        hx = state_of(model, rows)
        np.testing.assert_allclose(run(path, x, hx)[0], model(x, hx)[0], rtol=0, atol=1e-6)
    x = draw(10, 2, 3, dtype="float32")
    hx = state_of(model, 2)
    whole, *_ = run(path, x, hx)
    first, *carried = run(path, x[:6], hx)
    rest, *_ = run(path, x[6:], tuple(carried))
    np.testing.assert_allclose(np.concatenate([first, rest]), whole, rtol=0, atol=1e-6)


def test_float64_is_written_as_it_is(tmp_path):
    """ONNX Runtime has no such recurrent nodes; onnx's own evaluator has."""
    path = tmp_path / "model.onnx"
    model = rnncore.Sequential(
        rnncore.LSTM(4, 5, dtype="float64", seed=0), rnncore.Linear(5, 2, dtype="float64", seed=1)
    )
    rnncore.onnx.export(model, path, state=False)
    x = draw(T, N, 4)
    evaluator = importlib.import_module("onnx.reference").ReferenceEvaluator(str(path))
    (y,) = evaluator.run(None, {"x": x})
    np.testing.assert_allclose(y, model(x)[0], rtol=0, atol=1e-12)


def test_names_in_the_file(tmp_path):
    path = tmp_path / "model.onnx"
    rnncore.onnx.export(rnncore.Sequential({"core": rnncore.LSTM(4, 5, 2, batch_first=True)}), path, lengths=True)
    graph = onnx.load(path).graph
    sizes = {
        each.name: [size.dim_param or size.dim_value for size in each.type.tensor_type.shape.dim]
        for each in [*graph.input, *graph.output]
    }
    assert sizes == {
        "x": ["batch", "steps", 4],
        "lengths": ["batch"],
        "core.h": [2, "batch", 5],
        "core.c": [2, "batch", 5],
        "y": ["batch", "steps", 5],
        "core.hn": [2, "batch", 5],
        "core.cn": [2, "batch", 5],
    }


def test_the_lines_of_the_page_run_in_onnxruntime(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).resolve().parents[1] / "docs" / "onnx.md").read_text()
    lines = re.findall(r"^>>> (.*export.*|model = .*|import.*)$", page.partition("## Reading")[0], re.MULTILINE)
    (block,) = re.findall(r"^```python\n(import onnxruntime\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    names = {}
    exec("\n".join([*lines, block]), names)
    x = np.ones((4, 20, 3), np.float32)
    y, (h, c) = names["model"](x)
    np.testing.assert_allclose(names["y"], y[:, 10:], rtol=0, atol=1e-6)
    np.testing.assert_allclose(names["h"], h, rtol=0, atol=1e-6)
    np.testing.assert_allclose(names["c"], c, rtol=0, atol=1e-6)


REFUSED = {
    "mgu": (
        lambda: rnncore.Sequential(rnncore.MGU(3, 4)),
        r"layer 0 \(MGU\) has no operator in ONNX: expected Dropout",
    ),
    "leaky": (
        lambda: rnncore.Sequential({"a": rnncore.LeakyRNN(3, 4)}),
        r"layer a \(LeakyRNN\) has no operator in ONNX",
    ),
    "projection": (lambda: rnncore.Sequential(rnncore.LSTM(3, 4, proj_size=2)), r"layer 0 \(LSTM\) has a projection"),
    "a layer": (lambda: rnncore.LSTM(3, 4), "model should be a rnncore.Sequential, got LSTM"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_onnx_has_not_is_refused_and_no_file_is_left(tmp_path, make, message):
    path = tmp_path / "model.onnx"
    with pytest.raises((TypeError, ValueError), match=message):
        rnncore.onnx.export(make(), path)
    assert not path.exists()


def test_without_onnx_the_error_says_what_to_install(tmp_path):
    (tmp_path / "onnx.py").write_text("raise ImportError")
    code = "import rnncore; print('rnncore.bridges' in __import__('sys').modules)\nrnncore.onnx"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.stdout == "False\n"
    assert result.stderr.splitlines()[-1] == (
        "ImportError: rnncore.onnx needs the package onnx: pip install 'rnncore[onnx]'"
    )


# ---- the command


def saved(tmp_path, model=None):
    path = tmp_path / "model.safetensors"
    (model or speller()).save(path)
    return path


@pytest.mark.parametrize(
    ("options", "inputs"),
    [([], ["x", "1.h", "1.c"]), (["--no-state"], ["x"]), (["--no-state", "--lengths"], ["x", "lengths"])],
    ids=["usual", "no state", "lengths"],
)
def test_the_command_writes_the_file(tmp_path, capsys, options, inputs):
    out = tmp_path / "out.onnx"
    assert main(["export", str(saved(tmp_path)), str(out), *options]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    assert [each.name for each in onnx.load(out).graph.input] == inputs
    if options == ["--no-state"]:
        x = np.arange(6).reshape(3, 2)
        np.testing.assert_allclose(run(out, x)[0], speller()(x)[0], rtol=0, atol=1e-6)


def test_the_command_refuses_in_one_line_with_code_2(tmp_path, capsys):
    model = saved(tmp_path)
    before = model.read_bytes()
    damaged, mgu = tmp_path / "damaged.safetensors", tmp_path / "mgu.safetensors"
    damaged.write_bytes(before[:-1])
    rnncore.Sequential(rnncore.MGU(3, 4)).save(mgu)
    link = tmp_path / "link.onnx"
    link.symlink_to(model)
    for source, target, message in (
        (model, "out.txt", "expected a name that ends in .onnx"),
        (model, "no/such/out.onnx", "no/such"),
        (model, "link.onnx", "link.onnx"),
        (tmp_path / "missing.safetensors", "out.onnx", "missing.safetensors"),
        (damaged, "out.onnx", "damaged"),
        (mgu, "out.onnx", "layer 0 (MGU) has no operator in ONNX"),
    ):
        assert main(["export", str(source), str(tmp_path / target)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("rnncore: ")
        assert err.count("\n") == 1
        assert message in err
    assert model.read_bytes() == before
    assert not (tmp_path / "out.onnx").exists()
