"""Series from CSV files, Parquet files, data frames and arrays: on a regular grid of time, missing values marked.

A `Panel` is what both forecasting and detection read: series on one `Grid`, with a `Schema` that says what the columns
stand for, and notes on all that was decided while reading.

>>> from rnncore import datasets, tables
>>> panel = tables.read_panel(datasets.weather(), target="temp_max", group="location")
>>> panel.names, panel.grid.name, panel.columns
(['Seattle', 'New York'], 'day', ('temp_max', 'precipitation', 'temp_min', 'wind', 'weather'))
>>> panel.series[0].values.shape, panel.schema.categories["weather"]
((1461, 5), ('drizzle', 'fog', 'rain', 'snow', 'sun'))
"""

from rnncore.tables.build import build_panel, continue_panel, position_of
from rnncore.tables.errors import InputError
from rnncore.tables.frames import like
from rnncore.tables.grid import Grid
from rnncore.tables.panel import Panel, Schema, Series
from rnncore.tables.reader import load_table, read_panel
from rnncore.tables.table import Table, parse_table, read_table

__all__ = [
    "Grid",
    "InputError",
    "Panel",
    "Schema",
    "Series",
    "Table",
    "build_panel",
    "continue_panel",
    "like",
    "load_table",
    "parse_table",
    "position_of",
    "read_panel",
    "read_table",
]
