"""Fitting: members fitted before the held-out end, chosen and weighed on it, and fitted again to all."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting import ridge, smoothing, walks, weights
from rnncore.forecasting.effects import find_effects
from rnncore.forecasting.ensemble import Ensemble, Linear, grid_of, naive
from rnncore.forecasting.history import History
from rnncore.forecasting.intervals import saves
from rnncore.forecasting.options import Options
from rnncore.forecasting.periods import find_periods
from rnncore.forecasting.recurrent import MOST_NUMBERS, Recurrent
from rnncore.forecasting.ridge import Ridge
from rnncore.forecasting.segments import Segments, Smoothed
from rnncore.forecasting.widths import Widths
from rnncore.forecasting.windows import Layout, Scaling, Windows

Tell = Callable[[str], None]

_SHARE = 6  # of the training part: one part in six is held out
_SHORT = 120  # steps: of shorter series, two horizons are held out
_YEARS = 2.9  # of data: then a whole one is held out; never more than such a part of the data
_MOST_HELD_OUT = 6000  # windows
_LEAST_SHARE, _LEAST_WINDOWS = 0.1, 30  # of the network, and independent windows of all series, for a quantile head
_TELLING, _LEFT = 6.0, 0.75  # windows of all series: with fewer, so much of the forecast is left where no gain shows
# What members that were chosen on the held-out end will err more behind it, over the number of its windows.
_DOUBT = {"ridge": 0.4, "network": 0.4, "recurrent": 1.5}
_LEAST_LEARNED = 30  # windows, for ridge regression and the network


@dataclass
class HeldOut:
    """Forecasts of the held-out end by members that were fitted before it."""

    origins: Array
    actual: Array  # (N, O, H)
    forecasts: dict[str, Array]
    independent: float  # windows of a series that share no step
    scale: Array  # (N, O, 1 or 2, 1 or H) of the errors
    errors: dict[str, float]


def fit(
    history: History, options: Options, tell: Tell = lambda _: None, refit: bool = True
) -> tuple[Ensemble, HeldOut]:
    """Fit to what lies before the history's end. With refit, members are fitted to the held-out end too, at last."""
    ensemble, heldout = _Fitting(history, options, tell).run()
    return renew(ensemble, history) if refit else ensemble, heldout


