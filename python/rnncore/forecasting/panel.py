"""Several series side by side, as arrays: the form in which the networks see a panel of `rnncore.tables`.

Sizes: T steps, N series, C numeric columns (the target is the first).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnncore import tables
from rnncore.arguments import Array
from rnncore.tables import Grid, Schema, Series, Table

_FILLED = "the last known value stands in for what is missing, which is never scored"


@dataclass(frozen=True)
class Panel:
    """Series side by side; each begins at index 0 of its row. `start` tells where on the grid that is."""

    schema: Schema
    names: list[str]  # of the series
    start: Array  # (N,) position on the grid of index 0
    lengths: Array  # (N,)
    values: Array  # (T, N, C) NaN where missing and past the length
    labels: dict[str, list[list[str]]]  # categorical column -> per series, text at each index
    notices: list[str]

    @property
    def grid(self) -> Grid:
        """The grid of all series."""
        return self.schema.grid

    @property
    def calendar(self) -> bool:
        """Whether the grid has dates."""
        return self.schema.grid.calendar

    @property
    def target(self) -> str:
        """What is forecast."""
        return self.schema.target[0]

    @property
    def columns(self) -> list[str]:
        """Names of the numeric columns."""
        return [name for name in self.schema.columns if name not in self.schema.categories]

    @property
    def positions(self) -> Array:
        """(T, N) position on the grid of every index."""
        return np.arange(self.values.shape[0])[:, None] + self.start

    @property
    def valid(self) -> Array:
        """(T, N) whether the index is within the series."""
        return np.arange(self.values.shape[0])[:, None] < self.lengths

    @property
    def span(self) -> tuple[int, int]:
        """First position of any series, and last one plus one."""
        return int(self.start.min()), int((self.start + self.lengths).max())

    def filled(self) -> Array:
        """(T, N, C) the last value known at each index; NaN before the first."""
        known = ~np.isnan(self.values)
        steps = np.arange(self.values.shape[0])[:, None, None]
        last = np.maximum.accumulate(np.where(known, steps, -1), axis=0)
        return np.where(last >= 0, np.take_along_axis(self.values, np.maximum(last, 0), axis=0), np.nan)

    def take(self, series: list[int]) -> Panel:
        """Return these series alone."""
        length = int(self.lengths[series].max())
        return replace(
            self,
            names=[self.names[n] for n in series],
            start=self.start[series],
            lengths=self.lengths[series],
            values=self.values[:length, series],
            labels={column: [texts[n] for n in series] for column, texts in self.labels.items()},
        )

    def before(self, stop: int) -> Panel:
        """Return what lies before a position of the grid."""
        lengths = np.clip(stop - self.start, 0, self.lengths)
        inside = np.arange(self.values.shape[0])[:, None, None] < lengths[:, None]
        cut = {
            column: [entries[:length] for entries, length in zip(texts, lengths, strict=True)]
            for column, texts in self.labels.items()
        }
        panel = replace(self, lengths=lengths, values=np.where(inside, self.values, np.nan), labels=cut)
        return panel.take(np.flatnonzero(lengths > 0).tolist())


def build_panel(table: Table, **options: Any) -> Panel:
    """Return the series of a table side by side; the options are those of `rnncore.tables.build_panel`."""
    source = tables.build_panel(table, **options)
    schema = source.schema
    numeric = [k for k, name in enumerate(schema.columns) if name not in schema.categories]
    lengths = np.array([len(each) for each in source])
    values = np.full((int(lengths.max()), len(source), len(numeric)), np.nan)
    for n, each in enumerate(source):
        values[: len(each), n] = each.values[:, numeric]
    texts = [name for name in schema.columns if name in schema.categories]
    labels = {name: [_texts(each, schema, name) for each in source] for name in texts}
    gaps = any(np.isnan(each.values[:, numeric]).any() for each in source)
    notices = [*source.notes, _FILLED] if gaps else source.notes
    return Panel(schema, source.names, np.array([each.start for each in source]), lengths, values, labels, notices)


def _texts(series: Series, schema: Schema, name: str) -> list[str]:
    """A categorical column as text; where there was no row, that of the last one."""
    codes = series.values[:, schema.columns.index(name)]
    latest = np.maximum.accumulate(np.where(series.rows >= 0, np.arange(len(codes)), 0))
    values: Sequence[str] = schema.categories[name]
    return ["" if np.isnan(code) else values[int(code)] for code in codes[latest].tolist()]
