"""A rate of false alarms in words: "1 per week", "2 per day", "1 per 5000 rows"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rnncore.tables import InputError

__all__ = ["Rate", "parse_rate"]

_SECONDS = {
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
    "week": 7 * 86400.0,
    "month": 365.2425 / 12 * 86400,
    "year": 365.2425 * 86400,
}
_PATTERN = re.compile(r"\s*([0-9.eE+-]+)\s*(?:per|/|a|an|every)\s*([0-9.eE+]+)?\s*([a-z]+?)s?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Rate:
    """So many alarms in so many units."""

    text: str
    alarms: float
    length: float
    unit: str  # "row", or a unit of time

    def per_row(self, seconds: float | None) -> float:
        """Return the alarms in a row; seconds is the length of a step, None if there are no times.

        Raises InputError for a rate in time where there is none, and for more than one alarm in ten rows.
        """
        if self.unit == "row":
            rate = self.alarms / self.length
        elif seconds is None:
            raise InputError(
                f"false_alarms={self.text!r} needs times, and the rows have none: say '1 per 1000 rows', or name --time"
            )
        else:
            rate = self.alarms * seconds / (self.length * _SECONDS[self.unit])
        if rate > 0.1:
            raise InputError(
                f"false_alarms={self.text!r} is an alarm every {1 / rate:.2g} rows here, expected at least 10 rows"
            )
        return rate


def parse_rate(text: str) -> Rate:
    """Read a rate. Raises InputError for what is none.

    >>> parse_rate("1 per week").per_row(3600)
    0.005952380952380952
    >>> parse_rate("2 per 1000 rows").per_row(None)
    0.002
    """
    match = _PATTERN.fullmatch(str(text))
    try:
        if match is None:
            raise ValueError
        alarms, length = float(match[1]), float(match[2] or 1)
        unit = match[3].lower()
        if not 0 < alarms < float("inf") or not 0 < length < float("inf") or unit not in {*_SECONDS, "row"}:
            raise ValueError
    except ValueError:
        units = ", ".join(_SECONDS)
        raise InputError(
            f"false_alarms should be like '1 per week' or '1 per 5000 rows' (units {units}, row), got {text!r}"
        ) from None
    return Rate(text, alarms, length, unit)
