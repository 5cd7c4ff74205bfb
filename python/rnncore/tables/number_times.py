"""Times written as numbers: dates without marks, years, decimal years, epochs; or the numbers of steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.grid import DAY, SECOND
from rnncore.tables.stamps import Stamps, dates, is_date, weeks

_EPOCHS = (
    (1e8, 4.2e9, SECOND, "seconds"),
    (1e11, 4.2e12, 1_000_000, "milliseconds"),
    (1e14, 4.2e15, 1_000, "microseconds"),
    (1e17, 4.2e18, 1, "nanoseconds"),
)
_EXCEL = 25_569  # days from 1899-12-30 to 1970-01-01


def from_numbers(values: Array, name: str) -> Stamps:
    """Read numbers as dates written without marks, years, epochs, or else steps."""
    whole = values.dtype.kind == "i" or bool((values % 1 == 0).all())
    least, most = float(values.min()), float(values.max())
    if whole:
        numbers = values.astype(np.int64)
        stamps = _compact(numbers) or _year_and_part(numbers, name)
        if stamps is not None:
            return stamps
    elif least > 1500 and most < 2300 and (name == "ds" or _named(name, "year", "date", "time", "decimal", "jahr")):
        return _decimal_years(values)
    elif least >= 1 and most < 13 and (np.abs((values % 1) * 1e4 - np.rint((values % 1) * 1e4)) < 1e-6).all():
        years = np.rint((values % 1) * 1e4).astype(np.int64)  # 01.2012
        if years.min() >= 1800 and years.max() <= 2200:
            return dates(years, np.floor(values).astype(np.int64), np.ones_like(years))
    if least > 20_000 and most < 60_000 and _named(name, "date", "datum"):
        note = f"{name!r} holds days since 1899-12-30, as spreadsheets count them"
        return Stamps(np.rint((values - _EXCEL) * DAY).astype(np.int64), True, notes=(note,))
    for low, high, size, unit in _EPOCHS:
        if low <= least and most <= high:
            instants = values.astype(np.int64) * size if whole else np.rint(values * size).astype(np.int64)
            return Stamps(
                instants, True, "UTC", notes=(f"{name!r} holds {unit} since 1970: shown in UTC (--timezone)",)
            )
    return Stamps(values.astype(np.float64), False)


def _compact(numbers: Array) -> Stamps | None:
    """20120131, and with hours, minutes and seconds behind it."""
    digits = len(str(int(numbers.max())))
    if digits not in (8, 10, 12, 14) or numbers.min() < 10 ** (digits - 1):
        return None
    date, clock = np.divmod(numbers, 10 ** (digits - 8))
    years, months, days = date // 10_000, date // 100 % 100, date % 100
    if years.min() < 1800 or years.max() > 2200 or not is_date(years, months, days).all():
        return None
    parts = [
        clock // 10 ** (digits - 8 - 2 * k - 2) % 100 if digits > 8 + 2 * k else np.zeros_like(clock) for k in range(3)
    ]
    if (parts[0] > 24).any() or (parts[1] > 59).any() or (parts[2] > 59).any():
        return None
    stamps = dates(years, months, days)
    seconds = parts[0] * 3600 + parts[1] * 60 + parts[2]
    return replace(stamps, values=stamps.values + seconds * SECOND)


def _year_and_part(numbers: Array, name: str) -> Stamps | None:
    """2012; 201201 as a month, or as a week of ISO 8601 where some lie beyond 12."""
    least, most = int(numbers.min()), int(numbers.max())
    if least >= 1500 and most <= 2300 and _named(name, "year", "date", "time", "jahr", "ds", "period", "index"):
        ones = np.ones_like(numbers)
        return replace(dates(numbers, ones, ones), style="year")
    if not (least > 1800_00 and most < 2200_54):
        return None
    years, part = numbers // 100, numbers % 100
    if part.min() < 1 or part.max() > 53:
        return None
    if part.max() <= 12 and not _named(name, "week", "woche", "kw"):
        return dates(years, part, np.ones_like(part))
    return weeks(years, part)


def _named(name: str, *parts: str) -> bool:
    return any(part in name.lower() for part in parts)


def _decimal_years(values: Array) -> Stamps:
    """1959.0417: the middle or the beginning of a month or quarter where all are, else the day."""
    years = np.floor(values).astype(np.int64)
    share = values - years
    for shift in (0.0, 0.5):
        months = 12 * share - shift
        if (np.abs(months - np.rint(months)) < 0.06).all():
            whole = 12 * years + np.rint(months).astype(np.int64)
            return dates(whole // 12, whole % 12 + 1, np.ones_like(years))
    first = (years - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    after = (years - 1969).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    return Stamps((first + np.rint(share * (after - first)).astype(np.int64)) * DAY, True)
