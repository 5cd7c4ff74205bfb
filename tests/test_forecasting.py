"""Forecasting: the bar on the data that comes along, no look-ahead, holes, groups, splits."""

import dataclasses

import numpy as np
import pytest

from forecast_case import csv_text, days, folded, run, two_shops, wave
from rnncore import datasets
from rnncore.forecasting import Settings, forecast, parse_table, read_table
from rnncore.forecasting.split import choose_split
from rnncore.tables import read_panel

QUICK = Settings(members=1, epochs=10, hidden_size=8, horizon=3)


def panel_of(text, **options):
    return read_panel(parse_table(text, "data.csv"), **options)


# ---- the bar


def test_new_york_a_day_ahead_within_the_bar():
    settings = Settings(target="temp_max", group="location", only=("New York",), keep_scored=True)
    result = forecast(read_table(datasets.weather()), settings)
    assert result.split.label == "2015-01-01"
    assert result.scores["rnncore"].count == [365] * 7
    assert result.scores["rnncore"].rmse[0] <= 3.12
    assert result.scores["repeat"].rmse[0] == pytest.approx(3.81, abs=0.005)
    assert result.scores["ridge of lags"].rmse[0] == pytest.approx(3.13, abs=0.05)
    assert result.scores["rnncore"].total_rmse < 0.97 * min(
        each.total_rmse for name, each in result.scores.items() if name != "rnncore"
    )
    (eighty, _) = result.bands
    assert 0.74 < eighty.total < 0.86


def test_a_network_learns_what_ridge_regression_cannot():
    settings = dataclasses.replace(QUICK, target="y", epochs=100, hidden_size=16)
    result = forecast(parse_table(folded(800), "data.csv"), settings)
    first = result.comparisons[0]
    assert first.verdict == "better"
    assert first.skill > 0.15
    assert result.comparisons[1].verdict != "better"  # x is not known two days before


# ---- no look-ahead


def future_changed(text, line):
    """The file with everything from a line on made different, a new word, holes and all."""
    table = [row.split(",") for row in text.strip().split("\n")]
    for k, fields in enumerate(table[line:]):
        fields[2] = "" if k % 5 == 2 else str(1000 - 3 * float(fields[2]))
        fields[3] = "" if k % 7 == 3 else str(-50 * float(fields[3]))
        fields[4] = "no" if k % 2 else "yes"
    return "\n".join(",".join(fields) for fields in table) + "\n"


@pytest.mark.parametrize("known", [120, 140], ids=["from the split on", "in the midst of the test part"])
def test_the_future_does_not_change_forecasts_of_the_past(known):
    text = "\n".join(line for line in two_shops(160).split("\n") if "south" not in line)
    settings = dataclasses.replace(QUICK, target="sales", group="shop", test_from=days(160)[120])
    before = forecast(parse_table(text, "data.csv"), settings)
    after = forecast(parse_table(future_changed(text, known + 1), "data.csv"), settings)
    count = known - 120 + 3  # origins whose known values are the same
    assert before.rolled.origins[count - 1] == known
    for name, values in before.forecasts.items():
        assert values[:, :count].tobytes() == after.forecasts[name][:, :count].tobytes(), name
    assert not np.array_equal(before.forecasts["rnncore"][:, count:], after.forecasts["rnncore"][:, count:])
    one, two = (each.rolled.band(80)[0][:, : count - 3] for each in (before, after))
    np.testing.assert_array_equal(one, two)


def test_what_happens_in_training_does_change_the_forecasts():
    text = csv_text(date=days(160), y=wave(160))
    other = csv_text(date=days(160), y=[*(wave(100) * 1.5), *wave(160)[100:]])
    settings = dataclasses.replace(QUICK, test_from=days(160)[120])
    one, two = (forecast(parse_table(each, "data.csv"), settings) for each in (text, other))
    assert not np.allclose(one.forecasts["rnncore"][:, 10], two.forecasts["rnncore"][:, 10])


# ---- files of all kinds


def test_holes_are_counted_filled_marked_and_never_scored(tmp_path):
    dates, values = days(200), wave(200).astype(str)
    kept = [k for k in range(200) if k not in (50, 51, 160)]
    values[170] = values[30] = "NA"
    text = csv_text(date=np.array(dates)[kept], y=values[kept])
    code, data = run(tmp_path, text)
    assert code == 0
    assert data["notices"] == [
        "3 days without a row (the first: 2020-02-20)",
        "2 values of 'y' missing",
        "what is missing is filled in from the values before it, and never scored",
    ]
    test = data["test"][0]
    assert test["origins"] == dates[143:-1]
    missing = [k for k, row in enumerate(test["actual"]) if row[0] is None]
    assert missing == [*range(6), 16, 26]  # before the split; the hole; the value that is missing
    assert data["metrics"]["rnncore"]["count"] == [48] * 7
    assert test["forecasts"]["repeat"][17][0] == pytest.approx(test["actual"][15][0], rel=1e-6)  # after the hole


