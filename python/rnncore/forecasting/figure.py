"""The figure: what was forecast, with its band, what happened, and the forecast past the end. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.report import plural, titles
from rnncore.forecasting.run import Result
from rnncore.forecasting.scores import BAND

_ZOOM = 60  # steps in the lower panel
_MOST_HISTORY = 730
_COLOURS = {
    "actual": "#222222",
    "network": "#c44601",
    "repeat": "#8c8c8c",
    "climatology": "#5ba300",
    "ridge": "#0073e6",
}


def draw(result: Result, path: Path, series: int = 0) -> None:
    """Write a figure of one series, in the format that the path's suffix names."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower, errors = figure.subplots(3, 1, height_ratios=(5, 5, 4))
    panel = result.panel
    begin = max(0, result.split.position - int(panel.start[series]))
    length = int(panel.lengths[series])
    of = f" of {panel.names[series]}" if panel.names[series] else ""
    figure.suptitle(f"{panel.roles.target}{of}: forecast of a recurrent network ({result.settings.cell.upper()})")
    _draw_series(upper, result, series, max(0, begin - min(2 * (length - begin), _MOST_HISTORY)), length, last=length)
    upper.axvline(_times(result, series, np.array([begin]))[0], color="#555555", linewidth=1, linestyle="--")
    upper.set_title(f"one {panel.grid.name} ahead; trained on what lies left of the dashed line", fontsize=10)
    upper.legend(loc="upper left", ncols=4, fontsize=8, framealpha=0.9)
    _draw_series(lower, result, series, max(begin, length - _ZOOM), length, last=length, markers=True)
    _draw_future(lower, result, series)
    lower.set_title(f"the end, and the next {plural(result.settings.horizon, panel.grid.name)}", fontsize=10)
    lower.legend(loc="upper left", ncols=4, fontsize=8, framealpha=0.9)
    for axes in (upper, lower):
        axes.set_ylabel(f"{panel.roles.target}{_unit(result)}")
        axes.margins(x=0.01)
        _label_time(axes, result)
    _draw_errors(errors, result)
    figure.savefig(path, dpi=130)


def _draw_series(
    axes: Any, result: Result, series: int, first: int, stop: int, *, last: int, markers: bool = False
) -> None:
    """Actual values from `first` on, and from the split on the forecasts one step ahead with their band."""
    panel = result.panel
    index = np.arange(first, stop)
    style = {"marker": ".", "markersize": 5} if markers else {}
    actual = panel.values[first:stop, series, 0]
    axes.plot(_times(result, series, index), actual, color=_COLOURS["actual"], linewidth=1, label="actual", **style)
    index = np.arange(max(first, 1, result.split.position - int(panel.start[series])), last)
    times = _times(result, series, index)
    value = result.forecasts["network"][index - 1, series, 0]
    low, high = value + result.edges[:, series, :1]
    axes.fill_between(times, low, high, color=_COLOURS["network"], alpha=0.2, linewidth=0, label=_band_label())
    axes.plot(times, value, color=_COLOURS["network"], linewidth=1.2, label="forecast")


def _draw_future(axes: Any, result: Result, series: int) -> None:
    end = int(result.panel.lengths[series])
    _, value, edges = result.next_steps(series)
    times = _times(result, series, np.arange(end, end + len(value)))
    axes.fill_between(times, edges[0], edges[1], color=_COLOURS["network"], alpha=0.35, linewidth=0)
    axes.plot(
        times,
        value,
        color=_COLOURS["network"],
        linewidth=1.2,
        linestyle="--",
        marker="o",
        markersize=3,
        label="the next",
    )
    axes.axvline(_times(result, series, np.array([end - 1]))[0], color="#555555", linewidth=0.8, linestyle=":")


def _draw_errors(axes: Any, result: Result) -> None:
    """RMSE of every method by horizon."""
    horizons = np.arange(1, result.settings.horizon + 1)
    names = titles(result)
    for name, scores in result.scores.items():
        axes.plot(horizons, scores.rmse, marker="o", markersize=4, color=_COLOURS[name], label=names[name])
    axes.set_title(f"error from {result.split.label} on", fontsize=10)
    axes.set_xlabel(f"{result.panel.grid.name}s ahead")
    axes.set_ylabel(f"RMSE{_unit(result)}")
    axes.set_ylim(bottom=0)
    if len(horizons) <= 24:
        axes.set_xticks(horizons)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", ncols=2, fontsize=8)


def _times(result: Result, series: int, index: Array) -> Array:
    """What matplotlib takes for the time axis: dates, or plain numbers."""
    grid = result.panel.grid
    positions = index + int(result.panel.start[series])
    if not result.panel.calendar:
        return grid.origin + grid.step * positions
    return grid.seconds(positions).astype(np.int64).astype("datetime64[s]")


def _label_time(axes: Any, result: Result) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.grid(alpha=0.3)
    if result.panel.calendar:
        locator = AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axes.set_xlabel(result.panel.roles.time)


def _band_label() -> str:
    return f"band for {BAND:.0%}, from held-out errors"


def _unit(result: Result) -> str:
    return f" ({result.settings.unit})" if result.settings.unit else ""
