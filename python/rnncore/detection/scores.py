"""What a detector says of a block of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from rnncore.arguments import Array
from rnncore.detection.alarm import Alarm
from rnncore.detection.kinds import EVIDENCE, kind_of
from rnncore.detection.rows import Rows
from rnncore.tables import like

__all__ = ["Scores", "as_score", "blamed"]


def as_score(evidence: Any, threshold: float) -> Any:
    """Return evidence as a score in [0, 1) that is 0.5 at the threshold: e / (e + threshold).

    >>> as_score(3.0, 3.0), as_score(0.0, 3.0)
    (0.5, 0.0)
    """
    return evidence / (evidence + threshold)


def blamed(errors: Array, out: Array, first: int, threshold: float) -> list[int]:
    """Return the channels to blame, the foremost first: far outside a range, or by errors like the largest one.

    errors is (K, C), in spreads, and out (statistics, C), evidence.
    """
    size = np.abs(errors).mean(axis=0) if errors.size else np.zeros(out.shape[1])
    outside = out.max(axis=0)
    guilty = (outside >= threshold) | ((size >= 3) & (size >= 0.5 * size.max()))
    order = np.argsort(-np.maximum(outside, size), kind="stable")
    return [first, *[int(c) for c in order if guilty[c] and c != first]]


@dataclass(frozen=True)
class Scores:
    """T rows of C channels, judged."""

    score: Array
    """(T,) in [0, 1], 0.5 at the threshold."""
    evidence: Array
    """(T,) about -log10 of how rare each row is."""
    expected: Array
    """(T, C) the value that was expected; NaN where there was no forecast."""
    low: Array
    """(T, C) the lower edge of the band in which 95 % of usual values lie."""
    high: Array
    """(T, C) its upper edge."""
    blame: Array
    """(T,) the channel that contributes most to the evidence, by number."""
    kind: Array
    """(T,) what the evidence is of, by number in `rnncore.detection.kinds.EVIDENCE`."""
    alarmed: Array
    """(T,) whether an alarm lasts."""
    alarms: list[Alarm]
    """The alarms, with their ends."""
    rows: Rows
    """The rows themselves."""
    alarms_from: int = 0
    """The number of the first row, as alarms count them."""

    @classmethod
    def of(cls, rows: Rows, offset: int, threshold: float, normal: dict[str, Any], verdicts: Any, bands: Array) -> Self:
        """Gather what the monitor said of a block; offset is the number of the first row."""
        evidence, kind, channel, event = (verdicts[name] for name in ("evidence", "kind", "channel", "event"))
        errors, out = verdicts["errors"], verdicts["out"]
        count, width = rows.values.shape
        centre, scale = np.array(normal["centre"]), np.array(normal["scale"])
        expected, low, high = (centre + scale * np.sinh(verdicts["expected"] + side * bands) for side in (0, -1, 1))
        if not errors.shape[1]:  # no forecasts: the middle of the range, and the range
            low = np.broadcast_to(centre + scale * np.array(normal["low"][:width]), (count, width))
            high = np.broadcast_to(centre + scale * np.array(normal["high"][:width]), (count, width))
            expected = (low + high) / 2
        alarmed = np.zeros(count, bool)
        alarms = []
        for begin in np.flatnonzero(event == 1).tolist():
            ends = np.flatnonzero(event[begin + 1 :])  # it ends, or another takes its place
            end = begin + 1 + int(ends[0]) if ends.size else count
            alarmed[begin:end] = True
            tally = np.concatenate([[verdicts["heads"][begin:end]], out[begin:end].max(axis=2).T]) >= threshold
            guilty = blamed(errors[begin], out[begin], int(channel[begin]), threshold)
            names = tuple(rows.names[c] for c in guilty)
            alarms.append(
                Alarm(
                    rows.labels[begin],
                    float(as_score(evidence[begin:end].max(), threshold)),
                    names,
                    {rows.names[c]: float(expected[begin, c]) for c in guilty},
                    {rows.names[c]: float(rows.values[begin, c]) for c in guilty},
                    kind_of(tally.sum(axis=1).tolist(), float(verdicts["sudden"][begin])),
                    offset + begin,
                    offset + end if ends.size else None,
                )
            )
        return cls(
            as_score(evidence, threshold), evidence, expected, low, high, channel, kind, alarmed, alarms, rows, offset
        )

    def __len__(self) -> int:
        return len(self.score)

    def to_frame(self, source: Any = None) -> Any:
        """Return a data frame, of the kind of source: time, score, alarm, blame, and each channel with its band."""
        columns: dict[str, Any] = {
            "time": list(self.rows.labels),
            "score": self.score,
            "alarm": self.alarmed,
            "blame": [self.rows.names[c] for c in self.blame.tolist()],
            "evidence": [EVIDENCE[k] for k in self.kind.tolist()],
        }
        for c, name in enumerate(self.rows.names):
            columns |= {name: self.rows.values[:, c], f"{name}_expected": self.expected[:, c]}
            columns |= {f"{name}_low": self.low[:, c], f"{name}_high": self.high[:, c]}
        return like(source, columns)
