"""Recurrent networks on CPUs: RNN, LSTM and GRU, trained and run by a compiled engine over NumPy arrays.

>>> import numpy as np, rnncore
>>> lstm = rnncore.LSTM(input_size=3, hidden_size=20, seed=0)
>>> y, (h, c) = lstm(np.zeros((100, 3)))
>>> y.shape
(100, 20)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rnncore import layers
from rnncore._core import __version__
from rnncore.config import get_include, get_library, get_num_threads, set_num_threads, show_config
from rnncore.layers import *  # noqa: F403  those that layers.__all__ names
from rnncore.layers.state import State
from rnncore.padding import pad, unpad
from rnncore.stream import Stream

if TYPE_CHECKING:
    from rnncore import (
        bptt,
        diagnostics,
        initialisation,
        losses,
        metrics,
        optim,
        quantiles,
        reference,
        schedules,
        training,
        trees,
    )
    from rnncore import keras as keras
    from rnncore import nam as nam
    from rnncore import onnx as onnx
    from rnncore import sklearn as sklearn
    from rnncore import torch as torch
    from rnncore.conditioned import Conditioned
    from rnncore.fleet import Fleet
    from rnncore.layers.attention import Attention
    from rnncore.layers.tree_lstm import TreeLSTM
    from rnncore.layers.tree_rnn import TreeRNN
    from rnncore.network import Network
    from rnncore.sequential import Sequential, load
    from rnncore.short_weights import quantize
    from rnncore.training import Batch, Windows
    from rnncore.trees import tree_from_ast, tree_from_sexpr

# imported at first use; keras, nam, onnx, sklearn and torch are bridges to what others made
_SUBMODULES = {
    "bptt",
    "diagnostics",
    "initialisation",
    "keras",
    "losses",
    "metrics",
    "nam",
    "onnx",
    "optim",
    "quantiles",
    "reference",
    "schedules",
    "sklearn",
    "torch",
    "training",
    "trees",
}
_LATE = {  # name -> its module, likewise
    "Attention": "layers.attention",
    "Batch": "training",
    "Conditioned": "conditioned",
    "Fleet": "fleet",
    "Network": "network",
    "Sequential": "sequential",
    "TreeLSTM": "layers.tree_lstm",
    "TreeRNN": "layers.tree_rnn",
    "Windows": "training",
    "load": "sequential",
    "quantize": "short_weights",
    "tree_from_ast": "trees",
    "tree_from_sexpr": "trees",
}

__all__ = [
    "Attention",
    "Batch",
    "Conditioned",
    "Fleet",
    "Network",
    "Sequential",
    "State",
    "Stream",
    "TreeLSTM",
    "TreeRNN",
    "Windows",
    "__version__",
    "bptt",
    "diagnostics",
    "get_include",
    "get_library",
    "get_num_threads",
    "initialisation",
    "load",
    "losses",
    "metrics",
    "optim",
    "pad",
    "quantiles",
    "quantize",
    "reference",
    "schedules",
    "set_num_threads",
    "show_config",
    "training",
    "tree_from_ast",
    "tree_from_sexpr",
    "trees",
    "unpad",
]
__all__ += layers.__all__


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"rnncore.{name}")
    if name in _LATE:
        return getattr(importlib.import_module(f"rnncore.{_LATE[name]}"), name)
    raise AttributeError(f"module 'rnncore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_LATE})
