"""What the forecaster forecasts: seasons, walks, effects, missing and wild values, bands, weights of the members."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from forecaster_case import STEPS, panel, parted, quick, wave
from rnncore.forecasting import Forecaster, fitting, smoothing


def test_a_season_is_found_and_forecast():
    y = wave(STEPS)
    ahead = Forecaster(h=12, networks=0).fit(y[:-12]).predict()
    assert np.abs(ahead["rnncore"] - y[-12:]).mean() < 0.35
    assert (ahead["rnncore-lo-95"] < ahead["rnncore-lo-80"]).all()
    assert (ahead["rnncore-hi-80"] < ahead["rnncore-hi-95"]).all()


@pytest.mark.parametrize("steps", [60, 100, 200, 400])
@pytest.mark.parametrize("seed", [11, 12])
def test_a_random_walk_is_repeated(steps, seed):
    walk = 100 + np.cumsum(np.random.default_rng(seed).standard_normal(steps))
    forecaster = quick().fit(walk)
    assert forecaster.ensemble_.repeats
    np.testing.assert_allclose(forecaster.predict()["rnncore"], walk[-1], rtol=1e-6)


@pytest.mark.parametrize("refit", [False, True])
def test_effects_are_taken_off_once(refit, monkeypatch):
    seen = []

    def fit(y, *rest):
        seen.append(float(np.nanstd(y[0])))
        return real(y, *rest)

    real = smoothing.fit
    monkeypatch.setattr(smoothing, "fit", fit)
    quick(future=["holiday"], refit=refit).fit(parted(panel(ahead=21))[0])
    assert len(seen) > refit
    assert max(seen) < 2.4  # 2.2 without holidays, 2.9 with them


def test_without_refit_forecasts_are_those_that_were_scored():
    known = parted(panel())[0].drop(columns=["holiday", "noise"])
    known.loc[known.unique_id == "b", "y"] = 20 + 3 * wave(STEPS, 5, 3)
    forecaster = quick(refit=False, season=7).fit(known)
    scored = forecaster.held_out_
    assert np.isfinite(forecaster.ensemble_.ridge.own_penalty)  # coefficients of each series
    for name, values in forecaster.ensemble_.forecasts(forecaster._history, scored.origins).items():
        if name in scored.forecasts:
            np.testing.assert_allclose(values, scored.forecasts[name], rtol=1e-4, err_msg=name)


def test_a_fit_takes_little_memory():
    wide = {"unique_id": np.repeat(list("abc"), 2500), "ds": np.tile(np.arange(2500), 3), "y": np.tile(wave(2500), 3)}
    forecaster = Forecaster(h=200, input_size=96, networks=0, season=12, held_out=1500, refit=False)
    tracemalloc.start()
    try:
        forecaster.fit(wide)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * 8 * forecaster.held_out_.actual.size  # of the held-out forecasts, as float64


def test_where_little_is_held_out_a_part_of_the_forecast_is_left():
    rise_that_ends = np.minimum(np.arange(40.0), 30) + 0.3 * np.random.default_rng(3).standard_normal(40)
    forecaster = quick().fit(rise_that_ends)
    assert forecaster.held_out_.independent < 6
    shares = dict(zip(forecaster.ensemble_.names, forecaster.ensemble_.weights.mean(axis=(1, 2)), strict=True))
    assert not forecaster.ensemble_.repeats
    assert shares["repeat"] > 0.25
    assert sum(shares.values()) == pytest.approx(1)


def test_what_is_never_negative_is_not_forecast_below_zero():
    counts = np.random.default_rng(0).poisson(0.4, 300).astype(float)
    ahead = quick().fit(counts).predict()
    for column in ("rnncore", "rnncore-lo-80", "rnncore-lo-95"):
        assert (ahead[column] >= 0).all()


def test_a_wild_value_is_named_and_does_no_harm():
    y = wave(STEPS)
    usual = Forecaster(h=12, networks=0).fit(y[:-12]).predict()["rnncore"]
    y[100] = 1e6
    forecaster = Forecaster(h=12, networks=0).fit(y[:-12])
    assert any("1e+06 at 100" in note for note in forecaster.notes_)
    assert np.abs(forecaster.predict()["rnncore"] - y[-12:]).mean() < 2 * np.abs(usual - y[-12:]).mean()


def test_missing_values_anywhere():
    y = wave(STEPS)
    y[np.random.default_rng(3).random(STEPS) < 0.1] = np.nan
    y[-1] = 10.0
    ahead = quick(12).fit({"ds": np.arange(STEPS), "y": y}).predict()
    assert np.abs(ahead["rnncore"] - wave(STEPS + 12)[-12:]).mean() < 1.0


@pytest.mark.parametrize("count", [10, 14, 30])
def test_short_series(count):
    ahead = quick(4).fit(wave(count)).predict()
    assert np.isfinite(ahead.drop(columns=["unique_id", "ds"]).to_numpy(float)).all()


def test_series_of_very_different_length_and_scale():
    frame = panel()
    frame.loc[frame.unique_id == "b", "y"] *= 1e6
    late = frame.ds >= pd.Timestamp("2022-07-15")
    ahead = quick().fit(frame[late | (frame.unique_id != "c")].drop(columns=["holiday", "noise"])).predict()
    middle = ahead.groupby("unique_id").rnncore.mean()
    assert 20 < middle["a"] < 40
    assert 20e6 < middle["b"] < 45e6
    assert 20 < middle["c"] < 60


def test_intervals_hold_their_share():
    y = 10 + np.random.default_rng(5).standard_normal(900)
    rolled = Forecaster(h=5, networks=0).cross_validation(y, n_windows=60, step_size=5)
    for level in (80, 95):
        inside = (rolled.y >= rolled[f"rnncore-lo-{level}"]) & (rolled.y <= rolled[f"rnncore-hi-{level}"])
        assert abs(inside.mean() - level / 100) < 0.06


def test_members_count_for_what_they_are_worth_behind_the_ends_that_they_were_chosen_on(monkeypatch):
    """Forecasts of smoothing are spoilt in the folds alone: then it counts for nothing."""

    def spoilt(history, options, **how):
        fitted, held_out = real(history, options, **how)
        if history.end < 180:
            looking = fitted.looking_ahead

            def ahead(*where):
                found, scale = looking(*where)
                return found | {"smoothing": found["smoothing"] + 9}, scale

            monkeypatch.setattr(fitted, "looking_ahead", ahead)
        return fitted, held_out

    y = wave(180)
    usual = Forecaster(h=4, networks=0, season=12).fit(y).ensemble_
    real = fitting.fit
    monkeypatch.setattr(fitting, "fit", spoilt)
    changed = Forecaster(h=4, networks=0, season=12).fit(y).ensemble_
    assert usual.weights[usual.names.index("smoothing")].mean() > 0.1
    assert changed.weights[changed.names.index("smoothing")].mean() < 0.02
