"""Files: replaced in one go, and tensors in them under a digest of all that they say."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array

__all__ = [
    "BFLOAT16",
    "DamagedFileError",
    "FormatError",
    "read_tensors",
    "remove_leftovers",
    "replace_file",
    "write_tensors",
]


BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""The upper halves of float32 numbers, of which NumPy knows nothing."""


class FormatError(ValueError):
    """A file that holds something else, or is of a version that this library does not know."""


class DamagedFileError(ValueError):
    """A file whose content is not what was written."""


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that whoever opens the path finds the old content or the new, even if the power fails.

    The content is written beside it, synced, and renamed; on an error the old file stays and nothing is left behind. A
    symbolic link stays a link, to the file that is replaced; the new file has the mode of the old one.
    """
    given, path = path, Path(os.path.realpath(path))
    temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            if path.exists():
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is not None:  # not the name that nobody knows
            raise type(error)(error.errno, error.strerror, os.fspath(given)) from None
        raise
    _sync_folder(path.parent)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what a killed process may have left beside a path that nobody else writes to."""
    path = Path(os.path.realpath(path))
    name = re.compile(re.escape(path.name) + r"\.[0-9a-f]{16}\.tmp")
    for temporary in path.parent.iterdir():
        if name.fullmatch(temporary.name):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """The new name itself is to outlive a power failure; not every file system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def write_tensors(
    path: str | os.PathLike[str], form: str, version: int, arrays: Mapping[str, Array], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file whose metadata tell its format and version, and a SHA-256 over everything.

    Needs the package safetensors (`pip install rnncore[io]`).
    """
    require_safetensors()
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    told = {**metadata, "format": form, "version": str(version)}
    told["digest"] = _digest(contiguous, told)
    halves = any(array.dtype == BFLOAT16 for array in contiguous.values())
    replace_file(path, _container(contiguous, told) if halves else save(contiguous, told))


def _container(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a file with bfloat16 in it, which the package writes from no array of NumPy's."""
    stored = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    data, end = [], 0
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):  # wide ones first: all are aligned
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": stored[array.dtype], "shape": array.shape, "data_offsets": [begin, end]}
        data.append(array.tobytes())
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *data])


def read_tensors(
    path: str | os.PathLike[str], form: str, version: int, *, digest_missing: bool = False
) -> tuple[dict[str, Array], dict[str, str]]:
    """Read what `write_tensors` has written: arrays and metadata.

    digest_missing accepts a file without a digest. Raises FormatError for a file of another format or a newer version,
    DamagedFileError for one that was changed, both ValueErrors. Nothing in the file is executed.
    """
    require_safetensors()
    from safetensors import SafetensorError, deserialize

    content = Path(path).read_bytes()
    try:
        tensors = deserialize(content)  # type: ignore[no-untyped-call]
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
        arrays = {name: _array(tensor) for name, tensor in tensors}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"{path} is no safetensors file, or damaged: {error}") from None
    if metadata.get("format") != form:
        raise FormatError(f"{path}: expected the format {form}, got {metadata.get('format')!r}")
    given = metadata.get("version", "")
    digest = metadata.pop("digest", None)
    if digest != _digest(arrays, metadata) and not (digest is None and digest_missing):
        if given.isdigit() and int(given) > version:
            raise FormatError(f"{path} is of version {given}, this rnncore reads up to version {version}")
        raise DamagedFileError(f"{path} is damaged: its content does not match its digest")
    if given != str(version):
        said = f"is of version {given}" if given else "does not say its version"
        raise FormatError(f"{path} {said}, this rnncore reads up to version {version}")
    return arrays, metadata


def require_safetensors() -> None:
    """Raise ImportError that says what to install."""
    try:
        import safetensors  # noqa: F401
    except ImportError:
        raise ImportError("files need the package safetensors: pip install 'rnncore[io]'") from None


_DTYPES: dict[str, Any] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?", "BF16": BFLOAT16,
}  # fmt: skip


def _array(tensor: Mapping[str, Any]) -> Array:
    if tensor["dtype"] not in _DTYPES:
        raise ValueError(f"a tensor has dtype {tensor['dtype']}, expected one of {', '.join(_DTYPES)}")
    array: Array = np.frombuffer(tensor["data"], _DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return array.astype(array.dtype.newbyteorder("="))  # a copy: writable


def _name(array: Array) -> str:
    return "bfloat16" if array.dtype == BFLOAT16 else str(array.dtype)


def _digest(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """SHA-256 over metadata and tensors, in the order of their names."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, _name(array), list(array.shape)]).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
