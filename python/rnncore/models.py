"""Models in files: one safetensors file with PyTorch's parameter names, and the architecture in its metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rnncore._core import __version__
from rnncore.arguments import Array
from rnncore.dropout import Dropout
from rnncore.embedding import Embedding
from rnncore.files import FormatError, read_tensors, write_tensors
from rnncore.heads import LastStep
from rnncore.layers import GRU, LSTM, RNN
from rnncore.linear import Linear
from rnncore.normalisation import LayerNorm

if TYPE_CHECKING:
    from rnncore.sequential import Sequential

__all__ = ["architecture", "build", "load", "read_model", "save"]

FORMAT, VERSION = "rnncore.model", 1
EXTRA = "training/"  # names of tensors that are not parameters begin with it

_KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (RNN, LSTM, GRU, Linear, Embedding, LayerNorm, Dropout, LastStep)
}


def architecture(model: Sequential) -> dict[str, Any]:
    """Return what `build` makes the model of again, parameters apart; JSON can hold it.

    >>> import rnncore
    >>> model = rnncore.Sequential(rnncore.Dropout(0.5))
    >>> architecture(model)
    {'dtype': 'float32', 'layers': [{'name': '0', 'kind': 'Dropout', 'options': {'p': 0.5}}]}
    """
    layers = [
        {"name": name, "kind": type(layer).__name__, "options": layer._options()}
        for name, layer in model.named_layers().items()
    ]
    return {"dtype": model.dtype.name, "layers": layers}


def build(described: Mapping[str, Any]) -> Sequential:
    """Make a model of its architecture; its parameters are zero. Raises FormatError for what describes none."""
    from rnncore.sequential import Sequential

    try:
        layers = {}
        for layer in described["layers"]:
            kind = _KINDS[layer["kind"]]
            layers[layer["name"]] = kind(**layer["options"], dtype=described["dtype"])
        model = Sequential(layers)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"the file describes no model of this version: {type(error).__name__}: {error}") from None
    model.parameters[...] = 0
    return model


def save(
    model: Sequential,
    path: str | os.PathLike[str],
    *,
    arrays: Mapping[str, Array] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model, and what else is to stand in its file; see `Sequential.save`."""
    told = {"rnncore": __version__, "architecture": json.dumps(architecture(model)), **(metadata or {})}
    extra = {f"{EXTRA}{name}": array for name, array in (arrays or {}).items()}
    write_tensors(path, FORMAT, VERSION, {**model.named_parameters(), **extra}, told)


def load(path: str | os.PathLike[str]) -> Sequential:
    """Read a model that `Sequential.save` has written, or the model of a checkpoint of `fit`.

    Raises FileNotFoundError, and ValueError: `rnncore.files.DamagedFileError` for a file that was changed in any bit,
    `rnncore.files.FormatError` for one that holds something else or is of a newer version, which it names. Nothing in
    the file is executed. Needs the package safetensors (`pip install rnncore[io]`).

    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.Linear(8, 2, seed=0))
    >>> model.save("model.safetensors")
    >>> twin = rnncore.load("model.safetensors")
    >>> bool((twin(np.ones((5, 4, 3)))[0] == model(np.ones((5, 4, 3)))[0]).all())
    True
    """
    return read_model(path)[0]


def read_model(path: str | os.PathLike[str]) -> tuple[Sequential, dict[str, Array], dict[str, str]]:
    """Return a file's model, its other arrays and its metadata."""
    arrays, metadata = read_tensors(path, FORMAT, VERSION)
    try:
        described = json.loads(metadata["architecture"])
    except (KeyError, ValueError):
        raise FormatError(f"{path} does not say what model it holds") from None
    model = build(described)
    own = {name: array for name, array in arrays.items() if not name.startswith(EXTRA)}
    model.load_state_dict(own)
    return model, {name[len(EXTRA) :]: array for name, array in arrays.items() if name.startswith(EXTRA)}, metadata
