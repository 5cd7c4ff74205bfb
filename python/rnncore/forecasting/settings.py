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
    only: tuple[str, ...] = ()
    time_format: str | None = None
    dayfirst: bool | None = None
    timezone: str | None = None
    test_from: str | None = None
    horizon: int = 7
    season: float | None = None
    cell: str = "lstm"
    hidden_size: int = 32
    members: int = 3
    epochs: int = 200
    seed: int = 0
    num_threads: int = 1
    unit: str = ""
    save: str | None = None  # a file for the trained networks
    load: str | None = None  # one that holds them
