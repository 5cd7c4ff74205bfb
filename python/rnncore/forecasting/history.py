"""Series side by side, as the members of a forecast read them: ends aligned, holes filled, wild values set aside.

Index `end` is the first step past what is fitted to; steps behind it, if any, are only forecast and scored.
Sizes: N series, T steps, P covariates of the past, F known ahead, S static ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array
from rnncore.tables import Grid, Panel, Schema

_WILD = 30.0  # times the range that holds 98 % of the values: further away from it, a value is set aside
_LONGEST_SPELL = 3  # of wild values in a row: more of them are a new level


@dataclass(frozen=True)
class History:
    """Arrays over aligned steps: step t of series n stands at position `offset[n] + t` of the grid."""

    grid: Grid
    y: Array  # (N, T) float64, NaN where missing, set aside or outside of the series
    first: Array  # (N,) step of the first value
    offset: Array  # (N,)
    end: int
    past: Array  # (N, T, P) the last value known at each step; 0 before the first
    future: Array  # (N, T + ahead, F) likewise, as far as they are known
    static: Array  # (N, S)
    known_ahead: int = 0  # steps behind the last whose `future` is known in every series

    @property
    def steps(self) -> int:
        """Steps of all series, those behind `end` among them."""
        return int(self.y.shape[1])

    def positions(self, series: Array, steps: Array) -> Array:
        """Position on the grid of some steps."""
        where: Array = self.offset[series] + steps
        return where


def limits(y: Array) -> Array:
    """(2,): values outside are wild. What the middle 98 % span, and 30 times as much on either side."""
    known = y[~np.isnan(y)]
    if known.size < 20:
        return np.array([-np.inf, np.inf])
    low, high = np.quantile(known, 0.01, method="higher"), np.quantile(known, 0.99, method="lower")
    reach = _WILD * (high - low) if high > low else np.inf
    return np.array([low - reach, high + reach])


def wild(y: Array, bounds: Array) -> Array:
    """(T,) whether a value is to be set aside: outside of the bounds, and in no spell of more than three."""
    outside: Array = (y < bounds[0]) | (y > bounds[1])
    if not outside.any():
        return outside
    edges = np.flatnonzero(np.diff(np.concatenate([[False], outside, [False]])))
    for begin, stop in edges.reshape(-1, 2):
        if stop - begin > _LONGEST_SPELL:
            outside[begin:stop] = False
    return outside


def lay_out(panel: Panel, split: int | None = None, ahead: int = 0, behind: int = 0) -> tuple[History, list[str]]:
    """Align the series at their ends, or at position `split` of the grid; return notes on values set aside.

    With a split, steps from it on stand behind `end`; without, the last `behind` ones do. Series that have nothing
    before it must have been left out.
    """
    lengths = np.array([len(s) - behind if split is None else min(len(s), split - s.start) for s in panel])
    behind = max(0, *(len(s) - n for s, n in zip(panel, lengths, strict=True)))
    end, total = int(lengths.max()), int(lengths.max()) + behind
    schema = panel.schema
    past, future = (expanded(schema, names, schema.columns) for names in (schema.past, schema.future))
    y = np.full((len(panel), total), np.nan)
    x = np.full((len(panel), total, sum(len(values) for _, values in past)), np.nan, np.float32)
    f = np.full((len(panel), total + ahead, sum(len(values) for _, values in future)), np.nan, np.float32)
    known = min((len(each.future) for each in panel), default=0) if future else 0
    notes = []
    for n, series in enumerate(panel):
        place = slice(end - lengths[n], end - lengths[n] + len(series))
        own = series.y.copy()
        far = wild(own, limits(own[: lengths[n]]))
        for t in np.flatnonzero(far)[:3]:
            of = f" of {series.name}" if series.name else ""
            label = panel.grid.label(series.start + int(t))
            notes.append(
                f"{own[t]:g}{of} at {label} lies more than {_WILD:g} times the range of the other values away: "
                "taken as missing"
            )
        own[far] = np.nan
        y[n, place] = own
        x[n, place] = numbers(series.values, past)
        told = numbers(np.concatenate([series.values, series.future[:ahead]]), future)
        f[n, place.start : place.start + len(told)] = told[: f.shape[1] - place.start]
    offset = np.array([s.start for s in panel]) + lengths - end
    first = np.where(np.isnan(y).all(axis=1), total, np.argmax(~np.isnan(y), axis=1))
    static = np.array([s.static for s in panel], np.float64).reshape(len(panel), -1)
    static = numbers(static, expanded(schema, schema.static, schema.static))
    return History(panel.grid, y, first, offset, end, last_known(x), last_known(f), static, known), notes


def blocks(steps: int, size: int, most: int = 500_000) -> Iterator[slice]:
    """Yield slices of so many steps, which hold `most` numbers or so where each step takes `size`."""
    width = max(1, most // max(1, size))
    for begin in range(0, steps, width):
        yield slice(begin, min(begin + width, steps))


Columns = list[tuple[int, list[int | None]]]


def expanded(schema: Schema, names: tuple[str, ...], order: tuple[str, ...]) -> Columns:
    """Place of each column in `order`, and the categories that each get an input: None for a number."""
    found: Columns = []
    for name in names:
        categories = schema.categories.get(name)
        found.append((order.index(name), [None] if categories is None else list(range(len(categories)))))
    return found


def numbers(values: Array, columns: Columns) -> Array:
    """(T, C) -> (T, .): numbers as they are, and 1 where a column is in a category."""
    parts = [np.zeros((len(values), 0))]
    for k, categories in columns:
        own = values[:, k]
        shown = [own if each is None else np.where(np.isnan(own), np.nan, own == each) for each in categories]
        parts.append(np.stack(shown, axis=1))
    return np.concatenate(parts, axis=1)


def last_known(values: Array) -> Array:
    """(N, T, C) with each hole filled by the value before it; 0 before the first."""
    known = ~np.isnan(values)
    steps = np.arange(values.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(known, steps, -1), axis=1)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=1), values.dtype.type(0))


def filled(y: Array, first: Array, season: int) -> Array:
    """(N, T) without holes: the value a season before, else the last; before a series begins, its first season again.

    A fill looks at earlier steps alone, but for the steps before the first value.
    """
    z = y.copy()
    holes = np.isnan(z)
    for begin in sorted(set(first.tolist())):
        rows = np.flatnonzero(first == begin)
        if begin >= z.shape[1]:
            z[rows] = 0.0
            continue
        for n in rows[holes[rows, begin:].any(axis=1)]:
            own = z[n]
            for t in np.flatnonzero(holes[n, begin:]) + begin:
                own[t] = own[t - season] if season > 1 and t - season >= begin else own[t - 1]
        if begin:
            turn = z[rows, begin : begin + season]
            z[rows, :begin] = turn[:, np.arange(-begin, 0) % turn.shape[1]]
    return z
