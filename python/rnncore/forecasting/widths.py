"""A quantile head: how far the values may lie below and above the forecast, by origin and horizon.

It reads the state after the last segment, which the networks of `segments` have anyway, and gives three quantiles of
what they miss that cannot cross (`rnncore.quantiles`), by the pinball loss. The distances between them are the scale
that errors are measured in (conformalised quantile regression, Romano et al. 2019), in the place of the window's own:
hours that are hard to tell are wide, quiet ones narrow. Used where it saves on the held-out end.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from rnncore import Batch, Linear, Sequential, quantiles
from rnncore.arguments import Array
from rnncore.forecasting.history import blocks
from rnncore.forecasting.segments import Base, Segments
from rnncore.forecasting.windows import Windows
from rnncore.optim import Adam

_LEVELS = (0.1, 0.5, 0.9)
_MOST = 10_000  # windows
_UPDATES, _BATCH, _LR = 400, 256, 3e-3  # most updates: one for every 10 windows
_LEAST = 0.05  # of the mean width


@dataclass
class Widths:
    """A linear layer over the networks' states."""

    horizon: int
    centre: Array = field(default_factory=lambda: np.zeros(0))  # of the states
    spread: Array = field(default_factory=lambda: np.zeros(0))
    parameters: Array = field(default_factory=lambda: np.zeros(0))
    least: Array = field(default_factory=lambda: np.zeros(0))  # (2, H)

    @classmethod
    def fit(cls, networks: Segments, windows: Windows, series: Array, origins: Array, smooth: Base) -> Widths:
        """Learn from what the networks miss of some windows."""
        random = np.random.default_rng([networks.seeds[0], 11])
        if len(series) > _MOST:
            chosen = np.sort(random.choice(len(series), _MOST, replace=False))
            series, origins = series[chosen], origins[chosen]
        values, states = networks.forecast(windows, series, origins, smooth)
        values = np.log(np.maximum(values, 1e-30)) if windows.log else values
        missed = (windows.targets(series, origins) - values) / windows.measured(series, origins)[1][:, None]
        known = np.isfinite(missed)
        missed = np.where(known, missed, 0).astype(np.float32)
        self = cls(windows.layout.horizon, states.mean(axis=0), np.maximum(states.std(axis=0), 1e-3))
        x = self._inputs(states)
        model = self._build(x.shape[1])
        spread = np.sqrt((missed**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1)) + 1e-6
        widths = np.stack([spread, np.zeros_like(spread), spread], axis=1).astype(np.float32)
        model[0].parameters[...] = 0
        widths[:, [0, 2]] = np.log(np.expm1(np.maximum(widths[:, [0, 2]], 1e-4)))
        model[0].parameters[-widths.size :] = widths.reshape(-1)  # the bias

        def batches() -> Iterator[Batch]:
            for _ in range(min(_UPDATES, max(100, len(x) // 10))):
                own = random.integers(0, len(x), _BATCH)
                yield Batch(x[own], missed[own], mask=None if known[own].all() else known[own])

        model.fit(
            batches,
            epochs=1,
            optimizer=Adam(model.parameters, lr=_LR),
            loss=functools.partial(quantiles.pinball, quantiles=_LEVELS),
            clip_norm=1.0,
            progress=False,
            num_threads=networks.num_threads,
        )
        self.parameters = model.parameters.copy()
        self.least = np.zeros((2, self.horizon), np.float32)
        self.least = _LEAST * self(states).mean(axis=0)
        return self

    def __call__(self, states: Array) -> Array:
        """(K, 2, H) distances below and above, in the scale of the window."""
        model = self._build(states.shape[1])
        model.parameters[...] = self.parameters
        distances = np.empty((len(states), 2, self.horizon), np.float32)
        for here in blocks(len(states), 3 * self.horizon):
            found = quantiles.ordered(model(self._inputs(states[here]))[0], 3).reshape(-1, self.horizon, 3)
            distances[here] = np.maximum(np.moveaxis(np.diff(found, axis=-1), -1, 1), self.least)
        return distances

    def _inputs(self, states: Array) -> Array:
        x: Array = np.clip((states - self.centre) / self.spread, -8, 8).astype(np.float32)
        return x

    def _build(self, size: int) -> Sequential:
        return Sequential(Linear(size, 3 * self.horizon, seed=0))
