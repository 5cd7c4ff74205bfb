"""Text files, read with errors that name the line, and outputs that are checked before the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rnncore.text.errors import InputError

__all__ = ["check_outputs", "read_lines", "read_text"]

LONGEST = 1000  # words of a line


def read_text(path: Path) -> str:
    """Return the text of a file. Raises InputError that names the file, and the line where one is to blame."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: expected UTF-8, got the byte 0x{content[error.start]:02x}") from None
    if not text.strip():
        raise InputError(f"{path} is empty: expected text")
    return text.replace("\r\n", "\n")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, a sentence each. Raises InputError as `read_text`, and for a line too long."""
    lines = read_text(path).split("\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        count = len(line.split())
        if count > LONGEST:
            raise InputError(f"{path}, line {number} has {count} words: expected at most {LONGEST}")
    return lines


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[Path | None]) -> None:
    """Refuse an output, by the option that names it, that would overwrite an input or whose folder is not there."""
    for option, path in outputs.items():
        if path is None:
            continue
        for given in inputs:
            if given is not None and path.exists() and given.exists() and path.samefile(given):
                raise InputError(f"{option} {path} would overwrite an input")
        if not path.resolve().parent.is_dir():
            raise InputError(f"{option} {path}: there is no folder {path.resolve().parent}")
