"""Forecasting of time series: `Forecaster`, and what `rnncore forecast` does.

>>> from rnncore import datasets
>>> from rnncore.forecasting import Settings, forecast, read_table
>>> table = read_table(datasets.weather())
>>> settings = Settings(target="temp_max", group="location", only=("New York",), members=0)
>>> result = forecast(table, settings)
>>> result.split.label, result.panel.grid.name
('2015-01-01', 'day')
>>> result.scores["rnncore"].rmse[0] < result.scores["repeat"].rmse[0]
True
"""

from rnncore.forecasting.forecaster import Forecaster
from rnncore.forecasting.run import Result, forecast
from rnncore.forecasting.settings import Settings
from rnncore.tables import InputError, Table, parse_table, read_table

__all__ = ["Forecaster", "InputError", "Result", "Settings", "Table", "forecast", "parse_table", "read_table"]
