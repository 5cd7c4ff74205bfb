"""Keras's models as rnncore's: a chain of layers, with their weights."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np

from rnncore.arguments import Array, check_flag
from rnncore.bridges.keras_masks import is_mask
from rnncore.bridges.keras_weights import from_recurrent
from rnncore.layers import GRU, LSTM, RNN, Dropout, Embedding, LastStep, LayerNorm, Linear
from rnncore.layers.linear import ACTIVATIONS
from rnncore.sequential import Sequential

__all__ = ["from_keras"]

_RECURRENT: dict[str, Any] = {"SimpleRNN": RNN, "LSTM": LSTM, "GRU": GRU}
_TRAINING_ONLY = ("dropout", "recurrent_dropout")


def from_keras(model: Any, *, logits: bool = False, lengths: bool = False) -> Sequential:
    """Make a `rnncore.Sequential` of a Keras model that is a chain of layers, or of one layer that is built.

    Layers are LSTM, GRU, SimpleRNN, Bidirectional (concatenated) around these, Dense, TimeDistributed around Dense,
    Embedding, LayerNormalization, Dropout and Activation. Behind a recurrent layer without return_sequences stands a
    `LastStep`. The model takes (N, T, F) as Keras does, and has the weights as they are now, in their dtype. Where a
    layer drops out inside its cell, it does not learn alike: a UserWarning says so.

    Parameters
    ----------
    model
        A keras.Sequential, a functional model without branches, or a layer. Files are read by Keras itself:
        ``from_keras(keras.saving.load_model("model.keras"))``, and likewise for ``.h5``.
    logits
        True leaves out a softmax at the end, which the engine's losses have inside; False refuses it.
    lengths
        True leaves out the mask that a Masking layer or an Embedding of mask_zero=True makes at the beginning: give
        calls the lengths that `rnncore.keras.lengths_of(model, x)` finds. False refuses it.

    Raises ValueError for what rnncore could not compute exactly, with the layer and the reason: a GRU with
    reset_after=False, other activations than tanh and sigmoid in a cell, masks, branches; TypeError for what is no
    model.

    >>> import keras, numpy as np, rnncore
    >>> layers = [keras.layers.GRU(8, name="core"), keras.layers.Dense(2, name="head")]
    >>> model = keras.Sequential([keras.Input((None, 3)), *layers])
    >>> twin = rnncore.keras.from_keras(model)
    >>> twin
    Sequential(
      (core): GRU(3, 8, batch_first=True)
      (core_last): LastStep()
      (head): Linear(in_features=8, out_features=2, bias=True)
    )
    >>> x = np.ones((4, 10, 3), "float32")
    >>> bool(np.abs(twin(x)[0] - keras.ops.convert_to_numpy(model(x))).max() < 1e-6)
    True
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"model should be a Keras model or layer, got {type(model).__name__}")
    chain = _chain(model)
    without_softmax = check_flag("logits", logits) and chain and _activation_of(chain[-1]) == "softmax"
    last = chain.pop() if without_softmax else None
    layers: dict[str, Any] = {}
    weights: dict[str, Any] = {}
    masked = check_flag("lengths", lengths) and bool(chain) and is_mask(chain[0])
    if masked and type(chain[0]).__name__ == "Masking":
        del chain[0]
    for k, layer in enumerate(chain):
        if is_mask(layer) and not (masked and k == 0):
            raise ValueError(
                f"layer {layer.name} makes masks, which rnncore has as lengths: lengths=True takes one at the beginning"
            )
        _convert(layer, layers, weights)
    if last is not None and type(last).__name__ != "Activation":
        _convert(last, layers, weights, plain=True)
    made = Sequential(layers)
    for name, named in weights.items():
        own = made[name].named_parameters()
        for key, array in own.items():
            array[...] = named[key]
    return made


