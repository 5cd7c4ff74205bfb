"""An alarm: when it began, how strong it is, which channels it is about, what was expected and what came."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Alarm"]


@dataclass(frozen=True)
class Alarm:
    """What a detector reports, once for each event.

    >>> alarm = Alarm("2024-01-30T12:00", 0.8, ("flow",), {"flow": 3.2}, {"flow": 9.1}, "spike", row=7)
    >>> print(alarm)
    2024-01-30T12:00 spike in flow: got 9.1, expected 3.2 (severity 0.80)
    """

    start: Any
    """The time of its first row as the data have it, or the number of the row."""
    severity: float
    """The score of the row, in [0.5, 1]."""
    channels: tuple[str, ...]
    """The channels to blame, the foremost first."""
    expected: dict[str, float]
    """What was expected of them."""
    got: dict[str, float]
    """What came, NaN where it is missing."""
    kind: str
    """One of `rnncore.detection.KINDS`, as far as can be told."""
    row: int = 0
    """Rows since the detector's history ended."""
    end: int | None = None
    """The row with which it ended, None while it lasts."""

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, None for NaN."""
        told = asdict(self) | {"start": str(self.start), "channels": list(self.channels)}
        for name in ("expected", "got"):
            told[name] = {channel: None if value != value else value for channel, value in told[name].items()}
        return told

    def __str__(self) -> str:
        first = self.channels[0] if self.channels else "?"
        others = f" and {len(self.channels) - 1} more" if len(self.channels) > 1 else ""
        got, expected = self.got.get(first, float("nan")), self.expected.get(first, float("nan"))
        told = f"got {got:.4g}, expected {expected:.4g}"
        return f"{self.start} {self.kind} in {first}{others}: {told} (severity {self.severity:.2f})"
