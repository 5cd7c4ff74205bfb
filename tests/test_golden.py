"""Files of earlier versions give what they gave: tests/data/golden_<version> has them, and what wrote them."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

import rnncore

GOLDEN = Path(__file__).parent / "data" / "golden_0_1"
CLOSE = {
    "float32": {"rtol": 2e-5, "atol": 2e-6},
    "float64": {"rtol": 1e-12, "atol": 1e-13},
}  # other instruction sets too

MODELS = sorted(path.stem.removeprefix("model_") for path in GOLDEN.glob("model_*.safetensors"))
STATES = sorted(path.stem.removeprefix("state_") for path in GOLDEN.glob("state_*.safetensors"))


def make():
    spec = importlib.util.spec_from_file_location("golden_0_1", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def flat(state):
    return (
        [] if state is None else [state] if isinstance(state, np.ndarray) else [a for part in state for a in flat(part)]
    )


def test_the_files_hold_every_kind_of_layer():
    kinds = {type(layer).__name__ for name in MODELS for layer in rnncore.load(GOLDEN / f"model_{name}.safetensors")}
    assert kinds == {"RNN", "LSTM", "GRU", "Linear", "Embedding", "LayerNorm", "Dropout", "LastStep"}
    assert len(MODELS) == 16
    assert len(STATES) == 11


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_version_0_1_gives_what_it_gave(name):
    kind, _, dtype = name.rpartition("_")
    kept = np.load(GOLDEN / f"models_{dtype}.npz")
    model = rnncore.load(GOLDEN / f"model_{name}.safetensors")
    x = kept[f"{kind}.x"]
    resets = np.zeros(x.shape[:2], bool)
    resets[(slice(None), 3) if model.batch_first else 3] = True
    y, hx = model(x, lengths=[6, 2, 0], resets=resets)
    np.testing.assert_allclose(y, kept[f"{kind}.y"], **CLOSE[dtype])
    states = flat(hx)
    assert len(states) == sum(key.startswith(f"{kind}.state.") for key in kept)
    for k, state in enumerate(states):
        np.testing.assert_allclose(state, kept[f"{kind}.state.{k}"], **CLOSE[dtype])


@pytest.mark.parametrize("name", STATES)
def test_a_state_of_version_0_1_goes_on_as_it_did(name):
    state = rnncore.State.load(GOLDEN / f"state_{name}.safetensors")
    kind, _, dtype = name.removesuffix("_undigested").rpartition("_")
    kept = np.load(GOLDEN / f"states_{dtype}.npz")
    for key, array in state.arrays.items():
        np.testing.assert_array_equal(array, kept[f"{kind}.{key}"])
    network = make().networks(dtype)[kind]
    network.parameters[...] = kept[f"{kind}.parameters"]
    stream = rnncore.Stream(network, batch_size=2)
    stream.state = state
    np.testing.assert_allclose(stream.run(kept[f"{kind}.x"]), kept[f"{kind}.y"], **CLOSE[dtype])


@pytest.mark.parametrize("name", ["adam", "rmsprop", "labels"])
def test_a_checkpoint_of_version_0_1_is_resumed_to_where_its_run_led(name, tmp_path):
    kept = np.load(GOLDEN / "checkpoints.npz")
    path = tmp_path / "run.safetensors"
    shutil.copy(GOLDEN / f"checkpoint_{name}.safetensors", path)
    before = rnncore.load(path).parameters.copy()
    model, fit = make().start(name, kept)
    fit(epochs=4, checkpoint=path, resume=True)
    np.testing.assert_allclose(model.parameters, kept[f"{name}.parameters"], rtol=1e-4, atol=1e-5)
    assert np.abs(model.parameters - before).max() > 1e-3
