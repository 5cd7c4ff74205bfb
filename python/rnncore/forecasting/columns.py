"""Which column is the time, the target, the group, a covariate: as told, or found where it is plain."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.errors import InputError
from rnncore.forecasting.table import MISSING, Table
from rnncore.forecasting.times import parse_times

MAX_CATEGORIES = 12
_TIME_NAMES = ("time", "date", "datetime", "timestamp", "ds", "day", "month", "year", "period", "index", "step", "t")
_GROUP_NAMES = ("group", "unique_id", "series", "series_id", "id", "location", "station", "site", "store", "name")
_OFFSET = re.compile(r"\d\d:\d\d.*(Z|[+-]\d\d:?\d\d)$")
_TARGET_NAMES = ("target", "y", "value")


@dataclass(frozen=True)
class Roles:
    """What the columns of a table stand for."""

    time: str
    target: str
    group: str | None
    numeric: list[str]  # covariates
    categorical: list[str]


def read_times(table: Table, told: str | None, time_format: str | None) -> tuple[str, Array, bool]:
    """Return the time column's name, its instants (see `parse_times`), and whether they are calendar times."""
    if told is not None:
        texts = table.column(told, "--time")
        empty = [line for line, text in zip(table.lines, texts, strict=True) if text.lower() in MISSING]
        if empty:
            raise InputError(f"column {told!r}, line {empty[0]}: the time is missing")
        instants, calendar = parse_times(texts, table.lines, told, time_format)
        if calendar and _OFFSET.search(texts[0]):
            table.notices.append("times with an offset from UTC: shown in UTC")
        return told, instants, calendar
    named = [name for name in table.columns if name.lower() in _TIME_NAMES]
    if named:
        named.sort(key=lambda name: _TIME_NAMES.index(name.lower()))
        return read_times(table, named[0], time_format)
    for name in table.columns:
        try:
            found, instants, calendar = read_times(table, name, time_format)
        except InputError:
            continue
        if calendar:  # numbers alone do not make a column the time
            return found, instants, calendar
    raise InputError(f"{table.name}: no column looks like the time: give --time, one of {', '.join(table.columns)}")


def find_roles(table: Table, time: str, instants: Array, target: str | None, group: str | None) -> Roles:
    """Tell the columns apart; adds a notice to the table for every choice that was not told, or column left out."""
    if target is not None:
        table.column(target, "--target")
        if target == time:
            raise InputError(f"--target: {target!r} is the time column")
    if group is not None:
        table.column(group, "--group")
        if group in (time, target):
            raise InputError(f"--group: {group!r} is the {'time' if group == time else 'target'} column")
    group = group or _find_group(table, time, instants, target)
    rest = [name for name in table.columns if name not in (time, group)]
    numeric = [name for name in rest if _is_numeric(table, name)]
    if target is None:
        target = _find_target(table, numeric)
    categorical = []
    for name in rest:
        if name in numeric or name == target:
            continue
        count = len({text for text in table.columns[name] if text.lower() not in MISSING})
        if 1 < count <= MAX_CATEGORIES and count <= len(table) // 10:
            categorical.append(name)
        else:
            what = "one value" if count == 1 else "no value" if count == 0 else f"{count} different values"
            table.notices.append(f"column {name!r} is not numeric and has {what}: left out")
    return Roles(time, target, group, [name for name in numeric if name != target], categorical)


def _find_target(table: Table, numeric: list[str]) -> str:
    named = [name for name in numeric if name.lower() in _TARGET_NAMES]
    if len(named) == 1 or len(numeric) == 1:
        return (named or numeric)[0]
    if not numeric:
        raise InputError(f"{table.name} has no numeric column to forecast (--target says which)")
    raise InputError(f"{table.name}: which column to forecast? Give --target, one of {', '.join(numeric)}")


def _find_group(table: Table, time: str, instants: Array, target: str | None) -> str | None:
    """Find the column that tells series apart: wanted only where time stamps repeat."""
    if len(np.unique(instants)) == len(table):
        return None
    candidates = []
    for name in table.columns:
        pairs = set(zip(table.columns[name], instants.tolist(), strict=True))
        if name not in (time, target) and len(pairs) == len(table) and not _looks_continuous(table, name):
            candidates.append(name)
    named = [name for name in candidates if name.lower() in _GROUP_NAMES]
    if len(named) == 1 or len(candidates) == 1:
        found = (named or candidates)[0]
        table.notices.append(f"time stamps repeat: one series for each value of {found!r} (--group)")
        return found
    again = next(instant for instant, count in Counter(instants.tolist()).items() if count > 1)
    first, second = np.flatnonzero(instants == again)[:2].tolist()
    stamp = table.columns[time][first]
    raise InputError(
        f"the time {stamp} stands on lines {table.lines[first]} and {table.lines[second]}: "
        "if the file holds several series, give --group"
    )


def _looks_continuous(table: Table, name: str) -> bool:
    """Tell a measurement from a label: numbers with a fraction, or nearly as many values as rows."""
    values = set(table.columns[name])
    return len(values) > len(table) // 2 or (_is_numeric(table, name) and any("." in text for text in values))


def _is_numeric(table: Table, name: str) -> bool:
    try:
        values = table.numbers(name)
    except InputError:
        return False
    return not np.isnan(values).all()
