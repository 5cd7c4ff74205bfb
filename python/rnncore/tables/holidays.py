"""Weeks with days off, and holidays: workdays on which no series has a row are no steps; those to come follow rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta

import numpy as np

from rnncore.arguments import Array

_MOST = 0.08  # of the workdays: more than that are holes
_LONGEST = 5  # workdays in a row
_LATEST = 2  # occasions on which a rule has to hold
_YEARS_AHEAD = 10
_MOVED: dict[str, dict[int, int]] = {  # of a date of the year: by how many days from which day of the week
    "fixed": {},
    "from Sunday": {6: 1},
    "to the nearest workday": {5: -1, 6: 1},
    "to Monday": {5: 2, 6: 1},
}
_KINDS = (*_MOVED, "easter", "nth", "last")  # of two that explain as many days, the first
_SURE = (("fixed", 1, 1), ("fixed", 12, 25), ("easter", -2), ("easter", 1))  # known from one year alone

Rule = tuple[str | int, ...]


def working_week(days: Array) -> str | None:
    """Return a mask of the days of the week, Monday first, if dates leave some out and hold the others; else None."""
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
    counts = np.bincount(weekday, minlength=7)
    present = counts > 0
    if np.median(np.diff(days)) != 1 or present.all() or present.sum() < 4:
        return None
    if np.ptp(days) <= 7 or (present.tolist() != [True] * 5 + [False] * 2 and counts[present].min() < 3):
        return None
    return "".join("01"[yes] for yes in present.tolist())


def find_holidays(days: Array, week: str) -> tuple[int, ...]:
    """Return the workdays between the first and the last date that are no date, unless too many, and those to come."""
    workdays = np.arange(days[0], days[-1] + 1)
    workdays = workdays[np.is_busday(workdays.astype("datetime64[D]"), weekmask=week)]
    there = np.isin(workdays, days)
    absent = workdays[~there]
    if not absent.size or absent.size > _MOST * len(workdays) or _longest(~there) > _LONGEST:
        return ()
    return (*absent.tolist(), *_to_come(absent, workdays))


def _longest(off: Array) -> int:
    """Length of the longest run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], off, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max())


def _to_come(absent: Array, workdays: Array) -> list[int]:
    """Dates of the years after the last one by every rule that held on its latest occasions."""
    off = {date.fromordinal(719_163 + int(day)) for day in absent}
    worked = {date.fromordinal(719_163 + int(day)) for day in workdays}
    first, last = min(worked), max(worked)
    years = range(first.year, last.year + 1)
    holding: dict[Rule, set[date]] = {}
    for rule in dict.fromkeys(rule for day in sorted(off) for rule in _rules_of(day)):
        occasions = [day for day in _dates(rule, years) if day in worked]
        if all(day in off for day in occasions[-_LATEST:]) and (len(occasions) >= _LATEST or rule in _SURE):
            holding[rule] = off & set(occasions)
    coming: set[date] = set()
    while holding:  # the rule that explains most, then those that explain the rest
        rule = max(holding, key=lambda rule: (len(holding[rule]), -_KINDS.index(str(rule[0]))))
        explained = holding.pop(rule)
        coming |= {day for day in _dates(rule, range(last.year, last.year + _YEARS_AHEAD + 1)) if day > last}
        holding = {each: days - explained for each, days in holding.items() if days - explained}
    return [day.toordinal() - 719_163 for day in sorted(coming)]


def _rules_of(day: date) -> Iterable[Rule]:
    """Rules by which a date may be a holiday."""
    from dateutil.easter import easter

    for kind, moves in _MOVED.items():
        for shift in (0, *moves.values()):
            near = day - timedelta(shift)
            if moves.get(near.weekday(), 0) == shift:
                yield kind, near.month, near.day
    yield "nth", day.month, day.weekday(), (day.day - 1) // 7
    if (day + timedelta(7)).month != day.month:
        yield "last", day.month, day.weekday()
    yield "easter", (day - easter(day.year)).days


def _dates(rule: Rule, years: Iterable[int]) -> list[date]:
    """The dates of a rule in some years."""
    kind, parts = str(rule[0]), [int(part) for part in rule[1:]]
    if kind in _MOVED:
        found = (_moved(year, parts, _MOVED[kind]) for year in years)
    else:
        days: dict[str, Callable[[int, list[int]], date | None]] = {"easter": _easter, "nth": _nth, "last": _last}
        found = (days[kind](year, parts) for year in years)
    return [day for day in found if day is not None]


def _moved(year: int, parts: list[int], moves: dict[int, int]) -> date | None:
    try:
        day = date(year, *parts)
    except ValueError:  # 29 February
        return None
    return day + timedelta(moves.get(day.weekday(), 0))


def _nth(year: int, parts: list[int]) -> date | None:
    month, weekday, number = parts
    first = date(year, month, 1)
    day = first + timedelta((weekday - first.weekday()) % 7 + 7 * number)
    return day if day.month == month else None


def _last(year: int, parts: list[int]) -> date:
    month, weekday = parts
    end = date(year + month // 12, month % 12 + 1, 1) - timedelta(1)
    return end - timedelta((end.weekday() - weekday) % 7)


def _easter(year: int, parts: list[int]) -> date:
    from dateutil.easter import easter

    day: date = easter(year) + timedelta(parts[0])
    return day
