"""Forecasting: the bar on the data that comes along, no look-ahead, the state carried, holes, groups, and the parts."""

import dataclasses
import math

import numpy as np
import pytest

from forecast_case import csv_text, days, folded, run, two_shops, wave
from rnncore import datasets
from rnncore.forecasting import Settings, forecast, parse_table, read_table
from rnncore.forecasting.baselines import Ridge, lagged, solve_all
from rnncore.forecasting.design import build_design
from rnncore.forecasting.panel import build_panel
from rnncore.forecasting.scores import band, compare, coverage, score
from rnncore.forecasting.seasons import Cycle, find_cycles, fit_climatology
from rnncore.forecasting.split import choose_split
from rnncore.tables import Grid

QUICK = Settings(members=1, epochs=30, hidden_size=16, horizon=3)


def weather(**settings):
    return Settings(target="temp_max", group="location", only=("New York",), **settings)


def panel_of(text, **options):
    return build_panel(parse_table(text, "data.csv"), **options)


# ---- the bar


def test_new_york_a_day_ahead_within_the_bar():
    rmse = []
    for seed in range(3):
        result = forecast(read_table(datasets.weather()), weather(seed=seed))
        assert result.split.label == "2015-01-01"
        assert result.scores["network"].count == [365] * 7
        rmse.append(result.scores["network"].rmse[0])
        assert result.choice.updates > 0, "the recurrent part has to have learned something"
    assert np.median(rmse) <= 3.15
    assert result.scores["repeat"].rmse[0] == pytest.approx(3.81, abs=0.005)
    assert result.scores["ridge"].rmse[0] == pytest.approx(3.11, abs=0.05)
    assert 0.7 < np.mean(result.coverage) < 0.9


def test_a_network_learns_what_ridge_regression_cannot():
    settings = dataclasses.replace(QUICK, target="y", epochs=100)
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
        fields[4] = "maybe" if k % 2 else "yes"
    return "\n".join(",".join(fields) for fields in table) + "\n"


def with_south(text):
    """The file with a second series that is the first under another name."""
    return text + text.replace("north", "south").split("\n", 1)[1]


@pytest.mark.parametrize("known", [120, 140], ids=["from the split on", "in the midst of the test part"])
@pytest.mark.parametrize("series", [str, with_south], ids=["one series", "two series"])
def test_the_future_does_not_change_forecasts_of_the_past(series, known):
    text = "\n".join(line for line in two_shops(160).split("\n") if "south" not in line)
    settings = dataclasses.replace(QUICK, target="sales", group="shop", test_from=days(160)[120])
    before = forecast(parse_table(series(text), "data.csv"), settings)
    after = forecast(parse_table(series(future_changed(text, known + 1)), "data.csv"), settings)
    assert before.choice.updates == after.choice.updates
    np.testing.assert_array_equal(before.edges, after.edges)
    for name, values in before.forecasts.items():
        assert values[:known].tobytes() == after.forecasts[name][:known].tobytes(), name
        if name != "climatology":
            assert not np.array_equal(values[known:], after.forecasts[name][known:])


def test_what_happens_in_training_does_change_the_forecasts():
    text = csv_text(date=days(160), y=wave(160))
    other = csv_text(date=days(160), y=[*(wave(100) * 1.5), *wave(160)[100:]])
    settings = dataclasses.replace(QUICK, test_from=days(160)[120])
    one, two = (forecast(parse_table(each, "data.csv"), settings) for each in (text, other))
    assert not np.allclose(one.forecasts["network"][130], two.forecasts["network"][130])


