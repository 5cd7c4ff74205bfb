"""What is chosen on the held-out end of the training part, and never on the test part.

Networks are trained on what lies before it, and forecast it. So the settings of ridge regression are chosen, whether to
learn levels or changes, and the network's noise, weight decay and number of updates. The errors there make the band.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.baselines import PENALTIES, Ridge, lagged, solve_all
from rnncore.forecasting.design import Design
from rnncore.forecasting.network import Member, Recipe, Restraint
from rnncore.forecasting.scores import band

RESTRAINTS = (Restraint(noise=0.1, weight_decay=0.0), Restraint(noise=1.0, weight_decay=3e-3))
_LAGS = (1, 2, 3, 7, 14)
_MOST_FEATURES = 400
_MOST_NUMBERS = 30_000_000  # in the table of features
_LEVELS_SAVE = 0.1  # of the squared error at least, in logs: a series that wanders leaves the levels it was trained on
_WORTH = 0.01  # of the squared error: what the recurrent part has to save, or it stays at zero
_PATIENCE = 200  # updates without a gain, but at least 5 epochs

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """What training needs besides the recipe."""

    changes: bool
    ridge: Ridge
    restraint: Restraint
    updates: int
    edges: Array  # (2, H) of the band, in the scale of the design
    heldout_rmse: list[float]  # of the ensemble so chosen


def choose(
    design_of: Callable[[bool], Design], recipe: Recipe, members: int, epochs: int, seed: int, tell: Tell
) -> Choice:
    """Choose on designs (of levels: False, of changes: True) whose test part is the held-out end of training."""
    tables = {changes: _ridge_errors(design_of(changes)) for changes in (False, True)}
    changes = bool(_total(tables[True]) < _total(tables[False]) + _LEVELS_SAVE)
    errors = tables[changes]
    horizons = range(len(next(iter(errors.values()))))
    best = [min(errors, key=lambda key, h=h: errors[key][h]) for h in horizons]  # type: ignore[misc]
    ridge = Ridge([lags for lags, _ in best], [value for _, value in best])
    yardstick = np.array([errors[key][h] for h, key in enumerate(best)])
    tell(f"ridge regression: {'changes' if changes else 'levels'}, on up to {max(ridge.lags)} steps")
    design = design_of(changes)
    linear = ridge.fit_predict(design)
    courses = {
        restraint: _course(
            [Member(recipe, design, linear, restraint, [seed, k]) for k in range(members)], epochs, yardstick, tell
        )
        for restraint in RESTRAINTS
    }
    restraint, course = min(courses.items(), key=lambda item: min(step.error for step in item[1]))
    stop = min(course, key=lambda step: step.error)
    if stop.error > (1 - _WORTH) * course[0].error:
        stop = course[0]
    tell(f"network: noise {restraint.noise:g}, {stop.updates} updates")
    forecast = design.forecast(stop.learned)
    edges = band((design.actual - forecast) / design.scale, design.test)
    heldout = np.sqrt(_square_errors(forecast, design))
    return Choice(changes, ridge, restraint, stop.updates, edges, heldout.tolist())


def _ridge_errors(design: Design) -> dict[tuple[int, float], Array]:
    """(lags, penalty) -> (H,) held-out mean square error."""
    errors = {}
    for lags in _LAGS:
        size = lags * design.x.shape[-1]
        if lags > 1 and (size > _MOST_FEATURES or size * design.x[..., 0].size > _MOST_NUMBERS):
            break
        features = lagged(design.x, lags)
        fits = solve_all(features, design.z, design.train, PENALTIES)
        for penalty, fit in zip(PENALTIES, fits, strict=True):
            errors[lags, penalty] = _square_errors(design.forecast(fit(features)), design)
    return errors


def _total(errors: dict[tuple[int, float], Array]) -> float:
    """Mean over horizons of the log error of the best setting for each."""
    return float(np.log(np.min(list(errors.values()), axis=0)).mean())


def _square_errors(forecast: Array, design: Design) -> Array:
    """(H,) mean square over the held-out end."""
    squares = np.where(design.test, (forecast - design.actual) ** 2, 0.0).sum(axis=(0, 1))
    result: Array = squares / np.maximum(design.test.sum(axis=(0, 1)), 1) + 1e-300
    return result


@dataclass(frozen=True)
class _Step:
    updates: int
    error: float  # relative to ridge regression, of the ensemble
    learned: Array  # z (T, N, H)


def _course(networks: list[Member], epochs: int, yardstick: Array, tell: Tell) -> list[_Step]:
    """Train epoch by epoch, as long as the held-out error gets better now and then."""
    course: list[_Step] = []
    design, each = networks[0].design, networks[0].updates_per_epoch
    patience = max(5, -(-_PATIENCE // each))
    for epoch in range(epochs + 1):
        for network in networks:
            network.train(epoch * each)
        learned = np.mean([network.predict() for network in networks], axis=0)
        error = float(np.mean(_square_errors(design.forecast(learned), design) / yardstick))
        course.append(_Step(epoch * each, error, learned))
        best = min(range(epoch + 1), key=lambda k: course[k].error)
        done = epoch == epochs or epoch - best >= patience
        if epoch % 10 == 0 or done:
            noise = networks[0].restraint.noise
            tell(f"noise {noise:g}, epoch {epoch:3}: held-out error {np.sqrt(error):.3f} times ridge regression's")
        if done:
            break
    return course
