"""How good alarms are against known events: precision, recall and F1 by event, and the area under the PR surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array

__all__ = ["Found", "as_events", "match", "vus_pr"]

AFTERMATH = 96  # rows behind an event in which an alarm still belongs to it: the longest window of the evidence


@dataclass(frozen=True)
class Found:
    """Events found and missed, alarms that belong to none."""

    events: int
    found: tuple[int, ...]
    """The events with an alarm, by number."""
    false: tuple[int, ...]
    """The alarms without an event, by number."""

    @property
    def missed(self) -> list[int]:
        """The events without an alarm, by number."""
        return [k for k in range(self.events) if k not in self.found]

    @property
    def precision(self) -> float:
        """Events found, of these and the false alarms; 1 if there are neither."""
        count = len(self.found) + len(self.false)
        return len(self.found) / count if count else 1.0

    @property
    def recall(self) -> float:
        """Events found, of all; 1 if there are none."""
        return len(self.found) / self.events if self.events else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def match(alarms: Sequence[int], events: Sequence[tuple[int, int]], aftermath: int = AFTERMATH) -> Found:
    """Match first rows of alarms with events [begin, end): found by an alarm that begins in the event.

    An alarm that begins within `aftermath` rows behind an event is neither found nor false.

    >>> result = match([5, 12, 400], [(10, 20), (100, 110)])
    >>> result.found, result.false, round(result.f1, 2)
    ((0,), (0, 2), 0.4)
    """
    rows = np.asarray(alarms, np.int64)
    found = tuple(k for k, (begin, end) in enumerate(events) if ((rows >= begin) & (rows < end)).any())
    near = np.zeros(len(rows), bool)
    for begin, end in events:
        near |= (rows >= begin) & (rows < end + aftermath)
    return Found(len(events), found, tuple(np.flatnonzero(~near).tolist()))


def as_events(labels: Array) -> list[tuple[int, int]]:
    """Return the runs of true labels as [begin, end).

    >>> as_events(np.array([0, 1, 1, 0, 1]))
    [(1, 3), (4, 5)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(labels, np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def vus_pr(score: Array, labels: Array, longest: int = 100, thresholds: int = 250) -> float:
    """Return the volume under the surface of precision and recall (Paparrizos et al. 2022), in [0, 1].

    Labels get flanks of half a buffer on both sides, sqrt(1 - distance / buffer) high; recall is weighted by the share
    of events that have any row above the threshold. The areas of average precision are averaged over eleven buffers
    from 0 to `longest` rows.

    >>> labels = np.arange(300) // 20 == 5
    >>> vus_pr(labels + 0.0, labels, longest=0)
    1.0
    """
    events = as_events(labels)
    if not events:
        raise ValueError("labels should hold at least one event, got none")
    order = np.argsort(-np.asarray(score), kind="stable")
    counts = np.unique(np.linspace(1, len(order), thresholds).astype(int))
    areas = [_area(order, counts, events, buffer) for buffer in np.linspace(0, longest, 11).astype(int)]
    return float(np.mean(areas))


def _area(order: Array, counts: Array, events: list[tuple[int, int]], buffer: int) -> float:
    rows = np.arange(len(order))
    soft, seen = np.zeros(len(order)), np.zeros(len(counts))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    for begin, end in events:
        distance = np.maximum(np.maximum(begin - rows, rows - (end - 1)), 0)
        near = distance <= buffer // 2
        soft[near] = np.maximum(soft[near], np.sqrt(1 - distance[near] / max(buffer, 1)))
        seen += counts >= rank[near].min()
    hits = np.cumsum(soft[order])[counts - 1]
    inside = sum(end - begin for begin, end in events)
    recall = np.minimum(hits / ((inside + soft.sum()) / 2), 1.0) * seen / len(events)
    precision = hits / counts
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))
