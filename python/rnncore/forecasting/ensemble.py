"""The members fitted to a history, chosen and weighed on its held-out end, and fitted again to all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting import ridge, segments, smoothing, weights
from rnncore.forecasting.history import History
from rnncore.forecasting.periods import Periods, find_periods
from rnncore.forecasting.recurrent import MOST_NUMBERS, Recurrent
from rnncore.forecasting.ridge import Ridge
from rnncore.forecasting.segments import Segments, Smoothed
from rnncore.forecasting.smoothing import Smoothing
from rnncore.forecasting.windows import Layout, Scaling, Windows

Tell = Callable[[str], None]

_SHARE = 6  # of the training part: one part in six is held out
_SHORT = 120  # steps: of shorter series, two horizons are held out
_YEARS = 2.9  # of data: then a whole one is held out; never more than such a part of the data
_MOST_HELD_OUT = 6000  # windows
_LEAST_LEARNED = 30  # windows, for ridge regression and the network


@dataclass(frozen=True)
class Options:
    """What the user says of members and training."""

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
    recurrent: Recurrent | None = None

    def forecasts(self, history: History, origins: Array) -> dict[str, Array]:
        """Forecasts (N, O, H) float32 of every member, and their combination under the name "rnncore"."""
        found = self._members(history, origins)
        mean = sum(weight[:, None] * found[name] for name, weight in zip(self.names, self.weights, strict=True))
        return {"rnncore": np.asarray(mean, np.float32)} | found

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
        )

    def windows(self, history: History) -> Windows:
        """Windows of a history as the members read them."""
        return Windows(history, self.layout, self.scaling, self.log)

    def spread(self, windows: Windows, series: Array, origins: Array) -> Array:
        """(K,) how far values lie apart at some origins, in the unit of the target: the scale of the window."""
        _, level, scale = windows.at(series, origins)
        return scale * np.exp(np.clip(level, windows.scaling.low, windows.scaling.high)) if self.log else scale

    def linear(self, windows: Windows) -> Linear:
        """What the network is added to where nothing smooths."""
        assert self.ridge is not None
        return Linear(windows, self.ridge)

    def _members(self, history: History, origins: Array) -> dict[str, Array]:
        windows = self.windows(history)
        series, where = _grid(len(history.y), origins)
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
            found["network"] = self.segments.forecast(windows, series, where, smooth).reshape(shape)
        if self.recurrent is not None:
            found["recurrent"] = self.recurrent.forecast(history, origins)
        return {name: self.cut(values) for name, values in found.items()}

    def cut(self, values: Array) -> Array:
        """Forecasts of series that have never been negative are not either."""
        return np.where(self.nonnegative[:, None, None], np.maximum(values, 0), values)


def naive(windows: Windows, origins: Array) -> dict[str, Array]:
    """The last value, and that of each season (N, O, H)."""
    values = windows.history.y if not windows.log else None
    z, pad, horizon = windows.z, windows.layout.length, windows.layout.horizon
    found = {}
    for season in (1, *windows.layout.periods.seasons):
        steps = pad + origins[:, None] - season + np.arange(horizon) % season
        found["repeat" if season == 1 else f"season {season}"] = z[:, np.maximum(steps, 0)].astype(np.float32)
    if values is None:
        found = {name: np.exp(each) for name, each in found.items()}
    return found


def _grid(series: int, origins: Array) -> tuple[Array, Array]:
    """Every series with every origin."""
    return np.repeat(np.arange(series), len(origins)), np.tile(origins, series)


@dataclass
class HeldOut:
    """Forecasts of the held-out end by members that were fitted before it."""

    origins: Array
    actual: Array  # (N, O, H)
    forecasts: dict[str, Array]
    independent: float  # windows of a series that share no step
    errors: dict[str, float]


def fit(history: History, options: Options, tell: Tell = lambda _: None, refit: bool = True) -> tuple[Ensemble, HeldOut]:
    """Fit to what lies before the history's end. With refit, members are fitted to the held-out end too, at last."""
    return _Fitting(history, options, tell).run(refit)


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
        self.positive = bool((lowest > 0).all())

    def run(self, refit: bool) -> tuple[Ensemble, HeldOut]:
        ensemble, history = self.ensemble, self.history
        cut, end, horizon = history.end - self.tail, history.end, self.options.horizon
        last = max(cut, end - horizon)
        most = max(1, min(_MOST_HELD_OUT // len(history.y), last - cut + 1))
        origins = np.unique(np.linspace(cut, last, most).astype(int)) if most > 1 else np.array([last])
        before = Windows(history, ensemble.layout)
        self.actual = before.targets(*_grid(len(history.y), origins)).reshape(len(history.y), len(origins), horizon)
        held = np.arange(horizon) + origins[:, None] < end
        self.actual = np.where(held[None], self.actual, np.nan)
        self.forecasts = naive(before, origins)
        self._fit_smoothing(cut, origins)
        self._fit_ridge(cut, origins)
        self._fit_segments(cut, origins)
        self._fit_recurrent(cut, origins)
        independent = self.tail / horizon
        cut_at_zero = {name: ensemble.cut(values) for name, values in self.forecasts.items()}
        heldout = HeldOut(origins, self.actual, cut_at_zero, independent, {})
        heldout.errors = {name: mean_error(values, self.actual) for name, values in cut_at_zero.items()}
        self._weigh(heldout)
        if refit:
            self._refit(cut)
        return ensemble, heldout

    def _fit_smoothing(self, cut: int, origins: Array) -> None:
        if self.options.input_size is not None:
            return
        y, layout = self.history.y, self.ensemble.layout
        model = smoothing.fit(y[:, :cut], self.history.first, layout.periods.m1, layout.periods.m2, layout.horizon)
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
        best: tuple[float, Any, Any, Any] | None = None
        shape = self.actual.shape
        grid = _grid(len(self.history.y), origins)
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
                    best = error, (log, penalty, float("inf")), values, (windows, model)
        assert best is not None
        (windows, model), (log, penalty, _) = best[3], best[1]
        model.solve(penalty)
        if model.can_solve_own(windows):
            pooled = model.coefficients
            for own in ridge.OWN_PENALTIES:
                model.coefficients = pooled
                model.solve_own(windows, series, where, own)
                values = model.forecast(windows, *grid).reshape(shape)
                error = mean_error(values, self.actual)
                if error < best[0]:
                    best = error, (log, penalty, own), values, (windows, model)
            model.coefficients = pooled
        self.own_penalty = best[1][2]
        self.ensemble.log = log
        self.forecasts["ridge"] = best[2]
        self.ensemble.ridge = model
        self.windows = windows
        self.tell(f"ridge regression: penalty {penalty:g}, held-out error {best[0]:.4g}")

    def _fit_segments(self, cut: int, origins: Array) -> None:
        series, where = self.pool(cut)
        if len(series) < _LEAST_LEARNED or not self.options.networks or self.ensemble.ridge is None:
            return
        options = self.options
        seeds = [1000 * options.seed + k for k in range(options.networks)]
        model = Segments(options.hidden_size, options.cell, self.ensemble.ridge.phases, seeds, options.num_threads)
        smooth = self._smooth()
        course = model.course(self.windows, series, where, smooth)
        grid = _grid(len(self.history.y), origins)
        errors = {}
        for updates, parameters in course.items():
            model.parameters = parameters
            values = model.forecast(self.windows, *grid, smooth).reshape(self.actual.shape)
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
        model = Recurrent(
            options.horizon, options.cell, options.state_size, seeds, options.epochs, options.num_threads
        )
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
        ensemble, periods = self.ensemble, self.periods
        naive_name = f"season {periods.longest}" if periods.longest > 1 else "repeat"
        names = [name for name in ("smoothing", "ridge", "network", "recurrent", naive_name) if name in heldout.forecasts]
        members = [heldout.forecasts[name] for name in names]
        found = weights.combine(members, heldout.actual, heldout.independent)
        mean = sum(weight[:, None] * member for weight, member in zip(found, members, strict=True))
        ensemble.repeats = not weights.gains(
            np.asarray(mean), heldout.forecasts["repeat"], heldout.actual, heldout.independent
        )
        if ensemble.repeats:
            names, found, mean = ["repeat"], np.ones((1, len(self.history.y), self.options.horizon)), heldout.forecasts["repeat"]
        ensemble.names, ensemble.weights = names, found
        heldout.forecasts["rnncore"] = np.asarray(mean, np.float32)
        heldout.errors["rnncore"] = mean_error(heldout.forecasts["rnncore"], heldout.actual)

    def _refit(self, cut: int) -> None:
        ensemble, history = self.ensemble, self.history
        end, layout, periods = history.end, ensemble.layout, self.periods
        before = ensemble.ridge
        if ensemble.recurrent is not None and not ensemble.repeats:
            ensemble.recurrent.refit(history, end, periods)
        if before is None or ensemble.repeats:
            if ensemble.smoothing is not None:
                ensemble.smoothing = smoothing.fit(
                    history.y[:, :end], history.first, periods.m1, periods.m2, layout.horizon
                )
            ensemble.scaling = Scaling.fit_before(Windows(history, layout, log=ensemble.log), end)
            return
        windows = self.windows
        ensemble.scaling = windows.scaling
        series, where = self.pool(end)
        more = where > cut - layout.horizon
        before.learn(windows, series[more], where[more])
        before.solve(before.penalty)
        if np.isfinite(self.own_penalty):
            before.solve_own(windows, series, where, self.own_penalty)
        if ensemble.smoothing is not None:
            ensemble.smoothing = smoothing.fit(
                history.y[:, :end], history.first, periods.m1, periods.m2, layout.horizon
            )
            self.smoothed_at = np.unique(where)
            self.smoothed = ensemble.smoothing.run(history.y[:, :end], self.smoothed_at)
        if ensemble.segments is not None:
            ensemble.segments.refit(windows, series, where, self._smooth())


class Linear:
    """Ridge regression in the place of smoothing, where no state is carried."""

    def __init__(self, windows: Windows, model: Ridge) -> None:
        self.windows, self.model = windows, model

    def __call__(self, series: Array, origins: Array) -> Array:
        """(K, H) in the unit of the windows."""
        values = self.model.forecast(self.windows, series, origins)
        return np.log(np.maximum(values, 1e-30)) if self.windows.log else values


def mean_error(values: Array, actual: Array) -> float:
    """Mean absolute error relative to each series' own size of errors would need a yardstick: its spread of values."""
    known = ~np.isnan(actual)
    count = known.sum(axis=(1, 2))
    centre = np.where(known, actual, 0).sum(axis=(1, 2)) / np.maximum(count, 1)
    spread = np.where(known, np.abs(actual - centre[:, None, None]), 0).sum(axis=(1, 2)) / np.maximum(count, 1)
    own = np.where(known, np.abs(values - actual), 0).sum(axis=(1, 2)) / np.maximum(count, 1)
    there = (count > 0) & (spread > 0)
    return float((own[there] / spread[there]).mean()) if there.any() else 0.0
