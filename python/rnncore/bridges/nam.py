"""Models of amplifiers in the files of audio programs: Neural Amp Modeler's `.nam`, and RTNeural's JSON."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnncore.arguments import Array, as_real, check_positive, check_size
from rnncore.bridges.json_files import read_array, read_object, read_size, write_object
from rnncore.bridges.rtneural import load_rtneural, save_rtneural
from rnncore.files import FormatError
from rnncore.layers import LSTM, Linear
from rnncore.losses import mean_squared_error
from rnncore.masked_means import mean, weight_by
from rnncore.sequential import Sequential

__all__ = ["error_to_signal", "load", "load_rtneural", "read_metadata", "save", "save_rtneural"]

VERSION = "0.5.4"  # the oldest that all readers of LSTM files know
_READ = ("0.5", "0.6", "0.7")
_MOST_LAYERS = 64


def load(path: str | os.PathLike[str]) -> Sequential:
    """Read a `.nam` file of the architecture LSTM: a model of an LSTM with a learned initial state, and a Linear head.

    The model takes samples (T, N, 1) and gives samples, all float32. The file's initial state, which is usually the one
    after a second of silence, becomes the learned state.

    Raises FormatError, a ValueError that names what was expected and what was given, for another architecture or
    version, sizes that the weights do not fill exactly, and numbers that are not finite; FileNotFoundError.

    >>> import rnncore
    >>> model = rnncore.Sequential(rnncore.LSTM(1, 8, learned_state=True, seed=0), rnncore.Linear(8, 1, seed=0))
    >>> rnncore.nam.save(model, "clean.nam", metadata={"name": "Clean"})
    >>> rnncore.nam.load("clean.nam")
    Sequential(
      (0): LSTM(1, 8, learned_state=True)
      (1): Linear(in_features=8, out_features=1, bias=True)
    )
    """
    told = read_object(path)
    if told.get("architecture") != "LSTM":
        raise FormatError(f"{path}: expected the architecture LSTM, got {told.get('architecture')!r:.80}")
    version = told.get("version")
    if not isinstance(version, str) or ".".join(version.split(".")[:2]) not in _READ:
        raise FormatError(f"{path} is of version {version!r:.80}, expected one of {', '.join(_READ)}")
    config = told.get("config")
    if not isinstance(config, dict):
        raise FormatError(f"{path}: config should be an object, got {type(config).__name__}")
    inputs, units, layers = (
        read_size(path, f"config.{name}", config.get(name)) for name in ("input_size", "hidden_size", "num_layers")
    )
    if layers > _MOST_LAYERS:
        raise FormatError(f"{path}: config.num_layers should be at most {_MOST_LAYERS}, got {layers}")
    widths = [inputs, *[units] * (layers - 1)]
    shapes = [s for width in widths for s in ((4 * units, width + units), (4 * units,), (units,), (units,))]
    shapes += [(1, units), (1,)]
    ends = list(accumulate(map(math.prod, shapes)))
    weights = read_array(path, "weights", told.get("weights"), ends[-1])
    parts = (part.reshape(shape) for part, shape in zip(np.split(weights, ends[:-1]), shapes, strict=True))
    model = Sequential(LSTM(inputs, units, layers, learned_state=True), Linear(units, 1))
    named = model.named_parameters()
    for k, width in enumerate(widths):
        both = next(parts)  # rows i f g o as PyTorch's; columns x, then h
        named[f"0.weight_ih_l{k}"][...], named[f"0.weight_hh_l{k}"][...] = both[:, :width], both[:, width:]
        named[f"0.bias_ih_l{k}"][...], named[f"0.bias_hh_l{k}"][...] = next(parts), 0
        named[f"0.h0_l{k}"][...], named[f"0.c0_l{k}"][...] = next(parts), next(parts)
    named["1.weight"][...], named["1.bias"][...] = parts
    return model


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a `.nam` file says besides its weights: version, sample_rate in Hz or None, and its metadata.

    >>> import rnncore
    >>> model = rnncore.Sequential(rnncore.LSTM(1, 8, seed=0), rnncore.Linear(8, 1, seed=0))
    >>> rnncore.nam.save(model, "clean.nam", sample_rate=44100, metadata={"name": "Clean"})
    >>> rnncore.nam.read_metadata("clean.nam")
    {'version': '0.5.4', 'sample_rate': 44100.0, 'metadata': {'name': 'Clean'}}
    """
    told = read_object(path)
    return {name: told.get(name) for name in ("version", "sample_rate", "metadata")}