def test_the_state_is_carried_through_the_whole_history():
    text = folded(600)
    rows = text.split("\n")
    rows[451] = ",".join([*rows[451].split(",")[:2], "4.0"])  # x of one day in the test part
    settings = dataclasses.replace(QUICK, target="y", test_from=days(600)[440])
    one, two = (forecast(parse_table(each, "data.csv"), settings) for each in (text, "\n".join(rows)))
    assert one.choice.updates > 0
    difference = np.abs(one.forecasts["network"] - two.forecasts["network"])[:, 0, 0]
    assert not difference[:450].any()
    assert difference[450] > 1e-3
    assert difference[480:].any()  # past the 14 steps that ridge regression can see
    assert difference[550:].max() < difference[450]


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
        "the last known value stands in for what is missing, which is never scored",
    ]
    assert "y missing" in data["data"]["inputs"]
    test = data["test"][0]
    assert test["times"] == dates[150:]
    missing = [k for k, value in enumerate(test["actual"]) if value is None]
    assert missing == [10, 20]
    assert data["metrics"]["network"]["count"] == [48] * 7
    assert test["forecasts"]["repeat"][11][0] == test["actual"][9]  # of the day after the hole


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
    assert {"price", "promo=no", "promo=yes", "series north", "series south"} <= set(data["data"]["inputs"])
    north, south = data["forecast"]
    assert north["times"][0] == days(151)[150]
    assert south["times"][0] == days(141)[140]
    split = data["split"]["test_from"]
    assert all(test["times"][0] == split for test in data["test"])
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
        "does not change before 2020-03-31, left out: same",
    ]
    assert data["data"]["inputs"][0] == "y"


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
    result = forecast(parse_table(csv_text(time=times, y=wave(len(times))), "d"), dataclasses.replace(QUICK, epochs=1))
    assert result.panel.grid.name == step
    assert result.next_steps(0)[0][0] == following


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
    assert np.isfinite(result.edges).all()


def test_a_wandering_series_is_learned_by_its_changes():
    walk = np.round(100 + np.cumsum(np.random.default_rng(5).standard_normal(500)), 3)
    result = forecast(parse_table(csv_text(date=days(500), y=walk), "data.csv"), QUICK)
    assert result.choice.changes
    assert result.scores["network"].rmse[0] < 1.1 * result.scores["repeat"].rmse[0]
    noise = forecast(parse_table(csv_text(date=days(500), y=wave(500)), "data.csv"), QUICK)
    assert not noise.choice.changes


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


def test_times_near_the_grid_are_moved_onto_it():
    text = csv_text(time=[f"{t}T00:{k % 3:02}" for k, t in enumerate(days(80))], y=wave(80))
    panel = panel_of(text)
    assert panel.grid.name == "day"
    assert panel.notices == ["53 time stamps moved to the nearest day"]
    assert int(panel.lengths[0]) == 80


# ---- parts against formulas


def test_climatology_finds_the_harmonics_of_a_year():
    grid = Grid("day", 0, 1)
    positions = np.arange(3 * 365)
    (cycle,) = (each for each in find_cycles(grid, True, len(positions)) if each.name == "year")
    phase = 2 * np.pi * cycle.phase(grid, positions)
    truth = 5 + 2 * np.sin(phase) + np.cos(2 * phase)
    noisy = truth + 0.1 * np.random.default_rng(0).standard_normal(len(truth))
    noisy[100:130] = np.nan
    fit = fit_climatology(grid, find_cycles(grid, True, len(positions)), positions, noisy[:, None])
    assert fit.cycles == [(cycle, 2)]  # and nothing of the week
    np.testing.assert_allclose(fit(grid, positions)[:, 0], truth, atol=0.05)
    assert np.abs(cycle.phase(grid, np.array([365.0])) - 1 - 0.5 / 365).max() < 1e-9  # 1971 began


def test_seasons_that_the_data_cannot_show_are_not_asked_for():
    daily = Grid("day", 0, 1)
    assert [cycle.name for cycle in find_cycles(daily, True, 400)] == ["week"]
    assert [cycle.name for cycle in find_cycles(daily, True, 731)] == ["year", "week"]
    assert [cycle.name for cycle in find_cycles(Grid("time", 0, 3600 * 10**9), True, 400)] == ["week", "day"]
    assert find_cycles(Grid("index", 0.0, 1.0), False, 1000) == []
    assert find_cycles(Grid("index", 0.0, 1.0), False, 1000, 12.0) == [Cycle("season", 12.0)]


def test_a_named_season_is_used():
    values = np.round(np.tile([1.0, 5, 2, 8, 3, 9, 1, 7, 4, 6, 2], 20) + 0.1 * np.random.default_rng(0).random(220), 3)
    text = csv_text(t=range(220), y=values)
    result = forecast(parse_table(text, "d"), dataclasses.replace(QUICK, season=11.0))
    assert result.scores["climatology"].rmse[0] < 0.1