def test_rows_out_of_order_are_sorted_with_a_notice(tmp_path):
    order = np.random.default_rng(0).permutation(100)
    text = csv_text(date=days(100), y=wave(100))
    rows = text.strip().split("\n")
    shuffled = "\n".join([rows[0], *(rows[k + 1] for k in order)]) + "\n"
    (_, first), (_, second) = run(tmp_path, text), run(tmp_path, shuffled)
    assert second["notices"] == ["rows were not in order of time: sorted"]
    assert first["forecast"] == second["forecast"]


def test_several_series_share_a_network_and_keep_their_own_times(tmp_path):
    code, data = run(tmp_path, two_shops(first=150, second=100, later=40), "--target", "sales")
    assert code == 0
    assert "time stamps repeat: one series for each value of 'shop' (--group)" in data["notices"]
    assert data["data"]["series"] == ["north", "south"]
    assert data["data"]["covariates"] == ["price", "promo"]
    north, south = data["forecast"]
    assert north["times"][0] == days(151)[150]
    assert south["times"][0] == days(141)[140]
    split = data["split"]["test_from"]
    assert all(test["origins"][6] < split == test["origins"][7] for test in data["test"])
    counts = sum(150 - days(151).index(split) - late for late in (0, 10))
    assert data["metrics"]["ridge"]["count"][0] == counts


def test_a_series_alone_is_forecast_as_if_chosen_from_a_file(tmp_path):
    text = two_shops()
    alone = "\n".join(line for line in text.split("\n") if "north" not in line)
    _, chosen = run(tmp_path, text, "--target", "sales", "--group", "shop", "--only", "south")
    _, single = run(tmp_path, alone, "--target", "sales")
    assert chosen["forecast"][0]["forecast"] == single["forecast"][0]["forecast"]


def test_a_series_that_begins_after_the_split_is_left_out(tmp_path):
    code, data = run(tmp_path, two_shops(first=200, second=20, later=180), "--target", "sales")
    assert code == 0
    assert data["data"]["series"] == ["north"]
    assert data["notices"][-1] == "too little before 2020-05-30 to train on, left out: south"


def test_columns_that_say_nothing_are_left_out_with_a_notice(tmp_path):
    text = csv_text(
        date=days(120),
        y=wave(120),
        same=[3] * 120,
        note=[f"n{k}" for k in range(120)],
        empty=["NA"] * 120,
        one=["a"] * 120,
    )
    code, data = run(tmp_path, text, "--target", "y")
    assert code == 0
    assert data["notices"] == [
        "column 'note' is not numeric and has 120 different values: left out",
        "column 'empty' is not numeric and has no value: left out",
        "column 'one' is not numeric and has one value: left out",
        "does not change before 2020-03-31, says nothing: same",
    ]


def test_rows_past_the_last_value_of_the_target_are_what_is_forecast(tmp_path):
    values = [*wave(110), *[""] * 5]
    code, data = run(tmp_path, csv_text(date=days(115), y=values))
    assert code == 0
    assert data["notices"] == ["5 rows after the last value of the target left out"]
    assert data["forecast"][0]["times"][0] == days(111)[110]


