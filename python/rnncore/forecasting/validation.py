"""Forecasts from origins in the past, as they would have been made there: cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting import fitting
from rnncore.forecasting.ensemble import Ensemble, Options, Tell
from rnncore.forecasting.fitting import HeldOut
from rnncore.forecasting.history import History, lay_out
from rnncore.forecasting.intervals import Intervals
from rnncore.tables import InputError, Panel

_BLOCK = 2_000_000  # numbers of a member's forecasts at a time


@dataclass
class Rolled:
    """Forecasts (N, O, H) of the combination and of each member, what came, and the bands' widths."""

    history: History
    ensemble: Ensemble
    intervals: Intervals
    origins: Array  # (O,) steps known
    forecasts: dict[str, Array]
    actual: Array  # NaN where unknown
    scale: Array  # (N, O)
    latest: Array  # (N, O) how the bands follow the errors known by then
    held_out: HeldOut

    def band(self, level: float) -> tuple[Array, Array]:
        """Ends (N, O, H) of the band for so many percent."""
        series, count = self.scale.shape
        mean = self.forecasts["rnncore"]
        which = np.repeat(np.arange(series), count)
        edges = self.intervals.edges(level, self.scale.reshape(-1), which, self.latest.reshape(-1))
        low, high = (self.ensemble.cut(mean + edge.reshape(mean.shape)) for edge in edges)
        return low, high


def calibrated(fitted: Ensemble, history: History, held_out: HeldOut) -> Intervals:
    """Intervals from the held-out errors."""
    errors = held_out.actual - held_out.forecasts["rnncore"]
    return Intervals.fit(errors, spreads(fitted, history, held_out.origins), held_out.independent)


def spreads(fitted: Ensemble, history: History, origins: Array) -> Array:
    """(N, O) how far values lie apart at some origins."""
    plain = history if fitted.effects is None else fitted.effects.removed(history)
    windows, series = fitted.windows(plain), np.arange(len(history.y))
    return np.stack([fitted.spread(windows, series, np.full(len(series), origin)) for origin in origins], axis=1)


def roll(history: History, options: Options, origins: Array, tell: Tell = lambda _: None, refit: bool = True) -> Rolled:
    """Fit to what lies before the history's end, and forecast from origins at it and behind it."""
    fitted, held_out = fitting.fit(history, options, tell, refit)
    bands = calibrated(fitted, history, held_out)
    return rolled(history, fitted, bands, held_out, origins)


def rolled(history: History, fitted: Ensemble, bands: Intervals, held_out: HeldOut, origins: Array) -> Rolled:
    """Forecast from some origins with what was fitted before."""
    horizon = fitted.options.horizon
    padded = np.concatenate([history.y, np.full((len(history.y), horizon), np.nan)], axis=1)
    actual = np.lib.stride_tricks.sliding_window_view(padded, horizon, axis=1)[:, origins]
    forecasts = fitted.forecasts(history, origins)
    scale = spreads(fitted, history, origins)
    latest = bands.followed(actual - forecasts["rnncore"], scale, origins)
    return Rolled(history, fitted, bands, origins, forecasts, actual, scale, latest, held_out)


def cross_validate(panel: Panel, options: Options, windows: int, step: int, refit: bool) -> list[Rolled]:
    """Forecast each series' last values from `windows` origins, `step` apart; fitted before the first, or each time."""
    horizon = options.horizon
    behind = horizon + step * (windows - 1)
    for each in panel:
        if len(each) < behind + horizon + 3:
            of = f" of series {each.name!r}" if each.name else ""
            raise InputError(
                f"too few rows: {len(each)}{of}; {windows} windows of {horizon} steps, {step} apart, need at least "
                f"{behind + horizon + 3}"
            )
    if not refit:
        history, _ = lay_out(panel, behind=behind)
        return [roll(history, options, history.end + step * np.arange(windows))]
    found = []
    for k in range(windows):
        history, _ = lay_out(panel, behind=behind - step * k)
        found.append(roll(history, options, np.array([history.end])))
    return found
