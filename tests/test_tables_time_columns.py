"""Columns of times: parts of dates in several columns, intervals, counts, and which column is the time."""

import numpy as np
import pytest

from rnncore import tables
from table_case import panel_of, spelled, stamps, timed

# ---- columns of parts


def parts(header, lines):
    return "\n".join([header, *lines]) + "\n"


DAYS = stamps("2024-02-20", 40)
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
HOURLY = ("hour", "2024-03-31T00:00")


@pytest.mark.parametrize("name", ["Hour", "hr", "HOUR", "Hour Ending", "hour_ending", "Stunde"])
@pytest.mark.parametrize(
    ("hours", "last"),
    [
        (range(24), "2024-03-31T00:00"),
        (range(1, 25), "2024-03-31T01:00"),
        ([f"{h:02}:00" for h in range(24)], "2024-03-31T00:00"),
        ([f"{h:02}" for h in range(24)], "2024-03-31T00:00"),
        ([h * 100 for h in range(1, 25)], "2024-03-31T01:00"),
        ([f"{h % 12 or 12}:00 {'AP'[h > 11]}M" for h in range(24)], "2024-03-31T00:00"),
    ],
    ids=["0 to 23", "1 to 24", "clock", "two digits", "100 to 2400", "halves"],
)
def test_a_date_and_its_hour(name, hours, last):
    text = parts(
        f"Date,{name},Load", [f"{day},{hour},{k}" for k, (day, hour) in enumerate((d, h) for d in DAYS for h in hours)]
    )
    panel = panel_of(text)
    assert panel.schema.time == ("Date", name)
    assert (panel.grid.name, panel.next_labels(0, 1)[0]) == ("hour", last)
    assert panel.columns == ("Load",)
    assert panel_of(text, time=["Date", name]).labels(0) == panel.labels(0)


def test_a_date_and_a_clock():
    text = parts(
        "Date;Time;Load",
        [f"{d[8:]}.{d[5:7]}.{d[:4]};{h:02}:{m:02}:00;{h}" for d in DAYS for h in range(24) for m in (0, 30)],
    )
    panel = panel_of(text)
    assert (panel.grid.name, panel.next_labels(0, 1)) == ("30 minutes", ["2024-03-31T00:00"])


def test_a_date_and_numbered_half_hours():
    text = parts("SETTLEMENT_DATE,SETTLEMENT_PERIOD,TSD", [f"{d},{p},{p}" for d in DAYS for p in range(1, 49)])
    panel = panel_of(text)
    assert (panel.grid.name, panel.labels(0)[0]) == ("30 minutes", "2024-02-20T00:00")


@pytest.mark.parametrize(
    ("header", "lines", "step", "last"),
    [
        ("year,month,y", [f"{y},{m},{m}" for y in (2020, 2021) for m in range(1, 13)], "month", "2022-01-01"),
        ("Year,Month,y", [f"{y},{m},1" for y in (2020, 2021) for m in MONTHS], "month", "2022-01-01"),
        ("year,month,day,y", [f"{d[:4]},{d[5:7]},{d[8:]},{k}" for k, d in enumerate(DAYS)], "day", "2024-03-31"),
        ("YEAR,MO,DY,y", [f"{d[:4]},{int(d[5:7])},{int(d[8:])},{k}" for k, d in enumerate(DAYS)], "day", "2024-03-31"),
        ("year,month,day,hour,y", [f"{d[:4]},{d[5:7]},{d[8:]},{h},{h}" for d in DAYS for h in range(24)], *HOURLY),
        ("year,quarter,y", [f"{y},{q},{q}" for y in range(2010, 2020) for q in range(1, 5)], "quarter", "2020Q1"),
        ("year,week,y", [f"{y},{w},{w}" for y in (2016, 2017) for w in range(1, 53)], "week", "2018-W01"),
        ("year,y", [f"{y},{y % 7}" for y in range(1990, 2020)], "year", "2020"),
    ],
)  # fmt: skip
def test_parts_of_dates(header, lines, step, last):
    panel = panel_of(parts(header, lines), target="y")
    assert (panel.grid.name, panel.next_labels(0, 1)) == (step, [last])
    assert not np.isnan(panel.series[0].y).any()


