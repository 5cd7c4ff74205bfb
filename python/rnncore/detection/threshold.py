"""The level of evidence that a wanted rate of false alarms asks for, from evidence on rows without faults.

Evidence is made to mean -log10 of how rare a row is, and so the rate of events at level x would be 10^-x a row. That
is where the estimate begins, with the weight of a few events; what the history shows moves it. Events are counted as
alarms are: one, however many rows of it are above the level, until `quiet` rows have passed. Above a level u that
K events of n rows reach, their peaks have an exponential end (as in POT, Siffer et al. 2017)::

    rate(u) = (K + k) / (n + k 10^u)        x = u + beta ln(rate(u) / wanted)
    beta    = (sum of excesses + k / ln 10) / (K + k)
"""

from __future__ import annotations

import numpy as np

from rnncore.arguments import Array

__all__ = ["count_events", "peaks", "threshold_for"]

_PRIOR = 3.0  # events that the beginning weighs as much as
_EVENTS = 20  # peaks that the tail is fitted to, if there are so many
_LEAST = 1.0


def peaks(evidence: Array, level: float, quiet: int) -> Array:
    """Return the highest evidence of each event above a level."""
    above = np.flatnonzero(evidence >= level)
    if not above.size:
        return np.empty(0)
    begins = np.flatnonzero(np.concatenate([[True], np.diff(above) > quiet]))
    found: Array = np.maximum.reduceat(evidence[above], begins)
    return found


def count_events(evidence: Array, level: float, quiet: int) -> int:
    """Count the alarms that a level would have raised.

    >>> import numpy as np
    >>> count_events(np.array([0, 4, 0, 4, 0, 0, 0, 4.0]), 3.0, quiet=2)
    2
    """
    return len(peaks(evidence, level, quiet))


def threshold_for(evidence: Array, rate: float, quiet: int) -> float:
    """Return the level at which events begin at a rate, in alarms a row."""
    rows = len(evidence)
    levels = np.quantile(evidence[evidence >= _LEAST], np.linspace(1, 0, 100)) if (evidence >= _LEAST).any() else []
    wanted = max(_EVENTS, rate * rows)
    u, found = _LEAST, peaks(evidence, _LEAST, quiet)
    for level in levels:
        if len(tops := peaks(evidence, level, quiet)) >= wanted:
            u, found = float(level), tops
            break
    at_level = (len(found) + _PRIOR) / (rows + _PRIOR * 10**u)
    beta = (float((found - u).sum()) + _PRIOR / np.log(10)) / (len(found) + _PRIOR)
    return max(u + beta * float(np.log(at_level / rate)), _LEAST)
