"""Forecasts from origins in the past, as they would have been made there: cross-validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting import fitting
from rnncore.forecasting.ensemble import Ensemble, Tell
from rnncore.forecasting.fitting import HeldOut
from rnncore.forecasting.history import History, lay_out
from rnncore.forecasting.intervals import Intervals
from rnncore.forecasting.options import Options
from rnncore.tables import InputError, Panel

_FEW, _VERY_FEW = 10, 5  # independent windows: with fewer, what was chosen on them errs less there than it will
_CHEAP = 50_000  # values: that many are fitted again in a short time
_FOLDS = 3
_LEAST_ORIGINS = 40  # of all series in the folds, for weights
_LEAST_SHARE, _LEAST_HORIZONS, _LEAST_STEPS = 0.4, 4, 20  # of the shortest series, before the first fold


@dataclass
class Rolled:
    """Forecasts (N, O, H) of the combination and of each member, what came, and the bands' widths."""

    history: History
    ensemble: Ensemble
    intervals: Intervals
    origins: Array  # (O,) steps known
    forecasts: dict[str, Array]
    actual: Array  # NaN where unknown
    scale: Array  # (N, O, 1 or 2, 1 or H)
    latest: Array  # (N, O) how the bands follow the errors known by then
    held_out: HeldOut

    def band(self, level: float) -> tuple[Array, Array]:
        """Ends (N, O, H) of the band for so many percent."""
        series, count = self.scale.shape[:2]
        mean = self.forecasts["rnncore"]
        which = np.repeat(np.arange(series), count)
        edges = self.intervals.edges(
            level, self.scale.reshape(-1, *self.scale.shape[2:]), which, self.latest.reshape(-1)
        )
        low, high = (self.ensemble.cut(mean + edge.reshape(mean.shape)) for edge in edges)
        return low, high


def calibrated(fitted: Ensemble, history: History, held_out: HeldOut) -> Intervals:
    """Intervals from the held-out errors; where those are few, from folds that nothing was chosen on."""
    independent, folds = held_out.independent, []
    cheap = history.y[:, : history.end].size <= _CHEAP
    if cheap and independent < (_VERY_FEW if fitted.repeats else _FEW):
        folds = list(_folds(fitted, history, held_out))
        if not fitted.repeats:
            _weigh_again(fitted, history, folds, held_out)
    told = [fold for fold in folds if fold.scale is not None]
    if told and independent < _VERY_FEW:
        errors = np.concatenate([fold.actual - fold.forecasts["rnncore"] for fold in told], axis=1)
        scale = np.concatenate([fold.scale for fold in told if fold.scale is not None], axis=1)
        return Intervals.fit(errors, scale, independent * len(told))
    return Intervals.fit(held_out.actual - held_out.forecasts["rnncore"], held_out.scale, independent)


@dataclass
class _Fold:
    """Forecasts (N, O, H) of all members, what came, and the scale of the errors, None if it is of another kind."""

    forecasts: dict[str, Array]
    actual: Array
    scale: Array | None


def _weigh_again(fitted: Ensemble, history: History, folds: list[_Fold], held_out: HeldOut) -> None:
    """Let members count for what they were worth behind the ends that they were chosen on."""
    names = [name for name in fitting.candidates(fitted) if name in fitted.names]
    there = [fold for fold in folds if set(names) <= set(fold.forecasts)]
    if sum(fold.actual.shape[0] * fold.actual.shape[1] for fold in there) < _LEAST_ORIGINS:
        return
    forecasts = {name: np.concatenate([fold.forecasts[name] for fold in there], axis=1) for name in {*names, "repeat"}}
    actual = np.concatenate([fold.actual for fold in there], axis=1)
    fitting.weigh(fitted, history, forecasts, actual, held_out.independent * len(there), doubted=False)
    held_out.forecasts["rnncore"] = mean = fitted.mean(held_out.forecasts)
    held_out.errors["rnncore"] = fitting.mean_error(mean, held_out.actual)


def _folds(fitted: Ensemble, history: History, held_out: HeldOut) -> Iterator[_Fold]:
    """Forecasts over stretches as long as the held-out one, early ones first.

    Each is forecast by members that were fitted, chosen and weighed before it, as a user's are. The scale is of the
    kind that the bands will have, a quantile head's or the window's; a fold without a head says nothing of one.
    """
    options = fitted.options
    tail = round(held_out.independent * options.horizon)
    span = int((history.end - history.first).min())
    room = span - max(int(_LEAST_SHARE * span), _LEAST_HORIZONS * options.horizon, _LEAST_STEPS, 2 * tail)
    most = min(_FOLDS, room // tail)
    for k in range(most, 0, -1):
        before = replace(history, end=history.end - k * tail)
        model, _ = fitting.fit(before, options)
        if fitted.widths is None:
            model.widths = None
        origins = before.end + np.arange(max(1, tail - options.horizon + 1))
        forecasts, scale = model.looking_ahead(history, origins)
        actual = _actual(history, origins, options.horizon)
        actual[:, origins[:, None] + np.arange(options.horizon) >= history.end] = np.nan
        yield _Fold(forecasts, actual, scale if (model.widths is None) == (fitted.widths is None) else None)


def _actual(history: History, origins: Array, horizon: int) -> Array:
    """(N, O, H) what came after some origins, NaN where unknown."""
    padded = np.concatenate([history.y, np.full((len(history.y), horizon), np.nan)], axis=1)
    ahead: Array = np.lib.stride_tricks.sliding_window_view(padded, horizon, axis=1)[:, origins]
    return ahead


def roll(history: History, options: Options, origins: Array, tell: Tell = lambda _: None, refit: bool = True) -> Rolled:
    """Fit to what lies before the history's end, and forecast from origins at it and behind it."""
    fitted, held_out = fitting.fit(history, options, tell, refit)
    bands = calibrated(fitted, history, held_out)
    return rolled(history, fitted, bands, held_out, origins)


def rolled(history: History, fitted: Ensemble, bands: Intervals, held_out: HeldOut, origins: Array) -> Rolled:
    """Forecast from some origins with what was fitted before."""
    horizon = fitted.options.horizon
    actual = _actual(history, origins, horizon)
    forecasts, scale = fitted.looking_ahead(history, origins)
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
