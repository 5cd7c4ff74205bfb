"""A fitted forecaster as a function from one pandas frame to another, for maps over the partitions of many series."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Partition:
    """What it is made of can be pickled, and so can its method."""

    forecaster: Any

    def forecast(self, df: Any) -> Any:
        """Forecast the series of a pandas frame from the end of their rows."""
        return self.forecaster.predict(df=df)


def of_partitions(forecaster: Any) -> Callable[[Any], Any]:
    """Return the function of one partition; Fugue tells by its annotations that frames are those of pandas."""
    frame = importlib.import_module("pandas").DataFrame
    _Partition.forecast.__annotations__ = {"df": frame, "return": frame}
    return _Partition(forecaster).forecast
