"""What is printed, one screen of it, and what stands in the JSON and CSV files."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import numpy as np

import rnncore
from rnncore.arguments import Array
from rnncore.forecasting.opponents import titles
from rnncore.forecasting.run import Result
from rnncore.forecasting.scores import NAME, Comparison, score, seasonal_error
from rnncore.tables.notes import plural, several

MEMBERS = {
    "smoothing": "exponential smoothing",
    "ridge": "ridge regression",
    "network": "a network of segments",
    "recurrent": "a network that carries its state",
    "repeat": "the last value",
}
_MOST_ROWS = 8  # of horizons, and of series, that are printed
_MOST_AHEAD = 12  # forecasts past the end that are printed


def whole(result: Result) -> list[str]:
    """Return the lines of the report."""
    return [*introduction(result), *table(result), "", *verdict(result), *next_steps(result)]


def what_forecasts(result: Result) -> str:
    """Say in a few words what the forecast consists of."""
    fitted = result.rolled.ensemble
    if fitted.repeats:
        return "the last value, repeated"
    shares = fitted.weights.mean(axis=(1, 2))
    named = sorted(zip(shares, fitted.names, strict=True), reverse=True)
    told = [
        f"{MEMBERS.get(name, name.replace('season', 'last'))} {share:.0%}" for share, name in named if share >= 0.01
    ]
    return ", ".join(told) if len(told) > 1 else MEMBERS.get(named[0][1], named[0][1])


def introduction(result: Result) -> list[str]:
    """Say what was forecast from what, and how."""
    panel, grid, split = result.panel, result.panel.grid, result.split
    first, end = panel.span
    series = [name for name in panel.names if name]
    of = f" of {series[0]}" if len(series) == 1 else f" of {len(series)} series" if series else ""
    steps = plural(sum(len(each) for each in panel), grid.name)
    lines = [
        f"{panel.schema.target[0]}{_unit(result)}{of}: {steps}, {grid.label(first)} to {grid.label(end - 1)}",
        f"fitted to what lies before {split.label}, scored from there on ({split.why})",
    ]
    periods = result.rolled.ensemble.layout.periods
    seasons = [f"{m} {several(grid.name)}" for m in periods.seasons] + ["the year"] * bool(periods.year)
    covariates = [*panel.schema.past, *(f"{name} (known ahead)" for name in panel.schema.future), *panel.schema.static]
    lines.append(f"seasons: {', '.join(seasons) or 'none found'}; covariates: {', '.join(covariates) or 'none'}")
    lines.append(f"forecast by {what_forecasts(result)} (weighed on held-out data)")
    if result.every > 1 and not result.settings.cv:
        lines.append(f"scored from every {result.every}th step")
    return lines + [f"note: {notice}" for notice in result.notices]


def table(result: Result) -> list[str]:
    """RMSE by horizon, the errors of all horizons together, and what the bands hold."""
    names = list(result.scores)
    width = max(12, *(len(name) + 2 for name in names))
    horizon = result.settings.horizon
    shown = horizons_shown(horizon)
    lines = ["", f"RMSE{_unit(result)}, {several(result.panel.grid.name)} ahead:"]
    lines.append(f"{'ahead':>6} |" + "".join(f"{name:>{width}}" for name in names))
    digits = _digits(result)
    for h in shown:
        row = "".join(f"{each.rmse[h - 1]:>{width}.{digits}f}" for each in result.scores.values())
        lines.append(f"{h:>6} |{row}")
    totals = {"RMSE": ("total_rmse", digits), "MAE": ("total_mae", digits), "MASE": ("mase", 3), "sMAPE": ("smape", 2)}
    lines.append(f"{'all':>6} |")
    for measure, (name, places) in totals.items():
        row = "".join(f"{getattr(each, name):>{width}.{places}f}" for each in result.scores.values())
        lines.append(f"{measure:>6} |{row}")
    return lines + [
        f"band of {band.level:g} %: held {band.total:.0%}, interval score {band.winkler:.{digits}f}, "
        f"pinball loss {band.pinball:.{digits}f}"
        for band in result.bands
    ]


def horizons_shown(horizon: int) -> list[int]:
    """At most eight horizons, the first and the last among them."""
    if horizon <= _MOST_ROWS:
        return list(range(1, horizon + 1))
    return sorted({int(h) for h in np.rint(np.geomspace(1, horizon, _MOST_ROWS))})


def verdict(result: Result) -> list[str]:
    """Say in words where the forecast is worth its trouble."""
    lines = []
    step = result.panel.grid.name
    name = titles(list(result.scores), step)
    if result.rolled.ensemble.repeats:
        lines.append("On held-out data nothing was worth more than repeating the last value, so that is the forecast.")
    for (best, word), run in groupby(result.comparisons, key=lambda each: (each.best, each.verdict)):
        group = list(run)
        ahead, change = _horizons(group, step), _change([each.skill for each in group])
        if word == "better":
            lines.append(f"{ahead}: the forecast beats {name[best]}, the best of the others (RMSE {change}).")
        elif word == "worse":
            lines.append(f"{ahead}: the forecast has no skill over {name[best]}, which is better (RMSE {change}).")
        elif word == "equal":
            lines.append(f"{ahead}: the forecast has no skill over {name[best]}, its errors are the same.")
        else:
            lines.append(
                f"{ahead}: the forecast has no clear skill over {name[best]}, the best of the others "
                f"(RMSE {change}, within two standard errors)."
            )
    if len(lines) > _MOST_ROWS:
        counts = {word: sum(each.verdict == word for each in result.comparisons) for word in _WORDS}
        told = ", ".join(f"{_WORDS[word]} at {count}" for word, count in counts.items() if count)
        lines = [f"Of {len(result.comparisons)} horizons the forecast is {told} against the best of the others there."]
    return lines


_WORDS = {"better": "better", "worse": "worse", "equal": "equal", "no clear difference": "not clearly different"}


def next_steps(result: Result) -> list[str]:
    """Forecast past the end of the file."""
    digits, horizon = _digits(result), result.settings.horizon
    level = result.settings.level[0]
    lines = ["", f"next {plural(horizon, result.panel.grid.name)}, with a band for {level:g} % of the values:"]
    series = len(result.panel)
    for n in range(min(series, 3 if horizon > 3 else _MOST_ROWS)):
        if series > 1:
            lines.append(f"{result.panel.names[n]}:")
        low, high = (edge[n] for edge in result.edges[level])
        rows = list(zip(result.next_labels(n), result.ahead[n], low, high, strict=True))
        for label, value, below, above in rows[:_MOST_AHEAD]:
            lines.append(f"  {label}  {value:10.{digits}f}   {below:.{digits}f} to {above:.{digits}f}")
        if len(rows) > _MOST_AHEAD:
            lines.append(f"  ... and {len(rows) - _MOST_AHEAD} more (--csv has all)")
    if series > (3 if horizon > 3 else _MOST_ROWS):
        lines.append(f"... and {series - (3 if horizon > 3 else _MOST_ROWS)} series more (--csv has all)")
    return lines


def as_json(result: Result) -> dict[str, Any]:
    """Everything, ready for json.dump; what is unknown is null."""
    panel, grid, settings, fitted = result.panel, result.panel.grid, result.settings, result.rolled.ensemble
    first, end = panel.span
    periods, schema = fitted.layout.periods, panel.schema
    return {
        "rnncore": rnncore.__version__,
        "seconds": round(result.seconds, 3),
        "settings": {name: getattr(settings, name) for name in settings.__slots__},
        "data": {
            "time": schema.time[0] if schema.time else None,
            "target": schema.target[0],
            "group": schema.group[0] if schema.group else None,
            "unit": settings.unit or None,
            "covariates": [*schema.past, *schema.future, *schema.static],
            "known_ahead": list(schema.future),
            "step": grid.name,
            "first": grid.label(first),
            "last": grid.label(end - 1),
            "series": panel.names,
            "seasons": [*periods.seasons, *([periods.year] if periods.year else [])],
        },
        "split": {"test_from": result.split.label, "why": result.split.why, "every": result.every},
        "members": {
            "names": fitted.names,
            "weights": [_numbers(each) for each in fitted.weights.mean(axis=1)],
            "held_out_errors": result.rolled.held_out.errors,
            "logarithms": fitted.log,
            "effects_removed": fitted.effects is not None,
            "repeats": fitted.repeats,
        },
        "notices": result.notices,
        "metrics": {
            name: {
                "rmse": _numbers(each.rmse),
                "mae": _numbers(each.mae),
                "count": each.count,
                "all": dict(zip(_TOTALS, _numbers([getattr(each, key) for key in _TOTALS]), strict=True)),
            }
            for name, each in result.scores.items()
        },
        "comparison": [
            {
                "horizon": each.horizon,
                "best_other": each.best,
                "skill": each.skill,
                "standard_errors": each.sigmas,
                "verdict": each.verdict,
            }
            for each in result.comparisons
        ],
        "verdict": verdict(result),
        "bands": [
            {
                "level": band.level,
                "coverage": _numbers(band.coverage),
                "total": band.total,
                "winkler": band.winkler,
                "pinball": band.pinball,
            }
            for band in result.bands
        ],
        "test": [_test_part(result, n) for n in range(len(panel))],
        "forecast": [_future(result, n) for n in range(len(panel))],
    }


_TOTALS = ("total_rmse", "total_mae", "mase", "smape")


def _test_part(result: Result, series: int) -> dict[str, Any]:
    """Forecasts of one series: row k of each list was made at origins[k], the last time known, 1 to H steps ahead."""
    where = result.rolled.history.offset[series] + result.rolled.origins - 1
    mask = result.mask[series]
    return {
        "series": result.panel.names[series],
        "origins": result.panel.grid.labels(where),
        "actual": [_numbers(row) for row in np.where(mask, result.rolled.actual[series], np.nan)],
        "forecasts": {name: [_numbers(row) for row in each[series]] for name, each in result.forecasts.items()},
    }


def _future(result: Result, series: int) -> dict[str, Any]:
    bands = {f"{level:g}": [_numbers(edge[series]) for edge in both] for level, both in result.edges.items()}
    return {
        "series": result.panel.names[series],
        "times": result.next_labels(series),
        "forecast": _numbers(result.ahead[series]),
        "bands": bands,
    }


def score_rows(result: Result) -> list[list[Any]]:
    """Rows of a table: series, horizon, method, RMSE, MAE and count; a header first."""
    rows: list[list[Any]] = [["series", "horizon", "method", "rmse", "mae", "count"]]
    season = result.rolled.ensemble.layout.periods.m1
    history = result.rolled.history
    naive_error = seasonal_error(history.y[:, : history.end], season)
    for n, name in enumerate(result.panel.names):
        own = slice(n, n + 1)
        for method, values in result.forecasts.items():
            each = score(values[own], result.rolled.actual[own], result.mask[own], naive_error[own])
            horizons = range(1, result.settings.horizon + 1)
            rows += [list(row) for row in zip([name] * len(horizons), horizons, [method] * len(horizons), each.rmse,
                                              each.mae, each.count, strict=True)]  # fmt: skip
    return rows


def forecast_rows(result: Result) -> list[list[Any]]:
    """Rows of a table: series, time, forecast and the ends of each band; a header first."""
    levels = list(result.edges)
    header = ["series", "time", NAME, *(f"{NAME}-{side}-{level:g}" for level in levels for side in ("lo", "hi"))]
    rows: list[list[Any]] = [header]
    for n, name in enumerate(result.panel.names):
        for h, label in enumerate(result.next_labels(n)):
            ends = [float(edge[n, h]) for level in levels for edge in result.edges[level]]
            rows.append([name, label, float(result.ahead[n, h]), *ends])
    return rows


def _numbers(values: Any) -> list[float | None]:
    """JSON has no NaN."""
    return [float(value) if math.isfinite(value) else None for value in np.asarray(values, np.float64).tolist()]


def _horizons(group: list[Comparison], step: str) -> str:
    first, last = group[0].horizon, group[-1].horizon
    return f"{plural(first, step) if first == last else f'{first} to {plural(last, step)}'} ahead"


def _change(skills: list[float]) -> str:
    """How much lower or higher the forecast's error is."""
    low, high = round(100 * min(skills), 1), round(100 * max(skills), 1)
    if low >= 0:
        return f"{low} % lower" if low == high else f"{low} to {high} % lower"
    if high <= 0:
        return f"{-high} % higher" if low == high else f"{-high} to {-low} % higher"
    return f"{-low} % higher to {high} % lower"


def _unit(result: Result) -> str:
    return f" ({result.settings.unit})" if result.settings.unit else ""


def _digits(result: Result) -> int:
    """Decimals that show three figures of an ordinary error."""
    errors: Array = np.array([value for each in result.scores.values() for value in each.rmse if value > 0] or [1.0])
    return max(0, min(6, 2 - math.floor(math.log10(np.median(errors)))))