def save(
    model: Sequential,
    path: str | os.PathLike[str],
    *,
    sample_rate: float = 48_000,
    silence: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a `.nam` file, which Neural Amp Modeler's plugins play. A file at the path is replaced in one go.

    Parameters
    ----------
    model
        A `Sequential` of an LSTM of one direction, without projection or peepholes, and a Linear head of one output
        without activation; Dropout between them does not matter.
    sample_rate
        In Hz, that of the recordings.
    silence
        Samples of zeros to run before: the state after them is the file's initial state, so that a plugin starts
        without a click. By default 0: the file has the model's own initial state, zeros or the learned one.
    metadata
        What the plugins show, such as name, modeled_by, gear_type, tone_type; anything that JSON can hold.

    The two biases of the LSTM are added up, so outputs agree to rounding, not to the bit. Raises ValueError for another
    model, which it names, and TypeError for what is no Sequential and for metadata that JSON cannot hold.
    """
    lstm, head = _parts(model)
    check_size("silence", silence, 0)
    named = {name: array.astype(np.float32) for name, array in lstm.named_parameters().items()}
    state = [np.zeros((lstm.num_layers, lstm.hidden_size), np.float32)] * 2
    if silence:
        _, (h, c) = lstm(np.zeros((silence, lstm.input_size)))
        state = [h.astype(np.float32), c.astype(np.float32)]
    elif lstm.learned_state:
        state = [np.stack([named[f"{name}_l{k}"] for k in range(lstm.num_layers)]) for name in ("h0", "c0")]
    parts = []
    for k in range(lstm.num_layers):
        parts.append(np.concatenate([named[f"weight_ih_l{k}"], named[f"weight_hh_l{k}"]], axis=1))
        none = np.zeros(4 * lstm.hidden_size, np.float32)
        parts.append(named[f"bias_ih_l{k}"] + named[f"bias_hh_l{k}"] if lstm.bias else none)
        parts += [state[0][k], state[1][k]]
    parts += [head.weight, np.zeros(1) if head.bias is None else head.bias]
    weights = np.concatenate([np.asarray(part, np.float32).ravel() for part in parts])
    if not np.isfinite(weights).all():
        raise ValueError("model: expected finite parameters")
    write_object(
        path,
        {
            "version": VERSION,
            "metadata": dict(metadata or {}),
            "architecture": "LSTM",
            "config": {name: getattr(lstm, name) for name in ("input_size", "hidden_size", "num_layers")},
            "weights": weights.tolist(),
            "sample_rate": check_positive("sample_rate", sample_rate),
        },
    )


def _parts(model: Any) -> tuple[Any, Any]:
    """Return the LSTM and the head of a model that a `.nam` file can hold."""
    if not hasattr(model, "named_layers"):
        raise TypeError(f"model should be a rnncore.Sequential, got {type(model).__name__}")
    layers = [layer for layer in model.layers if layer._described()[0] != "Dropout"]
    kinds = [layer._described()[0] for layer in layers]
    if kinds != ["lstm", "Linear"]:
        raise ValueError(f"model: a .nam file holds an LSTM and a Linear, got {', '.join(kinds) or 'no layers'}")
    lstm, head = layers
    for name, value in (("bidirectional", lstm.bidirectional), ("proj_size", lstm.proj_size)):
        if value:
            raise ValueError(f"model: a .nam file holds an LSTM with {name}={type(value)(0)}, got {value}")
    if head.out_features != 1 or head.activation is not None:
        given = f"{head.out_features} outputs and activation {head.activation}"
        raise ValueError(f"model: a .nam file holds a head of 1 output without activation, got {given}")
    return lstm, head


def error_to_signal(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    floor: float = 0.0,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[float, Array]:
    """Return the error-to-signal ratio (Wright, Damskägg & Välimäki 2019) and its gradient by the prediction.

    ::

        loss = sum w (p - t)^2 / (sum w t^2 + floor sum w)

    The energy of the error by that of the signal: 1 for silence, 0 for a perfect model, whatever the level. It is a
    loss for `fit`; for short windows it needs a small floor, since a window may be silent.

    Parameters
    ----------
    prediction, target, mask, weights
        As of `rnncore.losses.mean_squared_error`.
    floor
        Added to the mean energy of the target, at least 0.

    Raises as `mean_squared_error` does, and ValueError for a silent target without a floor.

    >>> loss, gradient = error_to_signal([0.5, 1.0], [1.0, 1.0])
    >>> loss, gradient.tolist()
    (0.125, [-0.5, 0.0])
    """
    value, gradient = mean_squared_error(prediction, target, mask=mask, weights=weights)
    signal = as_real(target, "target", np.dtype(np.float64))
    weight = weight_by(signal.shape, mask, weights, np.dtype(np.float64))
    energy = mean(signal**2, np.zeros_like(signal), weight, signal.shape)[0]
    energy += check_positive("floor", floor, zero=True)
    if energy == 0:
        if value == 0:
            return value, gradient
        raise ValueError("target: expected a signal, got silence: give a floor greater than 0")
    return value / energy, gradient / gradient.dtype.type(energy)