def _chain(model: Any) -> list[Any]:
    """Return the layers of a model in their order, those of models inside it too."""
    if not isinstance(model, keras.Model):
        return [model]
    by_depth = getattr(model, "_nodes_by_depth", None)  # of a functional model
    if isinstance(model, keras.Sequential):
        ordered = model.layers
    elif by_depth is None:
        raise ValueError(f"model {model.name}: expected a Sequential or functional model, got {type(model).__name__}")
    else:
        groups = [by_depth[depth] for depth in sorted(by_depth, reverse=True)]
        if any(len(group) > 1 or len(group[0].parent_nodes) > 1 for group in groups):
            raise ValueError(f"model {model.name}: expected a chain of layers, got one with branches")
        ordered = [group[0].operation for group in groups]
        if len(model.outputs) != 1 or len({id(layer) for layer in ordered}) != len(ordered):
            raise ValueError(f"model {model.name}: expected a chain with one output and no layer twice")
    return [inner for layer in ordered for inner in _chain(layer) if type(layer).__name__ != "InputLayer"]


def _convert(layer: Any, layers: dict[str, Any], weights: dict[str, Any], plain: bool = False) -> None:
    """Append what a Keras layer becomes, with its parameters under its name."""
    name, kind, dtype = _own_name(layer), type(layer).__name__, layer.compute_dtype
    if not layer.built and kind not in ("Dropout", "Activation"):
        raise ValueError(f"layer {name}: expected a layer that is built, its weights are not there yet")
    if dtype not in ("float32", "float64") or getattr(layer, "quantization_mode", None):
        raise ValueError(f"layer {name} computes in {layer.dtype_policy.name}, expected float32 or float64")
    if name in layers:
        raise ValueError(f"layer {name}: expected names that differ")
    if kind in _RECURRENT:
        _recurrent(layer, [layer], layers, weights)
    elif kind == "Bidirectional":
        if layer.merge_mode != "concat":
            raise ValueError(f"layer {name}: expected merge_mode='concat', got {layer.merge_mode!r}")
        _recurrent(layer, [layer.forward_layer, layer.backward_layer], layers, weights)
    elif kind == "TimeDistributed":
        if type(layer.layer).__name__ != "Dense":
            raise ValueError(f"layer {name}: expected TimeDistributed around Dense, got {type(layer.layer).__name__}")
        _dense(name, layer.layer, layers, weights, plain)
    elif kind == "Dense":
        _dense(name, layer, layers, weights, plain)
    elif kind == "Embedding":
        layers[name] = Embedding(layer.input_dim, layer.output_dim, dtype=dtype)
        weights[name] = {"weight": _numpy(layer.embeddings)}
    elif kind == "LayerNormalization":
        _normalization(layer, layers, weights)
    elif kind == "Dropout":
        if layer.noise_shape is not None and any(size is not None for size in layer.noise_shape):
            raise ValueError(f"layer {name}: expected noise_shape=None, got {layer.noise_shape}")
        layers[name] = Dropout(layer.rate, dtype=dtype)
    elif kind == "Activation":
        last = next(reversed(layers), "")
        linear: Any = layers.get(last)
        if getattr(linear, "activation", "") is not None:
            raise ValueError(f"layer {name}: expected an Activation behind a Dense layer without activation")
        options = linear._described()[1] | {"activation": _linear_activation(name, layer.activation)}
        layers[last] = Linear(**options, dtype=dtype)
    else:
        known = ", ".join([*_RECURRENT, "Bidirectional, Dense, Embedding, LayerNormalization, Dropout, Activation"])
        raise ValueError(f"layer {name} is a {kind}: expected one of {known}")


def _recurrent(whole: Any, directions: list[Any], layers: dict[str, Any], weights: dict[str, Any]) -> None:
    first, name = directions[0], _own_name(whole)
    kind = type(first).__name__
    if kind not in _RECURRENT:
        raise ValueError(f"layer {name}: expected {', '.join(_RECURRENT)} in both directions, got {kind}")
    described = [(type(each).__name__, each.units, each.use_bias, _name(each.activation)) for each in directions]
    if len(set(described)) > 1:
        raise ValueError(f"layer {name}: expected the same layer in both directions, got {described}")
    for each, backwards in zip(directions, (False, True), strict=False):
        _check_cell(name, each, kind, backwards)
    options: dict[str, Any] = {}
    if kind == "SimpleRNN":
        options["nonlinearity"] = _name(first.activation)
    inputs = int(first.cell.kernel.shape[0])
    layers[name] = _RECURRENT[kind](
        inputs, first.units, bias=first.use_bias, batch_first=True, bidirectional=len(directions) == 2,
        dtype=whole.compute_dtype, **options,
    )  # fmt: skip
    weights[name] = {}
    for each, suffix in zip(directions, ("", "_reverse"), strict=False):
        cell = each.cell
        arrays = [cell.kernel, cell.recurrent_kernel, *([cell.bias] if each.use_bias else [])]
        weights[name] |= from_recurrent(kind, [_numpy(array) for array in arrays], 0, suffix)
    if not whole.return_sequences:
        layers[f"{name}_last"] = LastStep(dtype=whole.compute_dtype)


