"""A forecaster with scikit-learn's conventions: fit, predict, update, cross_validation, explain, save and load."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from rnncore.arguments import Array, check_size
from rnncore.conventions import Parameters, not_fitted
from rnncore.forecasting import fitting, frames, rows, store
from rnncore.forecasting.ensemble import Ensemble
from rnncore.forecasting.fitting import HeldOut
from rnncore.forecasting.history import History, lay_out
from rnncore.forecasting.intervals import Intervals
from rnncore.forecasting.live import Live
from rnncore.forecasting.options import Options, check_levels
from rnncore.forecasting.partition import of_partitions
from rnncore.forecasting.threads import one_blas_thread
from rnncore.forecasting.validation import calibrated, cross_validate
from rnncore.tables import InputError, Panel, Schema, like

_FEW = 8  # series: products of so few rows take one thread anyway


class Forecaster(Parameters):
    """Forecasts of one or many series, 1 to h steps ahead, with intervals.

    The forecast is a weighted mean of members: exponential smoothing with up to two seasons, ridge regression on the
    last values, a GRU that reads the window a season at a time and learns what smoothing leaves over, a network that
    carries its state through the whole history, and the last season repeated. Everything is chosen and weighed on
    origins held out at the end of what `fit` is given, then fitted again to all of it. Where nothing is worth more
    there than repeating the last value, that is the forecast.

    Parameters
    ----------
    h
        Steps ahead.
    past, future, static
        Columns of covariates: known up to the origin, known ahead, and constant for a series. `past` defaults to all
        other columns that serve.
    level
        Percent of the values that an interval is to hold; one interval for each.
    season
        Lengths of seasons in steps, at most two are used; () for none. By default those of the calendar and of the
        autocorrelation that show in the data.
    input_size
        Only so many of the last values are looked at: members that carry a state are left out.
    held_out
        So many steps at the end are held out for choosing and weighing; by default a sixth, or a year of three.
    id_col, time_col, target_col
        Names of the columns in frames.
    hidden_size, state_size
        Units of the two networks.
    cell, networks, epochs
        "gru", "lstm" or "rnn"; how many networks of each kind are averaged; most epochs of the second.
    refit
        Whether all is fitted again to the held-out end. Without, forecasts are those of what was scored.
    seed, num_threads
        Of the networks.

    Raises
    ------
    InputError
        (a ValueError) For data that cannot be read or are too few, with what was expected and found.
    NotFittedError
        By all that needs `fit` before (of scikit-learn where that is installed, else a ValueError).

    Notes
    -----
    Members are weighed after the recipe of the M4 competition's best combinations (Montero-Manso et al. 2020); the
    networks are after Smyl (2020) and Lin et al. (2023); intervals are conformal (Vovk et al. 2005).

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore.forecasting import Forecaster
    >>> t = np.arange(120)
    >>> y = 10 + 3 * np.sin(2 * np.pi * t / 12) + np.random.default_rng(0).normal(0, 0.1, 120)
    >>> f = Forecaster(h=12, networks=0, level=(90,)).fit({"ds": t, "y": y})
    >>> ahead = f.predict()
    >>> list(ahead.columns), len(ahead)
    (['unique_id', 'ds', 'rnncore', 'rnncore-lo-90', 'rnncore-hi-90'], 12)
    >>> bool(np.abs(ahead["rnncore"] - 10 - 3 * np.sin(2 * np.pi * np.arange(120, 132) / 12)).max() < 0.5)
    True
    >>> f.update({"ds": [120, 121], "y": [10.0, 11.5]}).predict()["ds"].tolist()[:2]
    [122, 123]
    """

    def __init__(
        self,
        h: int = 7,
        *,
        past: Sequence[str] | None = None,
        future: Sequence[str] = (),
        static: Sequence[str] = (),
        level: Sequence[float] = (80, 95),
        season: int | Sequence[int] | None = None,
        input_size: int | None = None,
        held_out: int | None = None,
        id_col: str = "unique_id",
        time_col: str = "ds",
        target_col: str = "y",
        hidden_size: int = 64,
        state_size: int = 32,
        cell: str = "gru",
        networks: int = 2,
        epochs: int = 200,
        refit: bool = True,
        seed: int = 0,
        num_threads: int = 1,
    ) -> None:
        self.h = h
        self.past = past
        self.future = future
        self.static = static
        self.level = level
        self.season = season
        self.input_size = input_size
        self.held_out = held_out
        self.id_col = id_col
        self.time_col = time_col
        self.target_col = target_col
        self.hidden_size = hidden_size
        self.state_size = state_size
        self.cell = cell
        self.networks = networks
        self.epochs = epochs
        self.refit = refit
        self.seed = seed
        self.num_threads = num_threads

    # ---- scikit-learn's conventions

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "live_")

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        told = [f"{k}={v!r}" for k, v in self.get_params().items() if v != defaults[k].default]
        return f"Forecaster({', '.join(told)})"

    # ---- fit, predict, update

    def fit(self, df: Any, y: None = None) -> Forecaster:  # noqa: ARG002  scikit-learn's signature
        """Fit to a long frame (pandas, polars), a mapping of columns, an array (T,), a `Panel`, or a file's path."""
        options = Options.of(self)
        panel = self._read(df)
        with one_blas_thread():
            history, notes = lay_out(panel, ahead=self.h)
            self._check_rows(panel)
            fitted, held_out = fitting.fit(history, options, refit=self.refit)
            bands = calibrated(fitted, history, held_out)
            self.adopt(panel, history, fitted, held_out, bands)
        self.notes_ = [*panel.notes, *notes]
        self._source: Any = None if isinstance(df, Panel) else like(df, {"x": [0]})
        return self

    def adopt(
        self, panel: Panel, history: History, fitted: Ensemble, held_out: HeldOut, bands: Intervals
    ) -> Forecaster:
        """Take over what was fitted elsewhere, and stand at the end of a history."""
        self.ensemble_, self.held_out_, self.intervals_ = fitted, held_out, bands
        self.live_ = Live.start(fitted, history)
        self.schema_: Schema = panel.schema
        self.names_, self.keys_ = panel.names, [each.key for each in panel]
        self.notes_ = list(panel.notes)
        self._source = None
        self._history: History | None = history
        return self

    def predict(
        self,
        future_df: Any = None,
        *,
        df: Any = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
    ) -> Any:
        """Forecast the h steps after the last row of each series: a frame with the intervals of each level.

        `future_df` holds the covariates that are known ahead, h rows for each series; other columns may be absent. With
        `df` the forecast is for the rows that it holds, of known or new series, instead of those that the forecaster
        was fitted to; static covariates of known series may be absent there.
        """
        self._check_fitted()
        self._take_in()
        steps = self.h if h is None else check_size("h", h, 1, self.h)
        levels = check_levels(self.level if level is None else level)
        live, names, keys = self.live_, self.names_, self.keys_
        with one_blas_thread() if df is not None or len(names) > _FEW else nullcontext():
            if df is not None:
                live, names, keys, known = self._elsewhere(df)
            if self.schema_.future:
                rows.put_ahead(live, self.schema_, names, future_df, steps, self.h)
            elif future_df is not None and df is None and not self.schema_.future:
                raise InputError("future_df: the forecaster was fitted without covariates known ahead (future=[...])")
            ahead = live.ahead()["rnncore"]
        live.pending = ahead
        bands = self.intervals_ if df is None else self.intervals_.of(known)
        columns = frames.ahead(self.schema_, self.id_col, self.time_col, live, keys, ahead[:, :steps], bands, levels)
        return like(self._source if df is None else df, columns)

    def update(self, df: Any) -> Forecaster:
        """Take in new rows of some or all series, which follow their last ones; nothing is fitted again.

        Rows of a single series are read at once, and move the members' states on together before the next forecast.
        """
        self._check_fitted()
        waiting = rows.next_rows(df, self.schema_, self.live_, self.keys_)
        if waiting is None:
            self._take_in()
            self._move_on(*rows.read_on(df, self.schema_, self.live_, self.names_))
        elif self.live_.wait(waiting):
            self._take_in()
        return self

    @property
    def predict_partition(self) -> Callable[[Any], Any]:
        """A function that forecasts the series of a pandas frame, for Dask's map_partitions and Fugue's transform."""
        return of_partitions(self)

    def cross_validation(self, df: Any, n_windows: int = 1, step_size: int | None = None, refit: bool = False) -> Any:
        """Forecast the end of each series from `n_windows` origins, `step_size` (default h) steps apart.

        Returns a frame with `cutoff`, the last time known, and what came beside the forecasts. With refit everything is
        fitted again for each origin, else once before the first. The forecaster itself stays as it is.
        """
        options, levels = Options.of(self), check_levels(self.level)
        windows = check_size("n_windows", n_windows, 1)
        step = self.h if step_size is None else check_size("step_size", step_size, 1)
        panel = self._read(df)
        with one_blas_thread():
            parts = cross_validate(panel, options, windows, step, refit)
        return like(df, frames.rolled(panel, self.id_col, self.time_col, parts, levels))

    def explain(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Say how much each input matters, by steps ahead: a frame with input, horizon and importance.

        The importance is the mean absolute error at the end of what was fitted to, with the input out of order, over
        that with it, less one: 0.5 stands for half as much error again. With a path a figure is drawn.
        """
        from rnncore.forecasting.importance import columns, draw, importance

        self._check_fitted()
        if self._history is None:
            raise ValueError("explain needs the data that the forecaster was fitted to, which a file does not hold")
        with one_blas_thread():
            found = importance(self.ensemble_, self._history, self.schema_, self.held_out_.origins, self.seed)
        if path is not None:
            draw(found, os.fspath(path), self.schema_.grid.name)
        return like(self._source, columns(found))

    def _take_in(self) -> None:
        """Let the members have the rows that wait."""
        if self.live_.waiting:
            self._move_on(*self.live_.no_longer_waiting(len(self.schema_.past)))

    def _move_on(self, y: Array, past: Array, future: Array, present: Array) -> None:
        """Let intervals and members have rows as `rows.read_on` gives them."""
        with one_blas_thread() if len(y) > _FEW else nullcontext():
            self.live_.follow(self.intervals_, y, present)
            self.live_.update(y, past, future, present)

    def _elsewhere(self, df: Any) -> tuple[Live, list[str], list[Any], Array]:
        """Members at the end of other rows."""
        panel = rows.read_panel_like(df, self.schema_)
        rows.check_values(panel)
        known = np.array([self.names_.index(name) if name in self.names_ else -1 for name in panel.names])
        history, _ = lay_out(panel, ahead=self.h)
        static = self.live_.tail.static[known]
        static[known < 0] = np.nan
        history = replace(history, static=np.where(np.isnan(history.static), static, history.static))
        return Live.start(self.ensemble_.of(known, history), history), panel.names, [s.key for s in panel], known

    # ---- checks

    def _check_fitted(self) -> None:
        if not hasattr(self, "live_"):
            raise not_fitted("this Forecaster is not fitted yet: call fit first")

    def _check_rows(self, panel: Panel) -> None:
        longest = max(int((~np.isnan(each.y)).sum()) for each in panel)
        if longest < self.h + 3:
            raise InputError(
                f"too few rows: {longest} values of {panel.schema.target[0]!r} in the longest series; at least "
                f"{self.h + 3} are needed for {self.h} steps ahead"
            )

    def _read(self, df: Any) -> Panel:
        covariates = {"past": self.past, "future": tuple(self.future), "static": tuple(self.static)}
        return rows.read(df, target=self.target_col, group=self.id_col, time=self.time_col, **covariates)

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted forecaster to a safetensors file."""
        self._check_fitted()
        self._take_in()
        store.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Forecaster:
        """Read a fitted forecaster from a file. Raises ValueError for one that is damaged or holds something else."""
        return store.load(cls, path)  # type: ignore[no-any-return]
