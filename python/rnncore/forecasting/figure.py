"""The figure: whole forecasts from a few origins and past the end, with their band, and skill. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.report import what_forecasts
from rnncore.forecasting.run import Result
from rnncore.forecasting.scores import NAME
from rnncore.tables.notes import plural, several

_LEAST_HISTORY, _TURNS = 60, 4  # steps; horizons of history before the end
_ORIGINS = 4  # from which whole forecasts are shown
_MOST_PANELS = 9  # series in the grid
_FAINT, _OURS, _BEHIND = "#777777", "#c44601", "#222222"
_COLOURS = ("#8c8c8c", "#0073e6", "#5ba300", "#9b51b6", "#e6308a", "#89ce00")


def draw(result: Result, path: Path) -> None:
    """Write a figure in the format that the path's suffix names: one series, or a grid of several."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series = len(result.panel)
    figure = Figure(figsize=(11, 9), layout="constrained")
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(2, 1, height_ratios=(3, 1))
    rows, skill = parts
    target = result.panel.schema.target[0]
    of = f" of {result.panel.names[0]}" if series == 1 and result.panel.names[0] else ""
    figure.suptitle(f"{target}{of}, forecast by {_short(what_forecasts(result))}", fontsize=11)
    if series == 1:
        upper, lower = rows.subplots(2, 1)
        _draw_origins(upper, result, 0)
        _draw_end(lower, result, 0)
        panels = [upper, lower]
    else:
        count = min(series, _MOST_PANELS)
        width = int(np.ceil(np.sqrt(count)))
        grid = rows.subplots(-(-count // width), width, squeeze=False).ravel()
        chosen = np.argsort(-result.mask.sum(axis=(1, 2)), kind="stable")[:count]
        panels = list(grid[:count])
        for axes, n in zip(panels, np.sort(chosen), strict=True):
            _draw_end(axes, result, int(n), small=True)
            axes.set_title(result.panel.names[n], fontsize=9, loc="left")
        for axes in grid[count:]:
            axes.set_axis_off()
    for axes in panels:
        _label_time(axes, result)
    left, right = skill.subplots(1, 2)
    _draw_errors(left, result)
    _draw_skill(right, result)
    figure.savefig(path, dpi=130)


def _draw_origins(axes: Any, result: Result, series: int) -> None:
    """The end of the data, and whole forecasts as they were made at a few origins."""
    horizon, history = result.settings.horizon, result.rolled.history
    steps = history.steps
    begin = max(0, steps - max(_LEAST_HISTORY, (_ORIGINS + 1) * horizon + horizon))
    index = np.arange(begin, steps)
    width = 0.6 if len(index) > 400 else 1.0
    times = _times(result, series, index)
    axes.plot(times, history.y[series, index], color=_BEHIND, linewidth=width, label="actual")
    level = result.settings.level[0]
    low, high = result.rolled.band(level)
    wanted = steps - horizon * np.arange(1, _ORIGINS + 1)
    origins = result.rolled.origins
    for k, want in enumerate(wanted):
        at = int(np.argmin(np.abs(origins - want)))
        if abs(int(origins[at]) - want) > horizon // 2:
            continue
        ahead = int(origins[at]) + np.arange(horizon)
        when = _times(result, series, ahead)
        told = f"forecast from one origin, band of {level:g} %" if k == 0 else None
        axes.fill_between(when, low[series, at], high[series, at], color=_OURS, alpha=0.2, linewidth=0)
        values = result.forecasts[NAME][series, at]
        axes.plot(when, values, color=_OURS, linewidth=width + 0.3, label=told, marker="." if horizon < 3 else None)
        axes.axvline(_times(result, series, origins[at : at + 1] - 1)[0], color=_FAINT, linewidth=0.6, linestyle=":")
    axes.set_title(f"{plural(horizon, result.panel.grid.name)} ahead, as forecast at the dotted lines", fontsize=9,
                   loc="left")  # fmt: skip
    axes.set_ylabel(f"{result.panel.schema.target[0]}{_unit(result)}")
    _put_legend(axes)


def _draw_end(axes: Any, result: Result, series: int, small: bool = False) -> None:
    """The last values and the forecast past them."""
    horizon, history = result.settings.horizon, result.rolled.history
    last = int(np.flatnonzero(~np.isnan(history.y[series]))[-1]) + 1
    index = np.arange(max(0, last - max(_LEAST_HISTORY, _TURNS * horizon)), last)
    width = 0.6 if len(index) > 400 else 1.0
    axes.plot(_times(result, series, index), history.y[series, index], color=_BEHIND, linewidth=width, label="actual")
    ahead = _times(result, series, last + np.arange(horizon))
    for k, (level, both) in enumerate(result.edges.items()):
        told = f"band of {level:g} %"
        axes.fill_between(ahead, *(edge[series] for edge in both), color=_OURS, alpha=0.28 / (k + 1), linewidth=0,
                          label=told)  # fmt: skip
    label = f"next {plural(horizon, result.panel.grid.name)}"
    axes.plot(ahead, result.ahead[series], color=_OURS, linewidth=width + 0.3, label=label)
    if not small:
        axes.set_title("past the end", fontsize=9, loc="left")
        axes.set_ylabel(f"{result.panel.schema.target[0]}{_unit(result)}")
        _put_legend(axes)


def _draw_errors(axes: Any, result: Result) -> None:
    """RMSE of every method by horizon; methods far off are cut, so that the others can be told apart."""
    horizons = np.arange(1, result.settings.horizon + 1)
    ours = np.array(result.scores[NAME].rmse)
    for k, (name, scores) in enumerate(result.scores.items()):
        colour, width = (_OURS, 1.8) if name == NAME else (_COLOURS[(k - 1) % len(_COLOURS)], 1.1)
        axes.plot(horizons, scores.rmse, color=colour, linewidth=width, label=name, zorder=3 if name == NAME else 2,
                  marker="." if len(horizons) <= 24 else None)  # fmt: skip
    best = np.nanmin([each.rmse for name, each in result.scores.items() if name != NAME], axis=0)
    axes.set_ylim(0, 2.2 * float(np.nanmax(np.maximum(best, ours))) or 1.0)
    axes.set_title(f"error from {result.split.label} on", fontsize=9, loc="left")
    axes.set_ylabel(f"RMSE{_unit(result)}")
    axes.set_xlabel(f"{several(result.panel.grid.name)} ahead")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 0))


