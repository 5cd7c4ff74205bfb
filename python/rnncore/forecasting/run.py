"""The whole job: from a table to scored forecasts, and to the forecast past its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting import baselines, store
from rnncore.forecasting.design import Design, build_design
from rnncore.forecasting.network import Member, Recipe
from rnncore.forecasting.panel import Panel, build_panel
from rnncore.forecasting.scores import Comparison, Scores, compare, coverage, score
from rnncore.forecasting.settings import Settings
from rnncore.forecasting.split import Split, choose_split, with_training
from rnncore.forecasting.threads import one_blas_thread
from rnncore.forecasting.tuning import Choice, Tell, choose
from rnncore.tables import Table


@dataclass(frozen=True)
class Result:
    """Forecasts of every method, (T, N, H) by the index of the last value known to them, and what they are worth."""

    settings: Settings
    panel: Panel
    split: Split
    held_out: Split
    choice: Choice
    design: Design
    parameters: int  # of one network
    forecasts: dict[str, Array]
    scores: dict[str, Scores]
    comparisons: list[Comparison]
    edges: Array  # (2, N, H) of the band, relative to the network's forecast
    coverage: list[float]
    notices: list[str]
    seconds: float

    def next_steps(self, series: int) -> tuple[list[str], Array, Array]:
        """Return time stamps (H), forecast (H,) and band (2, H) past the end of a series."""
        last = int(self.panel.lengths[series]) - 1
        end = int(self.panel.start[series]) + last
        value = self.forecasts["network"][last, series]
        labels = [self.panel.grid.label(end + h) for h in range(1, len(value) + 1)]
        return labels, value, value + self.edges[:, series]


def forecast(table: Table, settings: Settings, tell: Tell = lambda _: None) -> Result:
    """Train, score and forecast. Raises InputError for a table or settings that do not serve; tell reports progress."""
    with one_blas_thread():
        return _forecast(table, settings, tell)


def _forecast(table: Table, settings: Settings, tell: Tell) -> Result:
    began = time.perf_counter()
    stored = None if settings.load is None else store.load(settings.load)
    settings = settings if stored is None else stored.apply(settings)
    panel = build_panel(
        table,
        time=settings.time,
        target=settings.target,
        group=settings.group,
        only=list(settings.only),
        time_format=settings.time_format,
        dayfirst=settings.dayfirst,
        timezone=settings.timezone,
    )
    if stored is None:
        split = choose_split(panel, settings.test_from)
    else:
        split = replace(stored.split, position=choose_split(panel, stored.split.label).position)
    panel, without = with_training(panel, split, settings.horizon)
    notices = list(panel.notices)
    if without:
        notices.append(f"too little before {split.label} to train on, left out: {_some(without)}")
    recipe = Recipe(settings.cell, settings.hidden_size, num_threads=settings.num_threads)
    if stored is None:
        held_out, choice = _tune(panel, split, settings, recipe, tell)
    else:
        held_out, choice = stored.held_out, stored.choice

    design = build_design(panel, split.position, settings.horizon, changes=choice.changes, season=settings.season)
    if design.dropped:
        notices.append(f"does not change before {split.label}, left out: {_some(design.dropped)}")
    linear = choice.ridge.fit_predict(design)
    networks = [Member(recipe, design, linear, choice.restraint, [settings.seed, k]) for k in range(settings.members)]
    if stored is None:
        for k, network in enumerate(networks):
            if choice.updates:
                tell(f"training network {k + 1} of {settings.members} on all that lies before {split.label}")
            network.train(choice.updates)
    else:
        stored.check(design)
        for network, parameters in zip(networks, stored.parameters, strict=True):
            network.mean.parameters[...] = parameters
    if settings.save is not None:
        vectors = [network.mean.parameters for network in networks]
        store.save(settings.save, settings, panel.target, split, held_out, choice, design, vectors)
    learned = np.mean([network.predict() for network in networks], axis=0)
    forecasts = {
        "network": design.forecast(learned),
        "repeat": baselines.repeat(design),
        "climatology": baselines.climatology(design),
        "ridge": design.forecast(linear),
    }
    scores = {name: score(values, design.actual, design.test) for name, values in forecasts.items()}
    edges = choice.edges[:, None] * design.scale
    return Result(
        settings=settings,
        panel=panel,
        split=split,
        held_out=held_out,
        choice=choice,
        design=design,
        parameters=networks[0].parameter_count,
        forecasts=forecasts,
        scores=scores,
        comparisons=compare(forecasts, scores, design.actual, design.test),
        edges=edges,
        coverage=coverage(design.actual, forecasts["network"], edges, design.test),
        notices=notices,
        seconds=time.perf_counter() - began,
    )


def _tune(panel: Panel, split: Split, settings: Settings, recipe: Recipe, tell: Tell) -> tuple[Split, Choice]:
    """Choose on the training part alone: what lies behind the split is cut off first."""
    training = panel.before(split.position)
    held_out = choose_split(training)
    training, _ = with_training(training, held_out, settings.horizon, what="the held-out end of training")
    tell(f"choosing on the held-out end of training, {held_out.label} to {panel.grid.label(split.position - 1)}")

    def design_of(changes: bool) -> Design:
        return build_design(training, held_out.position, settings.horizon, changes=changes, season=settings.season)

    return held_out, choose(design_of, recipe, settings.members, settings.epochs, settings.seed, tell)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
