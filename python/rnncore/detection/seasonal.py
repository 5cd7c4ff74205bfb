"""What a row was a day or a week before, as one more forecast beside those of a forecaster."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.detection.recipe import Recipe
from rnncore.tables import InputError

__all__ = ["SEASONS", "Seasonal", "rows_of_season"]

SEASONS = {"day": 86400.0, "week": 604800.0}  # seconds
_LEAST = 2  # seasons that a history has to hold


def rows_of_season(season: str, step: float | None, count: int) -> int:
    """Return how many rows a season has, in a history of `count` rows `step` seconds apart. Raises InputError."""
    if step is None:
        raise InputError(f"season={season!r} needs times, and the rows have none")
    rows = SEASONS[season] / step
    if rows < 2 or abs(rows - round(rows)) > 1e-6 * rows:
        raise InputError(f"season={season!r} should be a whole number of rows, at least 2, got {rows:g}")
    if count < _LEAST * round(rows):
        raise InputError(f"season={season!r} needs at least {_LEAST * round(rows)} rows of history, got {count}")
    return round(rows)


class Seasonal:
    """A forecaster with more heads: z[t + h] is what it was a season before, or two where h is longer than one."""

    def __init__(self, inner: Any, recipe: Recipe, rows: int) -> None:
        self.inner, self.rows, self.channels = inner, rows, recipe.channels
        self.lags = [*inner.lags, *recipe.horizons]
        self._back = np.array([-h % rows for h in recipe.horizons])  # from the row that forecasts to the one it takes
        self.begin(1)

    def fit(self, x: Array) -> None:
        """Fit the forecaster."""
        self.inner.fit(x)
        self.begin(1)

    def begin(self, sensors: int) -> None:
        """Start from the beginning, with so many series side by side."""
        self.inner.begin(sensors)
        self.past = np.full((self.rows, sensors, self.channels), np.nan, np.float32)  # the oldest row stands at `next`
        self.next = 0

    def fork(self) -> Seasonal:
        """Return another one with the same weights, where this one is."""
        other = copy(self)
        other.inner, other.past = self.inner.fork(), self.past.copy()
        return other

    def arrays(self) -> dict[str, Array]:
        """Return weights and states by name."""
        found: dict[str, Array] = self.inner.arrays()
        return found | {"season": np.roll(self.past, -self.next, axis=0)}

    def load(self, arrays: dict[str, Array]) -> None:
        """Take over what `arrays` returned."""
        self.inner.load(arrays)
        self.past, self.next = arrays["season"].copy(), 0

    def step(self, x: Array) -> Array:
        """Return the forecasts (N, K C) from a row of each series."""
        z = x[:, : self.channels]
        self.past[self.next] = z
        before = self.past[(self.next - self._back) % self.rows]  # (H, N, C)
        self.next = (self.next + 1) % self.rows
        changes = np.nan_to_num(before - z).swapaxes(0, 1).reshape(len(x), -1)
        return np.concatenate([self.inner.step(x), changes], axis=1)

    def run(self, x: Array) -> Array:
        """Return the forecasts (T, K C) from a block of one series."""
        z = x[:, : self.channels]
        known = np.concatenate([np.roll(self.past, -self.next, axis=0)[:, 0], z])
        now = self.rows + np.arange(len(x))
        changes = np.nan_to_num(known[now[:, None] - self._back] - z[:, None]).reshape(len(x), -1)
        self.past[:, 0], self.next = known[len(known) - self.rows :], 0
        return np.concatenate([self.inner.run(x), changes], axis=1)
