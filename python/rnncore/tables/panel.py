"""Series on one regular grid of time, with their covariates: what a table becomes, whatever it came from.

Sizes: T steps of a series, F known ahead, C columns (targets first, then past, then future covariates), S static ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.grid import Grid


@dataclass(frozen=True)
class Schema:
    """What the columns stand for, and the grid: all that is needed to read further rows of the same kind.

    A column of text is held as numbers: the place of each value in `categories[column]`, NaN where missing or new.
    """

    target: tuple[str, ...]
    grid: Grid
    time: tuple[str, ...] = ()  # none: the rows are steps
    group: tuple[str, ...] = ()  # columns that tell series apart
    past: tuple[str, ...] = ()  # covariates known up to the row from which one forecasts
    future: tuple[str, ...] = ()  # covariates known ahead
    static: tuple[str, ...] = ()  # covariates that are one value for a series
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)  # of the reader: decimal, dayfirst, ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of `Series.values`."""
        return (*self.target, *self.past, *self.future)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Schema:
        """Return the schema that `as_dict` told, also after a turn through JSON."""
        grid = Grid(**told["grid"] | {"holidays": tuple(told["grid"]["holidays"])})
        names = {key: tuple(told[key]) for key in ("target", "time", "group", "past", "future", "static")}
        categories = {key: tuple(values) for key, values in told["categories"].items()}
        return cls(grid=grid, categories=categories, options=dict(told["options"]), **names)


@dataclass(frozen=True)
class Series:
    """One series: row t of `values` stands at position `start + t` of the grid."""

    name: str  # the values of the group columns, " / " between them; "" where the table is one series
    key: tuple[Any, ...]  # the values of the group columns as the source has them
    start: int
    values: Array  # (T, C) float64, NaN where missing; the first row has a target and so has the last
    future: Array  # (F, C) rows behind the last target: known covariates, NaN in all else
    static: Array  # (S,)
    rows: Array  # (T,) row of the source that each step came from, -1 where there was none

    def __len__(self) -> int:
        return len(self.values)

    @property
    def y(self) -> Array:
        """(T,) the first target."""
        column: Array = self.values[:, 0]
        return column

    @property
    def end(self) -> int:
        """Position of the first step past the end."""
        return self.start + len(self.values)

    @property
    def positions(self) -> Array:
        """(T,) position on the grid of every row."""
        return np.arange(self.start, self.end)


@dataclass(frozen=True)
class Panel:
    """One or many series on one grid, what their columns stand for, and notes on how they were read.

    >>> import numpy as np
    >>> from rnncore.tables import Grid, Panel, Schema, Series
    >>> schema = Schema(target=("y",), grid=Grid("day", origin=19752, step=1))
    >>> y = np.array([[1.0], [2.0], [np.nan], [4.0]])
    >>> one = Series("", (), 0, y, np.empty((0, 1)), np.empty(0), np.array([0, 1, -1, 2]))
    >>> panel = Panel(schema, (one,))
    >>> panel.grid.name, panel.labels(0)
    ('day', ['2024-01-30', '2024-01-31', '2024-02-01', '2024-02-02'])
    >>> panel.next_labels(0, 2)
    ['2024-02-03', '2024-02-04']
    """

    schema: Schema
    series: tuple[Series, ...]
    notes: list[str] = field(default_factory=list)
    where: Callable[[int], str] = "row {}".format  # how to name a row of the source

    @property
    def grid(self) -> Grid:
        """The grid of all series."""
        return self.schema.grid

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of `Series.values`."""
        return self.schema.columns

    @property
    def names(self) -> list[str]:
        """Names of the series."""
        return [each.name for each in self.series]

    @property
    def span(self) -> tuple[int, int]:
        """First position of any series, and last one plus one."""
        return min(each.start for each in self.series), max(each.end for each in self.series)

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[Series]:
        return iter(self.series)

    def labels(self, series: int) -> list[str]:
        """Return the time stamps of a series."""
        return self.grid.labels(self.series[series].positions)

    def next_labels(self, series: int, count: int) -> list[str]:
        """Return the `count` time stamps after the end of a series."""
        return self.grid.next_labels(self.series[series].end - 1, count)

    def take(self, series: Sequence[int]) -> Panel:
        """Return these series alone."""
        return replace(self, series=tuple(self.series[n] for n in series))

    def before(self, stop: int) -> Panel:
        """Return what lies before a position of the grid; series that begin later are left out.

        Known covariates behind it go into `Series.future`.
        """
        return replace(self, series=tuple(self._cut(each, stop) for each in self.series if each.start < stop))

    def _cut(self, series: Series, stop: int) -> Series:
        length = min(len(series), stop - series.start)
        ahead = np.concatenate([series.values[length:], series.future])
        ahead[:, : len(self.columns) - len(self.schema.future)] = np.nan
        return replace(series, values=series.values[:length], rows=series.rows[:length], future=ahead)
