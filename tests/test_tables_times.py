"""Time stamps: usual spellings, offsets and zones, epochs, periods, and what is refused."""

import numpy as np
import pytest

from rnncore import tables
from table_case import spelled, stamps, timed

# ---- spellings

QUARTER_HOURS = "2024-03-30T22:15", 200, 15, "m"


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M:%S.000",
        "%Y/%m/%d %H:%M",
        "%Y.%m.%d %H:%M",
        "%Y%m%dT%H%M%S",
        "%Y%m%d %H:%M",
        "%Y%m%d%H%M",
        "%Y%m%d%H%M%S",
        "%d.%m.%Y %H:%M",
        "%d.%m.%y %H:%M",
        "%d.%m.%Y, %H:%M Uhr",
        "%d/%m/%Y %H:%M",
        "%m/%d/%Y %H:%M",
        "%m/%d/%Y %I:%M %p",
        "%m/%d/%y %I:%M:%S %p",
        "%d-%m-%Y %H:%M",
        "%d-%b-%Y %H:%M",
        "%d %B %Y %H:%M",
        "%b %d, %Y %H:%M",
        "%B %d %Y %I:%M%p",
        "%a %b %d %H:%M:%S %Y",
        "%A, %d %B %Y %H:%M",
        "%d/%b/%Y:%H:%M:%S",
    ],
)
def test_spellings_of_date_and_time(form):
    panel = timed(spelled(*QUARTER_HOURS[:2], form, *QUARTER_HOURS[2:]))
    assert panel.grid.name == "15 minutes"
    assert panel.labels(0) == stamps(*QUARTER_HOURS)
    assert panel.next_labels(0, 1) == ["2024-04-02T00:15"]


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d",
        "%Y%m%d",
        "%d.%m.%Y",
        "%d. %m. %Y",
        "%d/%m/%y",
        "%m/%d/%Y",
        "%d-%b-%y",
        "%d %b %Y",
        "%b %d %Y",
        "%a %d/%m/%Y",
        "%y-%m-%d",
    ],
)
def test_spellings_of_dates(form):
    panel = timed(spelled("2024-02-20", 60, form))
    assert (panel.grid.name, panel.labels(0)) == ("day", stamps("2024-02-20", 60))


def test_months_in_other_languages():
    german = ["Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.", "Dez."]
    panel = timed([f"{month} {year}" for year in (2023, 2024) for month in german])
    assert (panel.grid.name, len(panel.series[0])) == ("month", 24)


@pytest.mark.parametrize(
    ("values", "name", "last"),
    [
        ([f"{y}Q{q}" for y in range(2000, 2010) for q in range(1, 5)], "quarter", "2010Q1"),
        ([f"{y}-Q{q}" for y in range(2000, 2010) for q in range(1, 5)], "quarter", "2010Q1"),
        ([f"Q{q} {y}" for y in range(2000, 2010) for q in range(1, 5)], "quarter", "2010Q1"),
        ([f"{q}Q{y}" for y in range(2000, 2010) for q in range(1, 5)], "quarter", "2010Q1"),
        ([f"{y}-W{w:02}" for y in range(2016, 2020) for w in range(1, 53)], "week", "2020-W01"),
        ([f"{y}W{w:02}" for y in range(2016, 2020) for w in range(1, 53)], "week", "2020-W01"),
        ([f"{y}{w:02}" for y in range(2016, 2020) for w in range(1, 53)], "week", "2020-W01"),
        ([f"{y}-W{w:02}-1" for y in range(2016, 2020) for w in range(1, 53)], "week", "2020-W01"),
        ([f"{y}{m:02}" for y in range(2016, 2020) for m in range(1, 13)], "month", "2020-01-01"),
        ([f"{y}-{m:02}" for y in range(2016, 2020) for m in range(1, 13)], "month", "2020-01-01"),
        ([f"{y}/{m}" for y in range(2016, 2020) for m in range(1, 13)], "month", "2020-01-01"),
        ([f"{y}M{m:02}" for y in range(2016, 2020) for m in range(1, 13)], "month", "2020-01-01"),
        ([f"{m:02}/{y}" for y in range(2016, 2020) for m in range(1, 13)], "month", "2020-01-01"),
        ([f"{m:02}.{y}" for y in range(2016, 2020) for m in range(1, 13)], "month", "2020-01-01"),
        (spelled("2016-01-01", 1400, "%b %Y"), "month", "2019-11-01"),
        (spelled("1958-01-01", 5000, "%b-%y"), "month", "1971-10-01"),
        (range(1950, 2000), "year", "2000"),
        ([f"{y + (2 * m + 1) / 24:.4f}" for y in range(1959, 1970) for m in range(12)], "month", "1970-01-01"),
        ([f"{y + m / 12:.3f}" for y in range(1959, 1970) for m in range(12)], "month", "1970-01-01"),
        ([f"{y + q / 4}" for y in range(1959, 1970) for q in range(4)], "quarter", "1970-01-01"),
    ],
)
def test_periods(values, name, last):
    panel = timed(list(dict.fromkeys(values)), "date,y")
    assert panel.grid.name == name
    assert panel.next_labels(0, 1) == [last]
    assert not np.isnan(panel.series[0].y).any()


