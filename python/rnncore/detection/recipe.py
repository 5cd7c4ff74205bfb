"""What a forecaster is made from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """The sizes of a forecaster, and its seed."""

    channels: int
    horizons: tuple[int, ...]
    hidden_size: int
    members: int
    seed: int
