"""What the user says of members, training and bands, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore.arguments import check_size
from rnncore.layers import CELL_KINDS


@dataclass(frozen=True)
class Options:
    """What members and training depend on."""

    horizon: int
    input_size: int | None = None
    held_out: int | None = None
    season: tuple[int, ...] | None = None
    hidden_size: int = 64
    state_size: int = 32
    cell: str = "gru"
    networks: int = 2
    epochs: int = 200
    seed: int = 0
    num_threads: int = 1

    @classmethod
    def of(cls, forecaster: Any) -> Options:
        """Return those of a forecaster. Raises TypeError or ValueError for a parameter out of range."""
        if forecaster.cell not in CELL_KINDS:
            raise ValueError(f"cell should be one of {', '.join(sorted(CELL_KINDS))}, got {forecaster.cell!r}")
        check_levels(forecaster.level)
        season = (forecaster.season,) if isinstance(forecaster.season, int) else forecaster.season

        def size(name: str, least: int) -> int:
            return check_size(name, getattr(forecaster, name), least)

        return cls(
            horizon=size("h", 1),
            input_size=None if forecaster.input_size is None else size("input_size", 2),
            held_out=None if forecaster.held_out is None else size("held_out", 1),
            season=None if season is None else tuple(int(m) for m in season),
            hidden_size=size("hidden_size", 1),
            state_size=size("state_size", 1),
            cell=forecaster.cell,
            networks=size("networks", 0),
            epochs=size("epochs", 1),
            seed=size("seed", 0),
            num_threads=size("num_threads", 1),
        )


def check_levels(level: Any) -> list[float]:
    """Return the percents of bands, one or several. Raises ValueError for one out of range."""
    found = [float(each) for each in np.atleast_1d(np.asarray(level, np.float64))]
    for each in found:
        if not 0 < each < 100:
            raise ValueError(f"level: expected percents above 0 and below 100, got {each:g}")
    return found
