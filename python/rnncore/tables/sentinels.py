"""Numbers that stand for a missing value, as -9999: far outside all others, and repeated."""

from __future__ import annotations

import re

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.table import Table

_FAR = 10.0  # ranges of the other values, between them and it
_NEAR = 0.5  # of the same, for numbers that look like a mark
_MARK = re.compile(r"-?(9{2,}(\.9+)?|8{3,}|7{3,}|6{3,}|32768|32767|2147483648|1e\+?\d\d)")
_LEAST = 2  # times
_MOST = 0.9  # of the rows


def without_sentinels(values: Array, name: str, table: Table) -> Array:
    """Return values with NaN for every such number, each named in a note; one value far outside is named alone."""
    known = values[~np.isnan(values)]
    for _ in range(3):  # -999 and -9999 in one column
        distinct, counts = np.unique(known, return_counts=True)
        if len(distinct) < 3:
            break
        k = _far_end(distinct)
        number, times = float(distinct[k]), int(counts[k])
        gap, spread = _gap(distinct, k)
        looks = _MARK.fullmatch(f"{number:g}".replace("e+", "e+")) is not None
        if times >= _LEAST and number != 0 and times < _MOST * len(known) and gap > (_NEAR if looks else _FAR) * spread:
            table.notes.append(
                f"{number:g} in column {name!r} stands for a missing value ({times} times, far outside all others)"
            )
            values = np.where(values == number, np.nan, values)
            known = known[known != number]
            continue
        if times == 1 and gap > _FAR * spread:
            row = int(np.flatnonzero(values == number)[0])
            table.notes.append(f"{table.where(row)}: {number:g} in column {name!r} lies far outside all other values")
        break
    return values


def _far_end(distinct: Array) -> int:
    """The end that lies farther from its neighbour."""
    return 0 if distinct[1] - distinct[0] >= distinct[-1] - distinct[-2] else len(distinct) - 1


def _gap(distinct: Array, k: int) -> tuple[float, float]:
    """Distance of an end from its neighbour, and the range of all others."""
    others = distinct[1:] if k == 0 else distinct[:-1]
    gap = distinct[1] - distinct[0] if k == 0 else distinct[-1] - distinct[-2]
    return float(gap), float(max(np.ptp(others), 1e-12 * np.abs(others).max()))
