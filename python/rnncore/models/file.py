"""Models in files: one safetensors file with PyTorch's parameter names, and the architecture in its metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np

from rnncore._core import __version__
from rnncore.arguments import Array
from rnncore.files import BFLOAT16, FormatError, read_tensors, write_tensors
from rnncore.layers import KINDS
from rnncore.layers.module import Layout, asked_first, named_views
from rnncore.models.model import Model

__all__ = ["architecture", "build", "holds", "read_model", "save"]

AnyModel = TypeVar("AnyModel", bound=Model)

FORMAT, VERSION = "rnncore.model", 1
EXTRA = "training/"  # names of tensors that are not parameters begin with it


def architecture(model: Model) -> dict[str, Any]:
    """Return what `build` makes the model of again, parameters apart; JSON can hold it.

    >>> import rnncore
    >>> model = rnncore.Sequential(rnncore.Dropout(0.5))
    >>> architecture(model)
    {'dtype': 'float32', 'layers': [{'name': '0', 'kind': 'Dropout', 'options': {'p': 0.5}}]}
    """
    layers = []
    for name, layer in model.named_layers().items():
        kind = type(layer)
        if KINDS.get(kind.__name__) is not kind:
            raise ValueError(f"layer {name} is a {kind.__name__}: a file holds {', '.join(KINDS)}")
        options = {option: _plain(value) for option, value in layer._options().items()}
        if options.get("precision") == "float32":  # as files were before there was another
            del options["precision"]
        layers.append({"name": name, "kind": kind.__name__, "options": options})
    weights = {} if model.weights is None else {"weights": model.weights}
    return {"dtype": model.dtype.name, "layers": layers, **weights}


def _plain(value: Any) -> Any:
    """Turn an option into what JSON can hold: an array into a list."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def build(
    described: Mapping[str, Any], kind: type[AnyModel], path: Any, held: int, check: Callable[[str, Layout], None]
) -> AnyModel:
    """Make a model of its architecture; its parameters are zero.

    held is how many layers one on the other there can be at most in what the file holds. check is told the name and
    the layout of each layer before anything is allocated for it, and raises FormatError for what is not in the file.
    Raises FormatError for what describes no model.
    """
    try:
        layers = {}
        for layer in described["layers"]:
            name, options = layer["name"], layer["options"]
            if layer["kind"] not in KINDS:
                raise ValueError(f"there is no layer of the kind {layer['kind']}")
            if (stacked := options.get("num_layers", 0)) > held:
                raise ValueError(f"layer {name} has num_layers {stacked}, the file holds {held} at most")
            with asked_first(partial(check, name)):
                layers[name] = KINDS[layer["kind"]](**options, dtype=described["dtype"])
        model = kind(layers)
    except FormatError:
        raise
    except KeyError as error:
        raise FormatError(f"{path} describes no model of this version: it lacks {error}") from None
    except (AttributeError, MemoryError, TypeError, ValueError) as error:
        raise FormatError(f"{path} describes no model of this version: {error}") from None
    model.parameters[...] = 0
    return model


def save(
    model: Model,
    path: str | os.PathLike[str],
    *,
    parameters: Array | None = None,
    arrays: Mapping[str, Array] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model, with other parameters than its own if given, and what else is to stand in its file.

    Raises ValueError for a model with a layer that `build` does not know, such as one of a subclass.
    """
    told = {"rnncore": __version__, "architecture": json.dumps(architecture(model)), **(metadata or {})}
    extra = {f"{EXTRA}{name}": array for name, array in (arrays or {}).items()}
    own = model.named_parameters() if parameters is None else named_views(parameters, model._layout)
    if model.weights is not None:
        own = shortened(own, model.weights)
    write_tensors(path, FORMAT, VERSION, {**own, **extra}, told)


def read_model(path: str | os.PathLike[str], kind: type[AnyModel]) -> tuple[AnyModel, dict[str, Array], dict[str, str]]:
    """Return a file's model, its other arrays and its metadata."""
    arrays, metadata = read_tensors(path, FORMAT, VERSION)
    try:
        described = json.loads(metadata["architecture"])
    except (KeyError, ValueError):
        raise FormatError(f"{path} does not say what model it holds") from None
    own = {name: array for name, array in arrays.items() if not name.startswith(EXTRA)}
    model = build(described, kind, path, len(own), partial(holds, own, path))
    weights = described.get("weights")
    full = own if weights is None else widened(own, weights, model.named_parameters(), path)
    try:
        model.load_state_dict(full)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{path}: {error}") from None
    if weights is not None:
        model._shorten(weights)
    return model, {name[len(EXTRA) :]: array for name, array in arrays.items() if name.startswith(EXTRA)}, metadata


def holds(arrays: Mapping[str, Array], path: Any, layer: str, layout: Layout) -> None:
    """Raise FormatError unless these arrays have all parameters of a layer; their types are seen as they are read."""
    for own, _, shape in layout:
        name = f"{layer}.{own}"
        if name not in arrays:
            raise FormatError(f"{path} lacks the parameter {name}")
        if arrays[name].shape != shape:
            raise FormatError(f"{path}: parameter {name} has shape {arrays[name].shape}, expected {shape}")


# ---- matrices in fewer bits: see `rnncore.quantize`

SCALE = ".scale"  # behind the name of a matrix in int8: the scales of its rows


def shortened(named: Mapping[str, Array], weights: str) -> dict[str, Array]:
    """Return rounded parameters as they are stored: bf16 as halves, int8 as integers and the scales of their rows."""
    stored: dict[str, Array] = {}
    for name, array in named.items():
        if array.ndim != 2:
            stored[name] = array
        elif weights == "bf16":
            stored[name] = (array.view(np.uint32) >> 16).astype(np.uint16).view(BFLOAT16)
        else:
            largest = np.abs(array).max(axis=1, initial=0)
            scale = largest / np.float32(127)  # exact: see int8_scale in weight_format.hpp
            stored[name] = np.rint(array / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8)
            stored[name + SCALE] = scale
    return stored


def widened(stored: Mapping[str, Array], weights: Any, views: Mapping[str, Array], path: Any) -> dict[str, Array]:
    """Undo `shortened`, for the parameters of these names and shapes. Raises FormatError for what it has not made."""
    if weights not in ("bf16", "int8"):
        raise FormatError(f"{path}: weights should be bf16 or int8, got {weights!r}")
    dtype = BFLOAT16 if weights == "bf16" else np.dtype(np.int8)
    named = dict(stored)
    for name, view in views.items():
        array = named.get(name)
        if view.ndim != 2 or array is None:
            continue
        if array.dtype != dtype:
            raise FormatError(f"{path}: parameter {name} is {array.dtype}, expected {weights}")
        if weights == "bf16":
            named[name] = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
            continue
        scale = named.pop(name + SCALE, None)
        if scale is None or scale.shape != array.shape[:1] or scale.dtype != np.float32:
            raise FormatError(f"{path}: parameter {name}{SCALE} should be float32 {array.shape[:1]}")
        named[name] = array.astype(np.float32) * scale[:, None]
    return named
