"""A regular grid of time: from positions to labels and local times, and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np

from rnncore.arguments import Array

SECOND = 1_000_000_000  # nanoseconds
DAY = 86_400 * SECOND
_UNITS = (
    (7 * DAY, "week"),
    (DAY, "day"),
    (3600 * SECOND, "hour"),
    (60 * SECOND, "minute"),
    (SECOND, "second"),
    (1_000_000, "millisecond"),
    (1_000, "microsecond"),
    (1, "nanosecond"),
)
_MONTHS = {1: "month", 3: "quarter", 12: "year"}

Kind = Literal["time", "day", "business", "month", "index"]
Style = Literal["", "week", "quarter", "year"]


@dataclass(frozen=True)
class Grid:
    """Regular steps. Position k stands for the k-th step after the origin; positions before it are negative.

    ========== =========================================== ============================================
    kind       origin and step are counted in              positions are
    ========== =========================================== ============================================
    "time"     nanoseconds since 1970 (UTC with a zone)    instants at even distances, below a day
    "day"      days since 1970-01-01                       local dates, whatever the clock does
    "business" workdays since 1970-01-01                   dates of a working week, without holidays
    "month"    months since 1970-01                        one day of each month, quarter or year
    "index"    the numbers themselves                      no times
    ========== =========================================== ============================================

    >>> grid = Grid("month", origin=600, step=3, style="quarter")
    >>> grid.name, grid.labels([0, 1, 5])
    ('quarter', ['2020Q1', '2020Q2', '2021Q2'])
    >>> Grid("time", origin=0, step=8_000_000).label(3)
    '1970-01-01T00:00:00.024'
    """

    kind: Kind
    origin: float
    step: float
    zone: str | None = None  # "Europe/Berlin" or "+01:00": instants of kind "time" are UTC, and shown in this zone
    of_day: int = 0  # nanoseconds after midnight, for days, workdays and months
    day: int = 1  # of the month; 31 stands for its end
    workday: bool = False  # of months: moved to the nearest workday within the month
    style: Style = ""  # of the labels
    week: str = "1111100"  # the workdays of kind "business", Monday first
    holidays: tuple[int, ...] = ()  # days since 1970-01-01 that are no workdays

    @property
    def calendar(self) -> bool:
        """Whether positions have dates."""
        return self.kind != "index"

    @property
    def name(self) -> str:
        """What one step is called: "day", "15 minutes"."""
        if self.kind == "index":
            return "step" if self.step == 1 else f"step of {self.step:g}"
        if self.kind == "business":
            return "business day"
        if self.kind == "month":
            return _MONTHS.get(int(self.step), f"{self.step:g} months")
        length = self.step * DAY if self.kind == "day" else self.step
        shown = [(f"{length / size:.6g}", unit) for size, unit in _UNITS if size <= length or size == 1]
        number, unit = min(shown, key=lambda each: len(each[0]))  # the largest unit of those that need few digits
        return unit if number == "1" else f"{number} {unit}s"

    @property
    def days(self) -> float:
        """Mean length of a step in days; not for an index."""
        if self.kind == "month":
            return self.step * 365.2425 / 12
        return {"time": self.step / DAY, "business": 7 / self.week.count("1")}.get(self.kind, self.step)

    def instants(self, positions: Any) -> Array:
        """Return int64 nanoseconds since 1970 at whole positions: UTC with a zone, else local; not for an index."""
        where = np.asarray(positions)
        if self.kind == "time":
            offset = where.astype(np.int64) * int(self.step) if self.step % 1 == 0 else np.rint(where * self.step)
            return int(self.origin) + offset.astype(np.int64)
        steps = (self.origin + self.step * where).astype(np.int64)
        if self.kind == "day":
            dates = steps
        elif self.kind == "business":
            dates = np.busday_offset(_date(0), steps, roll="forward", **self._workdays).astype(np.int64)
        else:
            dates = self._dates_of_months(steps.astype("datetime64[M]"))
        return dates * DAY + self.of_day

    @property
    def _workdays(self) -> dict[str, Any]:
        return {"weekmask": self.week, "holidays": np.array(self.holidays, np.int64).astype("datetime64[D]")}

    def _dates_of_months(self, months: Array) -> Array:
        """Days since 1970-01-01 of the day of each month that the grid means."""
        first, after = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
        day: Array = first + (np.minimum(self.day, (after - first).astype(np.int64)) - 1)
        if self.workday:
            day = np.busday_offset(day, 0, roll="modifiedfollowing" if self.day < 15 else "modifiedpreceding")
        return day.astype(np.int64)

    def local(self, positions: Any) -> Array:
        """Return the local time (datetime64[ns]) at whole positions: what clocks show there; not for an index."""
        return to_local(self.instants(positions), self.zone if self.kind == "time" else None).view("datetime64[ns]")

    def stamps(self, positions: Any) -> Any:
        """Return what a time column of a frame holds at some positions.

        Local times (datetime64[ns]), pandas' stamps where there is a zone, the numbers of an index.
        """
        where = np.asarray(positions)
        if self.kind == "index":
            numbers = self.origin + self.step * where
            return numbers.astype(np.int64) if self.origin % 1 == 0 and self.step % 1 == 0 else numbers
        if self.zone is None:
            return self.local(where)
        import pandas as pd

        if self.kind == "time":
            return pd.DatetimeIndex(self.instants(where), tz="UTC").tz_convert(as_zone(self.zone))
        dates = pd.DatetimeIndex(self.local(where))
        return dates.tz_localize(
            as_zone(self.zone), ambiguous=np.ones(len(dates), np.bool_), nonexistent="shift_forward"
        )

    def seconds(self, positions: Any) -> Array:
        """Return seconds since 1970 by the local clock, as float64; not for an index."""
        seconds: Array = self.local(positions).astype(np.int64) / SECOND
        return seconds

    def positions(self, instants: Array) -> Array:
        """Return the position of each instant (see `instants`; of an index, of each number): whole on the grid."""
        if self.kind == "time":
            since: Array = (np.asarray(instants, np.int64) - int(self.origin)) / self.step
            return since
        if self.kind == "index":
            return (np.asarray(instants, np.float64) - self.origin) / self.step
        dates = np.asarray(instants, np.int64) // DAY
        if self.kind == "day":
            return (np.asarray(instants, np.int64) - self.of_day - int(self.origin) * DAY) / (self.step * DAY)
        if self.kind == "business":
            counted = np.busday_count(_date(0), dates.astype("datetime64[D]"), **self._workdays)
            workdays: Array = (counted - self.origin) / self.step
            return workdays
        return (dates.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) - self.origin) / self.step

    def at_local(self, times: Array) -> Array:
        """Return the position, as a real number, of local times (datetime64); not for an index.

        Of an hour that clocks show twice the first is taken, of one that they skip the end.
        """
        local = times.astype("datetime64[ns]").astype(np.int64)
        if self.kind == "time" and self.zone is not None:
            local = to_utc(local, self.zone)
        return self.positions(local)

    def label(self, position: int) -> str:
        """Return the time stamp at a position: local time in ISO 8601, a period, or the number of an index."""
        return self.labels([position])[0]

    def labels(self, positions: Any) -> list[str]:
        """Return the time stamp at every position."""
        where = np.asarray(positions)
        if self.kind == "index":
            digits = max(_decimals(self.step), _decimals(self.origin))
            numbers = (self.origin + self.step * where).tolist()
            return [f"{number:.12g}" if digits > 9 else f"{number:.{digits}f}" for number in numbers]
        local = self.local(where)
        if self.style == "week":
            weeks = [date.isocalendar() for date in local.astype("datetime64[D]").tolist()]
            return [f"{week.year}-W{week.week:02}" for week in weeks]
        if self.style == "quarter":
            months = local.astype("datetime64[M]").astype(np.int64)
            return [f"{1970 + month // 12}Q{month % 12 // 3 + 1}" for month in months.tolist()]
        if self.style == "year":
            return [str(1970 + year) for year in local.astype("datetime64[Y]").astype(np.int64).tolist()]
        if self.kind != "time":
            return _iso(local, "D" if self.of_day == 0 else _unit(self.of_day))
        texts = _iso(*_in_unit(local, _unit(int(self.origin), self.step)))
        if self.zone is None:
            return texts
        offsets = (local.astype(np.int64) - self.instants(where)) // (60 * SECOND)
        return [text + offset_text(offset) for text, offset in zip(texts, offsets.tolist(), strict=True)]

    def next_labels(self, position: int, count: int) -> list[str]:
        """Return the `count` time stamps after a position."""
        return self.labels(position + np.arange(1, count + 1))

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; `Grid(**...)` makes it again."""
        return asdict(self)

    def shifted(self, steps: int) -> Grid:
        """Return the same grid with its origin `steps` later."""
        return replace(self, origin=self.origin + steps * self.step)


