"""Files that the command writes."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnncore.forecasting.run import Result
from rnncore.tables import InputError

FIGURE = "rnncore-forecast.png"
_FORMATS = (".pdf", ".png", ".svg")


def figure_path(arguments: argparse.Namespace) -> Path | None:
    """Return where to draw, None for nowhere. matplotlib is asked for only if the user wants a figure by name."""
    if arguments.no_plot:
        if arguments.plot is not None:
            raise InputError("--plot and --no-plot exclude each other")
        return None
    if importlib.util.find_spec("matplotlib") is None:
        if arguments.plot is not None:
            raise InputError("--plot needs matplotlib: pip install 'rnncore[apps]'")
        return None
    path = arguments.plot or Path(FIGURE)
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"--plot: the name has to end in one of {', '.join(_FORMATS)}, got {path.name!r}")
    return Path(path)


def draw(result: Result, path: Path) -> None:
    """Draw the figure."""
    from rnncore.forecasting import figure

    try:
        figure.draw(result, path)
    except OSError as error:
        raise InputError(f"--plot: cannot write {path}: {error.strerror or error}") from None


def as_csv(rows: Sequence[Sequence[Any]]) -> str:
    """Text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def write(text: str, path: Path | None, option: str) -> None:
    """Write to a file, or to standard output."""
    if path is None:
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{option}: cannot write {path}: {error.strerror or error}") from None
