"""Text files, read with errors that name the line, and outputs that are checked before the work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rnncore.text.errors import InputError

__all__ = ["check_line", "check_outputs", "input_errors", "read_lines", "read_text", "typed_lines"]

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
        check_line(line, f"{path}, line {number}")
    return lines


def check_line(line: str, place: str) -> None:
    """Refuse a line of too many words."""
    count = len(line.split())
    if count > LONGEST:
        raise InputError(f"{place} has {count} words: expected at most {LONGEST}")


def typed_lines(stream: Iterable[str]) -> Iterator[str]:
    """Yield the lines of standard input. Raises InputError that names the line, for bytes that are no UTF-8 too."""
    number = 0
    try:
        for number, line in enumerate(stream, 1):
            line.encode()  # bytes that are no UTF-8 may come as surrogates
            check_line(line, f"standard input, line {number}")
            yield line
    except UnicodeEncodeError:
        raise InputError(f"standard input, line {number}: expected UTF-8") from None
    except UnicodeDecodeError:
        raise InputError(f"standard input, after line {number}: expected UTF-8") from None


@contextmanager
def input_errors() -> Iterator[None]:
    """Turn errors of arguments and files into the one line of InputError."""
    try:
        yield
    except (TypeError, ValueError, ImportError) as error:
        raise error if isinstance(error, InputError) else InputError(str(error)) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        named = "" if error.filename is None else f"{error.filename}: "
        raise InputError(f"{named}{error.strerror or error}") from None


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[Path | None]) -> None:
    """Refuse an output, by the option that names it, that would overwrite an input or whose folder is not there."""
    for option, path in outputs.items():
        if path is None:
            continue
        for given in inputs:
            if given is not None and path.exists() and given.exists() and path.samefile(given):
                raise InputError(f"{option} {path} would overwrite an input")
        if path.is_dir():
            raise InputError(f"{option} {path} is a folder: expected a file")
        if not path.resolve().parent.is_dir():
            raise InputError(f"{option} {path}: there is no folder {path.resolve().parent}")
