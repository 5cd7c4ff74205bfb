"""The figure: whole forecasts from a few origins and past the end, with their band, and skill. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.report import what_forecasts
from rnncore.forecasting.run import Result
from rnncore.forecasting.scores import NAME
from rnncore.tables import Grid
from rnncore.tables.notes import plural, several

_LEAST_HISTORY, _TURNS = 60, 4  # steps; horizons of history before the end
_ORIGINS = 4  # from which whole forecasts are shown
_MOST_PANELS = 9  # series in the grid
_FAINT, _OURS, _BEHIND = "#777777", "#c44601", "#222222"
_COLOURS = ("#8c8c8c", "#0073e6", "#5ba300", "#9b51b6", "#e6308a", "#89ce00")


@dataclass(frozen=True)
class End:
    """The last values of a series and the forecast past them."""

    name: str
    start: int  # position of the first value on the grid
    y: Array  # NaN where unknown
    ahead: Array  # (H,)
    edges: dict[float, tuple[Array, Array]]  # level -> ends (H,)

    @property
    def last(self) -> int:
        """How many steps there are up to the last value that is known."""
        return int(np.flatnonzero(~np.isnan(self.y))[-1]) + 1


def draw(result: Result, path: Path) -> None:
    """Write a figure in the format that the path's suffix names: one series, or a grid of several."""
    figure = _figure((11, 9))
    parts: Any = figure.subfigures(2, 1, height_ratios=(3, 1))
    rows, skill = parts
    names, target, unit, grid = result.panel.names, result.panel.schema.target[0], _unit(result), result.panel.grid
    of = f" of {names[0]}" if len(names) == 1 and names[0] else ""
    figure.suptitle(f"{target}{of}, forecast by {_short(what_forecasts(result))}", fontsize=11)
    ends = [_end(result, n) for n in range(len(names))]
    if len(names) == 1:
        upper, lower = rows.subplots(2, 1)
        _draw_origins(upper, result, 0)
        _draw_end(lower, ends[0], grid, f"{target}{unit}")
        panels = [upper, lower]
    else:
        panels = _draw_grid(rows, ends, grid, np.argsort(-result.mask.sum(axis=(1, 2)), kind="stable"))
    for axes in panels:
        _label_time(axes, grid, result.panel.schema.time)
    left, right = skill.subplots(1, 2)
    _draw_errors(left, result)
    _draw_skill(right, result)
    figure.savefig(path, dpi=130)


def draw_ends(ends: Sequence[End], grid: Grid, target: str, time: tuple[str, ...], path: Path) -> None:
    """Write a figure of forecasts past the end alone: one series, or a grid of several."""
    figure = _figure((11, 4.5 if len(ends) == 1 else 7))
    of = f" of {ends[0].name}" if len(ends) == 1 and ends[0].name else ""
    figure.suptitle(f"{target}{of}, forecast past the end", fontsize=11)
    if len(ends) == 1:
        panels = [figure.subplots()]
        _draw_end(panels[0], ends[0], grid, target)
    else:
        panels = _draw_grid(figure, ends, grid, np.arange(len(ends)))
    for axes in panels:
        _label_time(axes, grid, time)
    figure.savefig(path, dpi=130)


def _figure(size: tuple[float, float]) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_grid(figure: Any, ends: Sequence[End], grid: Grid, order: Array) -> list[Any]:
    """A panel for each of the first series of an order, as they stand in the table."""
    count = min(len(ends), _MOST_PANELS)
    width = int(np.ceil(np.sqrt(count)))
    every = figure.subplots(-(-count // width), width, squeeze=False).ravel()
    for axes, n in zip(every[:count], np.sort(order[:count]), strict=True):
        _draw_end(axes, ends[n], grid)
        axes.set_title(ends[n].name, fontsize=9, loc="left")
    for axes in every[count:]:
        axes.set_axis_off()
    return list(every[:count])


def _end(result: Result, series: int) -> End:
    history = result.rolled.history
    edges = {level: (both[0][series], both[1][series]) for level, both in result.edges.items()}
    name, start = result.panel.names[series], int(history.offset[series])
    return End(name, start, history.y[series], result.ahead[series], edges)


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


def _draw_end(axes: Any, end: End, grid: Grid, label: str = "") -> None:
    """The last values and the forecast past them; without a label for the axis the panel is one of many."""
    horizon, last = len(end.ahead), end.last
    index = np.arange(max(0, last - max(_LEAST_HISTORY, _TURNS * horizon)), last)
    width = 0.6 if len(index) > 400 else 1.0
    axes.plot(_stamps(grid, end.start + index), end.y[index], color=_BEHIND, linewidth=width, label="actual")
    ahead = _stamps(grid, end.start + last + np.arange(horizon))
    for k, (level, both) in enumerate(end.edges.items()):
        told = f"band of {level:g} %"
        axes.fill_between(ahead, *both, color=_OURS, alpha=0.28 / (k + 1), linewidth=0, label=told)
    mark = "." if horizon < 3 else None
    axes.plot(ahead, end.ahead, color=_OURS, linewidth=width + 0.3, label=f"next {plural(horizon, grid.name)}",
              marker=mark)  # fmt: skip
    if label:
        axes.set_title("past the end", fontsize=9, loc="left")
        axes.set_ylabel(label)
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
    return _stamps(result.panel.grid, index + int(result.rolled.history.offset[series]))


def _stamps(grid: Grid, positions: Array) -> Array:
    """What matplotlib takes for the time axis: dates, or plain numbers."""
    if not grid.calendar:
        numbers: Array = grid.origin + grid.step * positions
        return numbers
    return grid.local(positions)


def _label_time(axes: Any, grid: Grid, time: tuple[str, ...]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.grid(alpha=0.3)
    axes.margins(x=0.01)
    axes.tick_params(labelsize=8)
    if grid.calendar:
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    elif time:
        axes.set_xlabel(" ".join(time))


def _unit(result: Result) -> str:
    return f" ({result.settings.unit})" if result.settings.unit else ""
