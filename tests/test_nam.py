"""Models of amplifiers: their files, their loss, and the example that trains one."""

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import rnncore
from rnncore import nam
from rnncore.files import FormatError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
WAVE = np.sin(np.arange(200) ** 1.3 / 9)[:, None].astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def played(told, x):
    """What a player of `.nam` files makes of samples: the format's own definition, sample by sample, in float64."""
    inputs, units, layers = (told["config"][name] for name in ("input_size", "hidden_size", "num_layers"))
    weights, begin = np.array(told["weights"]), 0

    def take(*shape):
        nonlocal begin
        begin += int(np.prod(shape))
        return weights[begin - int(np.prod(shape)) : begin].reshape(shape)

    cells = []
    for k in range(layers):
        width = units if k else inputs
        cells.append([take(4 * units, width + units), take(4 * units), take(units), take(units)])
    head, bias = take(units), take(1)
    assert begin == len(weights)
    out = []
    for sample in x:
        value = sample
        for cell in cells:
            w, b, h, c = cell
            i, f, g, o = np.split(w @ np.concatenate([value, h]) + b, 4)
            cell[3] = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            cell[2] = value = sigmoid(o) * np.tanh(cell[3])
        out.append(head @ value + bias[0])
    return np.array(out)[:, None]


def amplifier(layers=1, dtype="float32", **options):
    model = rnncore.Sequential(
        rnncore.LSTM(1, 6, layers, dtype=dtype, seed=0, **options),
        rnncore.Dropout(0.1, dtype=dtype, seed=0),
        rnncore.Linear(6, 1, dtype=dtype, seed=1),
    )
    model.parameters[...] = np.random.default_rng(layers).normal(size=model.parameter_count) / 2
    return model


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("options", [{}, {"learned_state": True}, {"bias": False}], ids=str)
def test_a_nam_file_plays_what_the_model_plays(layers, options, tmp_path):
    model, path = amplifier(layers, **options), tmp_path / "model.nam"
    nam.save(model, path, sample_rate=44_100, metadata={"name": "Clean"})
    told = json.loads(path.read_text())
    assert (told["architecture"], told["sample_rate"], told["metadata"]) == ("LSTM", 44_100, {"name": "Clean"})
    y = model(WAVE)[0]
    np.testing.assert_allclose(y, played(told, WAVE), atol=1e-6)
    read = nam.load(path)
    np.testing.assert_allclose(read(WAVE)[0], y, atol=1e-6)
    again = tmp_path / "again.nam"
    nam.save(read, again)
    assert json.loads(again.read_text())["weights"] == told["weights"]


def test_silence_before_the_first_sample_is_in_the_file(tmp_path):
    model, path = amplifier(2), tmp_path / "model.nam"
    nam.save(model, path, silence=500)
    after = model(np.concatenate([np.zeros((500, 1)), WAVE]))[0][500:]
    np.testing.assert_allclose(nam.load(path)(WAVE)[0], after, atol=1e-6)
    assert abs(after - model(WAVE)[0]).max() > 1e-3


def test_a_double_model_is_written_in_single_precision(tmp_path):
    model, path = amplifier(dtype="float64"), tmp_path / "model.nam"
    nam.save(model, path)
    np.testing.assert_allclose(nam.load(path)(WAVE)[0], model(WAVE)[0], atol=1e-6)


OTHER_MODELS = {
    "a .nam file holds an LSTM and a Linear, got gru, Linear": lambda: (rnncore.GRU(1, 4), rnncore.Linear(4, 1)),
    "got lstm_peephole, Linear": lambda: (rnncore.LSTM(1, 4, peepholes=True), rnncore.Linear(4, 1)),
    "an LSTM and a Linear, got lstm": lambda: (rnncore.LSTM(1, 4),),
    "bidirectional=False, got True": lambda: (rnncore.LSTM(1, 4, bidirectional=True), rnncore.Linear(8, 1)),
    "proj_size=0, got 2": lambda: (rnncore.LSTM(1, 4, proj_size=2), rnncore.Linear(2, 1)),
    "1 output without activation, got 2 outputs": lambda: (rnncore.LSTM(1, 4), rnncore.Linear(4, 2)),
    "got 1 outputs and activation tanh": lambda: (rnncore.LSTM(1, 4), rnncore.Linear(4, 1, activation="tanh")),
}


@pytest.mark.parametrize("message", OTHER_MODELS)
def test_another_model_is_refused_and_nothing_is_written(message, tmp_path):
    with pytest.raises(ValueError, match=message):
        nam.save(rnncore.Sequential(*OTHER_MODELS[message]()), tmp_path / "model.nam")
    assert not list(tmp_path.iterdir())


