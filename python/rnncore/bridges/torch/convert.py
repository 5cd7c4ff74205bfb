"""Layers of rnncore from PyTorch's modules, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.rnn import RNNCellBase

import rnncore
from rnncore.bridges.torch.layers import GRU, LSTM, RNN

_KINDS: dict[str, Any] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
_OPTIONS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")


def layer_of(module: nn.Module) -> Any:
    """Return the `rnncore.RNN`, `LSTM` or `GRU` with a module's options and a copy of its weights.

    `module` is PyTorch's RNN, LSTM or GRU, or one of their cells, accelerated or not. A policy's network streams in one
    line: ``rnncore.Stream(rnncore.torch.layer_of(policy.lstm))``.

    Raises TypeError for another module, ValueError for weights that are not float32 or float64.

    >>> import torch, rnncore
    >>> stream = rnncore.Stream(rnncore.torch.layer_of(torch.nn.LSTM(3, 8)))
    >>> stream.step([1.0, 2.0, 3.0]).shape
    (8,)
    """
    cell = isinstance(module, RNNCellBase)
    kind = next((name for name in _KINDS if isinstance(module, (getattr(nn, name), getattr(nn, f"{name}Cell")))), None)
    if kind is None:
        raise TypeError(f"module should be an RNN, LSTM or GRU of PyTorch, or a cell, got {type(module).__name__}")
    weights = {f"{name}_l0" if cell else name: value for name, value in module.state_dict().items()}
    dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
    names = ("input_size", "hidden_size", "bias") if cell else _OPTIONS
    options = {name: getattr(module, name) for name in names}
    if kind == "RNN":
        options["nonlinearity"] = module.nonlinearity
    if kind == "LSTM" and not cell:
        options["proj_size"] = module.proj_size
    layer = getattr(rnncore, kind)(**options, dtype=dtype, seed=0)
    layer.load_state_dict(weights)
    return layer.train(module.training)


def module_of(layer: Any) -> nn.Module:
    """Return the module of `rnncore.torch` with a layer's options and a copy of its weights.

    `layer` is an `rnncore.RNN`, `LSTM` or `GRU`.

    Raises TypeError for another layer, and ValueError for what PyTorch has not: peepholes, a learned state.

    >>> import rnncore
    >>> rnncore.torch.module_of(rnncore.GRU(3, 8, num_layers=2, seed=0))
    GRU(3, 8, num_layers=2)
    """
    kind = type(layer).__name__
    if kind not in _KINDS or type(layer) is not getattr(rnncore, kind):
        raise TypeError(f"layer should be an RNN, LSTM or GRU of rnncore, got {kind}")
    for name in ("learned_state", "peepholes"):
        if getattr(layer, name, False):
            raise ValueError(f"PyTorch has no {name}: {layer!r}")
    options: dict[str, Any] = {name: getattr(layer, name) for name in _OPTIONS}
    if kind == "RNN":
        options["nonlinearity"] = layer.nonlinearity
    if kind == "LSTM":
        options["proj_size"] = layer.proj_size
    module: nn.Module = _KINDS[kind](**options, dtype=getattr(torch, layer.dtype.name))
    module.load_state_dict({name: torch.from_numpy(array) for name, array in layer.state_dict().items()})
    return module.train(layer.training)
