"""A fitted forecaster as a function from one pandas frame to another, with the types that Fugue asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Partition:
    """Forecasts of the series that a frame holds. What it is made of can be pickled."""

    forecaster: Any

    def forecast(self, df: pd.DataFrame) -> pd.DataFrame:
        """Forecast from the end of the rows."""
        found: pd.DataFrame = self.forecaster.predict(df=df)
        return found
