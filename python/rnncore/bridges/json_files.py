"""JSON files of foreign programs: read without trust, written in one go."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.files import FormatError, replace_file

MOST_BYTES = 1 << 28
MOST_UNITS = 1 << 14  # of a layer, so that no size in a file can ask for all memory


def read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the object that a file holds. Raises FormatError for anything else, and for more than 256 MiB."""
    size = Path(path).stat().st_size
    if size > MOST_BYTES:
        raise FormatError(f"{path}: expected at most {MOST_BYTES} bytes, got {size}")
    try:
        found = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} holds no JSON: {error}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{path}: expected a JSON object, got {type(found).__name__}")
    return found


def write_object(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Replace a file; what JSON cannot hold is an error before that."""
    replace_file(path, json.dumps(content, allow_nan=False).encode())


def read_size(path: str | os.PathLike[str], name: str, value: Any) -> int:
    """Return a size that a file tells."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_UNITS:
        raise FormatError(f"{path}: {name} should be a number from 1 to {MOST_UNITS}, got {value!r:.80}")
    return value


def read_array(path: str | os.PathLike[str], name: str, value: Any, *shape: int) -> Array:
    """Return float32 numbers of a shape. Raises FormatError for another shape, and for what is no finite number."""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.zeros(0, object)
    if array.dtype.kind not in "iuf" or array.shape != shape:
        given = f"shape {array.shape}" if array.dtype.kind in "iuf" else "something else"
        raise FormatError(f"{path}: {name} should be numbers of shape {shape}, got {given}")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise FormatError(f"{path}: {name} holds numbers that are not finite")
    return numbers
