"""The parts of a forecast against their formulas: climatology, seasons, smoothing, ridge, weights, scores, bands."""

import math

import numpy as np
import pytest

from rnncore.forecasting.climatology import Cycle, find_cycles, fit_climatology, usual
from rnncore.forecasting.filters import Filter
from rnncore.forecasting.history import filled, limits, wild
from rnncore.forecasting.intervals import saves
from rnncore.forecasting.lagged import Lagged, fits, lagged
from rnncore.forecasting.periods import Periods, find_periods
from rnncore.forecasting.scores import compare, judge_band, score, seasonal_error
from rnncore.forecasting.walks import wanders
from rnncore.forecasting.weights import combine, gains
from rnncore.tables import Grid, read_panel

DAILY, INDEX = Grid("day", 18262, 1), Grid("index", 0, 1)


def test_climatology_finds_the_harmonics_of_a_year():
    positions = np.arange(3 * 365)
    cycles = find_cycles(DAILY, len(positions), [])
    (cycle,) = (each for each in cycles if each.name == "year")
    phase = 2 * np.pi * cycle.phase(DAILY, positions)
    truth = 5 + 2 * np.sin(phase) + np.cos(2 * phase)
    noisy = truth + 0.1 * np.random.default_rng(0).standard_normal(len(truth))
    noisy[100:130] = np.nan
    fit = fit_climatology(DAILY, cycles, positions, noisy[:, None])
    assert fit.cycles == [(cycle, 2)]  # and nothing of the week
    np.testing.assert_allclose(fit(DAILY, positions)[:, 0], truth, atol=0.05)
    assert np.abs(cycle.phase(DAILY, np.array([366.0])) - 51 - 0.5 / 365).max() < 1e-9  # 2021 began


