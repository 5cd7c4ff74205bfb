"""The members, all fitted, what each counts for, and the forecasts that they make together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.effects import Effects
from rnncore.forecasting.history import History, filled
from rnncore.forecasting.options import Options
from rnncore.forecasting.recurrent import Recurrent
from rnncore.forecasting.ridge import Ridge
from rnncore.forecasting.segments import Segments, Smoothed
from rnncore.forecasting.smoothing import Smoothing
from rnncore.forecasting.widths import Widths
from rnncore.forecasting.windows import Layout, Scaling, Windows

Tell = Callable[[str], None]


@dataclass
class Ensemble:
    """Members, all fitted, and what each counts for."""

    options: Options
    layout: Layout
    nonnegative: Array  # (N,) bool: forecasts are cut at zero
    names: list[str] = field(default_factory=list)
    weights: Array = field(default_factory=lambda: np.zeros((0, 0, 0)))  # (M, N, H)
    repeats: bool = False  # the gate: nothing was worth more than repeating
    log: bool = False  # windows hold logarithms
    scaling: Scaling | None = None
    smoothing: Smoothing | None = None
    ridge: Ridge | None = None
    segments: Segments | None = None
    widths: Widths | None = None
    recurrent: Recurrent | None = None
    effects: Effects | None = None  # of covariates known ahead, taken off before members see the series

    def forecasts(self, history: History, origins: Array) -> dict[str, Array]:
        """Forecasts (N, O, H) float32 of every member, and their combination under the name "rnncore"."""
        return self.looking_ahead(history, origins)[0]

    def looking_ahead(self, history: History, origins: Array) -> tuple[dict[str, Array], Array]:
        """Forecasts (N, O, H), and the scale (N, O, 1 or 2, 1 or H) of the errors that they may have."""
        plain = history if self.effects is None else self.effects.removed(history)
        found, scale = self._members(plain, origins)
        if self.effects is not None:
            ahead = self.effects.ahead(history, origins, self.layout.horizon)
            found = {name: values + ahead for name, values in found.items()}
        found = {name: self.cut(values) for name, values in found.items()}
        return {"rnncore": self.mean(found)} | found, scale

    def mean(self, found: dict[str, Array]) -> Array:
        """(N, O, H) float32: the weighted mean of the members' forecasts."""
        mean = sum(weight[:, None] * found[name] for name, weight in zip(self.names, self.weights, strict=True))
        return np.asarray(mean, np.float32)

    def of(self, known: Array, history: History) -> Ensemble:
        """Return the members for the series of another history, by index; -1 stands for one that is new."""
        own = known >= 0
        names, found = list(self.names), self.weights[:, known]
        found[:, ~own] = self.weights.mean(axis=1, keepdims=True)
        recurrent = self.recurrent
        if "recurrent" in names and not own.all():  # it knows what is usual for each series alone
            kept = [k for k, name in enumerate(names) if name != "recurrent"]
            names, found, recurrent = [names[k] for k in kept], found[kept], None
            found = found / np.maximum(found.sum(axis=0), 1e-9)
        elif recurrent is not None and recurrent.inputs is not None:
            recurrent = replace(recurrent, inputs=recurrent.inputs.of(known), states=[], recent=None)
        lowest = np.nanmin(np.where(np.isnan(history.y), np.inf, history.y), axis=1)
        if self.effects is not None:
            history = self.effects.of(known).removed(history)
        scaling = Scaling.fit(Windows(history, self.layout, log=self.log))
        if self.scaling is not None:
            scaling = replace(self.scaling, sigma=np.where(own, self.scaling.sigma[known], scaling.sigma))
        return replace(
            self,
            nonnegative=np.where(own, self.nonnegative[known], self.nonnegative.all() & (lowest >= 0)),
            names=names,
            weights=found,
            scaling=scaling,
            smoothing=None if self.smoothing is None else self.smoothing.of(known, history.y),
            ridge=None if self.ridge is None else self.ridge.of(known),
            recurrent=recurrent,
            effects=None if self.effects is None else self.effects.of(known),
        )

    def windows(self, history: History) -> Windows:
        """Windows of a history, effects removed, as the members read them."""
        return Windows(history, self.layout, self.scaling, self.log)

    def scale(self, windows: Windows, series: Array, origins: Array, states: Array | None = None) -> Array:
        """(K, 1 or 2, 1 or H) in the unit of the target: the window's scale, times what the quantile head says."""
        level, scale = windows.measured(series, origins)
        if self.log:
            scale = scale * np.exp(np.clip(level, windows.scaling.low, windows.scaling.high))
        wide: Array = scale[:, None, None]
        return wide if self.widths is None or states is None else wide.astype(np.float32) * self.widths(states)

    def linear(self, windows: Windows) -> Linear:
        """What the network is added to where nothing smooths."""
        assert self.ridge is not None
        return Linear(windows, self.ridge)

    def _members(self, history: History, origins: Array) -> tuple[dict[str, Array], Array]:
        windows, states = self.windows(history), None
        series, where = grid_of(len(history.y), origins)
        shape = (len(history.y), len(origins), self.layout.horizon)
        found = naive(windows, origins)
        if self.smoothing is not None:
            found["smoothing"] = self.smoothing.run(history.y, origins)
        if self.ridge is not None and self.ridge.coefficients is not None:
            found["ridge"] = self.ridge.forecast(windows, series, where).reshape(shape)
        if self.segments is not None:
            smooth: Any = self.linear(windows) if self.smoothing is None else None
            if self.smoothing is not None:
                smooth = Smoothed(origins, found["smoothing"], self.log)
            values, states = self.segments.forecast(windows, series, where, smooth)
            found["network"] = values.reshape(shape)
        if self.recurrent is not None:
            found["recurrent"] = self.recurrent.forecast(history, origins)
            found["ridge of lags"] = self.recurrent.linear_forecast(history, origins)
        scale = self.scale(windows, series, where, states)
        return found, scale.reshape(*shape[:2], *scale.shape[1:])

    def cut(self, values: Array) -> Array:
        """Forecasts of series that have never been negative are not either."""
        if not self.nonnegative.any():
            return values
        return np.where(self.nonnegative[:, None, None], np.maximum(values, 0), values)


def naive(windows: Windows, origins: Array) -> dict[str, Array]:
    """The last value known, and those of each season's last turn (N, O, H)."""
    pad, horizon = windows.layout.length, windows.layout.horizon
    last = np.maximum(origins - 1, 0)
    known = filled(windows.y, windows.history.first, 1)[:, last]
    found = {"repeat": np.repeat(known[:, :, None], horizon, 2).astype(np.float32)}
    for season in windows.layout.periods.seasons:
        steps = pad + origins[:, None] - season + np.arange(horizon) % season
        found[f"season {season}"] = windows.z[:, np.maximum(steps, 0)].astype(np.float32)
    return {name: np.exp(each) for name, each in found.items()} if windows.log else found


def grid_of(series: int, origins: Array) -> tuple[Array, Array]:
    """Every series with every origin."""
    return np.repeat(np.arange(series), len(origins)), np.tile(origins, series)


class Linear:
    """Ridge regression in the place of smoothing, where no state is carried."""

    def __init__(self, windows: Windows, model: Ridge) -> None:
        self.windows, self.model = windows, model

    def __call__(self, series: Array, origins: Array) -> Array:
        """(K, H) in the unit of the windows."""
        values = self.model.forecast(self.windows, series, origins)
        return np.log(np.maximum(values, 1e-30)) if self.windows.log else values
