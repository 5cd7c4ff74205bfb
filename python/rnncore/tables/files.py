"""The bytes of a file: from a path or standard input, unpacked, and its text whatever its encoding."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from importlib.resources.abc import Traversable
from pathlib import Path

from rnncore.tables.errors import InputError

STDIN = "-"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_bytes(source: str | Path | Traversable) -> tuple[bytes, str]:
    """Return the unpacked bytes of a file, or of standard input for -, and what messages call it.

    gzip, bzip2, xz and zip archives of one file are known by how they begin. Raises InputError if it cannot be read.
    """
    if source == STDIN:
        return _unpacked(sys.stdin.buffer.read(), "standard input"), "standard input"
    path = Path(source) if isinstance(source, str) else source
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return _unpacked(content, path.name), path.name


def _unpacked(content: bytes, name: str) -> bytes:
    try:
        if content.startswith(b"\x1f\x8b"):
            return gzip.decompress(content)
        if content.startswith(b"BZh"):
            return bz2.decompress(content)
        if content.startswith(b"\xfd7zXZ\x00"):
            return lzma.decompress(content)
        if content.startswith(b"PK\x03\x04"):
            return _unzipped(content, name)
        if content.startswith(b"\x28\xb5\x2f\xfd"):
            return _from_zstandard(content, name)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is a damaged archive: {error}") from None
    return content


def _unzipped(content: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = [entry for entry in archive.namelist() if not entry.endswith("/") and not entry.startswith("__MACOSX")]
        if "xl/workbook.xml" in files:
            raise InputError(f"{name} is an Excel workbook: save the sheet as CSV")
        if len(files) != 1:
            raise InputError(f"{name} holds {len(files)} files, expected one: {', '.join(files[:5])}")
        return archive.read(files[0])


def _from_zstandard(content: bytes, name: str) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise InputError(f"{name} is packed with Zstandard: pip install zstandard") from None
    with zstandard.ZstdDecompressor().stream_reader(content) as reader:
        unpacked: bytes = reader.read()
    return unpacked


def as_text(content: bytes, name: str, notes: list[str]) -> str:
    """Return text with Unix line ends: UTF-8, UTF-16 by its mark, else Windows-1252, which is noted."""
    try:
        text = content.decode("utf-16" if content.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError as error:
            raise InputError(f"{name} is not UTF-8 text: byte {error.start} does not belong to it") from None
        notes.append("not UTF-8: read as Windows-1252")
    if "\0" in text:
        raise InputError(f"{name} is no text: it holds a zero byte at {text.index(chr(0))}")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
