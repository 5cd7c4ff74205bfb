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

from rnncore._core import __version__
from rnncore.config import get_num_threads, set_num_threads, show_config
from rnncore.dropout import Dropout
from rnncore.layers import GRU, LSTM, RNN
from rnncore.linear import Linear
from rnncore.padding import pad, unpad
from rnncore.state import State
from rnncore.stream import Stream

if TYPE_CHECKING:
    from rnncore import bptt, diagnostics, initialisation, losses, metrics, optim, reference, schedules, training
    from rnncore.embedding import Embedding
    from rnncore.heads import LastStep
    from rnncore.models import load
    from rnncore.normalisation import LayerNorm
    from rnncore.sequential import Sequential
    from rnncore.training import Batch

# imported at first use
_SUBMODULES = frozenset(
    {"bptt", "diagnostics", "initialisation", "losses", "metrics", "optim", "reference", "schedules", "training"}
)
_LATE = {  # name -> its module, likewise
    "Batch": "training",
    "Embedding": "embedding",
    "LastStep": "heads",
    "LayerNorm": "normalisation",
    "Sequential": "sequential",
    "load": "models",
}

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Batch",
    "Dropout",
    "Embedding",
    "LastStep",
    "LayerNorm",
    "Linear",
    "Sequential",
    "State",
    "Stream",
    "__version__",
    "bptt",
    "diagnostics",
    "get_num_threads",
    "initialisation",
    "load",
    "losses",
    "metrics",
    "optim",
    "pad",
    "reference",
    "schedules",
    "set_num_threads",
    "show_config",
    "training",
    "unpad",
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"rnncore.{name}")
    if name in _LATE:
        return getattr(importlib.import_module(f"rnncore.{_LATE[name]}"), name)
    raise AttributeError(f"module 'rnncore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_LATE})
