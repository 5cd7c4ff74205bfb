"""Writes the files of this folder: models of Keras with the TensorFlow backend, by tf2onnx and by Keras's own export.

In an environment with tensorflow-cpu, tf2onnx and onnx: python make.py. Beside each file stands what the model gave.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
FOLDER = FOLDER if FOLDER.is_dir() else FOLDER.parent
L = keras.layers
RANDOM = {"bias_initializer": "normal"}
MODELS = {
    "lstm_every_step": lambda: [
        keras.Input((None, 3)), L.LSTM(4, return_sequences=True, **RANDOM), L.Dense(2, activation="relu", **RANDOM)
    ],
    "lstm_last_step": lambda: [keras.Input((6, 3)), L.LSTM(4, **RANDOM), L.Dense(2, activation="tanh", **RANDOM)],
    "lstm_stacked": lambda: [
        keras.Input((None, 3)), L.LSTM(4, return_sequences=True), L.Dropout(0.5), L.LSTM(5, use_bias=False), L.Dense(1)
    ],
    "text_both_ways": lambda: [
        keras.Input((None,), dtype="int32"),
        L.Embedding(7, 3),
        L.Bidirectional(L.LSTM(4, return_sequences=True, **RANDOM)),
        L.Bidirectional(L.LSTM(5, **RANDOM)),
        L.Dense(2, activation="sigmoid", **RANDOM),
    ],
    "gru": lambda: [keras.Input((None, 3)), L.GRU(4, return_sequences=True)],
}  # fmt: skip


def main() -> None:
    for name, layers in MODELS.items():
        keras.utils.set_random_seed(0)
        model = keras.Sequential(layers())
        rng = np.random.default_rng(0)
        x = rng.integers(0, 7, (2, 6)).astype(np.int32) if "text" in name else rng.normal(size=(2, 6, 3)).astype("f")
        signature = [tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype, name="x")]
        call = tf.function(lambda x, model=model: model(x), input_signature=signature)
        written, _ = tf2onnx.convert.from_function(call, input_signature=signature, opset=17)
        onnx.save(written, FOLDER / f"{name}_tf2onnx.onnx")
        model.export(FOLDER / f"{name}_keras.onnx", format="onnx", verbose=False)
        np.savez(FOLDER / f"{name}.npz", x=x, y=np.asarray(model(x)))
    print("keras", keras.__version__, "tensorflow", tf.__version__, "tf2onnx", tf2onnx.__version__)


if __name__ == "__main__":
    main()
