"""Times written as text, in any usual spelling; where two readings remain, the error names both."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from rnncore.arguments import Array
from rnncore.tables import spellings
from rnncore.tables.clocks import clock_of, offset_of, sensible_orders
from rnncore.tables.errors import InputError
from rnncore.tables.grid import DAY, SECOND, offset_text
from rnncore.tables.stamps import Reading, Stamps, dates, is_date, weeks
from rnncore.tables.table import Table
from rnncore.tables.zones import find_zone

_ZONES = {
    "utc": 0,
    "gmt": 0,
    "wet": 0,
    "cet": 60,
    "mez": 60,
    "bst": 60,
    "west": 60,
    "cest": 120,
    "mesz": 120,
    "eet": 120,
    "eest": 180,
    "est": -300,
    "edt": -240,
    "cst": -360,
    "cdt": -300,
    "mst": -420,
    "mdt": -360,
    "pst": -480,
    "pdt": -420,
    "jst": 540,
    "aest": 600,
    "aedt": 660,
}  # fmt: skip  minutes
_INTERVAL = re.compile(r"(?<=\d)( (-|–|to|bis) | ?/ ?(?=\d{4}-\d\d-\d\d))\d.*$")
_ZONE_NAME = re.compile(rf"(?<=[\d ])({'|'.join(_ZONES)})$", re.IGNORECASE)


@dataclass(frozen=True)
class _Texts:
    """The different texts of a column, where each stands, and what messages need."""

    texts: list[str]
    first: Array  # row where each stands first
    table: Table
    column: str

    def error(self, k: int) -> InputError:
        where, text = self.table.where(int(self.first[k])), self.texts[k]
        how = "(ISO 8601 is 2024-01-31; see --time-format)"
        return InputError(f"column {self.column!r}, {where}: cannot read the time {text!r} {how}")


@dataclass(frozen=True)
class _Parts:
    """Dates and clocks of texts: nanoseconds of local time, and the offset from UTC in minutes where one stands."""

    local: Array
    offsets: list[int | None]


def from_texts(table: Table, name: str, values: Array, reading: Reading) -> Stamps:
    """Read a column of text. Raises InputError for what is no time, or may be two."""
    usual = _all_iso(values)
    if usual is not None:
        return Stamps(usual, True)
    texts, first, codes = _distinct(values)
    column = _Texts([_plain(text) for text in texts], first, table, name)
    for read in (_quarters, _weeks, _months, _clock_alone):
        stamps = read(column)
        if stamps is not None:
            values = stamps.values[codes]
            if not stamps.calendar:  # past midnight
                values = values + 86_400 * np.cumsum(np.diff(values, prepend=values[0]) < -43_200)
            return replace(stamps, values=values)
    parts = _iso(column) or _spelled(column, codes, reading)
    return _aware(column, parts, codes)


def _distinct(values: Array) -> tuple[list[str], Array, Array]:
    """Different texts in order, the row where each stands first, and which of them stands in each row."""
    places: dict[str, int] = {}
    codes = np.fromiter((places.setdefault(text, len(places)) for text in values.tolist()), np.int64, len(values))
    _, first = np.unique(codes, return_index=True)
    return list(places), first, codes


def _plain(text: str) -> str:
    """Without blanks at the ends or doubled, the beginning of an interval, an offset for the name of a time zone."""
    text = _INTERVAL.sub("", " ".join(text.split()))
    zone = _ZONE_NAME.search(text)
    if zone:
        minutes = _ZONES[zone[1].lower()]
        text = text[: zone.start()].rstrip() + ("Z" if minutes == 0 else offset_text(minutes))
    return text


# ---- periods


def _quarters(column: _Texts) -> Stamps | None:
    matches = _all(spellings.QUARTER, column)
    if matches is None:
        return None
    years = np.array([int(m["y"] or m["y2"] or m["y3"]) for m in matches])
    quarters = np.array([int(m["q"] or m["q2"] or m["q3"]) for m in matches])
    return replace(dates(years, 3 * quarters - 2, np.ones_like(years)), style="quarter")


def _weeks(column: _Texts) -> Stamps | None:
    matches = _all(spellings.WEEK, column)
    if matches is None:
        return None
    numbers = np.array([(int(m["y"]), int(m["w"]), int(m["d"] or 1)) for m in matches])
    wrong = np.flatnonzero((numbers[:, 1] < 1) | (numbers[:, 1] > 53))
    if wrong.size:
        raise column.error(int(wrong[0]))
    mondays = weeks(numbers[:, 0], numbers[:, 1])
    style = mondays.style if (numbers[:, 2] == 1).all() else ""
    return replace(mondays, values=mondays.values + (numbers[:, 2] - 1) * DAY, style=style)


def _months(column: _Texts) -> Stamps | None:
    for spelling in spellings.MONTH:
        matches = _all(spelling, column)
        if matches is None:
            continue
        named = "name" in spelling.groupindex
        months = np.array([_month(m["name"]) if named else int(m["m"]) for m in matches])
        if (months < 1).any() or (months > 12).any():
            continue
        years = np.array([_year(m["y"]) for m in matches])
        return dates(_unwrapped(years, all(len(m["y"]) == 2 for m in matches)), months, np.ones_like(years))
    return None


def _clock_alone(column: _Texts) -> Stamps | None:
    """Times without a date: seconds since midnight, going on after it."""
    matches = _all(spellings.CLOCK_ALONE, column)
    if matches is None:
        return None
    seconds = np.array([(int(m["H"]) * 60 + int(m["M"])) * 60 + float(m["S"] or 0) for m in matches])
    note = f"{column.column!r} holds times without a date: counted in seconds"
    return Stamps(seconds, False, notes=(note,))


def _all(spelling: re.Pattern[str], column: _Texts) -> list[re.Match[str]] | None:
    """Matches of all texts; None if one does not match."""
    if not spelling.fullmatch(column.texts[0]):
        return None
    matches = [spelling.fullmatch(text) for text in column.texts]
    return None if None in matches else matches  # type: ignore[return-value]


def _month(name: str) -> int:
    """1 to 12 for the name of a month, 0 for other words."""
    name = name.lower()
    return spellings.MONTHS.get(name[:4]) or spellings.MONTHS.get(name[:3]) or 0


def _year(text: str) -> int:
    """A year of four digits; of two: 1969 to 2068, as in C."""
    year = int(text)
    return year if len(text) > 2 else year + (1900 if year >= 69 else 2000)


def _unwrapped(years: Array, two_digits: bool) -> Array:
    """Years of two digits in order of time, if rows are in order: 67, 68, 69 do not lead from 2068 to 1969."""
    if not two_digits:
        return years
    back = np.flatnonzero(np.diff(years) < -50)
    return np.where(np.arange(len(years)) <= back[0], years - 100, years) if len(back) == 1 else years


# ---- dates and clocks


def _all_iso(values: Array) -> Array | None:
    """Instants of stamps in ISO 8601 without offsets, the whole column at once by pandas; None for others."""
    if not spellings.ISO.fullmatch(values[0]) or not spellings.ISO.fullmatch(values[-1]):
        return None
    whole = "".join(values)
    if whole.count("-") != 2 * len(values) or any(mark in whole for mark in "+Zz"):
        return None
    import pandas as pd

    parsed = pd.to_datetime(pd.Series(values, dtype=object), format="ISO8601", errors="coerce")
    return None if parsed.isna().any() else parsed.to_numpy("datetime64[ns]").astype(np.int64)


def _iso(column: _Texts) -> _Parts | None:
    """The usual case, by pandas."""
    if not spellings.ISO.fullmatch(column.texts[0]):
        return None
    import pandas as pd

    matches = _all(spellings.ISO, column)
    if matches is None:
        return None
    plain = pd.Series([m.string[: m.start("offset")] if m["offset"] else m.string for m in matches])
    parsed = pd.to_datetime(plain, format="ISO8601", errors="coerce")
    if parsed.isna().any():
        return None  # the slower way names the row, or understands 24:00
    return _Parts(parsed.to_numpy("datetime64[ns]").astype(np.int64), [offset_of(m["offset"]) for m in matches])


def _spelled(column: _Texts, codes: Array, reading: Reading) -> _Parts:
    for spelling in (spellings.YEAR_FIRST, spellings.COMPACT, spellings.THREE, *spellings.NAMED):
        if not spelling.fullmatch(column.texts[0]):
            continue
        matches = [spelling.fullmatch(text) for text in column.texts]
        missed = [k for k, match in enumerate(matches) if match is None]
        if missed:
            raise column.error(missed[0])
        found: list[re.Match[str]] = matches  # type: ignore[assignment]
        clocks = _clocks(column, found)
        days = _three(column, found, clocks, codes, reading) if spelling is spellings.THREE else _days(column, found)
        return _Parts(days + clocks, [offset_of(match["offset"]) for match in found])
    raise column.error(0)


def _days(column: _Texts, matches: list[re.Match[str]]) -> Array:
    """Midnights of dates of which it is plain what is what."""
    named = "name" in matches[0].re.groupindex
    months = np.array([_month(m["name"]) if named else int(m["m"]) for m in matches])
    two_digits = all(len(m["y"]) == 2 for m in matches)
    years = _unwrapped(np.array([_year(m["y"]) for m in matches]), two_digits)
    days = np.array([int(m["d"]) for m in matches])
    wrong = np.flatnonzero(~is_date(years, months, days))
    if wrong.size:
        raise column.error(int(wrong[0]))
    return dates(years, months, days).values


def _three(column: _Texts, matches: list[re.Match[str]], clocks: Array, codes: Array, reading: Reading) -> Array:
    """Midnights of dates such as 01/02/2012 or 12-01-31: the order that fits all rows and is told, or makes sense."""
    first, second = (np.array([int(m[part]) for m in matches]) for part in "ab")
    last = [m["c"] for m in matches]
    short = all(len(text) == 2 for text in last)
    years = _unwrapped(np.array([_year(text) for text in last]), short)
    orders = {"day/month": (years, second, first), "month/day": (years, first, second)}
    if short and all(len(m["a"]) == 2 for m in matches):
        early = _unwrapped(np.array([_year(m["a"]) for m in matches]), True)
        orders["year/month/day"] = (early, second, np.array([int(text) for text in last]))
    if reading.dayfirst is not None:
        orders = {
            name: order for name, order in orders.items() if name.startswith("day" if reading.dayfirst else "month")
        }
    fitting = {name: dates(*order).values for name, order in orders.items() if is_date(*order).all()}
    if not fitting:
        valid = max((is_date(*order) for order in orders.values()), key=np.sum)
        raise column.error(int(np.flatnonzero(~valid)[0]))
    if len(fitting) > 1 and matches[0]["mark"] == "." and "day/month" in fitting:
        fitting = {"day/month": fitting["day/month"]}
    if len(fitting) > 1:
        fitting = sensible_orders(fitting, clocks, codes)
    if len(fitting) > 1:
        names = list(fitting)
        options = {"day/month": "--dayfirst", "month/day": "--monthfirst", "year/month/day": "--time-format"}
        raise InputError(
            f"column {column.column!r}: {column.texts[0]!r} may be {' or '.join(names)}, and nothing in the file "
            f"decides: give {' or '.join(options[name] for name in names)}"
        )
    return next(iter(fitting.values()))


def _clocks(column: _Texts, matches: list[re.Match[str]]) -> Array:
    clocks = [clock_of(match) for match in matches]
    wrong = [k for k, clock in enumerate(clocks) if clock is None]
    if wrong:
        raise column.error(wrong[0])
    return np.array(clocks, np.int64)


def _aware(column: _Texts, parts: _Parts, codes: Array) -> Stamps:
    """Put stamps with offsets into UTC, with the zone that has them all."""
    given = {offset for offset in parts.offsets if offset is not None}
    if not given:
        return Stamps(parts.local[codes], True)
    if None in parts.offsets:
        raise InputError(f"column {column.column!r}: some times have an offset from UTC and others have none")
    offsets = np.array(parts.offsets, np.int64)
    instants = parts.local - offsets * 60 * SECOND
    if len(given) == 1:
        return Stamps(instants[codes], True, "UTC" if given == {0} else offset_text(given.pop()))
    zone = find_zone(instants, offsets)
    if zone is None and (parts.local % DAY == 0).all():
        return Stamps(
            parts.local[codes], True, notes=("offsets from UTC of no known time zone: local dates are taken",)
        )
    if zone is None:
        return Stamps(instants[codes], True, "UTC", notes=("offsets from UTC of no known time zone: shown in UTC",))
    return Stamps(instants[codes], True, zone, notes=(f"times are local to {zone}, by their offsets (--timezone)",))
