"""Figures that the command draws, and where."""

from __future__ import annotations

import argparse
from pathlib import Path

from rnncore.arguments import Array
from rnncore.forecasting.run import Result
from rnncore.tables import InputError, Panel
from rnncore.tables.options import check_writable
from rnncore.tables.outputs import check_figure, has_matplotlib, writing

FIGURE = "rnncore-forecast.png"


def drawn_where(arguments: argparse.Namespace) -> tuple[Path | None, str]:
    """Where to draw, and why nowhere: a figure that nobody asked for is left out where it cannot be written."""
    figure = _figure_path(arguments)
    if figure is not None and arguments.plot is None:
        try:
            check_writable(figure, "--plot")
        except InputError as error:
            return None, str(error).partition(": ")[2]
    return figure, "matplotlib is missing (pip install 'rnncore[apps]')"


def _figure_path(arguments: argparse.Namespace) -> Path | None:
    """Where to draw, None for nowhere. That matplotlib is missing is an error only where --plot names a figure."""
    if arguments.no_plot:
        if arguments.plot is not None:
            raise InputError("--plot and --no-plot exclude each other")
        return None
    if arguments.plot is None:
        return Path(FIGURE) if has_matplotlib() else None
    check_figure(arguments.plot)
    return Path(arguments.plot)


def draw(result: Result, path: Path) -> None:
    """Draw the figure."""
    from rnncore.forecasting import figure

    with writing("--plot", path):
        figure.draw(result, path)


def draw_ends(panel: Panel, ahead: Array, edges: dict[float, tuple[Array, Array]], unit: str, path: Path) -> None:
    """Draw forecasts (N, H) past the end of the series of a panel."""
    from rnncore.forecasting.figure import End, draw_ends

    ends = [
        End(each.name, each.start, each.y, ahead[n], {level: (low[n], high[n]) for level, (low, high) in edges.items()})
        for n, each in enumerate(panel)
    ]
    with writing("--plot", path):
        draw_ends(ends, panel.grid, panel.schema.target[0] + unit, panel.schema.time, path)
