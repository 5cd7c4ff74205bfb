"""Data sets that come with the package."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

__all__ = ["weather"]


def weather() -> Traversable:
    """Daily weather of Seattle and New York, 2012 to 2015, as a CSV file; weather.md beside it tells its origin.

    >>> import csv
    >>> with weather().open(encoding="utf-8", newline="") as file:
    ...     rows = list(csv.DictReader(file))
    >>> len(rows), rows[0]["location"], rows[0]["temp_max"]
    (2922, 'Seattle', '12.8')
    """
    return resources.files("rnncore.datasets").joinpath("weather.csv")
