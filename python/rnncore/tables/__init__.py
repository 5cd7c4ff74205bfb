"""Series from CSV files, Parquet files, data frames and arrays: on a regular grid of time, missing values marked.

A `Panel` is what both forecasting and detection read: series on one `Grid`, with a `Schema` that says what the columns
stand for, and notes on all that was decided while reading.
"""

from rnncore.tables.errors import InputError
from rnncore.tables.grid import Grid
from rnncore.tables.panel import Panel, Schema, Series

__all__ = ["Grid", "InputError", "Panel", "Schema", "Series"]