def _check_cell(name: str, layer: Any, kind: str, backwards: bool) -> None:
    """Refuse what the cell of the same name does not compute; warn of what only training would miss."""
    if kind == "GRU" and not layer.reset_after:
        raise ValueError(
            f"layer {name} is a GRU with reset_after=False, which resets h before the product, R (r h): rnncore's GRU "
            "resets after it, r (R h), and has no weights that give the same; expected reset_after=True"
        )
    activation = _name(layer.activation)
    if activation not in (("tanh", "relu") if kind == "SimpleRNN" else ("tanh",)):
        raise ValueError(f"layer {name}: expected activation='tanh', got {activation!r}")
    if kind != "SimpleRNN" and _name(layer.recurrent_activation) != "sigmoid":
        given = _name(layer.recurrent_activation)
        raise ValueError(f"layer {name}: expected recurrent_activation='sigmoid', got {given!r}")
    if layer.go_backwards != backwards:
        raise ValueError(f"layer {name}: expected go_backwards=False, but in the second direction of Bidirectional")
    if layer.return_state:
        raise ValueError(f"layer {name}: expected return_state=False, a call of rnncore returns the state anyway")
    for option in _TRAINING_ONLY:
        if value := getattr(layer, option):
            warnings.warn(
                f"layer {name}: {option}={value} has no counterpart: outputs are the same, training is not",
                stacklevel=5,
            )


def _dense(name: str, layer: Any, layers: dict[str, Any], weights: dict[str, Any], plain: bool) -> None:
    kernel = _numpy(layer.kernel)
    inputs, outputs = kernel.shape
    activation: Any = None if plain else _linear_activation(name, layer.activation)
    layers[name] = Linear(inputs, outputs, layer.use_bias, activation=activation, dtype=layer.compute_dtype)
    weights[name] = {"weight": kernel.T} | ({"bias": _numpy(layer.bias)} if layer.use_bias else {})


def _normalization(layer: Any, layers: dict[str, Any], weights: dict[str, Any]) -> None:
    shape = (layer.gamma if layer.scale else layer.beta).shape if layer.scale or layer.center else None
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if axes not in ([-1], [2]):
        raise ValueError(f"layer {layer.name}: expected axis=-1, got {axes}")
    if shape is None:
        raise ValueError(f"layer {layer.name}: expected scale=True or center=True, its size is in no weight")
    name = _own_name(layer)
    layers[name] = LayerNorm(shape[0], layer.epsilon, bias=layer.center, dtype=layer.compute_dtype)
    weights[name] = {"weight": _numpy(layer.gamma) if layer.scale else np.ones(shape[0])}
    if layer.center:
        weights[name]["bias"] = _numpy(layer.beta)


def _linear_activation(name: str, function: Any) -> str | None:
    activation = _name(function)
    if activation == "linear":
        return None
    if activation not in ACTIVATIONS:
        hint = ": logits=True leaves it out at the end of a model" if activation == "softmax" else ""
        raise ValueError(f"layer {name}: expected an activation of {', '.join(ACTIVATIONS)}, got {activation!r}{hint}")
    return activation


def _activation_of(layer: Any) -> str:
    layer = getattr(layer, "layer", layer)
    return _name(getattr(layer, "activation", None))


def _own_name(layer: Any) -> str:
    return str(layer.name).replace(".", "_")


def _name(function: Any) -> str:
    return "linear" if function is None else str(getattr(function, "__name__", type(function).__name__))


def _numpy(variable: Any) -> Array:
    value = getattr(variable, "value", variable)
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)  # of any backend