class _Fitting:
    """One fit: the parts hand each other what they found."""

    def __init__(self, history: History, options: Options, tell: Tell) -> None:
        self.history, self.options, self.tell = history, options, tell
        y, end, horizon = history.y[:, : history.end], history.end, options.horizon
        self.periods = find_periods(y, history.grid, options.season)
        spans = end - history.first
        self.typical = int(np.median(spans[spans > 0])) if (spans > 0).any() else end
        tail = max(self.typical // _SHARE, 2 * horizon) if self.typical > _SHORT else 2 * horizon
        if self.periods.year and self.typical >= _YEARS * self.periods.year:
            tail = max(tail, int(self.periods.year))  # all of a year's weather
        self.tail = options.held_out or int(np.clip(tail, 1, max(1, int(self.typical / _YEARS))))
        layout = Layout.of(self.periods, horizon, options.input_size, self.typical - self.tail)
        lowest = np.nanmin(np.where(np.isnan(y), np.inf, y), axis=1)
        self.ensemble = Ensemble(options, layout, lowest >= 0)
        self.ensemble.effects = find_effects(history, end - self.tail, end, self.periods.longest)
        if self.ensemble.effects is not None:
            self.history = self.ensemble.effects.removed(history)
            self.tell("covariates known ahead explain a part of the changes: their effects are taken off first")
        self.positive = bool(np.nanmin(self.history.y[:, :end]) > 0)

    def run(self) -> tuple[Ensemble, HeldOut]:
        ensemble, history = self.ensemble, self.history
        cut, end, horizon = history.end - self.tail, history.end, self.options.horizon
        last = max(cut, end - horizon)
        most = max(1, min(_MOST_HELD_OUT // len(history.y), last - cut + 1))
        origins = np.unique(np.linspace(cut, last, most).astype(int)) if most > 1 else np.array([last])
        before = Windows(history, ensemble.layout)
        self.actual = before.targets(*grid_of(len(history.y), origins)).reshape(len(history.y), len(origins), horizon)
        held = np.arange(horizon) + origins[:, None] < end
        self.actual = np.where(held[None], self.actual, np.nan)
        self.forecasts = naive(before, origins)
        self._fit_smoothing(cut, origins)
        self._fit_ridge(cut, origins)
        self._fit_segments(cut, origins)
        self._fit_recurrent(cut, origins)
        independent = self.tail / horizon
        found = self.forecasts
        if ensemble.effects is not None:
            ahead = ensemble.effects.ahead(history, origins, horizon)
            found, self.actual = {name: values + ahead for name, values in found.items()}, self.actual + ahead
        self.forecasts = found = {name: ensemble.cut(values) for name, values in found.items()}
        heldout = HeldOut(origins, self.actual, found, independent, np.ones((*self.actual.shape[:2], 1, 1)), {})
        heldout.errors = {name: mean_error(values, self.actual) for name, values in found.items()}
        self._weigh(heldout)
        self._scale(heldout, cut)
        ensemble.scaling = self.windows.scaling if ensemble.ridge is not None else None
        return ensemble, heldout

    def _fit_smoothing(self, cut: int, origins: Array) -> None:
        if self.options.input_size is not None:
            return
        y, layout = self.history.y, self.ensemble.layout
        model = smoothing.fit(y[:, :cut], layout.periods.m1, layout.periods.m2, layout.horizon)
        self.smoothed_at = np.unique(np.concatenate([origins, self.pool(cut)[1]]))
        self.smoothed = model.run(y[:, : origins[-1]], self.smoothed_at)
        self.forecasts["smoothing"] = self.smoothed[:, np.searchsorted(self.smoothed_at, origins)]
        self.ensemble.smoothing = model

    def pool(self, end: int, begin: int | None = None) -> tuple[Array, Array]:
        """Windows to learn from."""
        if not hasattr(self, "_pools"):
            self._pools: dict[Any, tuple[Array, Array]] = {}
            self._plain = Windows(self.history, self.ensemble.layout)
        if (end, begin) not in self._pools:
            self._pools[end, begin] = self._plain.pool(end, begin=None if begin is None else np.full(1, begin))
        return self._pools[end, begin]

    def _fit_ridge(self, cut: int, origins: Array) -> None:
        series, where = self.pool(cut)
        if len(series) < _LEAST_LEARNED:
            return
        best: tuple[float, bool, Array, Windows, Ridge] | None = None
        shape = self.actual.shape
        grid = grid_of(len(self.history.y), origins)
        for log in (False, True) if self.positive else (False,):
            windows = Windows(self.history, self.ensemble.layout, log=log)
            windows.scaling = Scaling.fit_before(windows, cut)
            model = Ridge.begin(windows, cut)
            model.learn(windows, series, where)
            for penalty in ridge.PENALTIES:
                model.solve(penalty)
                values = model.forecast(windows, *grid).reshape(shape)
                error = mean_error(values, self.actual)
                if best is None or error < best[0]:
                    best = error, log, values, windows, model.settled()
        assert best is not None
        error, self.ensemble.log, self.forecasts["ridge"], self.windows, model = best
        pooled = model
        for penalty in ridge.OWN_PENALTIES if pooled.can_solve_own(self.windows) else ():
            own = replace(pooled)
            own.solve_own(self.windows, series, where, penalty)
            values = own.forecast(self.windows, *grid).reshape(shape)
            if mean_error(values, self.actual) < error:
                error, model, self.forecasts["ridge"] = mean_error(values, self.actual), own, values
        self.ensemble.ridge = model
        self.tell(f"ridge regression: penalty {model.penalty:g}, held-out error {error:.4g}")

    def _fit_segments(self, cut: int, origins: Array) -> None:
        series, where = self.pool(cut)
        if len(series) < _LEAST_LEARNED or not self.options.networks or self.ensemble.ridge is None:
            return
        options = self.options
        seeds = [1000 * options.seed + k for k in range(options.networks)]
        model = Segments(options.hidden_size, options.cell, self.ensemble.ridge.phases, seeds, options.num_threads)
        smooth = self._smooth()
        course = model.course(self.windows, series, where, smooth)
        grid = grid_of(len(self.history.y), origins)
        errors = {}
        for updates, parameters in course.items():
            model.parameters = parameters
            values = model.forecast(self.windows, *grid, smooth)[0].reshape(self.actual.shape)
            errors[updates] = mean_error(values, self.actual)
            if errors[updates] == min(errors.values()):
                model.updates, self.forecasts["network"] = updates, values
        model.parameters = course[model.updates]
        self.ensemble.segments = model
        told = ", ".join(f"{updates}: {error:.4g}" for updates, error in errors.items())
        self.tell(f"network: held-out error after updates {told}")

    def _fit_recurrent(self, cut: int, origins: Array) -> None:
        history, options = self.history, self.options
        numbers = cut * len(history.y) * options.horizon
        if options.input_size is not None or not options.networks or numbers > MOST_NUMBERS or origins[0] < 1:
            return
        if len(self.pool(cut)[0]) < _LEAST_LEARNED:
            return
        seeds = [1000 * options.seed + k for k in range(options.networks)]
        model = Recurrent(options.horizon, options.cell, options.state_size, seeds, options.epochs, options.num_threads)
        self.forecasts["recurrent"] = model.choose(history, cut, self.periods, origins, self.actual)
        self.ensemble.recurrent = model
        self.tell(f"network that carries its state: {model.updates} updates, noise {model.noise:g}")

    def _smooth(self) -> Any:
        """What the network's output is added to."""
        if self.ensemble.smoothing is None:
            assert self.ensemble.ridge is not None
            return Linear(self.windows, self.ensemble.ridge)
        return Smoothed(self.smoothed_at, self.smoothed, self.ensemble.log)

    def _weigh(self, heldout: HeldOut) -> None:
        mean = weigh(self.ensemble, self.history, heldout.forecasts, heldout.actual, heldout.independent)
        heldout.forecasts["rnncore"] = np.asarray(mean, np.float32)
        heldout.errors["rnncore"] = mean_error(heldout.forecasts["rnncore"], heldout.actual)

    def _scale(self, heldout: HeldOut, cut: int) -> None:
        """Find the scale of the errors: that of the window, or a quantile head's where that saves."""
        ensemble, origins = self.ensemble, heldout.origins
        grid = grid_of(len(self.history.y), origins)
        windows = self.windows if ensemble.ridge is not None else ensemble.windows(self.history)
        plain = ensemble.scale(windows, *grid).reshape(*self.actual.shape[:2], 1, 1)
        heldout.scale = plain
        share = dict(zip(ensemble.names, ensemble.weights.mean(axis=(1, 2)), strict=True)).get("network", 0.0)
        if ensemble.segments is None or share < _LEAST_SHARE or heldout.independent * len(plain) < _LEAST_WINDOWS:
            return
        smooth = self._smooth()
        ensemble.widths = Widths.fit(ensemble.segments, windows, *self.pool(cut), smooth)
        states = ensemble.segments.forecast(windows, *grid, smooth)[1]
        wide = ensemble.scale(windows, *grid, states).reshape(*plain.shape[:2], 2, -1)
        if saves(heldout.actual - heldout.forecasts["rnncore"], plain, wide, heldout.independent):
            heldout.scale = wide
            self.tell("bands: their widths by a quantile head")
        else:
            ensemble.widths = None


def candidates(ensemble: Ensemble) -> list[str]:
    """Members that may count, whether they are there or not."""
    season = ensemble.layout.periods.longest
    return ["smoothing", "ridge", "network", "recurrent", f"season {season}" if season > 1 else "repeat"]


def weigh(
    ensemble: Ensemble,
    history: History,
    forecasts: dict[str, Array],
    actual: Array,
    independent: float,
    doubted: bool = True,
) -> Array:
    """Find out on forecasts (N, O, H) what each member counts for, and whether to repeat; return the mean.

    `doubted`: members were chosen on what they are weighed by.
    """
    names = [name for name in candidates(ensemble) if name in forecasts]
    members = [forecasts[name] for name in names]
    windows = max(1.0, independent * len(actual))
    doubt = 1 + np.array([_DOUBT.get(name, 0.0) * doubted for name in names]) / windows
    prior = np.array([float(not name.startswith("season") or len(names) == 1) for name in names])
    found = weights.combine(members, actual, independent, doubt, prior / prior.sum())
    mean = sum(weight[:, None] * member for weight, member in zip(found, members, strict=True))
    ours, repeat = np.asarray(mean), forecasts["repeat"]
    alone = history.past.shape[2] + history.future.shape[2] == 0  # all that is known are the series themselves
    wanders = alone and walks.wanders(history.y[:, : history.end], ensemble.layout.periods.seasons)
    few, sure = windows < _TELLING, walks.SURE if wanders else 1.0
    if (few and wanders) or not weights.gains(ours, repeat, actual, independent, sure):
        ensemble.repeats = wanders or not few
        share = _LEFT if few else 0.0
        if "repeat" not in names:
            names, found = [*names, "repeat"], np.concatenate([found, np.zeros_like(found[:1])])
        found = share * found
        found[names.index("repeat")] += 1 - share
        ours = share * ours + (1 - share) * repeat
    if ensemble.repeats:
        names, found = ["repeat"], np.ones((1, *found.shape[1:]))
    ensemble.names, ensemble.weights = names, found
    return ours


def renew(fitted: Ensemble, history: History) -> Ensemble:
    """Fit again to all that lies before the history's end, with what was chosen; networks go on from where they are."""
    new, end = copy.deepcopy(replace(fitted, ridge=None)), history.end
    layout, periods = new.layout, new.layout.periods
    if fitted.effects is not None:
        new.effects = find_effects(history, end - 2 * layout.horizon, end, periods.longest) or fitted.effects
        history = new.effects.removed(history)
    windows = Windows(history, layout, log=new.log)
    new.scaling = windows.scaling = Scaling.fit_before(windows, end)
    series, origins = windows.pool(end)
    if new.smoothing is not None:
        new.smoothing = smoothing.fit(history.y[:, :end], periods.m1, periods.m2, layout.horizon)
    if new.repeats or fitted.ridge is None:
        new.ridge = fitted.ridge
        return new
    new.ridge = fitted.ridge.renewed(windows, series, origins, end)
    if new.segments is not None:
        base: Any = Linear(windows, new.ridge)
        if new.smoothing is not None:
            at = np.unique(origins)
            base = Smoothed(at, new.smoothing.run(history.y[:, :end], at), new.log)
        new.segments.refit(windows, series, origins, base)
        if new.widths is not None:
            new.widths = Widths.fit(new.segments, windows, series, origins, base)
        del base
    if new.recurrent is not None:
        new.recurrent.refit(history, end, periods)
    return new


def mean_error(values: Array, actual: Array) -> float:
    """Mean over the series of the mean absolute error, each over the mean absolute deviation of its values."""
    found = []
    for own, truth in zip(values, actual, strict=True):
        known = ~np.isnan(truth)
        truth = truth[known]
        spread = np.abs(truth - truth.mean()).mean() if truth.size else 0.0
        if spread > 0:
            found.append(np.abs(own[known] - truth).mean() / spread)
    return float(np.mean(found)) if found else 0.0