@pytest.mark.parametrize(
    "steps", [np.arange(4, 40), np.array([[3, 4, 5], [90, 91, 92]]), np.arange(60).reshape(20, 3) // 5]
)
def test_what_is_usual_is_that_of_each_series_at_its_own_place(steps):
    random, cycles = np.random.default_rng(1), find_cycles(DAILY, 900, [])
    fits = [fit_climatology(DAILY, cycles, np.arange(800), random.standard_normal((800, 2))) for _ in range(3)]
    found = usual(fits, DAILY, steps, np.array([0, 7, 0]))
    for n, shift in enumerate([0, 7, 0]):
        np.testing.assert_allclose(found[:, n], fits[n](DAILY, steps + shift), atol=1e-12)
    np.testing.assert_array_equal(usual(fits, DAILY, steps, np.array([0, 7, 0]), slice(1)), found[..., :1])


def test_cycles_that_the_data_cannot_show_are_not_asked_for():
    assert [cycle.name for cycle in find_cycles(DAILY, 400, [])] == ["week"]
    assert [cycle.name for cycle in find_cycles(DAILY, 731, [7])] == ["year", "week"]
    assert [cycle.name for cycle in find_cycles(Grid("time", 0, 3600 * 10**9), 400, [])] == ["week", "day"]
    assert find_cycles(INDEX, 1000, []) == []
    assert find_cycles(INDEX, 1000, [12]) == [Cycle("season", 12.0)]


SEASONS = {
    "none": (INDEX, lambda t, e: e, (1, 0)),
    "a walk": (INDEX, lambda t, e: np.cumsum(e), (1, 0)),
    "twelve": (INDEX, lambda t, e: 3 * np.sin(2 * np.pi * t / 12) + 0.05 * t + e, (12, 0)),
    "of the calendar": (DAILY, lambda t, e: 2.0 * (t % 7 == 3) + 0.3 * e, (7, 0)),
    "day and week": (
        Grid("time", 0, 3600 * 10**9),
        lambda t, e: np.sin(2 * np.pi * t / 24) * (1 + (t // 24 % 7 < 5)) + 0.2 * e,
        (24, 168),
    ),
    "a year, and three": (
        Grid("day", 0, 7),
        lambda t, e: np.sin(2 * np.pi * t / 52) + (np.arange(52 * 3) ** 2 % 7)[t % 156] / 9 + 0.2 * e,
        (52, 0),
    ),
}


@pytest.mark.parametrize(("grid", "series", "found"), SEASONS.values(), ids=SEASONS)
def test_seasons_are_found_from_the_autocorrelation(grid, series, found):
    steps = np.arange(1500)
    y = series(steps, np.random.default_rng(2).standard_normal(len(steps)))
    periods = find_periods(y[None], grid)
    assert (periods.m1, periods.m2) == found
    assert find_periods(y[None], grid, (5,)).seasons == [5]


def test_nights_without_values_hide_no_season():
    hours = np.arange(24 * 60)
    day = np.sin((hours % 24 - 6) / 12 * np.pi) + 0.05 * np.random.default_rng(0).standard_normal(len(hours))
    grid = Grid("time", 0, 3600 * 10**9)
    for y in (np.where(day > 0, 500 * day, np.nan), np.where(day > 0, 500 * day, 0.0)):
        assert find_periods(y[None], grid).m1 == 24


def test_smoothing_follows_its_equations():
    random = np.random.default_rng(0)
    y = random.standard_normal((1, 40)).astype(np.float32)
    alpha, delta, omega, phi, beta = 0.3, 0.2, 0.1, 0.5, 0.1
    state = Filter(y, np.array([[[alpha, delta, omega, phi, beta]]], np.float32), 3, 6)
    level, trend, error = float(state.level[0, 0]), 0.0, 0.0
    day, week = state.day[:, 0, 0].astype(float), state.week[:, 0, 0].astype(float)
    for t, value in enumerate(y[0].astype(float)):
        trend *= 0.97
        level += trend
        now = value - level - day[t % 3] - week[t % 6]
        update, error = now - phi * error, now
        level += alpha * update
        trend += alpha * beta * update
        day[t % 3] += delta * update
        week[t % 6] += omega * update
        state.step(y[:, t], np.array([True]))
    ahead = [level + day[(40 + h) % 3] + week[(40 + h) % 6] + phi ** (h + 1) * error
             + trend * sum(0.97 ** k for k in range(1, h + 2)) for h in range(4)]  # fmt: skip
    np.testing.assert_allclose(state.forecast(4)[0, 0], ahead, rtol=1e-4, atol=1e-5)


def test_ridge_regression_solves_its_normal_equations():
    random = np.random.default_rng(0)
    x, z = random.standard_normal((60, 2, 3)), random.standard_normal((60, 2, 2))
    known = random.random((60, 2)) < 0.8
    for lag, penalty, weight in fits(x, z, known, [2]):
        rows = lagged(x, lag, np.arange(len(x)))[known]
        residual = z[known] - rows @ weight
        np.testing.assert_allclose(rows[:, :-1].T @ residual, penalty * weight[:-1], atol=1e-6)  # the gradient is zero
        assert np.abs(residual.sum(axis=0)).max() < 1e-4


def test_lags_are_the_steps_before():
    x = np.arange(12.0).reshape(6, 1, 2)
    table = lagged(x, 3, np.array([4, 1]))
    assert table[0, 0].tolist() == [8, 9, 6, 7, 4, 5, 1]
    assert table[1, 0].tolist() == [2, 3, 0, 1, 0, 0, 1]


def test_blocks_of_steps_change_no_forecast(monkeypatch):
    random = np.random.default_rng(2)
    x, model = random.standard_normal((50, 3, 2)), Lagged([3, 1], [1.0, 1.0], random.standard_normal((7, 2)))
    whole, last = model(x), model.at_end(x[-3:])
    monkeypatch.setattr("rnncore.forecasting.lagged._BLOCK", 100)
    np.testing.assert_allclose(model(x), whole, rtol=1e-5)
    np.testing.assert_allclose(last, whole[-1], rtol=1e-5)


def test_holes_are_filled_from_before():
    y = np.array([[np.nan, 1.0, 2, 3, np.nan, np.nan, 6]])
    assert filled(y, np.array([1]), 3)[0].tolist() == [3, 1, 2, 3, 1, 2, 6]
    assert filled(y, np.array([1]), 1)[0].tolist() == [1, 1, 2, 3, 3, 3, 6]


def test_wild_values_are_told_from_a_new_level():
    y = np.concatenate([np.random.default_rng(0).standard_normal(100), [1e6], np.zeros(20)])
    assert np.flatnonzero(wild(y, limits(y[:100]))).tolist() == [100]
    y[105:] += 1e6
    assert np.flatnonzero(wild(y, limits(y[:100]))).tolist() == [100]
    assert not wild(y, np.array([-np.inf, np.inf])).any()


def test_weights_follow_the_errors():
    random = np.random.default_rng(0)
    actual = random.standard_normal((1, 200, 4))
    members = [actual + size * random.standard_normal(actual.shape) for size in (0.5, 1.0, 5.0)]
    weights = combine(members, actual, independent=50.0)
    assert weights.shape == (3, 1, 4)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert (weights[0] > weights[1]).all()
    assert (weights[1] > weights[2]).all()
    alike = [actual + size * random.standard_normal(actual.shape) for size in (0.8, 1.0, 1.2)]
    few = combine(alike, actual, independent=0.01)
    assert np.abs(few - 1 / 3).max() < 0.1


def test_a_member_that_is_far_behind_is_given_nothing_by_few_windows_either():
    random = np.random.default_rng(0)
    actual = random.standard_normal((1, 200, 4))
    members = [actual + size * random.standard_normal(actual.shape) for size in (0.01, 0.015, 1.0)]
    weights = combine(members, actual, independent=2.0)
    assert (weights[:2] > 0.1).all()
    assert (weights[2] < 1e-3).all()


def test_members_that_were_chosen_are_doubted():
    random = np.random.default_rng(0)
    actual = random.standard_normal((1, 200, 4))
    members = [actual + random.standard_normal(actual.shape) for _ in range(3)]
    plain = combine(members, actual, 10.0)
    doubted = combine(members, actual, 10.0, np.array([1.0, 1.0, 1.5]))
    assert (doubted[2] < 0.7 * plain[2]).all()
    np.testing.assert_allclose(doubted.sum(axis=0), 1)
    drawn = combine(members, actual, 0.01, None, np.array([0.5, 0.5, 0.0]))  # few windows
    np.testing.assert_allclose(drawn[:, 0].mean(axis=1), [0.5, 0.5, 0.0], atol=0.05)


def test_weeks_have_their_place_in_the_year_of_the_calendar():
    grid = Grid("day", 0, 7)  # from 1970-01-01 on
    weeks = np.arange(52 * 40)
    place = Periods(52).phase(grid, weeks, 52)
    dates = np.datetime64("1970-01-01") + 7 * weeks
    of_year = (dates - dates.astype("datetime64[Y]")).astype(int)
    assert place.min() == 0
    assert place.max() == 51
    assert np.abs(place - of_year / 7).max() < 1.2
    assert Periods(4).phase(grid, weeks, 4).tolist() == (weeks % 4).tolist()


def test_the_gate_opens_for_a_gain_alone():
    random = np.random.default_rng(0)
    actual = random.standard_normal((1, 300, 3))
    repeat = actual + random.standard_normal(actual.shape)
    gain = actual + 0.5 * random.standard_normal(actual.shape)
    assert gains(gain, repeat, actual, 100.0, sure=3.0)
    assert not gains(gain, repeat, actual, 1.0, sure=3.0)
    assert not gains(repeat, repeat, actual, 100.0)
    assert not gains(actual + 1.1 * random.standard_normal(actual.shape), repeat, actual, 100.0)


def drawn(kind, steps, seed):
    noise = np.random.default_rng([seed, steps]).standard_normal(steps)
    if kind == "stormy":
        return np.cumsum(noise * np.exp(np.sin(np.arange(steps) / 15)))
    if kind == "returning":
        return np.array(
            [sum(noise[max(0, t - 40) : t + 1][::-1] * 0.8 ** np.arange(min(t, 40) + 1)) for t in range(steps)]
        )
    season, level = np.sin(2 * np.pi * np.arange(steps) / 12), np.cumsum(0.3 * noise)
    return {"walk": np.cumsum(noise), "seasonal": level + season, "noisy": level + noise[::-1]}[kind]


@pytest.mark.parametrize(("kind", "share"), [
    ("walk", 1.0), ("stormy", 1.0), ("returning", 0.0), ("seasonal", 0.0), ("noisy", 0.0),
])  # fmt: skip
@pytest.mark.parametrize("steps", [250, 800])
def test_random_walks_are_told_from_series_with_structure(kind, share, steps):
    found = [wanders(drawn(kind, steps, seed)[None], []) for seed in range(20)]
    assert abs(np.mean(found) - share) <= 0.1


@pytest.mark.parametrize("steps", [48, 60, 96])
def test_a_season_of_one_leap_a_year_is_no_random_walk(steps):
    month = np.arange(steps) % 12
    for seed in range(10):
        noise = 0.1 * np.random.default_rng([seed, steps]).standard_normal(steps)
        assert not wanders((np.where(month == 0, 1.0, 0.0) + noise)[None], [12])
    assert wanders(drawn("walk", steps, 1)[None], [12])


def test_scores_are_means_over_what_is_known():
    actual = np.array([1.0, 2.0, np.nan, 4.0]).reshape(1, 4, 1)
    guess = np.array([1.0, 5.0, 9.0, 0.0]).reshape(1, 4, 1)
    scores = score(guess, actual, ~np.isnan(actual), np.array([2.0]))
    assert scores.rmse == [pytest.approx(math.sqrt(25 / 3))]
    assert scores.mae == [pytest.approx(7 / 3)]
    assert scores.count == [3]
    assert scores.mase == pytest.approx(7 / 6)
    assert scores.smape == pytest.approx((0 + 200 * 3 / 7 + 200) / 3)
    assert seasonal_error(np.array([[1.0, 2, 4, 7]]), 2).tolist() == [4.0]


def test_a_difference_counts_if_chance_does_not_explain_it():
    random = np.random.default_rng(0)
    actual = random.standard_normal((1, 300, 1))
    mask = np.ones(actual.shape, np.bool_)
    noise = random.standard_normal(actual.shape)

    def verdict(ours, theirs):
        forecasts = {"rnncore": actual + ours * noise, "ridge": actual + theirs * noise[:, ::-1]}
        scores = {name: score(values, actual, mask, np.ones(1)) for name, values in forecasts.items()}
        return compare(forecasts, scores, actual, mask)[0].verdict

    assert verdict(1.0, 2.0) == "better"
    assert verdict(2.0, 1.0) == "worse"
    assert verdict(1.0, 1.03) == "no clear difference"
    assert verdict(0.0, 0.0) == "equal"


def test_a_scale_is_taken_for_what_it_saves_alone():
    random = np.random.default_rng(0)
    true = np.where(np.arange(24) < 12, 0.2, 3.0)
    errors = random.standard_normal((2, 300, 24)) * true * np.array([1.0, 50.0])[:, None, None]
    plain = np.ones((2, 300, 1, 1)) * np.array([1.0, 50.0])[:, None, None, None]
    swinging = np.exp(np.sin(np.arange(300)))[:, None]
    assert saves(errors * swinging, plain, plain * swinging[:, :, None], 30.0)
    assert not saves(errors, plain, 7 * plain, 30.0)
    assert not saves(errors, plain, plain * swinging[:, :, None], 30.0)


def test_a_band_is_judged_by_what_it_holds_and_how_wide_it_is():
    actual = np.array([0.0, 1.0, 3.0, np.nan]).reshape(1, 4, 1)
    low, high = np.full(actual.shape, -1.0), np.full(actual.shape, 2.0)
    band = judge_band(low, high, actual, ~np.isnan(actual), 80)
    assert band.coverage == [pytest.approx(2 / 3)]
    assert band.winkler == pytest.approx(3 + 10 / 3)
    assert band.pinball == pytest.approx(band.winkler * 0.05)


def test_local_clocks_decide_the_place_in_a_season():
    table = {"ds": [f"2024-03-{day:02}T{hour:02}:00+0{1 + (day == 31 and hour > 2)}:00" for day in (30, 31)
                    for hour in range(24) if (day, hour) != (31, 2)], "y": list(range(47))}  # fmt: skip
    panel = read_panel(table, timezone="Europe/Berlin")
    assert Periods(24).phase(panel.grid, np.arange(47), 24).tolist() == [*range(24), 0, 1, *range(3, 24)]