@pytest.mark.parametrize(
    ("times", "step", "following"),
    [
        (days(200, "2015-01-05", 7), "week", "2018-11-05"),
        (days(200, "2000-01", 1, "M"), "month", "2016-09-01"),
        ([f"{t}-15" for t in days(200, "2000-01", 1, "M")], "month", "2016-09-15"),
        ([str(t - 1) for t in np.array(days(200, "2000-02", 1, "M"), "M8[D]")], "month", "2016-09-30"),
        (days(80, "1980-01", 3, "M"), "quarter", "2000-01-01"),
        (days(80, "1900", 1, "Y"), "year", "1980"),
        ([f"{t}-12-31" for t in days(80, "1900", 1, "Y")], "year", "1980-12-31"),
        ([str(t) for t in np.busday_offset("2021-01-04", np.arange(200))], "business day", "2021-10-11"),
        ([f"{t}:00Z" for t in days(200, "2021-03-27T00:00", 1, "h")], "hour", "2021-04-04T08:00Z"),
        ([t.replace("T", " ") for t in days(200, "2021-03-27T00:00", 15, "m")], "15 minutes", "2021-03-29T02:00"),
        ([t.replace("-", "") for t in days(200)], "day", "2020-07-19"),
        ([f"{t[8:]}/{t[5:7]}/{t[:4]}" for t in days(200)], "day", "2020-07-19"),
        ([f"{t[5:7]}/{t[8:]}/{t[:4]} 06:30" for t in days(200)], "day", "2020-07-19T06:30"),
        (np.arange(200) * 0.25, "step of 0.25", "50.00"),
    ],
)
def test_the_step_is_inferred_and_goes_on_past_the_end(times, step, following):
    result = forecast(parse_table(csv_text(time=times, y=wave(len(times))), "d"), dataclasses.replace(QUICK, members=0))
    assert result.panel.grid.name == step
    assert result.next_labels(0)[0] == following


def test_semicolons_and_decimal_commas(tmp_path):
    values = [str(value).replace(".", ",") for value in wave(100)]
    text = csv_text(date=days(100), y=["0"] * 100).replace(",0\n", ";{}\n").replace("date,y", "date;y").format(*values)
    _, commas = run(tmp_path, "\ufeff" + text.replace("\n", "\r\n"))
    _, points = run(tmp_path, csv_text(date=days(100), y=wave(100)))
    assert commas["forecast"] == points["forecast"]


@pytest.mark.parametrize(
    "values",
    [np.arange(200), np.arange(200) % 7, 1e25 * wave(200), 1e-25 * wave(200), [0, 1] * 100, [*[1.0] * 90, *range(110)]],
    ids=["line", "exact season", "huge", "tiny", "to and fro", "level at first"],
)
def test_odd_series_give_finite_forecasts(values):
    result = forecast(parse_table(csv_text(date=days(200), y=values), "data.csv"), QUICK)
    for name, forecasts in result.forecasts.items():
        assert np.isfinite(forecasts).all(), name
    assert np.isfinite(result.ahead).all()
    assert all(np.isfinite(edge).all() for both in result.edges.values() for edge in both)


def test_a_wandering_series_is_claimed_no_skill():
    walk = np.round(100 + np.cumsum(np.random.default_rng(5).standard_normal(500)), 3)
    result = forecast(parse_table(csv_text(date=days(500), y=walk), "data.csv"), QUICK)
    assert result.scores["rnncore"].rmse[0] < 1.01 * result.scores["repeat"].rmse[0]
    assert all(each.verdict != "better" for each in result.comparisons)


def test_a_wild_value_does_not_double_the_error_of_the_rest():
    y = wave(300)
    usual = forecast(parse_table(csv_text(date=days(300), y=y), "d"), dataclasses.replace(QUICK, members=0))
    for place in (100, 260):
        y = wave(300)
        y[place] = 1e6
        result = forecast(parse_table(csv_text(date=days(300), y=y), "d"), dataclasses.replace(QUICK, members=0))
        assert any("1e+06" in note and days(300)[place] in note for note in result.notices)
        assert result.scores["rnncore"].total_rmse < 1.2 * usual.scores["rnncore"].total_rmse


def test_a_named_season_is_used():
    values = np.round(np.tile([1.0, 5, 2, 8, 3, 9, 1, 7, 4, 6, 2], 20) + 0.1 * np.random.default_rng(0).random(220), 3)
    text = csv_text(t=range(220), y=values)
    result = forecast(parse_table(text, "d"), dataclasses.replace(QUICK, season=11, members=0))
    assert result.scores["season 11"].rmse[0] < 0.1
    assert result.scores["rnncore"].rmse[0] < 0.1


# ---- splits and times


@pytest.mark.parametrize(
    ("count", "start", "label", "why"),
    [
        (1461, "2012-01-01", "2015-01-01", "the last full year is held out"),
        (1500, "2012-01-01", "2015-01-01", "the last full year is held out"),
        (1400, "2012-01-01", "2014-11-16", "the last 25% are held out"),
        (100, "2012-01-01", "2012-03-16", "the last 25% are held out"),
    ],
)
def test_the_split_that_is_chosen(count, start, label, why):
    split = choose_split(panel_of(csv_text(date=days(count, start), y=wave(count))))
    assert (split.label, split.why) == (label, why)
