"""Files that commands write and load: what they need is asked for before the work, what goes wrong takes one line."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

from rnncore.tables.errors import InputError

Kept = TypeVar("Kept")

_FIGURES = (".pdf", ".png", ".svg")


def has_matplotlib() -> bool:
    """Whether figures can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def check_figure(path: Path) -> None:
    """Raise InputError if no figure can be drawn to a path."""
    if not has_matplotlib():
        raise InputError("--plot needs matplotlib: pip install 'rnncore[apps]'")
    if path.suffix.lower() not in _FIGURES:
        raise InputError(f"--plot: the name has to end in one of {', '.join(_FIGURES)}, got {path.name!r}")


def check_safetensors(options: str) -> None:
    """Raise InputError if what the options name cannot be read or written."""
    if importlib.util.find_spec("safetensors") is None:
        raise InputError(f"{options} need safetensors: pip install 'rnncore[io]'")


@contextmanager
def writing(option: str, path: Any) -> Iterator[None]:
    """Turn what the system says against a file into an InputError that names the option."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{option}: cannot write {path}: {error.strerror or error}") from None


def load_kept(load: Callable[[Path], Kept], path: Path, option: str) -> Kept:
    """Load what was saved. Raises InputError that names the option for a file that cannot be read or does not serve."""
    try:
        return load(path)
    except OSError as error:
        raise InputError(f"{option}: cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None


def text_path(given: str | None) -> Path | None:
    """Return where text goes, None for nowhere or for standard output (-)."""
    return None if given is None or given == "-" else Path(given)


def words_stream(**texts: str | None) -> TextIO:
    """Return where a command speaks: standard output, or where an output goes there (-), standard error.

    Raises InputError for two outputs that go there.
    """
    there = [f"--{option}" for option, given in texts.items() if given == "-"]
    if len(there) > 1:
        raise InputError(f"{there[0]} and {there[1]} both go to standard output")
    return sys.stderr if there else sys.stdout


def write_text(text: str, path: Path | None, option: str) -> None:
    """Write to a file, or to standard output."""
    if path is None:
        sys.stdout.write(text)
        return
    with writing(option, path):
        path.write_text(text, encoding="utf-8")


def as_json(told: Any) -> str:
    """Text of a JSON file."""
    return json.dumps(told, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def as_csv(rows: Sequence[Sequence[Any]]) -> str:
    """Text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
