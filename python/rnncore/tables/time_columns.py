"""Which column, or columns, hold the time: as told, or found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnncore.arguments import Array
from rnncore.tables import spellings
from rnncore.tables.clocks import clock_of
from rnncore.tables.errors import InputError
from rnncore.tables.grid import DAY, SECOND
from rnncore.tables.stamps import Reading, Stamps, dates, is_date, uniques, weeks
from rnncore.tables.table import Table
from rnncore.tables.times import parse_stamps

_NAMES = (
    "ds", "datetime", "date_time", "timestamp", "time", "date", "day", "week", "month", "quarter", "year", "period",
    "index", "step", "t",
)  # fmt: skip
_PARTS = {
    "year": "year yr yyyy jahr annee año anno",
    "quarter": "quarter qtr quartal",
    "month": "month mon mo mm monat mois mes mese",
    "week": "week wk isoweek woche kw semaine semana",
    "day": "day dy dd dom tag jour dia día giorno",
    "hour": "hour hr hh h heure stunde hora ora hourending hour_ending he hour_of_day",
    "minute": "minute min minutes mins mi",
    "clock": "time clock uhrzeit zeit tod time_of_day heure hora local_time",
    "slot": "settlementperiod settlement_period interval slot period halfhour",
}
_PART_OF = {alias: part for part, aliases in _PARTS.items() for alias in aliases.split()}
_COUNTERS = ("hour", "minute", "second", "seconds", "sec", "cycle", "frame", "sample", "n", "no", "nr", "row", "id")
_MORE_NAMES = ("ts", "epoch", "unix", "utc", "gmt", "datum", "zeit", "fecha", "yearmonth", "yearweek", "ym", "yyyymm")
_TRIED = 200  # rows, before all of a column is read


@dataclass(frozen=True)
class Times:
    """The columns that hold the time, and what they say; none: rows are steps."""

    names: tuple[str, ...]
    stamps: Stamps


def read_times(table: Table, told: Sequence[str], reading: Reading) -> Times:
    """Read the columns that are told, or find them. Raises InputError where they cannot be read."""
    for name in told:
        table.column(name, "--time")
    if len(told) == 1:
        return _with_clock(table, Times((told[0],), parse_stamps(table, told[0], reading)), companions=())
    if told:
        return _joined(table, told, reading)
    found = _find_full(table, reading)
    if found is None or found.stamps.style == "year":  # of a year there may be months in another column
        found = _find_parts(table, reading) or found or _find_numbers(table, reading)
    if found is not None:
        return found
    failed = [name for name in table.columns if name.lower() in _NAMES and table.columns[name].dtype.kind == "O"]
    if failed:
        return read_times(table, failed[:1], reading)  # raises what is wrong with it
    table.notes.append("no column of times: rows are taken as even steps (--time names a column)")
    return Times((), Stamps(np.arange(len(table), dtype=np.float64), False))


# ---- one column


def _find_full(table: Table, reading: Reading) -> Times | None:
    """The column of dates that tells most rows apart; where they are alike, one with a usual name, then the first."""
    found: list[Times] = []
    names = sorted(
        table.columns, key=lambda name: _NAMES.index(name.lower()) if name.lower() in _NAMES else len(_NAMES)
    )
    for name in names:
        stamps = _try(table, name, reading)
        if stamps is not None and stamps.calendar:
            found.append(Times((name,), stamps))
    if not found:
        return None
    counts = [len(uniques(each.stamps.values)) for each in found]
    best = next(each for each, count in zip(found, counts, strict=True) if count > 0.7 * max(counts))
    others = [each.names[0] for each in found if each is not best]
    if best.names[0].lower() not in _NAMES and others:
        table.notes.append(f"{best.names[0]!r} is taken as the time, not {others[0]!r} (--time)")
    return _with_clock(
        table, best, companions=[name for name in table.columns if _part(name) in ("hour", "clock", "slot")]
    )


def _try(table: Table, name: str, reading: Reading) -> Stamps | None:
    """Read a column if it looks like times; None if not. A usual name and a first row that fits: errors are raised."""
    values = table.columns[name]
    if values.dtype.kind in "if" and not _may_be_times(name):
        return None
    small = table.take(np.arange(min(_TRIED, len(table))))
    told = name.lower() in _NAMES and reading.time_format is not None
    try:
        parse_stamps(small.take([0]), name, reading)
    except InputError:
        if told:
            raise
        return None
    try:
        if name.lower() not in _NAMES:
            parse_stamps(small, name, reading)
        return parse_stamps(table, name, reading)
    except InputError:
        if name.lower() in _NAMES and values.dtype.kind == "O":
            raise
        return None


def _may_be_times(name: str) -> bool:
    """Tell whether numbers under this name may be dates or epochs."""
    return bool(set(re.split(r"[\W_]+", _plain(name))) & {*_NAMES, *_MORE_NAMES})


def _plain(name: str) -> str:
    """A name in lower case, without a unit in brackets."""
    return re.sub(r"\s*[(\[].*", "", name).strip().lower()


def _find_numbers(table: Table, reading: Reading) -> Times | None:
    """A column of numbers under a usual name, or the index of a frame."""
    usual = (*_NAMES, *_COUNTERS)
    named = [name for name in table.columns if _plain(name) in usual and table.columns[name].dtype.kind in "if"]
    for name in sorted(named, key=lambda name: usual.index(_plain(name))):
        values = table.columns[name].astype(np.float64)
        if np.isnan(values).any():
            continue
        if len(uniques(values)) == len(values) or any(_tells_apart(values, other) for other in _labels(table, name)):
            return Times((name,), parse_stamps(table, name, reading))
    return None


def _labels(table: Table, name: str) -> list[Array]:
    """Columns other than this one that may tell series apart."""
    return [
        table.texts(other) for other, values in table.columns.items() if other != name and values.dtype.kind in "Oi"
    ]


def _tells_apart(numbers: Array, labels: Array) -> bool:
    return len(set(zip(numbers.tolist(), labels.tolist(), strict=True))) == len(numbers)


# ---- several columns


def _part(name: str) -> str | None:
    """What part of a time a column's name promises."""
    plain = re.sub(r"[\s.\-]+", "_", name.strip().lower())
    return _PART_OF.get(plain) or _PART_OF.get(plain.replace("_", ""))