def test_a_part_that_is_no_date_is_refused():
    with pytest.raises(tables.InputError, match="line 4: year 2023, month 2, day 30 is no date"):
        panel_of("year,month,day,y\n2023,2,1,1\n2023,2,2,1\n2023,2,30,1\n")


@pytest.mark.parametrize(
    ("form", "between"),
    [("%d.%m.%Y %H:%M", " - "), ("%d.%m.%Y %H:%M", " – "), ("%Y-%m-%d %H:%M", " to "), ("%Y-%m-%dT%H:%M", "/")],
)
def test_intervals_stand_at_their_beginning(form, between):
    ends = zip(spelled("2024-01-30", 50, form, 1, "h"), spelled("2024-01-30T01:00", 50, form, 1, "h"), strict=True)
    panel = timed([between.join(both) for both in ends], "MTU (CET),Load")
    assert (panel.grid.name, panel.labels(0)) == ("hour", stamps("2024-01-30T00:00", 50, 1, "h"))


def test_days_as_spreadsheets_count_them():
    panel = timed(range(45_300, 45_350), "Date,y")
    assert (panel.grid.name, panel.labels(0)[0]) == ("day", "2024-01-09")
    assert panel.notes == ["'Date' holds days since 1899-12-30, as spreadsheets count them"]
    hours = timed([f"{45_300 + k / 24:.6f}" for k in range(50)], "Date,y")
    assert (hours.grid.name, hours.labels(0)[1]) == ("hour", "2024-01-09T01:00")


def test_clocks_without_a_date_go_on_past_midnight():
    panel = timed([f"{(23 + k // 60) % 24}:{k % 60:02}:00" for k in range(100)])
    assert (panel.grid.name, panel.next_labels(0, 1)) == ("step of 60", ["88800"])
    assert "holds times without a date: counted in seconds" in panel.notes[0]


# ---- which column


def test_a_full_stamp_is_preferred_to_a_date():
    lines = [f"{d},{h},{d}T{h:02}:00,{h}" for d in DAYS for h in range(24)]
    panel = panel_of(parts("date,hour,utc_stamp,load", lines), target="load")
    assert (panel.schema.time, panel.grid.name) == (("utc_stamp",), "hour")
    other = panel_of(parts("Date,DateTime,load", [f"{d},{d} {h:02}:00,{h}" for d in DAYS for h in range(24)]))
    assert other.schema.time == ("DateTime",)


def test_a_stamp_of_something_else_is_not_the_time():
    lines = [f"{d},2024-05-01T12:{k:02}:00,{k}" for k, d in enumerate(DAYS)]
    panel = panel_of(parts("date,updated_at,load", lines), target="load")
    assert (panel.schema.time, panel.grid.name) == (("date",), "day")


def test_numbers_called_day_or_month_are_covariates_beside_a_date():
    lines = [f"{d},{int(d[8:])},{int(d[5:7])},{k}" for k, d in enumerate(DAYS)]
    panel = panel_of(parts("date,day,month,y", lines))
    assert panel.schema.time == ("date",)
    assert panel.columns == ("y", "day", "month")


def test_no_time_column_at_all():
    panel = panel_of("load\n" + "".join(f"{k}.5\n" for k in range(50)))
    assert panel.schema.time == ()
    assert panel.next_labels(0, 2) == ["50", "51"]
    assert panel.notes == ["no column of times: rows are taken as even steps (--time names a column)"]
    several = panel_of("shop,load\n" + "".join(f"{'ns'[k % 2]},{k}.5\n" for k in range(50)), group="shop")
    assert [len(each) for each in several] == [25, 25]
