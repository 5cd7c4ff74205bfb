"""Grids: the step that fits best, workdays, holidays, ends of months, irregular stamps, labels and back."""

import numpy as np
import pandas as pd
import pytest

from rnncore import tables
from rnncore.tables import Grid
from rnncore.tables.holidays import find_holidays
from table_case import panel_of, rows, stamps, timed

HOUR = 3600 * 10**9


def dates(index):
    return [str(each.date()) for each in index]


# ---- calendars


@pytest.mark.parametrize(
    ("index", "name", "following"),
    [
        (pd.date_range("2015-01-05", periods=60, freq="7D"), "week", "2016-02-29"),
        (pd.date_range("2015-01-04", periods=60, freq="14D"), "2 weeks", "2017-04-23"),
        (pd.date_range("2015-01-01", periods=60, freq="2D"), "2 days", "2015-05-01"),
        (pd.date_range("2015-01-31", periods=60, freq="ME"), "month", "2020-01-31"),
        (pd.date_range("2015-01-15", periods=60, freq="MS") + pd.Timedelta(days=14), "month", "2020-02-15"),
        (pd.date_range("2015-01-30", periods=60, freq="BME"), "month", "2020-01-31"),
        (pd.date_range("2015-01-01", periods=61, freq="BMS"), "month", "2020-02-03"),
        (pd.date_range("2015-03-31", periods=40, freq="QE"), "quarter", "2025-03-31"),
        (pd.date_range("2015-03-31", periods=40, freq="BQE"), "quarter", "2025-03-31"),
        (pd.date_range("2015-02-28", periods=40, freq="QE-FEB"), "quarter", "2025-02-28"),
        (pd.date_range("2015-12-31", periods=40, freq="YE"), "year", "2055-12-31"),
        (pd.bdate_range("2015-01-05", periods=60), "business day", "2015-03-30"),
    ],
)
def test_calendar_steps(index, name, following):
    panel = timed(dates(index))
    assert panel.grid.name == name
    assert panel.labels(0) == dates(index)
    assert panel.next_labels(0, 1) == [following]
    assert panel.notes == []


def test_weeks_with_a_day_moved_stand_where_most_do():
    fridays = pd.date_range("2020-01-03", periods=100, freq="7D")
    index = [day - pd.Timedelta(days=int(k % 17 == 0)) for k, day in enumerate(fridays)]
    panel = timed(dates(index))
    assert (panel.grid.name, panel.labels(0)[0], panel.next_labels(0, 1)) == ("week", "2020-01-03", ["2021-12-03"])
    assert panel.notes == ["6 time stamps moved to the nearest week"]


def test_months_whose_day_changes_have_their_first():
    panel = timed(["2023-01-28", "2023-02-27", "2023-03-31", "2023-04-29", "2023-05-30", "2023-06-28"])
    assert (panel.grid.name, panel.next_labels(0, 1)) == ("month", ["2023-07-01"])


@pytest.mark.parametrize(("closed", "names"), [([6], "Sunday"), ([4, 5], "Friday or Saturday"), ([0], "Monday")])
def test_other_working_weeks(closed, names):
    index = [day for day in pd.date_range("2024-01-01", periods=200) if day.weekday() not in closed]
    panel = timed(dates(index[:120]))
    assert (panel.grid.name, len(panel.series[0])) == ("business day", 120)
    assert panel.next_labels(0, 20) == dates(index[120:140])
    assert panel.notes == [f"no row stands on a {names}: these days are no steps"]


def exchange(start, stop, extra=()):
    """Trading days of New York by its rules: nine kinds of holidays."""
    from dateutil.easter import easter

    off = set(extra)
    for year in range(2010, 2030):
        for month, day in ((1, 1), (7, 4), (12, 25)):
            date = pd.Timestamp(year, month, day)
            shift = {5: -1, 6: 1}.get(date.weekday(), 0)
            if (month, shift) != (1, -1):  # no day off for a New Year on Saturday
                off.add(date + pd.Timedelta(days=shift))
        off.add(pd.Timestamp(easter(year)) - pd.Timedelta(days=2))
        for month, weekday, number in ((1, 0, 2), (2, 0, 2), (9, 0, 0), (11, 3, 3)):
            first = pd.Timestamp(year, month, 1)
            off.add(first + pd.Timedelta(days=(weekday - first.weekday()) % 7 + 7 * number))
        end = pd.Timestamp(year, 5, 31)
        off.add(end - pd.Timedelta(days=end.weekday()))
    return [day for day in pd.bdate_range(start, stop) if day not in off]


def test_exchange_holidays_are_no_steps_and_go_on():
    index = exchange("2016-12-01", "2022-06-30", extra=[pd.Timestamp("2018-12-05")])
    panel = timed(dates(index))
    assert len(panel.series[0]) == len(index)
    assert panel.notes[0].endswith("workdays without a row (the first: 2016-12-26) taken as holidays, no steps")
    coming = exchange("2022-07-01", "2024-12-31")
    assert panel.next_labels(0, len(coming)) == dates(coming)
    assert panel.grid.positions(np.array([index[100].value]))[0] == 100


