"""From a panel to what a network learns: standardised inputs, and targets for every horizon.

All that is fitted here (climatology, means, spreads, categories) is fitted to what lies before the split. The inputs at
an index hold nothing that is known only later. Sizes: T steps, N series, I inputs, H horizons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.panel import Panel
from rnncore.forecasting.seasons import Climatology, Cycle, find_cycles, fit_climatology

_CLIP = 6.0  # spreads: a reading so far out says no more than one at this bound
_MOST_SERIES_TOLD_APART = 16
_TINY = 1e-12
_LEAST_TURNS = 10  # of a cycle, before a recurrent layer sees its phase: it would learn a few years day by day
_INPUT_HARMONICS = {"year": 1, "week": 3, "day": 2, "season": 2}


@dataclass(frozen=True)
class Design:
    """Arrays for learning and scoring. A forecast is base + scale * (what is learned)."""

    x: Array  # (T, N, I)
    inputs: list[str]
    recurrent: Array  # (I,) bool: inputs for the recurrent layer too; the others are for the linear part alone
    z: Array  # (T, N, H) what to learn: the value h steps ahead, less base, over scale; 0 where unknown
    base: Array  # (T, N, H) the climatology, or today's value and the season's change
    scale: Array  # (N, H)
    actual: Array  # (T, N, H) the value h steps ahead, NaN where unknown
    usual: Array  # (T, N, H) the climatology h steps ahead
    last: Array  # (T, N) today's value, or the last one known
    train: Array  # (T, N, H) whether the value ahead is known and lies before the split
    test: Array  # (T, N, H) whether it is known and lies behind it
    lengths: Array  # (N,) steps of each series
    climatology: list[Climatology]
    dropped: list[str]  # columns without a change before the split

    def forecast(self, learned: Array) -> Array:
        """Return forecasts in the target's unit."""
        values: Array = self.base + self.scale * learned
        return values


def build_design(panel: Panel, split: int, horizon: int, *, changes: bool, season: float | None = None) -> Design:
    """Fit to what lies before grid position `split`, and lay out all of the panel.

    With changes, inputs are the changes of the last step and targets those from today on, for series that wander;
    without, both are departures from the climatology.
    """
    before = (panel.positions < split) & panel.valid
    cycles = find_cycles(panel.grid, panel.calendar, split - panel.span[0], season)
    climatology = [
        fit_climatology(panel.grid, cycles, panel.positions[now, n], panel.values[now, n])
        for n, now in enumerate(before.T)
    ]
    usual = np.stack([fit(panel.grid, panel.positions[:, n]) for n, fit in enumerate(climatology)], axis=1)  # (T, N, C)
    departures = panel.filled() - usual
    moves = np.diff(departures, axis=0, prepend=departures[:1]) if changes else departures
    useful = [cycle for cycle in cycles if any(cycle in dict(fit.cycles) for fit in climatology)]
    x, inputs, dropped = _inputs(panel, moves, before, useful)
    turns = {cycle.name: (split - panel.span[0]) / cycle.steps for cycle in useful}
    recurrent = np.array([turns.get(name.split(" ")[0], _LEAST_TURNS) >= _LEAST_TURNS for name in inputs])
    ahead = _ahead(panel, climatology, horizon)
    last = panel.filled()[..., 0]
    actual = _shifted(panel.values[..., 0], horizon)
    base = ahead + departures[..., :1] if changes else ahead
    positions = panel.positions[..., None] + np.arange(1, horizon + 1)
    known = ~np.isnan(actual) & ~np.isnan(base)
    train = known & (positions < split)
    scale = _spread(np.where(train, actual - base, np.nan), np.nanmax(np.abs(last), where=before, initial=0.0))
    z = np.where(known, (actual - base) / scale, 0.0)
    return Design(
        x=np.where(panel.valid[..., None], x, 0.0),
        inputs=inputs,
        recurrent=recurrent,
        z=z,
        base=base,
        scale=scale,
        actual=actual,
        usual=ahead,
        last=last,
        train=train,
        test=known & (positions >= split),
        lengths=panel.lengths,
        climatology=climatology,
        dropped=dropped,
    )


def _inputs(panel: Panel, moves: Array, before: Array, cycles: list[Cycle]) -> tuple[Array, list[str], list[str]]:
    """Standardised columns, flags for what is missing, categories, the calendar, the series: (T, N, I) and names."""
    parts: list[tuple[str, Array]] = []
    dropped = []
    fitted = np.where(before[..., None], moves, np.nan)
    for k, name in enumerate(panel.columns):
        size = np.nanmax(np.abs(panel.values[..., k]), where=before, initial=0.0)
        if k > 0 and not np.nanmax(np.abs(fitted[..., k]), initial=0.0) > _TINY * size:
            dropped.append(name)
            continue
        spread = _spread(fitted[..., k : k + 1], size)[:, 0]
        parts.append((name, np.clip(np.nan_to_num(moves[..., k] / spread), -_CLIP, _CLIP)))
        missing = np.isnan(panel.values[..., k])
        if (missing & before).any():
            parts.append((f"{name} missing", missing.astype(np.float64)))
    for name, texts in panel.labels.items():
        parts += _categories(name, texts, before)
    for cycle in cycles:
        waves = np.sqrt(2) * cycle.harmonics(
            panel.grid, panel.positions, min(_INPUT_HARMONICS[cycle.name], cycle.most_harmonics)
        )
        parts += [(f"{cycle.name} {k // 2 + 1}{'sc'[k % 2]}", waves[..., k]) for k in range(waves.shape[-1])]
    series = len(panel.names)
    if 1 < series <= _MOST_SERIES_TOLD_APART:
        parts += [(f"series {name}", np.zeros(before.shape) + np.eye(series)[n]) for n, name in enumerate(panel.names)]
    return np.stack([values for _, values in parts], axis=-1), [name for name, _ in parts], dropped


def _categories(name: str, texts: list[list[str]], before: Array) -> list[tuple[str, Array]]:
    """One standardised column for each value that stands before the split; others leave all of them at "no"."""
    padded = np.full(before.shape, "", dtype=object)
    for n, entries in enumerate(texts):
        padded[: len(entries), n] = entries
    parts = []
    for value in sorted(set(padded[before]) - {""}):
        here = (padded == value).astype(np.float64)
        mean, spread = here[before].mean(), here[before].std()
        if spread > 0:
            parts.append((f"{name}={value}", np.clip((here - mean) / spread, -_CLIP, _CLIP)))
    return parts


def _ahead(panel: Panel, climatology: list[Climatology], horizon: int) -> Array:
    """(T, N, H) climatology of the target 1 to H steps ahead, past the end of the panel too."""
    positions = panel.positions[..., None] + np.arange(1, horizon + 1)
    return np.stack([fit(panel.grid, positions[:, n])[..., 0] for n, fit in enumerate(climatology)], axis=1)


def _shifted(values: Array, horizon: int) -> Array:
    """(T, N) -> (T, N, H): the value h steps ahead, NaN past the end."""
    padded = np.concatenate([values, np.full((horizon, values.shape[1]), np.nan)])
    return np.stack([padded[h : h + len(values)] for h in range(1, horizon + 1)], axis=-1)


def _spread(values: Array, size: float) -> Array:
    """(T, N, K) -> (N, K): root mean square over time of what is known; 1 where that is mere rounding."""
    known = ~np.isnan(values)
    square = np.where(known, values, 0.0) ** 2
    spread: Array = np.sqrt(square.sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    return np.where(spread > _TINY * size, spread, 1.0)
