"""The whole job of the command: from a table to scored forecasts, and to the forecast past its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting import fitting, opponents
from rnncore.forecasting.fitting import Tell
from rnncore.forecasting.forecaster import Forecaster
from rnncore.forecasting.history import lay_out
from rnncore.forecasting.options import Options
from rnncore.forecasting.scores import NAME, Band, Comparison, Scores, compare, judge_band, score, seasonal_error
from rnncore.forecasting.settings import Settings
from rnncore.forecasting.split import Split, choose_split, with_training
from rnncore.forecasting.threads import one_blas_thread
from rnncore.forecasting.validation import Rolled, roll
from rnncore.tables import InputError, Panel, Table, load_table, read_panel
from rnncore.tables.stamps import Reading
from rnncore.tables.wide import made_long

_MOST_NUMBERS = 4_000_000  # of one method's scored forecasts: with more, origins are scored at a distance


@dataclass(frozen=True)
class Result:
    """Forecasts of every method, (N, O, H) from origins on, and what they are worth; and the forecast past the end."""

    settings: Settings
    panel: Panel
    split: Split
    rolled: Rolled
    forecasts: dict[str, Array]  # of what is compared: "rnncore" and its opponents
    mask: Array  # (N, O, H) whether it is scored
    scores: dict[str, Scores]
    comparisons: list[Comparison]
    bands: list[Band]
    forecaster: Forecaster  # that stands at the end of the table
    ahead: Array  # (N, H)
    edges: dict[float, tuple[Array, Array]]  # level -> ends (N, H)
    notices: list[str]
    every: int  # steps between the origins that were scored
    seconds: float

    def next_labels(self, series: int) -> list[str]:
        """Time stamps of the steps past the end of a series."""
        return self.panel.next_labels(series, self.settings.horizon)


def forecast(table: Table | Any, settings: Settings, tell: Tell = lambda _: None, future: Table | Any = None) -> Result:
    """Fit, score and forecast. Raises InputError for a table or settings that do not serve; tell reports progress.

    `future` is a table of covariates known ahead, with the time and group columns of the first.
    """
    began = time.perf_counter()
    with one_blas_thread():
        table = _load(table, settings)
        ahead = None if future is None else load_table(future, settings.decimal)
        panel = _read(table, settings, None if ahead is None else _known(table, ahead, settings))
        known = min(len(each.future) for each in panel)
        if ahead is None and panel.schema.future and known < settings.horizon:
            told = ", ".join(panel.schema.future)
            panel = _read(table, settings, ())
            panel.notes.append(
                f"{told}: known for {known} steps behind the last value of the target, fewer than the horizon of "
                f"{settings.horizon}: taken as covariates of the past"
            )
        return _forecast(panel, settings, tell, ahead, began)


def fit(table: Table | Any, settings: Settings) -> Forecaster:
    """Fit to everything, and score nothing; covariates are those of the past."""
    with one_blas_thread():
        panel = _read(_load(table, settings), settings, ())
        return _forecaster(settings, panel).fit(panel)


def _load(source: Table | Any, settings: Settings) -> Table:
    table = load_table(source, settings.decimal)
    if not settings.wide:
        return table
    reading = Reading(settings.time_format, settings.dayfirst, settings.timezone)
    told = [settings.time] if isinstance(settings.time, str) else settings.time
    return made_long(table, settings.wide, told or (), reading)


def _read(table: Table, settings: Settings, future: tuple[str, ...] | None) -> Panel:
    return read_panel(
        table,
        time=settings.time,
        target=settings.target,
        group=settings.group,
        only=settings.only,
        time_format=settings.time_format,
        dayfirst=settings.dayfirst,
        timezone=settings.timezone,
        future=future,
    )


def _known(table: Table, ahead: Table, settings: Settings) -> tuple[str, ...]:
    """The covariates that the table of the future holds."""
    plain = _read(table, settings, ()).schema
    known = tuple(name for name in plain.past if name in ahead.columns)
    if not known:
        told = ", ".join(plain.past) or "none"
        raise InputError(f"--future: {ahead.name} holds no covariate of {table.name} ({told})")
    return known


def _forecast(panel: Panel, settings: Settings, tell: Tell, ahead: Table | None, began: float) -> Result:
    horizon = settings.horizon
    split = choose_split(panel, settings.test_from, settings.cv or 0, horizon)
    panel, without = with_training(panel, split, horizon)
    forecaster = _forecaster(settings, panel)
    history, notes = lay_out(panel, split=split.position, ahead=horizon)
    notices = [*panel.notes, *notes]
    if any(np.isnan(each.y).any() for each in panel):
        notices.append("what is missing is filled in from the values before it, and never scored")
    still = _still(panel, split.position)
    if still:
        notices.append(f"does not change before {split.label}, says nothing: {_some(still)}")
    if without:
        notices.append(f"too little before {split.label} to train on, left out: {_some(without)}")
    if settings.cv:
        every, origins = horizon, history.end + horizon * np.arange(settings.cv)
    else:
        first = max(1, history.end - horizon + 1)
        every = -(-(history.steps - first) * len(panel) * horizon // _MOST_NUMBERS)
        origins = np.arange(first, history.steps, every)
    origins = origins[origins < history.steps]
    tell(f"fitting to what lies before {split.label}, choosing on its end")
    done = roll(history, Options.of(forecaster), origins, tell)
    ahead_of_end = origins[:, None] + np.arange(horizon) >= history.end
    mask = ~np.isnan(done.actual) & ahead_of_end
    others = opponents.forecast(history, done.ensemble, origins, done.forecasts)
    forecasts = {NAME: done.forecasts[NAME], **others}
    periods = done.ensemble.layout.periods
    naive_error = seasonal_error(history.y[:, : history.end], periods.m1)
    scores = {name: score(values, done.actual, mask, naive_error) for name, values in forecasts.items()}
    bands = [judge_band(*done.band(level), done.actual, mask, level) for level in settings.level]
    forecaster = _at_the_end(forecaster, panel, done, settings, tell)
    mean, edges = _ahead(forecaster, ahead, settings)
    if settings.save is not None:
        forecaster.save(settings.save)
    return Result(
        settings=settings,
        panel=panel,
        split=split,
        rolled=done,
        forecasts=forecasts,
        mask=mask,
        scores=scores,
        comparisons=compare(forecasts, scores, done.actual, mask),
        bands=bands,
        forecaster=forecaster,
        ahead=mean,
        edges=edges,
        notices=notices,
        every=every,
        seconds=time.perf_counter() - began,
    )


def _forecaster(settings: Settings, panel: Panel) -> Forecaster:
    schema = panel.schema
    return Forecaster(
        settings.horizon,
        past=list(schema.past),
        future=list(schema.future),
        static=list(schema.static),
        level=settings.level,
        season=settings.season,
        id_col=schema.group[0] if schema.group else "unique_id",
        time_col=schema.time[0] if schema.time else "ds",
        target_col=schema.target[0],
        state_size=settings.hidden_size,
        cell=settings.cell,
        networks=settings.members,
        epochs=settings.epochs,
        seed=settings.seed,
        num_threads=settings.num_threads,
    )


def _at_the_end(forecaster: Forecaster, panel: Panel, done: Rolled, settings: Settings, tell: Tell) -> Forecaster:
    """A forecaster fitted to everything, or the one that was scored, after the last row."""
    history, _ = lay_out(panel, ahead=settings.horizon)
    fitted = done.ensemble
    if not settings.keep_scored:
        tell("fitting again to everything")
        fitted = fitting.renew(fitted, history)
    bands = replace(done.intervals, latest=done.latest[:, -1].copy())
    return forecaster.adopt(panel, history, fitted, done.held_out, bands)


def _ahead(
    forecaster: Forecaster, ahead: Table | None, settings: Settings
) -> tuple[Array, dict[float, tuple[Array, Array]]]:
    """Forecasts (N, H) past the end, and the ends of every band."""
    frame = forecaster.predict(ahead, level=settings.level)
    series = len(forecaster.names_)

    def column(name: str) -> Array:
        values: Array = np.asarray(frame[name], np.float64).reshape(series, -1)
        return values

    edges = {level: (column(f"{NAME}-lo-{level:g}"), column(f"{NAME}-hi-{level:g}")) for level in settings.level}
    return column(NAME), edges


def _still(panel: Panel, position: int) -> list[str]:
    """Covariates with one value in all rows before a position."""
    found = []
    for name in (*panel.schema.past, *panel.schema.future):
        k = panel.columns.index(name)
        known = np.concatenate([each.values[each.positions < position, k] for each in panel])
        known = known[~np.isnan(known)]
        if not known.size or np.ptp(known) == 0:
            found.append(name)
    return found


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
