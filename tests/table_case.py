"""Small files for the tests of tables."""

import numpy as np

from rnncore import tables


def panel_of(text, **options):
    """The panel of a CSV text; decimal goes to the reader of the file."""
    return tables.build_panel(tables.parse_table(text, "data.csv", options.pop("decimal", None)), **options)


def rows(header, times, values=None, delimiter=",", end="\n"):
    """A file of times and values: 1.5, 2.5 and so on where none are given."""
    values = [f"{k + 1}.5" for k in range(len(times))] if values is None else values
    lines = [f"{time}{delimiter}{value}" for time, value in zip(times, values, strict=True)]
    return end.join([header, *lines]) + end


def stamps(start, count, step=1, unit="D"):
    """Stamps in ISO 8601."""
    return [str(each) for each in np.datetime64(start) + step * np.arange(count) * np.timedelta64(1, unit)]


def timed(times, header="time,y", delimiter=",", **options):
    """The panel of a series at these times."""
    quoted = [f'"{time}"' if "," in str(time) else time for time in times]
    return panel_of(rows(header, quoted, delimiter=delimiter), **options)


def spelled(start, count, form, step=1, unit="D"):
    """Stamps as strftime writes them."""
    instants = np.datetime64(start, "s") + step * np.arange(count) * np.timedelta64(1, unit)
    return [each.strftime(form) for each in instants.tolist()]
