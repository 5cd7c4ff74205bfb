"""rnncore's models as Keras's: a keras.Sequential with the same weights."""

from __future__ import annotations

from typing import Any

import keras

from rnncore.arguments import Array
from rnncore.bridges.keras_weights import to_recurrent

__all__ = ["to_keras"]

_KERAS = {"rnn_tanh": "SimpleRNN", "rnn_relu": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}


def to_keras(model: Any) -> Any:
    """Make a built keras.Sequential of a `rnncore.Sequential`, with its parameters; Keras takes (N, T, F) always.

    A layer of L layers becomes L layers, with Dropout between them; one of both directions a Bidirectional; a
    `LastStep` the return_sequences=False of the layer before it. The two biases of an LSTM or RNN are added up, a GRU
    keeps both, so outputs agree to rounding. Save it with ``to_keras(model).save("model.keras")`` or ``"model.h5"``.

    Raises ValueError for what Keras's layers do not have, with the layer: projections, peepholes, a learned state, and
    the cells MGU and LeakyRNN; TypeError for what is no Sequential.

    >>> import rnncore
    >>> model = rnncore.Sequential(rnncore.LSTM(3, 8, bidirectional=True), rnncore.LastStep(), rnncore.Linear(16, 2))
    >>> [type(layer).__name__ for layer in rnncore.keras.to_keras(model).layers]
    ['Bidirectional', 'Dense']
    """
    if not hasattr(model, "named_layers"):
        raise TypeError(f"model should be a rnncore.Sequential, got {type(model).__name__}")
    named = model.named_layers()
    names = list(named)
    first = named[names[0]]
    labels = {"shape": (None,), "dtype": "int32"}
    made: list[Any] = [keras.Input(**(labels if first.takes_labels else {"shape": (None, model.in_features)}))]
    values: list[tuple[Any, list[Array]]] = []
    for name, layer in named.items():
        kind, options = layer._described()
        dtype, parameters = layer.dtype.name, layer.named_parameters()
        if kind in _KERAS:
            _check_expressible(name, options)
            following = names.index(name) + 1
            last = following < len(names) and not named[names[following]].per_step
            made += _recurrent_layers(name, kind, options, dtype, parameters, values, last)
        elif kind == "Linear":
            made.append(
                keras.layers.Dense(
                    options["out_features"],
                    options["activation"],
                    use_bias=options["bias"],
                    name=_valid(name),
                    dtype=dtype,
                )
            )
            values.append((made[-1], [parameters["weight"].T, *([parameters["bias"]] if options["bias"] else [])]))
        elif kind == "Embedding":
            sizes = options["num_embeddings"], options["embedding_dim"]
            made.append(keras.layers.Embedding(*sizes, name=_valid(name), dtype=dtype))
            values.append((made[-1], [parameters["weight"]]))
        elif kind == "LayerNorm":
            switches = {"scale": "weight" in parameters, "center": "bias" in parameters}
            made.append(
                keras.layers.LayerNormalization(epsilon=options["eps"], name=_valid(name), dtype=dtype, **switches)
            )
            values.append((made[-1], list(parameters.values())))
        elif kind == "Dropout":
            made.append(keras.layers.Dropout(options["p"], name=_valid(name), dtype=dtype))
        elif kind != "LastStep":
            raise ValueError(f"layer {name} is a {type(layer).__name__}: Keras has no such layer")
    built = keras.Sequential(made)
    for layer, arrays in values:
        layer.set_weights(arrays)
    return built


def _recurrent_layers(
    name: str,
    kind: str,
    options: dict[str, Any],
    dtype: str,
    parameters: dict[str, Array],
    values: list[tuple[Any, list[Array]]],
    last: bool,
) -> list[Any]:
    made: list[Any] = []
    count, suffixes = options["num_layers"], ("", "_reverse") if options["bidirectional"] else ("",)
    given = {"units": options["hidden_size"], "use_bias": options["bias"], "dtype": dtype}
    if kind == "rnn_relu":
        given["activation"] = "relu"
    for k in range(count):
        own = {"return_sequences": k < count - 1 or not last, "name": _valid(name) + (f"_{k}" if count > 1 else "")}
        layer = getattr(keras.layers, _KERAS[kind])(**given, **own)
        if options["bidirectional"]:
            layer = keras.layers.Bidirectional(layer, name=f"{own['name']}_both", dtype=dtype)
        made.append(layer)
        values.append((layer, [a for each in suffixes for a in to_recurrent(_KERAS[kind], parameters, k, each)]))
        if options["dropout"] and k < count - 1:
            made.append(keras.layers.Dropout(options["dropout"], name=f"{own['name']}_dropout", dtype=dtype))
    return made


def _check_expressible(name: str, options: dict[str, Any]) -> None:
    for option in ("proj_size", "learned_state"):
        if options.get(option):
            raise ValueError(f"layer {name}: Keras has no {option}, got {option}={options[option]}")


def _valid(name: str) -> str:
    """Return a name that may stand in a file of Keras: PyTorch's are numbers."""
    return f"layer_{name}" if name.isdigit() else name.replace("/", "_")