def to_local(instants: Array, zone: str | None) -> Array:
    """Return UTC instants (int64 nanoseconds) as nanoseconds that a clock in the zone shows."""
    if zone is None:
        return instants
    import pandas as pd

    stamps = pd.DatetimeIndex(instants.reshape(-1), tz="UTC").tz_convert(as_zone(zone))
    local: Array = stamps.tz_localize(None).as_unit("ns").asi8
    return local.reshape(instants.shape)


def to_utc(local: Array, zone: str) -> Array:
    """Return the instants at which a clock in the zone shows these nanoseconds, the first of two."""
    import pandas as pd

    stamps = pd.DatetimeIndex(local.reshape(-1).view("datetime64[ns]"))
    first = np.ones(len(stamps), np.bool_)
    aware = stamps.tz_localize(as_zone(zone), ambiguous=first, nonexistent="shift_forward")
    instants: Array = aware.tz_convert("UTC").tz_localize(None).as_unit("ns").asi8
    return instants.reshape(local.shape)


def as_zone(zone: str) -> Any:
    """Return tzinfo for a name or an offset such as +01:00. Raises ValueError for an unknown one."""
    if zone[0] in "+-":
        return datetime.strptime(zone, "%z").tzinfo
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {zone!r} (Europe/Berlin is one, +01:00 another)") from None


