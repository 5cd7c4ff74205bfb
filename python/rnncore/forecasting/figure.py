"""The figure: what was forecast, with its band, what happened, and the forecast past the end. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.report import titles
from rnncore.forecasting.run import Result
from rnncore.forecasting.scores import BAND
from rnncore.tables.notes import plural, several

_ZOOM = 60  # steps in the lower panel
_LEAST_HISTORY, _MOST_HISTORY = 200, 730
_FAINT = "#777777"
_COLOURS = {"network": "#c44601", "repeat": "#8c8c8c", "climatology": "#5ba300", "ridge": "#0073e6"}
_BAND_LABEL = f"band for {BAND:.0%} (from held-out errors)"


def draw(result: Result, path: Path, series: int | None = None) -> None:
    """Write a figure of one series (the one with most to score), in the format that the path's suffix names."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower, errors = figure.subplots(3, 1, height_ratios=(5, 5, 4))
    if series is None:
        series = int(np.argmax(result.design.test.sum(axis=(0, 2))))
    panel, step = result.panel, plural(1, result.panel.grid.name)
    length = int(panel.lengths[series])
    begin = min(max(0, result.split.position - int(panel.start[series])), length)
    of = f" of {panel.names[series]}" if panel.names[series] else ""
    others = f" (one of {len(panel.names)} series)" if len(panel.names) > 1 else ""
    figure.suptitle(f"{panel.target}{of}{others}, forecast by a recurrent network")

    history = min(max(2 * (length - begin), _LEAST_HISTORY), _MOST_HISTORY)
    _draw_series(upper, result, series, np.arange(max(0, begin - history), length))
    _draw_series(lower, result, series, np.arange(max(0, length - _ZOOM), length), marker=".")
    _draw_future(lower, result, series)
    upper.axvline(_times(result, series, np.array([begin]))[0], color=_FAINT, linewidth=1, linestyle="--")
    captions = f"{step} ahead; trained on what lies left of the dashed line", f"{step} ahead, and past the end"
    for axes, caption in zip((upper, lower), captions, strict=True):
        axes.set_title(caption, fontsize=10, loc="left")
        axes.set_ylabel(f"{panel.target}{_unit(result)}")
        axes.margins(x=0.01)
        _put_legend(axes)
        _label_time(axes, result)
    _draw_errors(errors, result)
    figure.savefig(path, dpi=130)


def _draw_series(axes: Any, result: Result, series: int, index: Array, marker: str | None = None) -> None:
    """What happened, and from the split on the forecasts one step ahead with their band."""
    panel = result.panel
    times, actual = _times(result, series, index), panel.values[index, series, 0]
    trained = index + panel.start[series] < result.split.position
    if trained.any():
        axes.plot(times[trained], actual[trained], color=_FAINT, linewidth=0.8, label="history")
    axes.plot(times[~trained], actual[~trained], color="#222222", linewidth=1, marker=marker, label="actual")
    scored = index[~trained & (index > 0)]
    times, value = _times(result, series, scored), result.forecasts["network"][scored - 1, series, 0]
    low, high = value + result.edges[:, series, :1]
    colour = _COLOURS["network"]
    axes.fill_between(times, low, high, color=colour, alpha=0.2, linewidth=0, label=_BAND_LABEL)
    axes.plot(times, value, color=colour, linewidth=1.2, label="forecast")


def _draw_future(axes: Any, result: Result, series: int) -> None:
    end = int(result.panel.lengths[series])
    _, value, edges = result.next_steps(series)
    times = _times(result, series, np.arange(end, end + len(value)))
    colour = _COLOURS["network"]
    axes.fill_between(times, edges[0], edges[1], color=colour, alpha=0.35, linewidth=0)
    label = f"next {plural(len(value), result.panel.grid.name)}"
    axes.plot(times, value, color=colour, linewidth=1.2, linestyle="--", marker="o", markersize=3, label=label)
    axes.axvline(_times(result, series, np.array([end - 1]))[0], color=_FAINT, linewidth=0.8, linestyle=":")


def _draw_errors(axes: Any, result: Result) -> None:
    """RMSE of every method by horizon."""
    horizons = np.arange(1, result.settings.horizon + 1)
    names = titles(result)
    for name, scores in result.scores.items():
        above = 3 if name == "network" else 2
        axes.plot(
            horizons, scores.rmse, marker="o", markersize=4, color=_COLOURS[name], label=names[name], zorder=above
        )
    axes.set_title(f"error from {result.split.label} on", fontsize=10, loc="left")
    axes.set_xlabel(f"horizon ({several(result.panel.grid.name)} ahead)")
    axes.set_ylabel(f"RMSE{_unit(result)}")
    axes.set_ylim(bottom=0)
    if len(horizons) <= 24:
        axes.set_xticks(horizons)
    axes.grid(alpha=0.3)
    _put_legend(axes)


def _put_legend(axes: Any) -> None:
    """Above the axes, where it hides nothing."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5, fontsize=8, frameon=False, borderaxespad=0.2)


def _times(result: Result, series: int, index: Array) -> Array:
    """What matplotlib takes for the time axis: dates, or plain numbers."""
    grid = result.panel.grid
    positions = index + int(result.panel.start[series])
    if not result.panel.calendar:
        return grid.origin + grid.step * positions
    return grid.local(positions)


def _label_time(axes: Any, result: Result) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.grid(alpha=0.3)
    if result.panel.calendar:
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    else:
        axes.set_xlabel(" ".join(result.panel.schema.time))


def _unit(result: Result) -> str:
    return f" ({result.settings.unit})" if result.settings.unit else ""