def _find_parts(table: Table, reading: Reading) -> Times | None:
    """Year and month, year and week, year, month and day (and hour): each in a column of its own."""
    parts: dict[str, str] = {}
    for name in table.columns:
        part = _part(name)
        if part and part not in parts:
            parts[part] = name
    if "year" not in parts:
        return None
    chosen = [part for part in ("year", "quarter", "month", "week", "day") if part in parts]
    if len(chosen) == 1:
        return None
    wanted = ["year", "month", "day"] if "month" in chosen else ["year", "week" if "week" in chosen else "quarter"]
    names = [parts[part] for part in wanted if part in parts]
    if not all(table.is_numeric(name) or _all_digits(table, name) or _part(name) == "month" for name in names):
        return None
    names += [parts[part] for part in ("hour", "minute") if part in parts and "day" in parts]
    found = _joined(table, names, reading)
    if "hour" not in parts and "day" in parts:
        return _with_clock(table, found, [parts[part] for part in ("clock", "slot") if part in parts])
    table.notes.append(f"the time stands in {' and '.join(map(repr, names))} (--time)")
    return found


def _all_digits(table: Table, name: str) -> bool:
    return all(text.isdigit() for text in table.texts(name))


def _joined(table: Table, names: Sequence[str], reading: Reading) -> Times:
    """Put together what several columns say: a date and a clock, or year, month, day, hour, minute."""
    parts = {_part(name): name for name in names}
    if "year" not in parts:
        first = Times((names[0],), parse_stamps(table, names[0], reading))
        for name in names[1:]:
            clock = _clock(table, name)
            first = Times((*first.names, name), replace(first.stamps, values=first.stamps.values + clock))
        return first
    year = _whole(table, parts["year"])
    year = np.where(year < 69, year + 2000, np.where(year < 100, year + 1900, year))
    ones = np.ones_like(year)
    if "week" in parts:
        stamps = weeks(year, _whole(table, parts["week"]))
    elif "quarter" in parts:
        stamps = replace(dates(year, 3 * _whole(table, parts["quarter"]) - 2, ones), style="quarter")
    else:
        month = _months(table, parts["month"]) if "month" in parts else ones
        day = _whole(table, parts["day"]) if "day" in parts else ones
        wrong = np.flatnonzero(~is_date(year, month, day))
        if wrong.size:
            k = int(wrong[0])
            raise InputError(f"{table.where(k)}: year {year[k]}, month {month[k]}, day {day[k]} is no date")
        stamps = dates(year, month, day)
    values = stamps.values
    if "hour" in parts:
        values = values + _clock(table, parts["hour"])
    if "minute" in parts:
        values = values + _whole(table, parts["minute"]) * 60 * SECOND
    return Times(tuple(names), replace(stamps, values=values))


