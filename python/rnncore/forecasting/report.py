"""What is printed and what stands in the JSON file."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import numpy as np

import rnncore
from rnncore.arguments import Array
from rnncore.forecasting.run import Result
from rnncore.forecasting.scores import BAND, Comparison, score
from rnncore.tables.notes import plural, several

TITLES = {
    "network": "the network",
    "repeat": "repeating the last value",
    "climatology": "climatology",
    "ridge": "ridge regression",
}
_MOST_SERIES = 8  # with lines of their own


def titles(result: Result) -> dict[str, str]:
    """Name of each method; a climatology without seasons is but the training mean."""
    seasonal = any(fit.cycles for fit in result.design.climatology)
    return TITLES if seasonal else TITLES | {"climatology": "the training mean"}


def whole(result: Result) -> list[str]:
    """Return the lines of the report."""
    return [*introduction(result), *table(result), "", *verdict(result), *next_steps(result)]


def introduction(result: Result) -> list[str]:
    """Say what was forecast from what, and how."""
    panel, grid, split, choice = result.panel, result.panel.grid, result.split, result.choice
    first, end = panel.span
    series = [name for name in panel.names if name]
    of = f" of {series[0]}" if len(series) == 1 else f" of {len(series)} series" if series else ""
    steps = plural(int(panel.lengths.sum()), grid.name)
    learns = "changes from today" if choice.changes else "departures from climatology"
    lines = [
        f"{panel.target}{_unit(result)}{of}: {steps}, {grid.label(first)} to {grid.label(end - 1)}",
        f"trained on what lies before {split.label}, scored from there on ({split.why})",
        f"inputs: {', '.join(result.design.inputs)}",
        (
            f"network: ridge regression and, for what it leaves over, the mean of "
            f"{result.settings.members} {result.settings.cell.upper()} of {result.settings.hidden_size} units, "
            f"{result.parameters} parameters each"
        ),
        (
            f"chosen on the held-out end of training, from {result.held_out.label} on: {learns}, "
            f"noise {choice.restraint.noise:g}, {choice.updates} updates"
        ),
    ]
    return lines + [f"note: {notice}" for notice in result.notices]


def table(result: Result) -> list[str]:
    """RMSE and MAE of every method for each horizon."""
    names = list(result.scores)
    width = 12
    head = f"{'ahead':>6} |" + "".join(f"{name:>{width}}" for name in names)
    measures = {"RMSE": [s.rmse for s in result.scores.values()], "MAE": [s.mae for s in result.scores.values()]}
    lines = []
    for measure, columns in measures.items():
        lines += ["", f"{measure}{_unit(result)}, {several(result.panel.grid.name)} ahead:", head]
        for h in range(result.settings.horizon):
            row = "".join(f"{column[h]:>{width}.{_digits(result)}f}" for column in columns)
            lines.append(f"{h + 1:>6} |{row}")
    return lines + (_by_series(result) if 1 < len(result.panel.names) <= _MOST_SERIES else [])


def _by_series(result: Result) -> list[str]:
    """RMSE one step ahead for each series."""
    design, names = result.design, list(result.forecasts)
    width = max(12, *(len(name) + 2 for name in result.panel.names))
    lines = ["", f"RMSE{_unit(result)} {plural(1, result.panel.grid.name)} ahead, by series:"]
    lines.append(f"{'':{width}}" + "".join(f"{name:>12}" for name in names))
    for n, series in enumerate(result.panel.names):
        own = np.s_[:, n : n + 1, :1]
        mask = design.test[own]
        rmse = [score(values[own], design.actual[own], mask).rmse[0] for values in result.forecasts.values()]
        lines.append(f"{series:{width}}" + "".join(f"{value:>12.{_digits(result)}f}" for value in rmse))
    return lines


def verdict(result: Result) -> list[str]:
    """Say in words where the network is worth its trouble."""
    lines = []
    name, step = titles(result), result.panel.grid.name
    if not result.choice.updates:
        lines.append(
            "The recurrent part found nothing worth learning in what ridge regression leaves over (on held-out data, "
            "under 1 % of the squared error): the network's forecasts are those of ridge regression."
        )
    for (best, word), run in groupby(result.comparisons, key=lambda each: (each.best, each.verdict)):
        group = list(run)
        ahead, change = _horizons(group, step), _change([each.skill for each in group])
        if word == "better":
            lines.append(f"{ahead}: the network beats {name[best]}, the best of the others (RMSE {change}).")
        elif word == "worse":
            lines.append(f"{ahead}: the network has no skill over {name[best]}, which is better (RMSE {change}).")
        elif word == "equal":
            lines.append(f"{ahead}: the network has no skill over {name[best]}, its errors are the same.")
        else:
            lines.append(
                f"{ahead}: the network has no clear skill over {name[best]}, the best of the others "
                f"(RMSE {change}, within two standard errors)."
            )
    return lines


def next_steps(result: Result) -> list[str]:
    """Forecast past the end of the file."""
    digits = _digits(result)
    held = np.nanmean(result.coverage)
    steps = plural(result.settings.horizon, result.panel.grid.name)
    share = f"a band for {BAND:.0%} of the values (from held-out errors; it held {held:.0%} of those scored)"
    lines = ["", f"next {steps}, with {share}:"]
    for n, series in enumerate(result.panel.names[:_MOST_SERIES]):
        if len(result.panel.names) > 1:
            lines.append(f"{series}:")
        for label, value, low, high in zip(*_columns(result, n), strict=True):
            lines.append(f"  {label}  {value:10.{digits}f}   {low:.{digits}f} to {high:.{digits}f}")
    if len(result.panel.names) > _MOST_SERIES:
        lines.append(f"... and {len(result.panel.names) - _MOST_SERIES} series more (--json has all)")
    return lines


def _columns(result: Result, series: int) -> tuple[list[str], list[float], list[float], list[float]]:
    labels, value, edges = result.next_steps(series)
    return labels, value.tolist(), edges[0].tolist(), edges[1].tolist()


def as_json(result: Result) -> dict[str, Any]:
    """Everything, ready for json.dump; what is unknown is null."""
    panel, grid, settings, choice = result.panel, result.panel.grid, result.settings, result.choice
    first, end = panel.span
    return {
        "rnncore": rnncore.__version__,
        "seconds": round(result.seconds, 3),
        "settings": {name: getattr(settings, name) for name in settings.__slots__},
        "data": {
            "time": " ".join(panel.schema.time),
            "target": panel.target,
            "group": " / ".join(panel.schema.group) or None,
            "unit": settings.unit or None,
            "covariates": [*panel.columns[1:], *panel.labels],
            "inputs": result.design.inputs,
            "step": grid.name,
            "first": grid.label(first),
            "last": grid.label(end - 1),
            "series": panel.names,
        },
        "split": {
            "test_from": result.split.label,
            "why": result.split.why,
            "held_out_from": result.held_out.label,
        },
        "network": {
            "parameters": result.parameters,
            "learns": "changes" if choice.changes else "departures from climatology",
            "noise": choice.restraint.noise,
            "weight_decay": choice.restraint.weight_decay,
            "updates": choice.updates,
            "held_out_rmse": _numbers(choice.heldout_rmse),
        },
        "ridge": {"lags": choice.ridge.lags, "penalty": choice.ridge.penalty},
        "notices": result.notices,
        "metrics": {
            name: {"rmse": _numbers(each.rmse), "mae": _numbers(each.mae), "count": each.count}
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
        "band": {"share": BAND, "source": "held-out end of training", "coverage": _numbers(result.coverage)},
        "test": [_test_part(result, n) for n in range(len(panel.names))],
        "forecast": [_future(result, n) for n in range(len(panel.names))],
    }


def _test_part(result: Result, series: int) -> dict[str, Any]:
    """Forecasts of one series: row k of each list is for times[k], 1 to H steps ahead."""
    panel, horizon = result.panel, result.settings.horizon
    begin = max(0, result.split.position - int(panel.start[series]))
    indices = range(begin, int(panel.lengths[series]))

    def ahead(values: Array) -> list[list[float | None]]:
        horizons = range(1, horizon + 1)
        return [_numbers([values[t - h, series, h - 1] if t >= h else math.nan for h in horizons]) for t in indices]

    return {
        "series": panel.names[series],
        "times": [panel.grid.label(int(panel.start[series]) + t) for t in indices],
        "actual": _numbers(panel.values[begin : panel.lengths[series], series, 0]),
        "forecasts": {name: ahead(values) for name, values in result.forecasts.items()},
    }


def _future(result: Result, series: int) -> dict[str, Any]:
    labels, value, low, high = _columns(result, series)
    return {
        "series": result.panel.names[series],
        "times": labels,
        "forecast": _numbers(value),
        "low": _numbers(low),
        "high": _numbers(high),
    }


def _numbers(values: Any) -> list[float | None]:
    """JSON has no NaN."""
    return [float(value) if math.isfinite(value) else None for value in values]


def _horizons(group: list[Comparison], step: str) -> str:
    first, last = group[0].horizon, group[-1].horizon
    return f"{plural(first, step) if first == last else f'{first} to {plural(last, step)}'} ahead"


def _change(skills: list[float]) -> str:
    """How much lower or higher the network's error is."""
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
    errors = [value for each in result.scores.values() for value in each.rmse if value > 0]
    return max(0, min(6, 2 - math.floor(math.log10(np.median(errors or [1.0])))))