def offset_text(minutes: int) -> str:
    """+01:00 for 60; Z for 0."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else "Z"


def _iso(times: Array, unit: str) -> list[str]:
    texts: list[str] = np.datetime_as_string(times, unit=unit).tolist()  # type: ignore[call-overload]
    return texts


def _in_unit(times: Array, unit: str) -> tuple[Array, str]:
    """Round to milliseconds where steps are none: a third of a second is .333, two are .667."""
    if unit == "ms":
        times = (np.rint(times.astype(np.int64) / 1_000_000).astype(np.int64)).astype("datetime64[ms]")
    return times, unit


def _unit(*lengths: float) -> str:
    """The coarsest unit in which these nanoseconds are whole; milliseconds for steps that are none, if long."""
    units = ((60 * SECOND, "m"), (SECOND, "s"), (1_000_000, "ms"), (1_000, "us"))
    fine = "ms" if lengths[-1] > 10_000_000 and lengths[-1] % 1 else "ns"
    return next((unit for size, unit in units if all(length % size == 0 for length in lengths)), fine)


def _date(days: int) -> np.datetime64:
    return np.datetime64(days, "D")


def _decimals(number: float) -> int:
    """Digits behind the point that a number needs, 10 for many."""
    return next((digits for digits in range(10) if abs(round(number, digits) - number) <= 1e-12 * abs(number)), 10)
