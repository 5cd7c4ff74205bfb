"""`rnncore forecast --load`: forecasts from the end of the rows that are given, with a forecaster that was kept."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from rnncore import datasets
from rnncore.forecasting import outputs, rows
from rnncore.forecasting.forecaster import Forecaster
from rnncore.forecasting.scores import NAME
from rnncore.tables import InputError, Schema, Table, read_table
from rnncore.tables.build import select
from rnncore.tables.outputs import as_csv, as_json, load_kept, text_path, write_text
from rnncore.tables.wide import VALUE, made_long

_OPTIONS = {  # option -> parameter of the forecaster
    "cell": "cell",
    "hidden": "state_size",
    "members": "networks",
    "epochs": "epochs",
    "seed": "seed",
    "season": "season",
}
_COLUMNS = ("target", "time", "group")
_SPELLING = ("time_format", "dayfirst", "timezone", "decimal")  # of the rows that are given
_FOR_SCORES = ("test_from", "cv", "scores", "save", "keep_scored")


def run(arguments: argparse.Namespace, figure: Path | None, out: TextIO) -> None:
    """Forecast and print; the same files as without --load. Raises InputError for what contradicts the file."""
    forecaster = load_kept(Forecaster.load, arguments.load, "--load")
    _check(arguments, forecaster)
    told = {name: getattr(arguments, name) for name in _SPELLING if getattr(arguments, name) is not None}
    schema = forecaster.schema_ = replace(forecaster.schema_, options=forecaster.schema_.options | told)
    table = _rows(arguments, schema)
    horizon = arguments.horizon or forecaster.h
    levels = tuple(arguments.level or forecaster.level)
    ahead = None if arguments.future is None else read_table(arguments.future, arguments.decimal)
    frame = forecaster.predict(ahead, df=table, h=horizon, level=levels)
    group = schema.group or ("unique_id",)
    time = frame.columns[len(group)]
    series = [" / ".join(map(str, key)) for key in zip(*(frame[name] for name in group), strict=True)]
    names = list(dict.fromkeys(series))
    unit = f" ({arguments.unit})" if arguments.unit else ""
    print(f"{schema.target[0]}{unit}: next {horizon} steps, by the forecaster kept in {arguments.load}", file=out)
    for name in names[:3]:
        own = frame[[each == name for each in series]]
        print("\n".join(_lines(own, name, time, levels[0], len(names) > 1)), file=out)
    if len(names) > 3:
        print(f"... and {len(names) - 3} series more (--csv has all)", file=out)
    columns = [*group, time, NAME, *(f"{NAME}-{side}-{level:g}" for level in levels for side in ("lo", "hi"))]
    if arguments.csv is not None:
        lines = [columns, *(list(row) for row in zip(*(frame[name] for name in columns), strict=True))]
        write_text(as_csv(lines), text_path(arguments.csv), "--csv")
        if arguments.csv != "-":
            print(f"forecasts: {arguments.csv}", file=out)
    if figure is not None:
        shape = (len(names), horizon)
        edges = {
            level: tuple(frame[f"{NAME}-{side}-{level:g}"].to_numpy().reshape(shape) for side in ("lo", "hi"))
            for level in levels
        }
        panel = rows.read_panel_like(table, schema)
        outputs.draw_ends(panel, frame[NAME].to_numpy().reshape(shape), edges, unit, figure)
        print(f"figure: {figure}", file=out)
    if arguments.json is not None:
        told = {name: [_plain(value) for value in frame[name]] for name in columns}
        write_text(as_json({"forecast": told}), text_path(arguments.json), "--json")


def _check(arguments: argparse.Namespace, forecaster: Forecaster) -> None:
    """Say which option contradicts the file."""
    for option in _COLUMNS:
        wanted, kept = getattr(arguments, option), getattr(forecaster.schema_, option)
        names = (wanted,) if isinstance(wanted, str) else tuple(wanted or ())
        if names and names != kept:
            what = "forecasts" if option == "target" else f"has for its {option} the column"
            given, expected = (", ".join(map(repr, each)) or "none" for each in (names, kept))
            raise InputError(f"--load: the forecaster {what} {expected}, not {given}")
    target, zone = forecaster.schema_.target, forecaster.schema_.grid.zone
    if (target == (VALUE,)) < bool(arguments.wide):
        raise InputError(f"--load: the forecaster forecasts {target[0]!r} of a long file, so --wide has no meaning")
    if arguments.timezone not in (None, zone):
        kept = f"times of {zone}" if zone else "times without a zone"
        raise InputError(f"--load: --timezone {arguments.timezone} contradicts the file, whose forecaster has {kept}")
    for option, parameter in _OPTIONS.items():
        wanted, kept_value = getattr(arguments, option), getattr(forecaster, parameter)
        if wanted is not None and wanted != kept_value:
            raise InputError(f"--load: --{option} {wanted} contradicts the file, whose forecaster has {kept_value}")
    if arguments.horizon is not None and arguments.horizon > forecaster.h:
        raise InputError(f"--load: --horizon {arguments.horizon} contradicts the file, which goes {forecaster.h} ahead")
    for option in _FOR_SCORES:
        if getattr(arguments, option) not in (None, False):
            raise InputError(f"--load: nothing is fitted or scored, so --{option.replace('_', '-')} has no meaning")


def _rows(arguments: argparse.Namespace, schema: Schema) -> Table:
    """The rows to forecast from, those of the series that are wanted."""
    source = datasets.weather() if arguments.file is None else arguments.file
    table = read_table(source, arguments.decimal or schema.options.get("decimal"))
    if arguments.wide:
        table = made_long(table, arguments.wide, schema.time if arguments.wide == "columns" else ())
    only = arguments.only or (["New York"] if arguments.file is None and schema.group == ("location",) else [])
    if not only:
        return table
    if not schema.group:
        raise InputError("--only: the forecaster has no group column")
    return select(table, schema.group, only)


def _lines(frame: Any, name: str, time: str, level: float, several: bool) -> list[str]:
    lines = [f"{name}:"] if several else []
    columns = [frame[each] for each in (time, NAME, f"{NAME}-lo-{level:g}", f"{NAME}-hi-{level:g}")]
    rows = list(zip(*columns, strict=True))
    lines += [f"  {_plain(when)}  {value:10.4g}   {low:.4g} to {high:.4g}" for when, value, low, high in rows[:12]]
    return lines + ([f"  ... and {len(rows) - 12} more (--csv has all)"] if len(rows) > 12 else [])


def _plain(value: Any) -> Any:
    """A time as text, a number as it is."""
    if hasattr(value, "isoformat"):
        text = value.isoformat()
        return text.removesuffix("T00:00:00")
    return value.item() if hasattr(value, "item") else value
