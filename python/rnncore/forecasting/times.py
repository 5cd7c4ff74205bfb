"""Time stamps: from text to instants, and from instants to positions on a regular grid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.errors import InputError

DAY = 86_400  # seconds
_UNITS = ((7 * DAY, "week"), (DAY, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_MONTH_SPANS = ((1, 28, 31), (2, 59, 62), (3, 89, 92), (6, 181, 184), (12, 365, 366))  # months, days at least, at most
_SNAP = 0.1  # of a step: time stamps so near to the grid are moved onto it
_SLASHED = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})(.*)")


@dataclass(frozen=True)
class Grid:
    """Regular steps of time. Position k stands for the k-th step after the origin."""

    kind: Literal["seconds", "months", "business", "index"]
    origin: float  # seconds since 1970; months since 1970-01; business days since 1970-01-01; the number itself
    step: float  # in the same unit
    day: int = 1  # of the month; 31 stands for its end
    dates_only: bool = True

    @property
    def name(self) -> str:
        """What one step is called: "day", "15 minutes"."""
        if self.kind == "index":
            return "step" if self.step == 1 else f"step of {self.step:g}"
        if self.kind == "business":
            return "business day"
        if self.kind == "months":
            names = {1: "month", 3: "quarter", 12: "year"}
            return names.get(int(self.step), f"{self.step:g} months")
        size, unit = next((size, unit) for size, unit in _UNITS if self.step % size == 0 or size == 1)
        return unit if self.step == size else f"{self.step / size:g} {unit}s"

    def seconds(self, positions: Array) -> Array:
        """Return seconds since 1970 at some positions; not for an index."""
        if self.kind == "seconds":
            instants: Array = self.origin + self.step * positions
            return instants
        if self.kind == "business":
            days = np.busday_offset(np.datetime64(0, "D"), (self.origin + positions).astype(np.int64), roll="forward")
            workdays: Array = days.astype(np.int64) * float(DAY)
            return workdays
        months = (self.origin + self.step * positions).astype(np.int64).astype("datetime64[M]")
        length = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
        days = months.astype("datetime64[D]").astype(np.int64) + np.minimum(self.day, length) - 1
        seconds: Array = days * float(DAY)
        return seconds

    def label(self, position: int) -> str:
        """Return the time stamp at a position, in ISO 8601, or the number of an index."""
        if self.kind == "index":
            return f"{self.origin + self.step * position:.12g}"
        instant = datetime.fromtimestamp(float(self.seconds(np.array([position]))[0]), UTC).replace(tzinfo=None)
        if self.dates_only:
            return instant.date().isoformat()
        return instant.isoformat(timespec="seconds" if self.step % 60 else "minutes")

    def positions(self, instants: Array) -> Array:
        """Return the position of each instant, as a real number: whole if it lies on the grid."""
        if self.kind in ("seconds", "index"):
            return (instants - self.origin) / self.step
        days = (instants // DAY).astype(np.int64).astype("datetime64[D]")
        if self.kind == "business":
            return np.busday_count(np.datetime64(0, "D"), days) - self.origin
        return (days.astype("datetime64[M]").astype(np.int64) - self.origin) / self.step


def parse_times(texts: list[str], lines: list[int], column: str, time_format: str | None = None) -> tuple[Array, bool]:
    """Return seconds since 1970 (UTC if offsets are given), and whether they are instants at all, or plain numbers.

    Understands ISO 8601 (also 2012-01 and 20120131), day/month/year or month/day/year where some row settles which,
    plain numbers as an index, and whatever time_format describes in strptime's terms. Raises InputError that names the
    first line that is none of these.
    """
    if time_format is None and all(_is_plain_number(text) for text in texts):
        return np.array([float(text) for text in texts]), False
    formats = (time_format,) if time_format else _slashed_formats(texts, column)
    instants = np.empty(len(texts))
    aware = set()
    for row, text in enumerate(texts):
        instant = _parse(text, formats)
        if instant is None:
            expected = f"as {time_format!r}" if time_format else "(ISO 8601 is 2024-01-31; see --time-format)"
            raise InputError(f"column {column!r}, line {lines[row]}: cannot read the time {text!r} {expected}")
        aware.add(instant.tzinfo is not None)
        instants[row] = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    if len(aware) > 1:
        raise InputError(f"column {column!r}: some times have an offset from UTC and others have none")
    return instants, True


def _parse(text: str, formats: tuple[str, ...]) -> datetime | None:
    for form in formats:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    if formats:
        return None
    try:
        return datetime.fromisoformat(text + "-01" if re.fullmatch(r"\d{4}-\d{2}", text) else text)
    except ValueError:
        return None


def _slashed_formats(texts: list[str], column: str) -> tuple[str, ...]:
    """Formats for 31/01/2012 or 01/31/2012, whichever fits all rows; none if the first row is not so written."""
    found = _SLASHED.fullmatch(texts[0])
    if not found:
        return ()
    separator = "/" if "/" in texts[0] else "."
    fields = [match.groups() for match in map(_SLASHED.fullmatch, texts) if match]
    day_first, month_first = (any(int(entry[k]) > 12 for entry in fields) for k in (0, 1))
    if not day_first and not month_first and separator == "/":
        raise InputError(
            f"column {column!r}: {texts[0]!r} may be day/month or month/day: give --time-format, %d/%m/%Y or %m/%d/%Y"
        )
    order = ("%m", "%d") if month_first and not day_first else ("%d", "%m")
    date = separator.join((*order, "%Y"))
    return (date, f"{date} %H:%M", f"{date} %H:%M:%S")


def _is_plain_number(text: str) -> bool:
    if re.fullmatch(r"(18|19|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", text):  # 20120131 is a date
        return False
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def infer_grid(groups: list[Array], calendar: bool) -> Grid:
    """Find the regular steps on which sorted instants lie; groups holds those of each series.

    The commonest distance between neighbours is the step. Raises InputError if no series has two rows.
    """
    gaps = np.concatenate([np.diff(instants) for instants in groups])
    if not gaps.size:
        raise InputError("too few rows: no series has two time stamps")
    sizes, counts = np.unique(gaps, return_counts=True)
    step = float(sizes[np.argmax(counts)])
    everything = np.concatenate(groups)
    first = float(everything.min())
    if not calendar:
        return Grid("index", first, step)
    dates_only = bool((everything % DAY == 0).all())
    if dates_only:
        monthly = _monthly_grid(everything, gaps)
        if monthly:
            return monthly
        days = (everything // DAY).astype(np.int64)
        weekday = (days + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
        if step == DAY and weekday.max() <= 4 and len(np.unique(weekday)) == 5:
            origin = np.busday_count(np.datetime64(0, "D"), days.min().astype("datetime64[D]"))
            return Grid("business", float(origin), 1.0)
    step = _even_step(step, everything - first)
    return Grid("seconds", first, step, dates_only=dates_only and step % DAY == 0)


def _even_step(step: float, instants: Array) -> float:
    """Return the part or multiple of a day next to a step that is none, if it fits: clocks that drift look so."""
    even = DAY * round(step / DAY) if step > 0.75 * DAY else DAY / max(1, round(DAY / step))
    if even == step or abs(even - step) > 0.02 * step:
        return step
    places = instants / even
    return even if (np.abs(places - np.round(places)) <= _SNAP).all() else step


def _monthly_grid(instants: Array, gaps: Array) -> Grid | None:
    """Steps of whole months, if all stamps stand on one day of the month, or at its end."""
    days = (instants // DAY).astype(np.int64).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    of_month = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
    at_end = (days + 1).astype("datetime64[M]") != months
    common = np.median(gaps / DAY)
    span = next((span for span, least, most in _MONTH_SPANS if least <= common <= most), None)
    if span is None or not (at_end.all() or (of_month == of_month[0]).all()):
        return None
    day = int(of_month[0]) if not at_end.all() else 31
    return Grid("months", float(months.min().astype(np.int64)), float(span), day=day)


def snap(grid: Grid, instants: Array, lines: list[int]) -> tuple[Array, int]:
    """Return whole positions of the instants, and how many were moved to them.

    Raises InputError that names the first line that lies off the grid by more than a tenth of a step.
    """
    exact = grid.positions(instants)
    whole = np.round(exact)
    off = np.abs(exact - whole)
    far = np.flatnonzero(off > _SNAP)
    if far.size:
        line = lines[int(far[0])]
        raise InputError(f"times are not regular: most rows are one {grid.name} apart, but line {line} lies in between")
    return whole.astype(np.int64), int((off > 1e-6).sum())
