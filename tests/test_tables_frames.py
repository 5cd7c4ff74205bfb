"""Data frames, mappings and arrays give the panel that the file gives; further rows go onto its grid."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from rnncore import tables
from table_case import panel_of, stamps

HOURS = stamps("2024-03-30T00:00", 48, 1, "h")
LONG = {
    "unique_id": ["a"] * 48 + ["b"] * 40,
    "ds": HOURS + HOURS[:40],
    "y": [float(k % 24) if k % 11 else None for k in range(88)],
    "wind": [k % 5 for k in range(88)],
    "sky": ["clear" if k % 3 else "rain" for k in range(88)],
}


def csv():
    lines = zip(*(["" if v is None else str(v) for v in LONG[name]] for name in LONG), strict=True)
    return "\n".join([",".join(LONG), *map(",".join, lines)]) + "\n"


def typed():
    return LONG | {"ds": [pd.Timestamp(time) for time in LONG["ds"]]}


def alike(one, two):
    assert one.schema == two.schema
    assert one.names == two.names
    for first, second in zip(one, two, strict=True):
        assert (first.start, first.key) == (second.start, second.key)
        for array in ("values", "future", "static", "rows"):
            np.testing.assert_array_equal(getattr(first, array), getattr(second, array))


@pytest.mark.parametrize(
    "make",
    [
        lambda: pd.DataFrame(typed()),
        lambda: pd.DataFrame(LONG),
        lambda: pd.DataFrame(typed()).convert_dtypes(),
        lambda: pd.DataFrame(typed()).astype({"sky": "category", "unique_id": "string"}),
        lambda: pd.DataFrame(typed()).set_index("ds")[["unique_id", "y", "wind", "sky"]].reset_index()[list(LONG)],
        lambda: pl.DataFrame(typed()),
        lambda: pl.DataFrame(typed()).lazy(),
        lambda: pl.DataFrame(LONG),
        lambda: pa.table(typed()),
        lambda: typed(),
        lambda: LONG | {"y": np.array(LONG["y"], np.float32)},
    ],
    ids=[
        "pandas",
        "text",
        "nullable",
        "categories",
        "index",
        "polars",
        "lazy",
        "polars text",
        "arrow",
        "mapping",
        "arrays",
    ],
)
def test_frames_give_the_panel_of_the_file(make):
    alike(tables.read_panel(make()), panel_of(csv()))


def test_columns_have_any_names():
    renamed = pl.DataFrame(typed()).rename({"unique_id": "shop", "ds": "when", "y": "sales"})
    panel = tables.read_panel(renamed, group="shop", time="when", target="sales")
    assert (panel.schema.group, panel.schema.time, panel.schema.target) == (("shop",), ("when",), ("sales",))
    np.testing.assert_array_equal(panel.series[0].values, panel_of(csv()).series[0].values)


def test_a_time_index_of_pandas_is_the_time():
    frame = pd.DataFrame({"load": np.arange(48.0)}, index=pd.DatetimeIndex(HOURS))
    panel = tables.read_panel(frame)
    assert (panel.schema.time, panel.grid.name, panel.labels(0)) == (("index",), "hour", HOURS)
    filtered = pd.DataFrame({"ds": HOURS, "y": range(48)}).iloc[10:]
    assert tables.read_panel(filtered).columns == ("y",)


def test_a_series_is_the_target_and_its_index_the_time():
    days = pd.date_range("2024-01-01", periods=4)
    values = [1.0, 2.0, 4.0, 8.0]
    dated = tables.read_panel(pd.Series(values, index=days, name="sales"))
    assert (dated.columns, dated.next_labels(0, 1)) == (("y",), ["2024-01-05"])
    for source in (pd.Series(values), pl.Series(values), values, tuple(values)):
        panel = tables.read_panel(source)
        assert (panel.series[0].y.tolist(), panel.next_labels(0, 1)) == (values, ["4"])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_stamps_of_any_resolution(unit):
    frame = pd.DataFrame({"ds": np.array(HOURS, f"M8[{unit}]"), "y": range(48)})
    assert tables.read_panel(frame).labels(0) == HOURS
    assert tables.read_panel(pl.from_pandas(frame)).labels(0) == HOURS


@pytest.mark.parametrize("make", [lambda frame: frame, pl.from_pandas], ids=["pandas", "polars"])
def test_time_zones_of_frames(make):
    times = pd.date_range("2024-03-31", periods=24, freq="h", tz="Europe/Berlin")
    panel = tables.read_panel(make(pd.DataFrame({"ds": times, "y": range(24)})))
    assert panel.grid.zone == "Europe/Berlin"
    assert panel.labels(0)[1:3] == ["2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00"]


def test_dates_and_periods_of_frames():
    days = pl.DataFrame({"ds": pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 2, 1), eager=True), "y": range(32)})
    assert tables.read_panel(days).grid.name == "day"
    months = pd.DataFrame({"ds": pd.period_range("2020-01", periods=30, freq="M"), "y": range(30)})
    assert tables.read_panel(months).grid.name == "month"
    quarters = pd.DataFrame({"ds": pd.period_range("2020Q1", periods=30, freq="Q"), "y": range(30)})
    assert tables.read_panel(quarters).next_labels(0, 1) == ["2027Q3"]


def test_arrays():
    one = tables.read_panel(np.array([1.0, 2.0, np.nan, 4.0]))
    assert one.series[0].y.tolist()[:2] == [1, 2]
    assert (one.columns, one.grid.name, one.next_labels(0, 1)) == (("y",), "step", ["4"])
    two = tables.read_panel(np.arange(20.0).reshape(10, 2), target=["y0", "y1"])
    assert two.series[0].values.tolist() == np.arange(20.0).reshape(10, 2).tolist()
    with pytest.raises(tables.InputError, match=r"an array has to be \(T,\) or \(T, C\), got \(2, 2, 2\)"):
        tables.read_panel(np.zeros((2, 2, 2)))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (
            3,
            TypeError,
            "data should be a path, a data frame or series, a mapping of names to columns or an array, got: int",
        ),
        ({"ds": HOURS, "y": [1.0]}, tables.InputError, "columns have to be of one length, got ds 48, y 1"),
        ({}, tables.InputError, "the data frame has no rows"),
        (pd.DataFrame({"ds": [], "y": []}), tables.InputError, "the data frame has no rows"),
        (
            {"ds": [*HOURS[:3], "soon"], "y": range(4)},
            tables.InputError,
            "column 'ds', row 3: cannot read the time 'soon'",
        ),
        ({"ds": HOURS[:3], "y": ["a", "b", "c"]}, tables.InputError, "no numeric column"),
        ({"ds": [*HOURS[:3], None], "y": range(4)}, tables.InputError, "column 'ds', row 3: the time is missing"),
    ],
    ids=["a number", "lengths", "nothing", "no rows", "no time", "no number", "missing time"],
)
def test_what_is_no_table(source, error, message):
    with pytest.raises(error, match=message):
        tables.read_panel(source)


def test_infinities_are_missing():
    panel = tables.read_panel({"ds": HOURS[:4], "y": [1.0, np.inf, -np.inf, 2.0]})
    assert np.isnan(panel.series[0].y).tolist() == [False, True, True, False]


# ---- covariates


def test_covariates_known_ahead_and_static_ones():
    frame = pd.DataFrame(typed()).assign(region=["north"] * 48 + ["south"] * 40)
    panel = tables.read_panel(frame, future=["wind"], static=["region"])
    assert panel.columns == ("y", "sky", "wind")
    assert panel.schema.categories == {"sky": ("clear", "rain"), "region": ("north", "south")}
    assert [each.static.tolist() for each in panel] == [[0], [1]]
    with pytest.raises(tables.InputError, match="--static: 'wind' changes within series 'a', expected one value"):
        tables.read_panel(frame, static=["wind"])
    with pytest.raises(tables.InputError, match="--future: the data frame has no column 'rain'"):
        tables.read_panel(frame, future=["rain"])
    with pytest.raises(tables.InputError, match="'y' cannot be a covariate, it is the target"):
        tables.read_panel(frame, target="y", future=["y"])


def test_rows_behind_the_last_target_are_known_ahead():
    known = [*range(40), *[None] * 8]
    frame = pd.DataFrame({"ds": HOURS, "y": known, "wind": range(48), "sun": known})
    panel = tables.read_panel(frame)
    assert (panel.schema.past, panel.schema.future) == (("sun",), ("wind",))
    assert panel.series[0].future[:, -1].tolist() == list(range(40, 48))
    assert len(panel.series[0]) == 40
    assert "known ahead, since rows behind the last value of the target hold them: wind" in panel.notes
    cut = panel.before(30)
    assert len(cut.series[0]) == 30
    assert cut.series[0].future[:, -1].tolist() == list(range(30, 48))
    assert np.isnan(cut.series[0].future[:, :-1]).all()


# ---- further rows


def test_further_rows_stand_on_the_same_grid():
    frame = pd.DataFrame(typed())
    panel = tables.read_panel(frame, future=["wind"])
    schema = tables.Schema.from_dict(json.loads(json.dumps(panel.schema.as_dict())))
    more = pl.DataFrame(
        {
            "ds": ["2024-03-31 16:00", "2024-03-31 17:00", "2024-04-01 00:00"],
            "unique_id": ["b", "b", "c"],
            "wind": [1, 2, 3],
            "y": [5.0, None, None],
            "sky": ["rain", "hail", None],
        }
    )
    further = tables.read_panel(more, schema=schema)
    b, c = further.series
    assert (further.names, b.start, c.start) == (["b", "c"], panel.series[1].end, panel.series[0].end)
    assert b.values.tolist() == [[5, 1, 1]]
    assert len(c) == 0
    np.testing.assert_array_equal(b.future, [[np.nan, np.nan, 2]])  # a sky that was never seen is missing
    np.testing.assert_array_equal(c.future, [[np.nan, np.nan, 3]])
    assert further.next_labels(0, 1) == ["2024-03-31T17:00"]
    with pytest.raises(tables.InputError, match="--future: the data frame has no column 'wind', only"):
        tables.read_panel(more.drop("wind"), schema=schema)
    with pytest.raises(tables.InputError, match="column 'ds' holds numbers, expected times as before"):
        tables.read_panel(more.with_columns(ds=pl.Series([1, 2, 3])), schema=schema)


def test_further_rows_of_a_zone_are_local():
    times = pd.date_range("2024-03-30", periods=48, freq="h", tz="Europe/Berlin")
    panel = tables.read_panel({"ds": times, "y": range(48)})
    for more in ("2024-04-01 01:00", "2024-04-01T01:00+02:00", "2024-03-31T23:00Z"):
        further = tables.read_panel({"ds": [more], "y": [1.0]}, schema=panel.schema)
        assert further.series[0].start == panel.series[0].end, more


def test_further_rows_without_a_time_count_from_nothing():
    panel = tables.read_panel(np.arange(10.0))
    assert tables.read_panel(np.arange(3.0), schema=panel.schema).series[0].start == 0


# ---- frames out


@pytest.mark.parametrize("freq", ["h", "D", "B"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_of_a_frame_come_back_as_they_were(freq, zone):
    times = pd.date_range("2024-03-28", periods=60, freq=freq, tz=zone)
    grid = tables.read_panel({"ds": times, "y": range(60)}).grid
    assert list(pd.DatetimeIndex(grid.stamps(np.arange(62)))) == list(pd.date_range(times[0], periods=62, freq=freq))


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (pd.DataFrame({"y": [1]}), pd.DataFrame),
        (pl.DataFrame({"y": [1]}), pl.DataFrame),
        (pl.LazyFrame({"y": [1]}), pl.DataFrame),
        ("data.csv", pd.DataFrame),
    ],
)
def test_a_frame_of_the_kind_that_came_in(source, kind):
    columns = {"unique_id": ["a", "b"], "ds": np.array(HOURS[:2], "M8[ns]"), "y": np.array([1.5, 2.5])}
    frame = tables.like(source, columns)
    assert isinstance(frame, kind)
    assert list(frame.columns) == ["unique_id", "ds", "y"]
    assert list(frame["y"]) == [1.5, 2.5]