def _whole(table: Table, name: str) -> Array:
    """Whole numbers of a column, also where zeros stand in front."""
    numbers = table.numbers(name)
    wrong = np.flatnonzero(~(numbers % 1 == 0))
    if wrong.size:
        raise InputError(f"column {name!r}, {table.where(int(wrong[0]))}: expected a whole number, a part of the time")
    return numbers.astype(np.int64)


def _months(table: Table, name: str) -> Array:
    if table.columns[name].dtype.kind in "if" or _all_digits(table, name):
        return _whole(table, name)
    names = [text.lower() for text in table.texts(name)]
    return np.array([spellings.MONTHS.get(text[:4]) or spellings.MONTHS.get(text[:3]) or 0 for text in names])


def _with_clock(table: Table, times: Times, companions: Sequence[str]) -> Times:
    """Add the hour from a column of its own where dates alone repeat and the hour tells their rows apart."""
    stamps = times.stamps
    if not stamps.calendar or stamps.full or stamps.zone or stamps.style:
        return times
    distinct = len(uniques(stamps.values))
    for name in companions:
        if name in times.names or distinct == len(table):
            continue
        try:
            joined = replace(stamps, values=stamps.values + _clock(table, name), style="")
        except InputError:
            continue
        if len(uniques(joined.values)) >= 2 * distinct:
            table.notes.append(f"the time stands in {times.names[0]!r} and {name!r} (--time)")
            return Times((*times.names, name), joined)
    return times


def _clock(table: Table, name: str) -> Array:
    """Nanoseconds after midnight: 14:30, 2 PM, hours 0 to 23 or 1 to 24, 1430, or numbered parts of a day."""
    values = table.columns[name]
    if values.dtype.kind == "O" and not _all_digits(table, name):
        matches = [spellings.CLOCK.fullmatch(text) for text in values.tolist()]
        clocks = [None if match is None else clock_of(match) for match in matches]
        for row, clock in enumerate(clocks):
            if clock is None:
                raise InputError(f"column {name!r}, {table.where(row)}: {values[row]!r} is no time of the day")
        return np.array(clocks, np.int64)
    numbers = table.numbers(name)
    wrong = np.flatnonzero(~((numbers >= 0) & (numbers < 240_000)))
    if wrong.size:
        raise InputError(f"column {name!r}, {table.where(int(wrong[0]))}: {numbers[wrong[0]]:g} is no hour of the day")
    most, least = numbers.max(), numbers.min()
    if most <= 24:
        hours: Array = np.rint(numbers * 3600 * SECOND).astype(np.int64)
        return hours
    parts = {48: 48, 47: 48, 96: 96, 95: 96}.get(int(most))
    if parts is not None and len(uniques(numbers)) == parts:
        slots: Array = ((numbers - least) * (DAY // parts)).astype(np.int64)
        return slots
    whole = numbers.astype(np.int64)
    if most <= 2400:  # 1430
        whole = whole * 100
    seconds: Array = whole // 10_000 * 3600 + whole // 100 % 100 * 60 + whole % 100  # 143000
    return seconds * SECOND
