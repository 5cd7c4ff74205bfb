"""What goes wrong, by name.

An alarm has a kind from its first row on, which may change while it lasts: a spike is over at once, a level shift
stays. The kind follows from how many rows each evidence was above the threshold, and from how sudden the first was.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["EVIDENCE", "KINDS", "kind_of"]

# the order of the monitor (src/rnncore/detection/monitor.hpp): forecasts, then what can leave its range
EVIDENCE = ("forecast", "value", "level", "trend", "roughness", "spread", "repeats", "gap")
KINDS = ("spike", "level shift", "drift", "stuck", "noise", "missing data", "pattern")

_BRIEF = 3  # rows of a spike, at most
_SHORT = 15  # rows in which a spike moves the mean over 12
_SUDDEN = 2.0  # times the largest usual change


def kind_of(tally: Sequence[float], suddenness: float) -> str:
    """Return the kind of an alarm.

    Parameters
    ----------
    tally
        Rows since it began with evidence of each sort, in the order of EVIDENCE.
    suddenness
        The change at its first row, in the largest spread of changes that is usual.

    >>> kind_of([1, 1, 12, 60, 24, 0, 0, 0], 9.0), kind_of([20, 40, 60, 80, 0, 0, 0, 0], 9.0)
    ('spike', 'level shift')
    """
    _, value, level, trend, roughness, spread, repeats, gap = tally
    if gap:
        return "missing data"
    if repeats or spread > max(level, trend, value):
        return "stuck"
    sudden = suddenness > _SUDDEN
    if sudden and value <= _BRIEF and level <= _SHORT and (value or not (level or trend or roughness)):
        return "spike"
    if roughness > max(level, trend):
        return "noise"
    if level or trend:
        return "level shift" if sudden else "drift"
    return "noise" if roughness else "pattern"
