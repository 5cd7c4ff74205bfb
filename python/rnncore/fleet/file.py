"""A fleet in a file: one architecture, and the parameters of all models in one array."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rnncore._core import __version__
from rnncore.arguments import Array
from rnncore.files import FormatError, read_tensors, write_tensors
from rnncore.layers.module import Layout
from rnncore.models.file import EXTRA, architecture, build
from rnncore.models.model import Model

__all__ = ["read_fleet", "write_fleet"]

AnyModel = TypeVar("AnyModel", bound=Model)

FORMAT, VERSION = "rnncore.fleet", 1


def write_fleet(
    path: str | os.PathLike[str],
    model: Model,
    parameters: Array,
    arrays: Mapping[str, Array] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the parameters (K, P) of models like this one, and what else is to stand in the file."""
    told = {"rnncore": __version__, "architecture": json.dumps(architecture(model)), **(metadata or {})}
    extra = {f"{EXTRA}{name}": array for name, array in (arrays or {}).items()}
    write_tensors(path, FORMAT, VERSION, {"parameters": parameters, **extra}, told)


def read_fleet(
    path: str | os.PathLike[str], kind: type[AnyModel]
) -> tuple[AnyModel, Array, dict[str, Array], dict[str, str]]:
    """Return a model of the file's architecture, the parameters (K, P), other arrays and the metadata."""
    arrays, metadata = read_tensors(path, FORMAT, VERSION)
    try:
        described, parameters = json.loads(metadata["architecture"]), arrays.pop("parameters")
    except (KeyError, ValueError):
        raise FormatError(f"{path} does not say what models it holds") from None
    if parameters.ndim != 2 or not len(parameters):
        raise FormatError(f"{path}: expected parameters (K, P), got {parameters.shape}")
    each = parameters.shape[1]
    model = build(described, kind, path, each, _hold(each, path))
    if each != model.parameter_count:
        raise FormatError(f"{path}: expected parameters (K, {model.parameter_count}), got {parameters.shape}")
    if parameters.dtype != model.dtype:
        raise FormatError(f"{path}: parameters are {parameters.dtype}, expected {model.dtype}")
    rest: dict[str, Any] = {name.removeprefix(EXTRA): array for name, array in arrays.items()}
    return model, parameters, rest, metadata


def _hold(count: int, path: Any) -> Callable[[str, Layout], None]:
    """Return what raises FormatError where the layers of a model have more than so many parameters."""
    left = count

    def check(layer: str, layout: Layout) -> None:
        nonlocal left
        needed = sum(math.prod(shape) for _, _, shape in layout)
        if needed > left:
            raise FormatError(f"{path}: layer {layer} needs {needed} of the {count} parameters, {left} are left")
        left -= needed

    return check
