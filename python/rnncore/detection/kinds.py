"""What goes wrong, by name.

An alarm has a kind from its first row on, which may change while it lasts: a spike is over at once, a level shift
stays. The kind follows from how many rows each evidence was above the threshold, and from how sudden the first was.
"""

from __future__ import annotations

from collections.abc import Sequence

from rnncore import _core

__all__ = ["EVIDENCE", "KINDS", "kind_of"]

EVIDENCE: tuple[str, ...] = _core.evidence_names
"""What evidence is of: forecasts, then what can leave its range, as the monitor counts them."""
KINDS: tuple[str, ...] = _core.kind_names


def kind_of(tally: Sequence[float], suddenness: float) -> str:
    """Return the kind of an alarm.

    Parameters
    ----------
    tally
        Rows since it began with evidence of each sort, in the order of EVIDENCE.
    suddenness
        The change at its first row, in the largest spread of changes that is usual.

    >>> kind_of([1, 1, 12, 60, 24, 0, 0, 0, 0], 9.0), kind_of([20, 40, 60, 80, 0, 0, 0, 0, 0], 9.0)
    ('spike', 'level shift')
    """
    return _core.kind_of(list(tally), suddenness)
