"""Beginnings other than PyTorch's, for the recurrent layers of a model or for a layer by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rnncore.arguments import Array, Seed, check_flag, check_positive
from rnncore.layers import RECURRENT
from rnncore.layers.cells import CELLS
from rnncore.layers.module import Module
from rnncore.layers.recurrent import RecurrentLayer

__all__ = ["chrono", "forget_bias", "orthogonal", "recurrent_layers"]


def recurrent_layers(module: Module) -> list[RecurrentLayer[Any]]:
    """Return the recurrent layers of a model, or the layer itself.

    Raises ValueError if there is none.

    >>> import rnncore
    >>> recurrent_layers(rnncore.GRU(2, 3))
    [GRU(2, 3)]
    """
    all_layers: Any = getattr(module, "layers", (module,))
    layers = [layer for layer in all_layers if getattr(layer, "_looks_along_time", False)]
    if not layers:
        raise ValueError(f"expected a recurrent layer, or a model of some, got {module!r}")
    return layers


def orthogonal(module: Module, *, gain: float = 1.0, seed: Seed = None) -> None:
    """Make the recurrent weights of every gate orthogonal (Saxe et al. 2014): W_hh^T W_hh = gain^2 I.

    Raises ValueError for a module without a recurrent layer.

    >>> import numpy as np, rnncore
    >>> gru = rnncore.GRU(3, 8, dtype="float64")
    >>> orthogonal(gru, seed=0)
    >>> candidate = gru.weight_hh_l0[16:]
    >>> bool(np.allclose(candidate @ candidate.T, np.eye(8)))
    True
    """
    scale = check_positive("gain", gain)
    generator = np.random.default_rng(seed)
    for layer in recurrent_layers(module):
        size = layer.hidden_size
        for name, weight in layer.named_parameters().items():
            if name.startswith("weight_hh"):
                for gate in weight.reshape(-1, size, size):
                    q, r = np.linalg.qr(generator.normal(size=(size, size)))
                    gate[...] = scale * q * np.sign(np.diag(r))  # without the signs it is not uniform


def forget_bias(module: Module, value: float = 1.0) -> None:
    """Let LSTMs remember at first: the bias of the forget gate becomes `value` (Gers et al. 2000).

    It is the sum of the two biases, bias_ih and bias_hh. Raises ValueError for a module without an LSTM with biases.

    >>> import rnncore
    >>> lstm = rnncore.LSTM(3, 2, seed=0)
    >>> forget_bias(lstm)
    >>> (lstm.bias_ih_l0 + lstm.bias_hh_l0)[2:4].tolist()
    [1.0, 1.0]
    """
    layers = [layer for layer in recurrent_layers(module) if layer.memory_gates.get("f") == 1 and layer.bias]
    if not layers:
        raise ValueError(f"expected an LSTM with biases, or a model with one, got {module!r}")
    for layer in layers:
        for ih, hh in _biases(layer):
            _of_gate(layer, ih, "f")[...] = value
            _of_gate(layer, hh, "f")[...] = 0


def chrono(module: Module, longest: float, *, shortest: float = 2.0, uniform: bool = False, seed: Seed = None) -> None:
    """Set the gates of LSTMs, GRUs and other layers with gates for memories of many lengths (Tallec & Ollivier 2018).

    A unit remembers for u steps, log u uniform between those of `shortest` and `longest`, or u itself if `uniform`, as
    in the paper: then most memories are long. The bias of the forget (GRU: update) gate is log(u - 1), that of the
    LSTM's input gate its negative, all others are 0.

    Raises ValueError for a module without such a layer with biases, and unless 1 < shortest <= longest.

    >>> import rnncore
    >>> gru = rnncore.GRU(3, 4, dtype="float64", seed=0)
    >>> chrono(gru, longest=5.0, shortest=5.0)
    >>> gru.bias_ih_l0.round(3).tolist()
    [0.0, 0.0, 0.0, 0.0, 1.386, 1.386, 1.386, 1.386, 0.0, 0.0, 0.0, 0.0]
    """
    if not 1 < shortest <= longest:
        raise ValueError(f"expected 1 < shortest <= longest, got shortest {shortest}, longest {longest}")
    layers = [layer for layer in recurrent_layers(module) if layer.memory_gates and layer.bias]
    if not layers:
        gated = ", ".join(name for name, kind in RECURRENT.items() if kind.memory_gates)
        raise ValueError(f"expected a layer with gates ({gated}) and biases, or a model with one, got {module!r}")
    even = check_flag("uniform", uniform)
    generator = np.random.default_rng(seed)
    for layer in layers:
        size = layer.hidden_size
        for ih, hh in _biases(layer):
            if even:
                steps = generator.uniform(shortest, longest, size)
            else:
                steps = np.exp(generator.uniform(np.log(shortest), np.log(longest), size))
            keep = np.log(steps - 1)
            ih[...] = hh[...] = 0
            for gate, sign in layer.memory_gates.items():
                _of_gate(layer, ih, gate)[...] = sign * keep


def _of_gate(layer: RecurrentLayer[Any], bias: Array, gate: str) -> Array:
    """View a gate's part of a bias."""
    by_gate: Array = bias.reshape(-1, layer.hidden_size)[CELLS[layer._network.cell].gates.index(gate)]
    return by_gate


def _biases(layer: RecurrentLayer[Any]) -> Iterator[tuple[Array, Array]]:
    """Yield bias_ih and bias_hh of each layer and direction."""
    named = layer.named_parameters()
    for name, view in named.items():
        if name.startswith("bias_ih"):
            yield view, named[name.replace("bias_ih", "bias_hh")]