def test_metadata_that_json_cannot_hold_leave_the_old_file(tmp_path):
    path = tmp_path / "model.nam"
    nam.save(amplifier(), path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        nam.save(amplifier(2), path, metadata={"name": object()})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["model.nam"]


FOREIGN = {
    "holds no JSON": lambda told: "{",
    "expected a JSON object, got list": lambda told: [told],
    "expected the architecture LSTM, got 'WaveNet'": lambda told: told | {"architecture": "WaveNet"},
    "is of version '9.0.0', expected one of 0.5, 0.6, 0.7": lambda told: told | {"version": "9.0.0"},
    "config should be an object, got list": lambda told: told | {"config": []},
    "config.hidden_size should be a number from 1 to 16384, got 10000000000000": lambda told: (
        told | {"config": told["config"] | {"hidden_size": 10**13}}
    ),
    "config.num_layers should be a number from 1 to 16384, got None": lambda told: (
        told | {"config": {"input_size": 1, "hidden_size": 6}}
    ),
    "config.num_layers should be at most 64, got 16384": lambda told: (
        told | {"config": {"input_size": 1, "hidden_size": 16384, "num_layers": 16384}}
    ),
    r"weights should be numbers of shape \(211,\), got shape \(210,\)": lambda told: (
        told | {"weights": told["weights"][:-1]}
    ),
    "weights should be numbers .* got something else": lambda told: told | {"weights": ["1"] * 211},
    "weights holds numbers that are not finite": lambda told: told | {"weights": [1e300] * 211},
}


@pytest.mark.parametrize("message", FOREIGN)
def test_a_foreign_nam_file_is_refused_with_the_reason(message, tmp_path):
    path = tmp_path / "model.nam"
    nam.save(amplifier(), path)
    other = FOREIGN[message](json.loads(path.read_text()))
    path.write_text(other if isinstance(other, str) else json.dumps(other))
    with pytest.raises(FormatError, match=message):
        nam.load(path)


def test_a_deeply_nested_file_is_no_json(tmp_path):
    path = tmp_path / "model.nam"
    path.write_text("[" * 100_000)
    with pytest.raises(FormatError, match="holds no JSON"):
        nam.load(path)


def test_a_layer_alone_is_no_model(tmp_path):
    for save in (nam.save, nam.save_rtneural):
        with pytest.raises(TypeError, match="model should be a rnncore.Sequential, got LSTM"):
            save(rnncore.LSTM(1, 1), tmp_path / "model")


# ---- RTNeural


def chain(*layers):
    model = rnncore.Sequential(*layers)
    model.parameters[...] = np.random.default_rng(5).normal(size=model.parameter_count) / 2
    return model


CHAINS = {
    "lstm": lambda: chain(rnncore.LSTM(1, 5), rnncore.Linear(5, 1)),
    "gru": lambda: chain(rnncore.GRU(1, 5, 2), rnncore.Linear(5, 3, activation="relu"), rnncore.Linear(3, 1)),
    "front": lambda: chain(
        rnncore.Linear(1, 4, activation="tanh"), rnncore.LSTM(4, 3, bias=False), rnncore.Linear(3, 2, bias=False)
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_file_of_rtneural_comes_back(name, tmp_path):
    model, path = CHAINS[name](), tmp_path / "model.json"
    nam.save_rtneural(model, path)
    np.testing.assert_allclose(nam.load_rtneural(path)(WAVE)[0], model(WAVE)[0], atol=1e-6)


def test_an_activation_may_be_a_layer_of_its_own(tmp_path):
    model, path = chain(rnncore.GRU(1, 4), rnncore.Linear(4, 2, activation="tanh")), tmp_path / "model.json"
    nam.save_rtneural(model, path)
    told = json.loads(path.read_text())
    told["layers"][1]["activation"] = ""
    told["layers"].append({"type": "activation", "activation": "tanh", "shape": [None, None, 2], "weights": []})
    path.write_text(json.dumps(told))
    np.testing.assert_array_equal(nam.load_rtneural(path)(WAVE)[0], model(WAVE)[0])


@pytest.mark.parametrize(
    ("message", "layers"),
    [
        ("layer 0 .LayerNorm.: RTNeural's files hold LSTM, GRU and Linear", lambda: (rnncore.LayerNorm(1),)),
        ("layer 0 .RNN.: RTNeural's files hold", lambda: (rnncore.RNN(1, 2),)),
        ("layer 0: RTNeural has no bidirectional", lambda: (rnncore.GRU(1, 2, bidirectional=True),)),
        ("layer 0: RTNeural has no learned_state", lambda: (rnncore.LSTM(1, 2, learned_state=True),)),
        ("layer 0: RTNeural has no proj_size", lambda: (rnncore.LSTM(1, 3, proj_size=2),)),
        ("layer 0: RTNeural has relu, tanh, sigmoid, got activation='gelu'", lambda: (
            rnncore.Linear(1, 2, activation="gelu"),
        )),
    ],
)  # fmt: skip
def test_what_rtneural_has_not_is_refused(message, layers, tmp_path):
    with pytest.raises(ValueError, match=message):
        nam.save_rtneural(rnncore.Sequential(*layers()), tmp_path / "model.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("message", "change"),
    [
        (r"layers\[0\].type should be one of lstm, .* got 'conv1d'", {"type": "conv1d"}),
        (r"layers\[0\].activation should be tanh, got relu", {"activation": "relu"}),
        (r"layers\[0\].activation should be one of .* got 'elu'", {"activation": "elu"}),
        (r"layers\[0\].shape should be a number from 1 to 16384, got None", {"shape": [1, None]}),
        (r"layers\[0\].weights should be a list of 3 arrays", {"weights": [[1.0]]}),
        (r"layers\[0\].weights\[0\] should be numbers of shape \(1, 28\), got shape \(1, 20\)", {"shape": [7]}),
    ],
)
def test_a_foreign_file_of_rtneural_is_refused_with_the_reason(message, change, tmp_path):
    path = tmp_path / "model.json"
    nam.save_rtneural(CHAINS["lstm"](), path)
    told = json.loads(path.read_text())
    told["layers"][0] |= change
    path.write_text(json.dumps(told))
    with pytest.raises(FormatError, match=message):
        nam.load_rtneural(path)


# ---- the error-to-signal ratio


def test_the_error_to_signal_ratio_and_its_gradient():
    random = np.random.default_rng(0)
    target, prediction = random.normal(size=(2, 7, 3, 1))
    weights = random.uniform(size=(7, 3))
    value, gradient = nam.error_to_signal(prediction, target, weights=weights)
    by_hand = (weights[..., None] * (prediction - target) ** 2).sum() / (weights[..., None] * target**2).sum()
    assert value == pytest.approx(by_hand, rel=1e-12)
    moved = prediction.copy()
    moved[2, 1, 0] += 1e-6
    slope = (nam.error_to_signal(moved, target, weights=weights)[0] - value) / 1e-6
    assert gradient[2, 1, 0] == pytest.approx(slope, rel=1e-5)
    assert nam.error_to_signal(np.zeros_like(target), target)[0] == pytest.approx(1, rel=1e-12)
    masked = np.where(weights > 0.5, target[..., 0], np.nan)[..., None]
    alone = nam.error_to_signal(prediction, masked, mask=weights > 0.5)[0]
    assert alone == pytest.approx(nam.error_to_signal(prediction[weights > 0.5], target[weights > 0.5])[0], rel=1e-12)


def test_silence_has_no_ratio_unless_there_is_a_floor():
    with pytest.raises(ValueError, match="target: expected a signal, got silence"):
        nam.error_to_signal([1.0], [0.0])
    assert nam.error_to_signal([1.0], [0.0], floor=0.5)[0] == 2.0
    assert nam.error_to_signal([0.0], [0.0])[0] == 0.0


# ---- the example


def test_an_amplifier_is_trained_written_and_played(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXAMPLES)
    module = importlib.import_module("amplifier")
    options = ["--hidden", "8", "--epochs", "25", "--seconds", "0.06", "--window", "128", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["amplifier.py", *options, "--folder", str(tmp_path)])
    module.main()
    printed = capsys.readouterr().out
    found = {name: float(value) for name, value in re.findall(r"^(.*): (0\.\d+)$", printed, re.MULTILINE)}
    assert found["error-to-signal ratio"] < 0.5 * found["best amplifier without distortion"]
    assert "C++: 2880 samples, the bits of Python's stream" in printed
    assert nam.read_metadata(tmp_path / "clipper.nam")["metadata"] == {"name": "Diode clipper"}


def test_the_clipper_solves_its_equation(monkeypatch):
    """At rest and under constant voltage: the resistor's current is that of the diodes."""
    monkeypatch.syspath_prepend(EXAMPLES)
    module = importlib.import_module("amplifier")
    x = np.full((1000, 2, 1), [[0.9], [-0.2]])
    v = module.clipper(x)[-1, :, 0]
    through = (module.DRIVE * np.array([0.9, -0.2]) - v) / module.R
    np.testing.assert_allclose(through, 2 * module.SATURATION * np.sinh(v / module.THERMAL), rtol=1e-6)
    wave = np.sin(np.arange(800) / 20)[:, None, None]
    fine, coarse = module.clipper(wave, 16), module.clipper(wave)
    assert ((fine - coarse) ** 2).sum() < 1e-5 * (fine**2).sum()
