"""Files that the command writes."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rnncore.arguments import Array
from rnncore.forecasting.run import Result
from rnncore.tables import InputError, Panel
from rnncore.tables.options import check_writable

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

    _drawn(path, lambda: figure.draw(result, path))


def draw_ends(panel: Panel, ahead: Array, edges: dict[float, tuple[Array, Array]], path: Path) -> None:
    """Draw forecasts (N, H) past the end of the series of a panel."""
    from rnncore.forecasting.figure import End, draw_ends

    ends = [
        End(each.name, each.start, each.y, ahead[n], {level: (low[n], high[n]) for level, (low, high) in edges.items()})
        for n, each in enumerate(panel)
    ]
    _drawn(path, lambda: draw_ends(ends, panel.grid, panel.schema.target[0], panel.schema.time, path))


def drawn_where(arguments: argparse.Namespace) -> tuple[Path | None, str]:
    """Where to draw, and why nowhere: a figure that nobody asked for is left out where it cannot be written."""
    figure = figure_path(arguments)
    if figure is not None and arguments.plot is None:
        try:
            check_writable(figure, "--plot")
        except InputError as error:
            return None, str(error).partition(": ")[2]
    return figure, "matplotlib is missing (pip install 'rnncore[apps]')"


def _drawn(path: Path, draw: Callable[[], None]) -> None:
    try:
        draw()
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
