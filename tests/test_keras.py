"""Keras's models as rnncore's, and back: the same outputs, through Keras's files too."""

import os
import subprocess
import sys

import numpy as np
import pytest

import rnncore

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

from_keras, to_keras = rnncore.keras.from_keras, rnncore.keras.to_keras

# Keras turns its tensors into arrays in a way that NumPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

layers = keras.layers
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 9, 4)).astype("float32")
LABELS = RANDOM.integers(0, 11, (3, 9))


def built(*parts, seed=0):
    """A model with random weights in all places, biases too."""
    model = keras.Sequential(list(parts))
    random = np.random.default_rng(seed)
    model.set_weights([random.normal(size=w.shape) / 2 for w in model.get_weights()])
    return model


def outputs(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


INPUT, NUMBERS = keras.Input((None, 4)), keras.Input((None,), dtype="int32")
MODELS = {
    "lstm": lambda: built(INPUT, layers.LSTM(5, return_sequences=True), layers.Dense(2)),
    "lstm_last": lambda: built(INPUT, layers.LSTM(5), layers.Dense(2, activation="gelu", use_bias=False)),
    "lstm_no_bias": lambda: built(INPUT, layers.LSTM(5, use_bias=False)),
    "gru": lambda: built(INPUT, layers.GRU(5, return_sequences=True), layers.GRU(3)),
    "gru_no_bias": lambda: built(INPUT, layers.GRU(5, use_bias=False, return_sequences=True)),
    "rnn": lambda: built(INPUT, layers.SimpleRNN(5, return_sequences=True)),
    "rnn_relu": lambda: built(INPUT, layers.SimpleRNN(5, activation="relu")),
    "both_directions": lambda: built(
        INPUT,
        layers.Bidirectional(layers.LSTM(5, return_sequences=True)),
        layers.Bidirectional(layers.GRU(3)),
        layers.Dense(2, activation="tanh"),
    ),
    "own_backward_layer": lambda: built(
        INPUT, layers.Bidirectional(layers.SimpleRNN(3), backward_layer=layers.SimpleRNN(3, go_backwards=True))
    ),
    "embedding": lambda: built(NUMBERS, layers.Embedding(11, 6), layers.LSTM(5), layers.Dense(11)),
    "all_kinds": lambda: built(
        INPUT,
        layers.Dense(6),
        layers.Activation("relu"),
        layers.Dropout(0.2),
        layers.LSTM(5, return_sequences=True, stateful=False),
        layers.LayerNormalization(epsilon=1e-4),
        layers.LayerNormalization(center=False),
        layers.LayerNormalization(scale=False),
        layers.TimeDistributed(layers.Dense(3, activation="sigmoid")),
    ),
    "model_in_a_model": lambda: built(
        INPUT, keras.Sequential([keras.Input((None, 4)), layers.GRU(3, return_sequences=True)]), layers.Dense(2)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_keras_gives_the_same_outputs_and_goes_back(name):
    model = MODELS[name]()
    x = LABELS if name == "embedding" else X
    twin = from_keras(model)
    expected = outputs(model, x)
    y, _ = twin(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, atol=1e-6)
    np.testing.assert_allclose(outputs(to_keras(twin), x), expected, atol=1e-6)


def test_a_functional_model_that_is_a_chain():
    inputs = keras.Input((None, 4))
    hidden = layers.GRU(5, return_sequences=True)(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.LSTM(3)(hidden)))
    twin = from_keras(model)
    assert [type(layer).__name__ for layer in twin] == ["GRU", "LSTM", "LastStep", "Linear"]
    np.testing.assert_allclose(twin(X)[0], outputs(model, X), atol=1e-6)


def test_one_layer_is_a_model_too():
    layer = layers.Bidirectional(layers.LSTM(5, return_sequences=True))
    expected = outputs(layer, X)
    np.testing.assert_allclose(from_keras(layer)(X)[0], expected, atol=1e-6)


def test_a_softmax_at_the_end_may_be_left_out():
    for end in ([layers.Dense(3, activation="softmax")], [layers.Dense(3), layers.Activation("softmax")]):
        model = built(INPUT, layers.GRU(5), *end)
        with pytest.raises(ValueError, match="got 'softmax': logits=True leaves it out"):
            from_keras(model)
        logits = from_keras(model, logits=True)(X)[0]
        share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        np.testing.assert_allclose(share, outputs(model, X), atol=1e-6)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_models_go_through_keras_files(suffix, tmp_path):
    model, path = MODELS["both_directions"](), tmp_path / f"model{suffix}"
    model.save(path)
    read = from_keras(keras.saving.load_model(path))
    np.testing.assert_allclose(read(X)[0], outputs(model, X), atol=1e-6)
    again = tmp_path / f"again{suffix}"
    to_keras(read).save(again)
    np.testing.assert_allclose(outputs(keras.saving.load_model(again), X), outputs(model, X), atol=1e-6)


def ours(*parts):
    model = rnncore.Sequential(*parts)
    model.parameters[...] = np.random.default_rng(1).normal(size=model.parameter_count) / 2
    return model


@pytest.mark.parametrize(
    "parts",
    [
        lambda: (rnncore.LSTM(4, 5, 2, dropout=0.1, batch_first=True), rnncore.Linear(5, 2)),
        lambda: (rnncore.GRU(4, 5, 2, bidirectional=True, batch_first=True), rnncore.LastStep(), rnncore.Linear(10, 1)),
        lambda: (
            rnncore.RNN(4, 5, 2, nonlinearity="relu", bias=False, bidirectional=True, batch_first=True),
            rnncore.LayerNorm(10, bias=False),
            rnncore.Dropout(0.5),
        ),
        lambda: (rnncore.Linear(4, 3, activation="relu"), rnncore.LayerNorm(3, elementwise_affine=False)),
    ],
)
def test_a_model_of_ours_gives_the_same_outputs_in_keras(parts, tmp_path):
    model = ours(*parts())
    y = model(X)[0] if model.batch_first else model(X.swapaxes(0, 1))[0].swapaxes(0, 1)
    twin = to_keras(model)
    np.testing.assert_allclose(outputs(twin, X), y, atol=1e-6)
    twin.save(tmp_path / "model.keras")
    np.testing.assert_allclose(outputs(keras.saving.load_model(tmp_path / "model.keras"), X), y, atol=1e-6)


def branches():
    inputs = keras.Input((None, 4))
    hidden = layers.GRU(4, return_sequences=True)(inputs)
    return keras.Model(inputs, layers.Add()([hidden, inputs]))


def twice():
    inputs = keras.Input((None, 4))
    dense = layers.Dense(4)
    return keras.Model(inputs, dense(dense(inputs)))


def two_outputs():
    inputs = keras.Input((None, 4))
    hidden = layers.GRU(4)(inputs)
    return keras.Model(inputs, [hidden, layers.Dense(4)(hidden)])


REFUSED = {
    "layer .* is a GRU with reset_after=False, which resets h before the product": lambda: built(
        INPUT, layers.GRU(3, reset_after=False)
    ),
    "expected activation='tanh', got 'relu'": lambda: built(INPUT, layers.LSTM(3, activation="relu")),
    "expected activation='tanh', got 'gelu'": lambda: built(INPUT, layers.SimpleRNN(3, activation="gelu")),
    "expected recurrent_activation='sigmoid', got 'hard_sigmoid'": lambda: built(
        INPUT, layers.GRU(3, recurrent_activation="hard_sigmoid")
    ),
    "expected go_backwards=False": lambda: built(INPUT, layers.LSTM(3, go_backwards=True)),
    "expected merge_mode='concat', got 'sum'": lambda: built(
        INPUT, layers.Bidirectional(layers.LSTM(3), merge_mode="sum")
    ),
    "expected the same layer in both directions": lambda: built(
        INPUT, layers.Bidirectional(layers.LSTM(3), backward_layer=layers.LSTM(2, go_backwards=True))
    ),
    "makes masks, which rnncore has as lengths: lengths=True takes one": lambda: built(
        NUMBERS, layers.Embedding(5, 3, mask_zero=True), layers.LSTM(3)
    ),
    "layer masking.* makes masks, which rnncore has as lengths": lambda: built(INPUT, layers.Masking(name="masking")),
    "is a Conv1D: expected one of": lambda: built(INPUT, layers.Conv1D(3, 2)),
    "expected an activation of relu, .* got 'elu'": lambda: built(INPUT, layers.Dense(3, activation="elu")),
    "expected an Activation behind a Dense layer": lambda: built(INPUT, layers.LSTM(3), layers.Activation("relu")),
    "expected TimeDistributed around Dense": lambda: built(
        keras.Input((None, 3, 4)), layers.TimeDistributed(layers.LSTM(2))
    ),
    r"expected axis=-1, got \[1\]": lambda: built(keras.Input((6, 4)), layers.LayerNormalization(axis=1)),
    "expected a layer that is built": lambda: layers.LSTM(3),
    "computes in mixed_float16, expected float32 or float64": lambda: built(
        INPUT, layers.LSTM(3, dtype="mixed_float16")
    ),
    "expected a chain of layers, got one with branches": branches,
    "expected a chain with one output and no layer twice": twice,
    "expected a chain with one output": two_outputs,
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_would_not_be_exact_is_refused_with_the_reason(message):
    with pytest.raises(ValueError, match=message):
        from_keras(REFUSED[message]())


MASKED = {
    "masking": lambda: built(INPUT, layers.Masking(9.0), layers.LSTM(5), layers.Dense(2)),
    "both_directions": lambda: built(
        INPUT,
        layers.Masking(9.0),
        layers.Bidirectional(layers.GRU(5, return_sequences=True)),
        layers.Bidirectional(layers.SimpleRNN(3)),
    ),
    "embedding": lambda: built(NUMBERS, layers.Embedding(11, 6, mask_zero=True), layers.GRU(5), layers.Dense(11)),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_mask_at_the_beginning_becomes_lengths(name):
    model = MASKED[name]()
    lengths, past = np.array([9, 4, 1]), np.arange(9) >= np.array([[9], [4], [1]])
    x = np.where(past, 0, np.maximum(LABELS, 1)) if name == "embedding" else np.where(past[..., None], 9, X)
    assert rnncore.keras.lengths_of(model, x).tolist() == lengths.tolist()
    y, _ = from_keras(model, lengths=True)(x, lengths=lengths)
    np.testing.assert_allclose(y, outputs(model, x), atol=1e-6)


def test_a_mask_that_lengths_cannot_say_is_refused():
    x = X.copy()
    x[1, 3] = x[1, 8] = 9
    with pytest.raises(ValueError, match="x: row 1 masks step 3 before one that is not"):
        rnncore.keras.lengths_of(MASKED["masking"](), x)
    with pytest.raises(ValueError, match=r"expected Masking or Embedding\(mask_zero=True\) first, got"):
        rnncore.keras.lengths_of(MODELS["gru"](), x)
    with pytest.raises(ValueError, match="x: expected 3 axes, got shape"):
        rnncore.keras.lengths_of(MASKED["masking"](), x[0])
    with pytest.raises(ValueError, match="lengths=True takes one at the beginning"):
        from_keras(built(INPUT, layers.Dense(4), layers.Masking(), layers.GRU(3)), lengths=True)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="model should be a Keras model or layer, got LSTM"):
        from_keras(rnncore.LSTM(1, 1))


def test_dropout_inside_a_cell_is_told():
    model = built(INPUT, layers.LSTM(3, recurrent_dropout=0.2, name="inner"))
    with pytest.warns(UserWarning, match="layer inner: recurrent_dropout=0.2 has no counterpart"):
        twin = from_keras(model)
    np.testing.assert_allclose(twin(X)[0], outputs(model, X), atol=1e-6)


@pytest.mark.parametrize(
    ("message", "layer"),
    [
        ("layer 0 is a MGU: Keras has no such layer", lambda: rnncore.MGU(4, 3)),
        ("layer 0 is a LeakyRNN: Keras has no such layer", lambda: rnncore.LeakyRNN(4, 3)),
        ("layer 0 is a LSTM: Keras has no such layer", lambda: rnncore.LSTM(4, 3, peepholes=True)),
        ("layer 0: Keras has no proj_size, got proj_size=2", lambda: rnncore.LSTM(4, 3, proj_size=2)),
        ("layer 0: Keras has no learned_state", lambda: rnncore.GRU(4, 3, learned_state=True)),
    ],
)
def test_what_keras_has_not_is_refused(message, layer):
    with pytest.raises(ValueError, match=message):
        to_keras(rnncore.Sequential(layer()))


def test_to_keras_goes_a_sequential():
    with pytest.raises(TypeError, match="model should be a rnncore.Sequential, got LSTM"):
        to_keras(rnncore.LSTM(1, 1))


def test_double_precision():
    with keras.device("cpu"):
        model = built(INPUT, layers.Bidirectional(layers.LSTM(5, dtype="float64"), dtype="float64"))
    twin = from_keras(model)
    assert twin.dtype == np.float64
    for each in (model, to_keras(twin)):
        np.testing.assert_allclose(outputs(each, X.astype(float)), twin(X)[0], atol=1e-12)


JAX = """
import keras, numpy as np, rnncore
model = keras.Sequential([keras.Input((4, 3)), keras.layers.GRU(3)])
x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
error = np.abs(rnncore.keras.from_keras(model)(x)[0] - keras.ops.convert_to_numpy(model(x))).max()
print(keras.backend.backend(), error < 1e-6)
"""


def test_the_backend_does_not_matter(monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    done = subprocess.run([sys.executable, "-c", JAX], check=True, capture_output=True, text=True)
    assert done.stdout == "jax True\n"
