"""Time zones: as told, or known by their offsets from UTC, or by an hour that stands there twice in autumn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.errors import InputError
from rnncore.tables.grid import DAY, SECOND, as_zone
from rnncore.tables.stamps import Stamps, uniques
from rnncore.tables.table import Table

LIKELY_ZONES = (
    "Europe/London", "Europe/Berlin", "Europe/Helsinki", "America/New_York", "America/Chicago", "America/Denver",
    "America/Los_Angeles", "Australia/Sydney", "Australia/Adelaide", "Pacific/Auckland",
)  # fmt: skip
_PROBES = 300  # of the offsets, besides those beside a change


def localised(table: Table, stamps: Stamps, rows: list[Array], told: str | None) -> Stamps:
    """Put stamps into the zone that is told; or find the one whose clock shows an hour twice where stamps repeat.

    The first of two equal stamps of a series is taken as summer time, the second as winter time.
    """
    if told is not None:
        try:
            as_zone(told)
        except ValueError as error:
            raise InputError(f"--timezone: {error}") from None
        if not stamps.calendar:
            raise InputError(f"--timezone {told}: the time column holds numbers, no times")
        if stamps.zone is not None:
            return replace(stamps, zone=told)
        found, row = _in_zone(stamps, rows, told)
        if found is None:
            raise InputError(
                f"--timezone: the time on {table.where(row)} does not exist in {told}, when clocks go forward"
            )
        return found
    if not stamps.calendar or stamps.zone is not None or not stamps.full:
        return stamps
    if not any(len(uniques(stamps.values[each])) < len(each) for each in rows):
        return stamps
    for zone in LIKELY_ZONES:
        found, _ = _in_zone(stamps, rows, zone)
        if found is not None and all(len(uniques(found.values[each])) == len(each) for each in rows):
            table.notes.append(
                f"an hour stands there twice when clocks go back: times are local to {zone} (--timezone)"
            )
            return found
    return stamps


def _in_zone(stamps: Stamps, rows: list[Array], zone: str) -> tuple[Stamps | None, int]:
    """Stamps as UTC instants of a zone; None, and the first row, if clocks there never show one of them."""
    import pandas as pd

    second = np.zeros(len(stamps.values), np.bool_)
    for each in rows:
        order = each[np.lexsort((each, stamps.values[each]))]
        second[order[1:]] = np.diff(stamps.values[order]) == 0
    local = pd.DatetimeIndex(stamps.values.view("datetime64[ns]"))
    aware = local.tz_localize(as_zone(zone), ambiguous=~second, nonexistent="NaT")
    absent = np.asarray(aware.isna())
    if absent.any() and (stamps.values[absent] % DAY != 0).any():
        return None, int(np.flatnonzero(absent)[0])
    return replace(stamps, values=aware.tz_convert("UTC").tz_localize(None).as_unit("ns").asi8, zone=zone), -1


def find_zone(instants: Array, offsets: Array) -> str | None:
    """Return a time zone that has these offsets (in minutes) at these instants (UTC), the likeliest first."""
    import zoneinfo

    order = np.argsort(instants, kind="stable")
    changes = order[np.flatnonzero(np.diff(offsets[order]))]
    chosen = uniques(np.concatenate([changes, order[:: max(1, len(order) // _PROBES)], order[-1:]]))
    for zone in (*LIKELY_ZONES, *sorted(zoneinfo.available_timezones())):
        if _has_offsets(zone, instants[chosen], offsets[chosen]):
            return zone
    return None


def _has_offsets(zone: str, instants: Array, offsets: Array) -> bool:
    import pandas as pd

    stamps = pd.DatetimeIndex(instants, tz="UTC").tz_convert(as_zone(zone))
    local = stamps.tz_localize(None).as_unit("ns").asi8
    return bool((local - instants == offsets * 60 * SECOND).all())
