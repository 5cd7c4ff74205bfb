"""Any series, written in any dialect that says what it is, is read back: values, times and steps."""

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnncore import tables
from table_case import panel_of

STEPS = {
    "D": "day",
    "h": "hour",
    "15min": "15 minutes",
    "7D": "week",
    "MS": "month",
    "QS": "quarter",
    "10s": "10 seconds",
}
FORMS = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y%m%d %H%M%S", "%d-%b-%Y %H:%M:%S"]


@st.composite
def files(draw):
    """A file, and what is in it."""
    count = draw(st.integers(25, 60))
    step = draw(st.sampled_from(sorted(STEPS)))
    first = draw(st.datetimes(pd.Timestamp("1970-01-01"), pd.Timestamp("2060-01-01")))
    index = pd.date_range(pd.Timestamp(first).floor("D"), periods=count, freq=step)
    scale = draw(st.sampled_from([1e-3, 1.0, 1e6]))
    seed = draw(st.integers(0, 10**6))
    values = np.round(scale * (5 + np.random.default_rng(seed).standard_normal(count)), 4)
    missing = draw(st.lists(st.integers(1, count - 2), max_size=3, unique=True))
    left_out = draw(st.lists(st.integers(1, count - 2), max_size=2, unique=True))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    decimal = draw(st.sampled_from([".", ","])) if delimiter != "," else "."
    mark = draw(st.sampled_from(["", "NA", "n/a", "-", "."]))
    preamble = draw(st.sampled_from(["", "# written by a test\n", "Logger 7\n\n"]))
    form = draw(st.sampled_from(FORMS))
    lines = []
    for k, (time, value) in enumerate(zip(index, values.tolist(), strict=True)):
        if k not in left_out:
            text = mark if k in missing else f"{value:.4f}".replace(".", decimal)
            lines.append(delimiter.join([time.strftime(form), text]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = preamble + end.join([delimiter.join(["time", "y"]), *lines]) + end
    expected = values.copy()
    expected[[*missing, *left_out]] = np.nan
    return text, index, expected, step


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files())
def test_what_is_written_is_read(file):
    text, index, expected, step = file
    panel = panel_of(text)
    (series,) = panel.series
    assert panel.grid.name == STEPS[step]
    np.testing.assert_array_equal(series.y, expected)
    times = pd.DatetimeIndex(panel.grid.local(series.positions))
    assert (times == index).all()
    following = pd.date_range(index[-1], periods=3, freq=step)[1:]
    assert (pd.DatetimeIndex(panel.grid.local([series.end, series.end + 1])) == following).all()


def outcome(text):
    """How many series there are, or why there are none."""
    try:
        return len(panel_of(text))
    except tables.InputError as error:
        return str(error)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text):
    assert outcome(text)
