"""The level of evidence that a wanted rate of false alarms asks for, from evidence on rows without faults.

Evidence is made to mean -log10 of how rare a row is, and so the rate of events at level x would be 10^-x a row. That
is where the estimate begins, with the weight of a few events; what the history shows moves it. Events are counted as
alarms are: they end after CALM rows below the level, and the next begins `quiet` rows after the last at the earliest.
Above a level u that K events of n rows reach, their peaks have an exponential end (as in POT, Siffer et al. 2017)::

    rate(u) = (K + k) / (n + k 10^u)        x = u + beta ln(rate(u) / wanted)
    beta    = (sum of excesses + k / ln 10) / (K + k)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array

__all__ = ["CALM", "count_events", "peaks", "threshold_for"]

CALM = 12  # rows below the threshold that end an alarm
_PRIOR = 3.0  # events that the beginning weighs as much as
_EVENTS = 20  # peaks that the tail is fitted to, if there are so many
_LEAST = 1.0


def peaks(evidence: Array, level: float, quiet: int) -> Array:
    """Return the highest evidence of each alarm that a level would have raised, by the rule of the monitor."""
    above = np.flatnonzero(evidence >= level)
    after = np.flatnonzero(np.diff(above) > CALM) + 1  # where an alarm that lasted has ended
    begins, i = [], 0
    while i < len(above):
        begins.append(i)
        k = int(np.searchsorted(after, i, side="right"))
        if k == len(after):
            break
        i = max(int(after[k]), int(np.searchsorted(above, above[i] + quiet, side="right")))
    found: Array = np.maximum.reduceat(evidence[above], begins) if begins else np.empty(0)
    return found


def count_events(evidence: Array, level: float, quiet: int) -> int:
    """Count the alarms that a level would have raised.

    >>> import numpy as np
    >>> count_events(np.repeat([0, 4, 0, 4, 0, 4.0], [50, 5, 5, 5, 80, 5]), 3.0, quiet=40)
    2
    """
    return len(peaks(evidence, level, quiet))


@dataclass(frozen=True)
class _Tail:
    """How often events of one sort of evidence reach a level: rate e^(-(x - u) / beta) a row."""

    u: float
    rate: float
    beta: float

    @classmethod
    def of(cls, evidence: Array, least: float, quiet: int) -> _Tail:
        """Fit to the peaks of the highest `least` events, or of those above the lowest level."""
        rows = len(evidence)
        high = evidence[evidence >= _LEAST]
        u = float(high.min()) if high.size else _LEAST
        found = peaks(evidence, u, quiet)
        for level in np.quantile(high, np.linspace(1, 0, 100)) if high.size else ():
            if len(tops := peaks(evidence, level, quiet)) >= least:
                u, found = float(level), tops
                break
        count = len(found)
        beta = (float((found - u).sum()) + _PRIOR / np.log(10)) / (count + _PRIOR)
        return cls(u, (count + _PRIOR) / (rows + _PRIOR * 10**u), beta)

    def at(self, level: float) -> float:
        """Return events a row above a level."""
        return self.rate * float(np.exp(-(level - self.u) / self.beta))


def threshold_for(sources: Sequence[Array], rate: float, quiet: int) -> float:
    """Return the level at which events of all sources together come at a rate, in alarms a row.

    Each source is the evidence of one sort on rows without faults, (T,).
    """
    tails = [_Tail.of(evidence, max(_EVENTS, rate * len(evidence)), quiet) for evidence in sources]
    low, high = _LEAST, 300.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        if sum(tail.at(middle) for tail in tails) > rate:
            low = middle
        else:
            high = middle
    return high