def test_ridge_regression_solves_its_normal_equations():
    random = np.random.default_rng(0)
    features, z = random.standard_normal((60, 2, 3)), random.standard_normal((60, 2, 2))
    mask = random.random((60, 2, 2)) < 0.8
    for penalty, fit in zip((0.5, 20.0), solve_all(features, z, mask, (0.5, 20.0)), strict=True):
        for h in range(2):
            rows, values = features[mask[..., h]], z[..., h][mask[..., h]]
            residual = values - rows @ fit.weight[:, h] - fit.bias[h]
            np.testing.assert_allclose(
                rows.T @ residual, penalty * fit.weight[:, h], atol=1e-10
            )  # the gradient is zero
            assert abs(residual.sum()) < 1e-10


def test_ridge_regression_sees_the_steps_it_should():
    x = np.arange(12.0).reshape(6, 1, 2)
    table = lagged(x, 3)
    assert table[4, 0].tolist() == [8, 9, 6, 7, 4, 5]
    assert table[1, 0].tolist() == [2, 3, 0, 1, 0, 0]
    panel = panel_of(csv_text(date=days(100), y=wave(100)))
    design = build_design(panel, 75, 2, changes=False)
    both = Ridge([2, 1], [3.0, 30.0]).fit_predict(design)
    for h, (lags, penalty) in enumerate([(2, 3.0), (1, 30.0)]):
        features = lagged(design.x, lags)
        (fit,) = solve_all(features, design.z, design.train, (penalty,))
        np.testing.assert_allclose(both[..., h], fit(features)[..., h], atol=1e-12)


@pytest.mark.parametrize("changes", [False, True])
def test_a_design_leads_back_to_the_values(changes):
    panel = panel_of(two_shops(), target="sales")
    design = build_design(panel, 60, 3, changes=changes)
    for h in range(1, 4):
        ahead = np.full(panel.values.shape[:2], np.nan)
        ahead[:-h] = panel.values[h:, :, 0]
        known = ~np.isnan(ahead)
        np.testing.assert_allclose(design.forecast(design.z)[..., h - 1][known], ahead[known], rtol=1e-9)
        places = panel.positions + h
        np.testing.assert_array_equal(design.train[..., h - 1], known & (places < 60))
        np.testing.assert_array_equal(design.test[..., h - 1], known & (places >= 60))


def test_scores_are_means_over_what_is_known():
    actual = np.array([1.0, 2.0, np.nan, 4.0]).reshape(4, 1, 1)
    guess = np.array([1.0, 5.0, 9.0, 0.0]).reshape(4, 1, 1)
    scores = score(guess, actual, ~np.isnan(actual))
    assert scores.rmse == [pytest.approx(math.sqrt(25 / 3))]
    assert scores.mae == [pytest.approx(7 / 3)]
    assert scores.count == [3]


def test_a_difference_counts_if_chance_does_not_explain_it():
    random = np.random.default_rng(0)
    actual = random.standard_normal((300, 1, 1))
    mask = np.ones(actual.shape, np.bool_)
    noise = random.standard_normal(actual.shape)

    def verdict(ours, theirs):
        forecasts = {"network": actual + ours * noise, "ridge": actual + theirs * noise[::-1]}
        scores = {name: score(values, actual, mask) for name, values in forecasts.items()}
        return compare(forecasts, scores, actual, mask)[0].verdict

    assert verdict(1.0, 2.0) == "better"
    assert verdict(2.0, 1.0) == "worse"
    assert verdict(1.0, 1.03) == "no clear difference"
    assert verdict(0.0, 0.0) == "equal"


def test_the_band_holds_its_share():
    errors = np.random.default_rng(0).standard_normal((5000, 1, 2)) * [1.0, 3.0]
    mask = np.ones(errors.shape, np.bool_)
    edges = band(errors, mask)
    np.testing.assert_allclose(edges, [[-1.28, -3.84], [1.28, 3.84]], rtol=0.05)
    assert coverage(errors, np.zeros(errors.shape), edges, mask) == pytest.approx([0.8, 0.8], abs=1e-3)
    few = band(errors[:10], mask[:10])
    np.testing.assert_allclose(few[1], 1.2816 * np.sqrt(np.mean(errors[:10] ** 2, axis=(0, 1))))
