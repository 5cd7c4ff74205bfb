"""The score of the Numenta Anomaly Benchmark, as its authors define it (Lavin & Ahmad 2015), written anew.

A detection inside a labelled window counts once, the earliest one the most; one outside costs, the less the sooner it
follows a window::

    sigma(p) = 2 / (1 + exp(5 p)) - 1        -1 beyond p = 3
    in a window      tp * sigma(-(right - i + 1) / width) / sigma(-1), the best of the window, or -fn for none
    behind a window  fp * sigma((i - right) / (width - 1)),  -fp before the first one

The first 15 % of a file, at most 750 rows, are for learning and count nothing. A sum over files becomes a score by the
one that no detection gets (0) and the one of a detection at the first row of every window (100).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array

__all__ = ["PROFILES", "Profile", "corpus_score", "file_score", "probation"]


@dataclass(frozen=True)
class Profile:
    """What a detection, a miss and a false alarm weigh."""

    tp: float = 1.0
    fn: float = 1.0
    fp: float = 0.11


PROFILES = {
    "standard": Profile(),
    "reward_low_FP_rate": Profile(fp=0.22),
    "reward_low_FN_rate": Profile(fn=2.0),
}


def probation(rows: int) -> int:
    """Return how many of a file's rows are for learning."""
    return int(min(np.floor(0.15 * rows), 0.15 * 5000))


def _sigma(position: Array) -> Array:
    """Return the weight of a place relative to a window: 1 far before its end, 0 at it, -1 far behind."""
    scaled = 2 / (1 + np.exp(5 * np.minimum(position, 3.0))) - 1
    return np.where(position > 3.0, -1.0, scaled)


def file_score(
    detections: Array, windows: Sequence[tuple[int, int]], profile: Profile, skipped: int | None = None
) -> float:
    """Return the score of one file.

    Parameters
    ----------
    detections
        (T,) bool, a detection at each row.
    windows
        First and last row of each labelled window.
    skipped
        Rows for learning, `probation(T)` by default.

    Example: a detection at the first row of the only window has the most that there is.

    >>> import numpy as np
    >>> file_score(np.arange(100) == 40, [(40, 59)], PROFILES["standard"])
    1.0
    >>> file_score(np.arange(100) == 30, [(40, 59)], PROFILES["standard"])
    -1.11
    """
    rows = len(detections)
    skipped = probation(rows) if skipped is None else skipped
    found = np.flatnonzero(detections)
    found = found[found >= skipped]
    outside = np.ones(len(found), bool)
    previous = np.full(len(found), -1)  # the last window that ended before
    score = 0.0
    for k, (left, right) in enumerate(windows):
        inside = (found >= left) & (found <= right)
        outside &= ~inside
        previous[found > right] = k
        if right >= skipped:
            places = -(right - found[inside] + 1) / (right - left + 1)
            best = profile.tp * _sigma(places) / _sigma(np.array(-1.0))
            score += float(best.max(initial=-profile.fn))
    ends = np.array([right for _, right in windows] or [0])[previous]
    widths = np.array([right - left for left, right in windows] or [1])[previous]
    behind = _sigma((found - ends) / np.maximum(widths, 1))
    cost = np.where(previous < 0, -1.0, behind)
    return float(np.round(score + profile.fp * cost[outside].sum(), 12))


def corpus_score(
    detections: Sequence[Array],
    windows: Sequence[Sequence[tuple[int, int]]],
    profile: Profile,
    skipped: int | None = None,
) -> float:
    """Return the score of many files, 0 for no detections at all and 100 for perfect ones."""
    pairs = list(zip(detections, windows, strict=True))
    total = sum(file_score(d, w, profile, skipped) for d, w in pairs)
    begins = [(w, probation(len(d)) if skipped is None else skipped) for d, w in pairs]
    count = sum(right >= begin for w, begin in begins for _, right in w)
    if not count:
        raise ValueError("windows should hold at least one labelled window, got none")
    return 100 * (total + profile.fn * count) / ((profile.tp + profile.fn) * count)
