"""Forecasts as columns of a long frame: series, time, forecast, and the ends of each band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.intervals import Intervals
from rnncore.forecasting.live import Live
from rnncore.forecasting.validation import Rolled
from rnncore.tables import Panel, Schema

NAME = "rnncore"  # of the forecast


def ahead(
    schema: Schema,
    id_col: str,
    time_col: str,
    live: Live,
    keys: Sequence[tuple[Any, ...]],
    mean: Array,
    bands: Intervals,
    levels: Sequence[float],
) -> dict[str, Any]:
    """Columns of forecasts (N, H) past the end of each series."""
    steps = mean.shape[1]
    columns = _keys(schema, id_col, keys, steps)
    positions = (live.tail.offset + live.tail.steps)[:, None] + np.arange(steps)
    columns[_time(schema, time_col)] = schema.grid.stamps(positions.reshape(-1))
    columns[NAME] = mean.reshape(-1)
    for level in levels:
        for side, edge in zip(("lo", "hi"), bands.edges(level, live.scale), strict=True):
            columns[f"{NAME}-{side}-{level:g}"] = live.ensemble.cut((mean + edge[:, :steps])[:, None]).reshape(-1)
    return columns


def rolled(
    panel: Panel, id_col: str, time_col: str, parts: Sequence[Rolled], levels: Sequence[float]
) -> dict[str, list[Any]]:
    """Columns of forecasts from all origins, series by series, each with its cutoff and what came."""
    columns: dict[str, list[Any]] = {}
    for n in range(len(panel)):
        for part in parts:
            for name, values in _of_series(panel, id_col, time_col, part, n, levels).items():
                columns.setdefault(name, []).extend(values)
    return columns


def _of_series(
    panel: Panel, id_col: str, time_col: str, part: Rolled, n: int, levels: Sequence[float]
) -> dict[str, list[Any]]:
    """Columns of one series' forecasts from some origins."""
    schema, horizon = panel.schema, part.actual.shape[2]
    count = len(part.origins) * horizon
    first = part.history.offset[n] + part.origins
    columns = _keys(schema, id_col, [panel.series[n].key], count)
    columns[_time(schema, time_col)] = list(schema.grid.stamps((first[:, None] + np.arange(horizon)).reshape(-1)))
    columns["cutoff"] = list(schema.grid.stamps(np.repeat(first - 1, horizon)))
    columns[schema.target[0]] = part.actual[n].reshape(-1).tolist()
    columns[NAME] = part.forecasts["rnncore"][n].reshape(-1).tolist()
    for level in levels:
        for side, values in zip(("lo", "hi"), part.band(level), strict=True):
            columns[f"{NAME}-{side}-{level:g}"] = values[n].reshape(-1).tolist()
    return columns


def _keys(schema: Schema, id_col: str, keys: Sequence[tuple[Any, ...]], steps: int) -> dict[str, Any]:
    """The columns that tell series apart, each value `steps` times."""
    names = schema.group or (id_col,)
    return {
        name: [value for key in keys for value in [key[k] if len(key) > k else ""] * steps]
        for k, name in enumerate(names)
    }


def _time(schema: Schema, time_col: str) -> str:
    return schema.time[0] if len(schema.time) == 1 else time_col