def _draw_skill(axes: Any, result: Result) -> None:
    """How much lower the error is than that of the best opponent at each horizon."""
    horizons = [each.horizon for each in result.comparisons]
    skill = np.array([100 * each.skill for each in result.comparisons])
    sure = np.array([abs(each.sigmas) > 2 for each in result.comparisons])
    if len(horizons) <= 60:
        colours = np.where(sure, _OURS, "#e8b08f")
        axes.bar(horizons, skill, color=colours, width=0.8)
    else:
        axes.plot(horizons, skill, color=_OURS, linewidth=1)
    reach = max(5.0, min(60.0, 1.2 * float(np.abs(skill).max(initial=0.0))))
    axes.set_ylim(-reach, reach)
    axes.axhline(0, color=_FAINT, linewidth=0.8)
    axes.set_title("skill over the best of the others (pale: within two standard errors)", fontsize=9, loc="left")
    axes.set_ylabel("% less RMSE")
    axes.set_xlabel(f"{several(result.panel.grid.name)} ahead")
    axes.grid(alpha=0.3)


def _put_legend(axes: Any) -> None:
    """Above the axes, where it hides nothing."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5, fontsize=8, frameon=False, borderaxespad=0.2)


def _short(text: str) -> str:
    """At most a line: the members that count most."""
    parts = text.split(", ")
    return text if len(parts) <= 3 else ", ".join(parts[:3]) + " and others"


def _times(result: Result, series: int, index: Array) -> Array:
    """What matplotlib takes for the time axis: dates, or plain numbers."""
    grid = result.panel.grid
    positions = index + int(result.rolled.history.offset[series])
    if not grid.calendar:
        numbers: Array = grid.origin + grid.step * positions
        return numbers
    return grid.local(positions)


def _label_time(axes: Any, result: Result) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.grid(alpha=0.3)
    axes.margins(x=0.01)
    axes.tick_params(labelsize=8)
    if result.panel.grid.calendar:
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    elif result.panel.schema.time:
        axes.set_xlabel(" ".join(result.panel.schema.time))


def _unit(result: Result) -> str:
    return f" ({result.settings.unit})" if result.settings.unit else ""
