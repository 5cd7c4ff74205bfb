"""Which inputs a forecast rests on: how much larger its error is with one of them out of order (Breiman 2001)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.ensemble import Ensemble
from rnncore.forecasting.history import History, expanded
from rnncore.tables import Schema

_ORIGINS = 100
_REPEATS = 3


def importance(fitted: Ensemble, history: History, schema: Schema, origins: Array, seed: int) -> dict[str, Array]:
    """Name of an input -> (H,) mean absolute error with that input shuffled over the error with it, less one."""
    origins = origins[np.linspace(0, len(origins) - 1, min(len(origins), _ORIGINS)).astype(int)]
    random = np.random.default_rng(seed)
    usual = _errors(fitted, history, history, origins)
    found = {}
    for name, change in _changes(history, schema, random).items():
        worse = np.mean([_errors(fitted, change(), history, origins) for _ in range(_REPEATS)], axis=0)
        found[name] = worse / np.maximum(usual, 1e-300) - 1
    return found


def columns(found: dict[str, Array]) -> dict[str, Any]:
    """Return a long frame's columns: input, horizon and importance."""
    horizon = len(next(iter(found.values())))
    return {
        "input": [name for name in found for _ in range(horizon)],
        "horizon": list(range(1, horizon + 1)) * len(found),
        "importance": np.concatenate(list(found.values())).tolist(),
    }


def _errors(fitted: Ensemble, changed: History, history: History, origins: Array) -> Array:
    """(H,) mean absolute error, each series over its own spread."""
    horizon = fitted.layout.horizon
    padded = np.concatenate([history.y, np.full((len(history.y), horizon), np.nan)], axis=1)
    actual = np.lib.stride_tricks.sliding_window_view(padded, horizon, axis=1)[:, origins]
    spread = np.nanstd(history.y, axis=1)
    off = (
        np.abs(fitted.forecasts(changed, origins)["rnncore"] - actual) / np.where(spread > 0, spread, 1)[:, None, None]
    )
    known = ~np.isnan(off)
    errors: Array = np.where(known, off, 0).sum(axis=(0, 1)) / np.maximum(known.sum(axis=(0, 1)), 1)
    return errors


def _changes(history: History, schema: Schema, random: np.random.Generator) -> dict[str, Any]:
    """Input -> a function that returns the history with it out of order."""
    turns = max(2, history.end // 5)

    def turn(values: Array) -> Array:
        return np.roll(values, int(random.integers(turns, history.end - turns + 1)), axis=1)

    def shuffled(kind: str, columns: list[int]) -> History:
        values = getattr(history, kind).copy()
        values[..., columns] = (
            turn(values[..., columns]) if kind != "static" else random.permutation(values[:, columns])
        )
        return replace(history, **{kind: values})

    def earlier() -> History:
        y = turn(history.y)
        return replace(history, y=np.where(np.isnan(y), np.nanmean(history.y, axis=1, keepdims=True), y))

    found: dict[str, Any] = {f"past of {schema.target[0]}": earlier}
    if history.grid.calendar:
        found["calendar"] = lambda: replace(history, offset=history.offset + int(random.integers(3, 400)))
    for kind in ("past", "future", "static"):
        names, begin = getattr(schema, kind), 0
        for name, (_, inputs) in zip(names, expanded(schema, names, names), strict=True):
            columns = list(range(begin, begin + len(inputs)))
            begin += len(inputs)
            found[name] = lambda kind=kind, columns=columns: shuffled(kind, columns)
    return found


def draw(found: dict[str, Array], path: str | Path, step: str) -> None:
    """Write a figure: a line for each input, by horizon."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    order = sorted(found, key=lambda name: -found[name].mean())
    for name in order[:10]:
        horizons = np.arange(1, len(found[name]) + 1)
        axes.plot(horizons, 100 * found[name], marker="o" if len(horizons) <= 30 else None, markersize=4, label=name)
    axes.axhline(0, color="#777777", linewidth=0.8)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlabel(f"steps ahead ({step})")
    axes.set_ylabel("% more error with this input shuffled")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=130)