def test_many_missing_workdays_are_holes():
    index = pd.bdate_range("2020-01-06", periods=200)
    kept = [day for k, day in enumerate(index) if k % 7 or k == 0]
    panel = timed(dates(kept))
    assert len(panel.series[0]) == 200
    assert panel.grid.holidays == ()
    gap = timed(dates([*index[:50], *index[60:]]))
    assert np.isnan(gap.series[0].y).sum() == 10


def test_a_holiday_of_one_series_alone_is_a_hole():
    index = pd.bdate_range("2020-01-06", periods=100)
    lines = [f"{day.date()},{name},1.5" for k, day in enumerate(index) for name in "ab" if (k, name) != (40, "a")]
    panel = panel_of("\n".join(["date,name,y", *lines]) + "\n")
    assert [np.isnan(each.y).sum() for each in panel] == [1, 0]


def test_holidays_of_one_year_foretell_those_that_all_have():
    off = {pd.Timestamp("2022-04-15"), pd.Timestamp("2022-12-26"), pd.Timestamp("2022-09-05")}
    days = [day for day in pd.bdate_range("2022-01-03", "2022-12-30") if day not in off]
    numbers = np.array([day.value // (24 * HOUR) for day in days])
    found = np.array(find_holidays(numbers, "1111100")).astype("M8[D]").astype(str).tolist()
    assert found[:3] == ["2022-04-15", "2022-09-05", "2022-12-26"]
    assert "2023-04-07" in found  # Good Friday
    assert "2023-09-05" not in found


# ---- clocks


def jittered(step, spread, count=300, start="2024-01-01T00:00:00.000", seed=0):
    """Stamps in milliseconds, off by a normal error."""
    instants = 1000 * (step * np.arange(count) + np.random.default_rng(seed).normal(0, spread, count))
    return [str(np.datetime64(start) + np.timedelta64(round(each), "ms")) for each in instants]


@pytest.mark.parametrize(
    ("step", "spread", "name"),
    [
        (60, 3, "minute"),
        (900, 20, "15 minutes"),
        (10, 0.5, "10 seconds"),
        (3600, 100, "hour"),
        (1, 0.02, "second"),
        (0.02, 0.001, "20 milliseconds"),
    ],
)
def test_jitter_is_snapped_to_the_step_that_fits(step, spread, name):
    panel = timed(jittered(step, spread))
    assert panel.grid.name == name
    assert len(panel.series[0]) == 300
    assert not np.isnan(panel.series[0].y).any()
    assert panel.notes[0].endswith(f"time stamps moved to the nearest {name}")
    assert panel.labels(0)[0].startswith("2024-01-01T00:00")  # on a round time


def test_jitter_with_rows_missing():
    times = [time for k, time in enumerate(jittered(60, 4, 500)) if k % 13 != 5]
    panel = timed(times)
    assert panel.grid.name == "minute"
    assert len(panel.series[0]) == 499
    assert np.isnan(panel.series[0].y).sum() == 38


def test_a_clock_that_drifts_has_a_step_of_its_own():
    panel = timed(jittered(600.3, 2, 3000))
    assert len(panel.series[0]) == 3000
    assert not np.isnan(panel.series[0].y).any()
    assert panel.grid.name == "600.3 seconds"


def test_three_a_second_in_milliseconds():
    start = np.datetime64("2024-01-01T00:00:00.000")
    panel = timed([str(start + np.timedelta64(round(1000 * k / 3), "ms")) for k in range(900)])
    assert len(panel.series[0]) == 900
    assert panel.next_labels(0, 3) == ["2024-01-01T00:05:00.000", "2024-01-01T00:05:00.333", "2024-01-01T00:05:00.667"]


def test_daily_stamps_at_odd_seconds_are_days():
    panel = timed([f"{day}T06:{k % 3:02}:{k % 50:02}" for k, day in enumerate(stamps("2024-01-01", 80))])
    assert panel.grid.name == "day"
    assert len(panel.series[0]) == 80


def test_irregular_stamps_are_gathered_with_a_note():
    gaps = np.random.default_rng(0).exponential(300, 1000)
    times = [str(np.datetime64("2024-01-01T00:00:00") + np.timedelta64(int(each), "s")) for each in np.cumsum(gaps)]
    panel = timed(list(dict.fromkeys(times)))
    assert "times are irregular" in panel.notes[0]
    assert np.isnan(panel.series[0].y).mean() < 0.25
    assert panel.grid.step % (60 * 10**9) == 0


def test_gathered_rows_are_means():
    panel = panel_of(rows("t,y", [*range(61), 60.5, *range(61, 100)], [*range(61), 70, *range(61, 100)]))
    assert panel.grid.name == "step"
    assert panel.series[0].y[59:63].tolist() == [59, 65, 61, 62]
    assert "times are irregular: 101 rows gathered in steps of one step" in panel.notes[0]


def test_irregular_dates_are_gathered_too():
    random = np.random.default_rng(1)
    days = np.unique(np.cumsum(random.integers(5, 11, 150)))
    panel = timed([str(np.datetime64("2020-01-01") + int(day)) for day in days])
    assert np.isnan(panel.series[0].y).mean() < 0.3
    assert "times are irregular" in panel.notes[0]


def test_a_stamp_far_away_is_refused():
    with pytest.raises(
        tables.InputError, match=r"66\d+ steps of one day but only 60 rows, 0\.1% of at least 20%: .* before line 61"
    ):
        timed([*stamps("2020-01-01", 59), "2202-03-01"])


def test_hours_of_business_leave_holes_at_night():
    minutes = pd.date_range("2024-01-02 09:30", periods=390, freq="min")
    times = [(each + pd.Timedelta(days=day)).isoformat() for day in (0, 1, 2, 3, 6, 7, 8, 9, 10) for each in minutes]
    panel = timed(times)
    assert panel.grid.name == "minute"
    assert (~np.isnan(panel.series[0].y)).sum() == 9 * 390


def test_two_stamps_at_least():
    with pytest.raises(tables.InputError, match="too few rows: no series has two time stamps"):
        timed(["2020-01-01"])


def test_rows_out_of_order_are_sorted():
    times = stamps("2020-01-01", 60)
    panel = panel_of(rows("time,y", times[::-1], [str(k) for k in range(60)][::-1]))
    assert panel.series[0].y.tolist() == list(range(60))
    assert panel.series[0].rows.tolist() == list(range(60))[::-1]
    assert panel.notes == ["rows were not in order of time: sorted"]


# ---- grids


GRIDS = [
    Grid("time", 1_700_000_000 * 10**9, 8_000_000),
    Grid("time", 1_700_000_000 * 10**9, HOUR, zone="Europe/Berlin"),
    Grid("time", 0, 10**9 / 3),
    Grid("day", 19_000, 7, style="week"),
    Grid("day", 19_000, 1, of_day=6 * HOUR),
    Grid("business", 13_000, 1, holidays=(19_000, 19_001)),
    Grid("business", 13_000, 1, week="1111110"),
    Grid("month", 600, 1, day=31),
    Grid("month", 600, 3, day=31, workday=True, style="quarter"),
    Grid("month", 600, 12, style="year"),
    Grid("index", 0.5, 0.1),
]


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid.kind} {grid.name}")
def test_positions_and_back(grid):
    where = np.arange(-50, 200)
    if not grid.calendar:
        back = grid.positions(grid.origin + grid.step * where)
    else:
        back = grid.positions(grid.instants(where))
        local = grid.at_local(grid.local(where))
        twice = np.abs(local - where) > 1e-3
        assert twice.sum() <= (1 if grid.zone else 0)  # the second of two equal hours
    np.testing.assert_allclose(back, where, atol=1e-5)
    labels = grid.labels(where)
    assert len(set(labels)) == len(where)
    assert grid.next_labels(3, 2) == labels[54:56]


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid.kind} {grid.name}")
def test_a_schema_survives_json(grid):
    import json

    roles = {"time": ("t",), "group": ("a", "b"), "past": ("c",), "future": ("d",), "static": ("e",)}
    schema = tables.Schema(("y",), grid, **roles, categories={"c": ("x", "y")}, options={"decimal": ","})
    assert tables.Schema.from_dict(json.loads(json.dumps(schema.as_dict()))) == schema