def test_a_column_called_week_holds_weeks():
    panel = timed([f"2024{k:02}" for k in range(1, 11)], "week,y")
    assert (panel.grid.name, panel.next_labels(0, 1)) == ("week", ["2024-W11"])


def test_decimal_years_of_a_frame():
    panel = tables.read_panel({"ds": [round(1959 + k / 12, 4) for k in range(60)], "y": np.arange(60.0)})
    assert (panel.grid.name, panel.next_labels(0, 1)) == ("month", ["1964-01-01"])


def test_decimal_years_of_days():
    panel = timed([f"{2001 + k / 365:.5f}" for k in range(300)], "year,y")
    assert (panel.grid.name, panel.labels(0)) == ("day", stamps("2001-01-01", 300))


def test_years_of_two_digits_go_on_in_order():
    panel = timed(spelled("1966-12-20", 900, "%d.%m.%y"))
    assert panel.labels(0) == stamps("1966-12-20", 900)


@pytest.mark.parametrize(("unit", "size"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("name", ["timestamp", "ts", "time", "epoch"])
def test_epochs(unit, size, name):
    panel = timed([(1_714_521_600 + 60 * k) * size for k in range(50)], f"{name},y")
    assert (panel.grid.name, panel.next_labels(0, 1)) == ("minute", ["2024-05-01T00:50Z"])
    local = timed([(1_714_521_600 + 60 * k) * size for k in range(50)], f"{name},y", timezone="Europe/Berlin")
    assert local.next_labels(0, 1) == ["2024-05-01T02:50+02:00"]


def test_fractions_of_epochs():
    panel = timed([f"{1_714_521_600 + k / 50:.3f}" for k in range(100)], "timestamp,y")
    assert (panel.grid.name, panel.next_labels(0, 1)) == ("20 milliseconds", ["2024-05-01T00:00:02.000Z"])


@pytest.mark.parametrize(
    ("step", "name", "second"),
    [
        (8_000_000, "8 milliseconds", "2024-05-01T00:00:00.008"),
        (250_000, "250 microseconds", "2024-05-01T00:00:00.000250"),
        (40, "40 nanoseconds", "2024-05-01T00:00:00.000000040"),
        (500_000_000, "500 milliseconds", "2024-05-01T00:00:00.500"),
    ],
)
def test_steps_below_a_second(step, name, second):
    panel = timed(stamps("2024-05-01T00:00:00.000000000", 9000, step, "ns"))
    assert panel.grid.name == name
    assert len(panel.series[0]) == 9000
    assert panel.labels(0)[1] == second


def test_hours_to_twenty_four():
    times = [f"2024-02-{28 + (h - 1) // 24} {(h - 1) % 24 + 1:02}:00" for h in range(1, 49)]
    panel = timed(times)
    assert (panel.grid.name, panel.labels(0)[-1]) == ("hour", "2024-03-01T00:00")
    with pytest.raises(tables.InputError, match="cannot read the time '2024-02-28 24:30'"):
        timed([*times[:3], "2024-02-28 24:30"])


def test_a_format_is_taken_at_its_word():
    panel = timed(["03.02.2020 7h", "03.02.2020 8h", "03.02.2020 9h"], time_format="%d.%m.%Y %Hh")
    assert panel.labels(0)[0] == "2020-02-03T07:00"
    with pytest.raises(tables.InputError, match="line 3: cannot read the time '2020' as '%d"):
        timed(["03.02.2020", "2020"], time_format="%d.%m.%Y")


def test_a_missing_time_is_refused():
    with pytest.raises(tables.InputError, match="column 'time', line 4: the time is missing"):
        timed(["2024-01-01", "2024-01-02", "", "2024-01-04"])


# ---- day or month first


def test_day_or_month_first_is_refused_where_both_make_sense():
    times = [f"01/{month:02}/2020" for month in range(1, 13)]
    with pytest.raises(tables.InputError) as caught:
        timed(times)
    assert "'01/01/2020' may be day/month or month/day" in str(caught.value)
    assert "--dayfirst or --monthfirst" in str(caught.value)
    assert timed(times, dayfirst=True).grid.name == "month"
    assert timed(times, dayfirst=False).grid.name == "day"


def test_what_is_told_about_the_order_has_to_fit():
    with pytest.raises(tables.InputError, match="line 14: cannot read the time '13/01/2024'"):
        timed(spelled("2024-01-01", 40, "%d/%m/%Y"), dayfirst=False)


@pytest.mark.parametrize(("form", "step"), [("%d/%m/%Y", "month"), ("%m/%d/%Y", "month"), ("%m-%d-%Y", "month")])
def test_the_order_that_goes_forward_evenly_is_taken(form, step):
    times = list(
        dict.fromkeys(
            each.strftime(form) for each in np.arange("2015-01", "2020-01", dtype="M8[M]").astype("M8[s]").tolist()
        )
    )
    panel = timed(times)
    assert (panel.grid.name, panel.next_labels(0, 1)) == (step, ["2020-01-01"])


@pytest.mark.parametrize("form", ["%m/%d/%Y %I:%M %p", "%d/%m/%Y %H:%M"])
def test_the_order_without_long_breaks_is_taken(form):
    panel = timed(spelled("2023-01-01", 240, form, 1, "h"))
    assert panel.labels(0) == stamps("2023-01-01T00:00", 240, 1, "h")


@pytest.mark.parametrize("name", ["t", "Time (s)", "t [ms]", "hour", "cycle", "step", "id", "index"])
def test_numbers_under_a_usual_name_are_steps(name):
    panel = timed([f"{k / 50:.2f}" for k in range(100)], f"{name},y")
    assert (panel.schema.time, panel.next_labels(0, 1)) == ((name,), ["2.00"])


# ---- offsets and zones


def berlin(start, count):
    """Local times with their offsets, as a file of hourly values in Berlin has them."""
    import pandas as pd

    local = pd.date_range(start, periods=count, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    return [each.isoformat() for each in local]


@pytest.mark.parametrize("start", ["2023-03-25", "2023-10-28"], ids=["forward", "back"])
def test_both_changes_of_the_clock_with_offsets(start):
    times = berlin(start, 72)
    panel = timed(times)
    assert (panel.grid.name, panel.grid.zone) == ("hour", "Europe/Berlin")
    assert not np.isnan(panel.series[0].y).any()
    assert panel.labels(0) == [time[:16] + time[19:] for time in times]
    midnight = [label[11:16] for label in panel.labels(0)].index("00:00")
    assert panel.grid.local([midnight]).astype("M8[h]").astype(int)[0] % 24 == 0


@pytest.mark.parametrize("start", ["2023-03-25", "2023-10-28"], ids=["forward", "back"])
def test_both_changes_of_the_clock_without_offsets(start):
    times = [time[:19] for time in berlin(start, 72)]
    told = timed(times, timezone="Europe/Berlin")
    assert len(told.series[0]) == 72
    assert told.labels(0) == [time[:16] + time[19:] for time in berlin(start, 72)]
    found = timed(times)
    if start[5:7] == "10":  # the hour that stands there twice tells
        assert found.labels(0) == told.labels(0)
        assert "times are local to Europe/" in found.notes[0]
    else:
        assert len(found.series[0]) == 73  # an hour without a row


def test_a_zone_with_half_an_hour_and_one_of_the_south():
    import pandas as pd

    times = [each.isoformat() for each in pd.date_range("2023-03-30", periods=200, freq="h", tz="Australia/Adelaide")]
    assert timed(times).grid.zone == "Australia/Adelaide"


@pytest.mark.parametrize("suffix", ["Z", "+00:00", " UTC", "+0000", " GMT"])
def test_universal_time(suffix):
    panel = timed([f"{time}:00{suffix}" for time in stamps("2024-01-01T00:00", 50, 1, "h")])
    assert panel.next_labels(0, 1) == ["2024-01-03T02:00Z"]


@pytest.mark.parametrize("suffix", ["+01:00", "+0100", "+01", " +01:00", " CET"])
def test_one_offset(suffix):
    panel = timed([f"{time}:00{suffix}" for time in stamps("2024-01-01T00:00", 50, 1, "h")])
    assert panel.next_labels(0, 1) == ["2024-01-03T02:00+01:00"]


def test_local_midnights_are_dates():
    import pandas as pd

    days = pd.bdate_range("2021-01-04", periods=430, tz="America/New_York")
    panel = timed([str(each) for each in days])
    assert (panel.grid.name, panel.next_labels(0, 2)) == ("business day", ["2022-08-29", "2022-08-30"])
    assert len(panel.series[0]) == 430
    every = pd.date_range("2021-01-04", periods=430, tz="America/New_York")
    assert timed([str(each) for each in every]).grid.name == "day"


def test_offsets_now_and_then_are_refused():
    with pytest.raises(tables.InputError, match="some times have an offset from UTC and others have none"):
        timed(["2024-01-01T00:00+01:00", "2024-01-01T01:00", "2024-01-01T02:00"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timezone": "Europe/Atlantis"}, "--timezone: there is no time zone 'Europe/Atlantis'"),
        ({"timezone": "Europe/Berlin"}, "line 4 does not exist in Europe/Berlin, when clocks go forward"),
    ],
)
def test_zones_that_do_not_fit(options, message):
    with pytest.raises(tables.InputError, match=message):
        timed(stamps("2024-03-31T00:30", 5, 1, "h"), **options)
