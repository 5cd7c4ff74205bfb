"""RTNeural's JSON files: Keras's weights, layer by layer, as the library of that name reads them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.bridges.json_files import read_array, read_object, read_size, write_object
from rnncore.bridges.keras_weights import from_recurrent, to_recurrent
from rnncore.files import FormatError
from rnncore.layers import GRU, LSTM, Linear
from rnncore.sequential import Sequential

__all__ = ["load_rtneural", "save_rtneural"]

_RECURRENT = {"lstm": LSTM, "gru": GRU}
_KERAS = {"lstm": "LSTM", "gru": "GRU"}
_DENSE = ("dense", "time-distributed-dense")
_ACTIVATIONS = ("relu", "tanh", "sigmoid")
_MOST_LAYERS = 256


def load_rtneural(path: str | os.PathLike[str]) -> Sequential:
    """Read a file of RTNeural: layers of the types lstm, gru, dense (also time-distributed) and activation.

    A dense layer's activation, or one that follows it, is tanh, relu, sigmoid or none. The model is float32.

    Raises FormatError, a ValueError, for another layer, which it names, weights of another shape than the sizes say,
    and numbers that are not finite; FileNotFoundError.

    >>> import rnncore
    >>> model = rnncore.Sequential(rnncore.GRU(1, 8, seed=0), rnncore.Linear(8, 1, activation="tanh", seed=0))
    >>> rnncore.nam.save_rtneural(model, "fuzz.json")
    >>> rnncore.nam.load_rtneural("fuzz.json")
    Sequential(
      (0): GRU(1, 8)
      (1): Linear(in_features=8, out_features=1, bias=True, activation='tanh')
    )
    """
    told = read_object(path)
    entries = told.get("layers")
    if not isinstance(entries, list) or not 0 < len(entries) <= _MOST_LAYERS:
        raise FormatError(f"{path}: layers should be a list of 1 to {_MOST_LAYERS} layers")
    width = read_size(path, "in_shape", _last(told.get("in_shape")))
    layers: list[Any] = []
    weights: list[dict[str, Array]] = []
    for k, entry in enumerate(entries):
        where = f"layers[{k}]"
        if not isinstance(entry, dict):
            raise FormatError(f"{path}: {where} should be an object, got {type(entry).__name__}")
        kind, activation = entry.get("type"), entry.get("activation") or None
        units = read_size(path, f"{where}.shape", _last(entry.get("shape")))
        if activation is not None and activation not in _ACTIVATIONS:
            known = ", ".join(_ACTIVATIONS)
            raise FormatError(f"{path}: {where}.activation should be one of {known} or '', got {activation!r:.80}")
        if kind == "activation":
            if not layers or getattr(layers[-1], "activation", "") is not None or units != width:
                raise FormatError(
                    f"{path}: {where}: expected a dense layer without activation before, of {units} units"
                )
            layers[-1] = Linear(layers[-1].in_features, units, activation=activation)
            continue
        if kind in _DENSE:
            layers.append(Linear(width, units, activation=activation))
            kernel, bias = _arrays(path, where, entry, (width, units), (units,))
            weights.append({"weight": kernel.T, "bias": bias})
        elif kind in _RECURRENT:
            if activation not in (None, "tanh"):
                raise FormatError(f"{path}: {where}.activation should be tanh, got {activation}")
            layers.append(_RECURRENT[kind](width, units))
            gates = (4 if kind == "lstm" else 3) * units
            shapes = (width, gates), (units, gates), (gates,) if kind == "lstm" else (2, gates)
            weights.append(from_recurrent(_KERAS[kind], _arrays(path, where, entry, *shapes)))
        else:
            known = ", ".join((*_RECURRENT, *_DENSE, "activation"))
            raise FormatError(f"{path}: {where}.type should be one of {known}, got {kind!r:.80}")
        width = units
    for layer, named in zip(layers, weights, strict=True):
        for name, own in layer.named_parameters().items():
            own[...] = named[name]
    return Sequential(*layers)


def save_rtneural(model: Sequential, path: str | os.PathLike[str]) -> None:
    """Write a file that RTNeural reads. A file at the path is replaced in one go.

    The model is a `Sequential` of LSTM, GRU, Linear (without activation, or with tanh, relu or sigmoid) and Dropout,
    which is left out. A layer of L layers becomes L layers; the two biases of an LSTM are added up. Raises ValueError
    for another layer, which it names, for both directions, projections, peepholes and a learned state: RTNeural has
    none.
    """
    if not hasattr(model, "named_layers"):
        raise TypeError(f"model should be a rnncore.Sequential, got {type(model).__name__}")
    layers: list[dict[str, Any]] = []
    width = model.in_features
    for name, layer in model.named_layers().items():
        kind, options = layer._described()
        named = {key: array.astype(np.float32) for key, array in layer.named_parameters().items()}
        if kind in _RECURRENT:
            _check_plain(name, options)
            for k in range(options["num_layers"]):
                own = to_recurrent(_KERAS[kind], named, k)
                gates = own[0].shape[1]
                if len(own) == 2:
                    own.append(np.zeros((2, gates) if kind == "gru" else gates, np.float32))
                layers.append(_entry(kind, "tanh", options["hidden_size"], own))
        elif kind == "Linear":
            activation = options["activation"]
            if activation not in (None, *_ACTIVATIONS):
                raise ValueError(f"layer {name}: RTNeural has {', '.join(_ACTIVATIONS)}, got activation={activation!r}")
            own = [named["weight"].T, named.get("bias", np.zeros(options["out_features"], np.float32))]
            layers.append(_entry("dense", activation or "", options["out_features"], own))
        elif kind != "Dropout":
            raise ValueError(f"layer {name} ({type(layer).__name__}): RTNeural's files hold LSTM, GRU and Linear")
    if not layers:
        raise ValueError("model: expected at least one LSTM, GRU or Linear")
    write_object(path, {"in_shape": [None, None, width], "layers": layers})


def _entry(kind: str, activation: str, units: int, weights: list[Array]) -> dict[str, Any]:
    arrays = [array.tolist() for array in weights]
    return {"type": kind, "activation": activation, "shape": [None, None, units], "weights": arrays}


def _check_plain(name: str, options: dict[str, Any]) -> None:
    for option in ("bidirectional", "proj_size", "learned_state"):
        if options.get(option):
            raise ValueError(f"layer {name}: RTNeural has no {option}, got {option}={options[option]}")


def _last(shape: Any) -> Any:
    return shape[-1] if isinstance(shape, list) and shape else shape


def _arrays(path: Any, where: str, entry: dict[str, Any], *shapes: tuple[int, ...]) -> list[Array]:
    given = entry.get("weights")
    if not isinstance(given, list) or len(given) != len(shapes):
        raise FormatError(f"{path}: {where}.weights should be a list of {len(shapes)} arrays")
    arrays = enumerate(zip(given, shapes, strict=True))
    return [read_array(path, f"{where}.weights[{k}]", each, *shape) for k, (each, shape) in arrays]