def test_local_time_at_both_changes_of_the_clock():
    grid = Grid("time", pd.Timestamp("2023-03-25T23:00Z").value, HOUR, zone="Europe/Berlin")
    assert grid.labels([0, 1, 2]) == ["2023-03-26T00:00+01:00", "2023-03-26T01:00+01:00", "2023-03-26T03:00+02:00"]
    assert grid.local([2])[0] == np.datetime64("2023-03-26T03:00")
    autumn = Grid("time", pd.Timestamp("2023-10-28T23:00Z").value, HOUR, zone="Europe/Berlin")
    assert (autumn.local([1]) == autumn.local([2])).all()
    assert autumn.labels([1, 2]) == ["2023-10-29T02:00+02:00", "2023-10-29T02:00+01:00"]


@pytest.mark.parametrize(
    ("times", "told", "position"),
    [
        (stamps("2024-01-01", 30), "2024-01-11", 10),
        (stamps("2024-01-01T00:00", 48, 1, "h"), "2024-01-01 09:30", 10),
        (stamps("2024-01-01T00:00", 48, 1, "h"), "02.01.2024", 24),
        ([f"2024-W{k:02}" for k in range(1, 30)], "2024-W11", 10),
        ([f"{y}Q{q}" for y in range(2000, 2010) for q in range(1, 5)], "2002Q3", 10),
        (range(0, 300, 10), "95.5", 10),
        ([f"{time}+01:00" for time in stamps("2024-01-01T00:00", 48, 1, "h")], "2024-01-01T10:00", 10),
        ([f"{time}+01:00" for time in stamps("2024-01-01T00:00", 48, 1, "h")], "2024-01-01T09:00Z", 10),
    ],
)
def test_a_time_that_is_told_has_a_position(times, told, position):
    schema = timed(times).schema
    assert tables.position_of(schema, told, "--test-from") == position
    with pytest.raises(tables.InputError, match="--test-from"):
        tables.position_of(schema, "soon", "--test-from")
