"""What the user may say of a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user may say; None means: find it in the data."""

    time: str | Sequence[str] | None = None
    target: str | None = None
    group: str | Sequence[str] | None = None
    only: Sequence[str] = ()
    time_format: str | None = None
    dayfirst: bool | None = None
    timezone: str | None = None
    decimal: str | None = None
    wide: str | None = None  # "columns" or "rows": each is a series of its own
    test_from: str | None = None
    cv: int | None = None  # score so many windows at the end, a horizon apart, instead of a test part
    horizon: int = 7
    season: int | None = None
    level: tuple[float, ...] = (80.0, 95.0)
    cell: str = "gru"
    hidden_size: int = 32
    members: int = 2
    epochs: int = 200
    seed: int = 0
    num_threads: int = 1
    keep_scored: bool = False  # forecast with what was scored, instead of fitting again to everything
    unit: str = ""
    save: str | None = None  # a file for the fitted forecaster
