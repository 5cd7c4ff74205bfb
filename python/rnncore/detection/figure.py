"""The figure: channels with their bands, the score, alarms, and faults where they are known. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.detection.report import Job

__all__ = ["draw"]

_SIGNAL, _BAND, _ALARM, _FAULT = "#222222", "#0073e6", "#c44601", "#5ba300"
_MOST = 8  # panels of channels


def draw(job: Job, path: Path) -> None:
    """Write the figure, a panel for each channel and one for the score, in the format that the path's suffix names."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scores, names = job.scores, job.rows.names[:_MOST]
    x = _times(job)
    figure = Figure(figsize=(11, 1.9 * (len(names) + 1) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(names) + 1, 1, sharex=True, squeeze=False)[:, 0]
    for c, (axes, name) in enumerate(zip(panels[:-1], names, strict=True)):
        usual = "95 % of usual values"
        axes.fill_between(x, scores.low[:, c], scores.high[:, c], color=_BAND, alpha=0.25, linewidth=0, label=usual)
        axes.plot(x, scores.rows.values[:, c], color=_SIGNAL, linewidth=0.7, label="signal")
        axes.set_ylabel(name)
        _mark(axes, job, x, name)
    last = panels[-1]
    last.plot(x, scores.score, color=_SIGNAL, linewidth=0.7)
    last.axhline(0.5, color=_ALARM, linewidth=0.8, linestyle="--")
    last.set_ylim(0, 1)
    last.set_ylabel("score")
    _mark(last, job, x, None)
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.margins(x=0.01)
    handles, texts = panels[0].get_legend_handles_labels()
    unique = dict(zip(texts, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside upper right", ncols=4, fontsize=8, frameon=False)
    if job.rows.step is None:
        last.set_xlabel("row")
    figure.savefig(path, dpi=130)


def _mark(axes: Any, job: Job, x: Array, name: str | None) -> None:
    """Draw faults as areas and alarms as lines: of one channel, or all."""
    end = len(x) - 1
    for begin, stop in job.events if not job.truth else []:
        axes.axvspan(x[begin], x[min(stop, end)], color=_FAULT, alpha=0.3, linewidth=0, label="fault")
    for fault in job.truth:
        if name in (None, fault["channel"]):
            span = x[fault["begin"]], x[min(fault["end"], end)]
            axes.axvspan(*span, color=_FAULT, alpha=0.35, linewidth=0, label="fault")
    for alarm in job.scores.alarms:
        if name in (None, *alarm.channels[:1]):
            at = x[alarm.row - job.scores.alarms_from]
            axes.axvline(at, color=_ALARM, linewidth=1.2, label="alarm")
            if name is not None:
                axes.annotate(
                    alarm.kind, (at, 1), xycoords=("data", "axes fraction"), xytext=(2, -8),
                    textcoords="offset points", fontsize=7, color=_ALARM,
                )  # fmt: skip
    if name is not None:  # for the legend of the whole figure
        axes.plot([], [], color=_ALARM, linewidth=1.2, label="alarm")


def _times(job: Job) -> Array:
    rows = job.scores.rows
    if rows.step is None:
        return np.arange(len(rows))
    return (rows.seconds * 1e3).astype("datetime64[ms]")
