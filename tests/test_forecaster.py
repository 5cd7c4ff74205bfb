"""The forecaster: what it forecasts, new rows, files, frames, cross-validation, conventions and refusals."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from rnncore.forecasting import Forecaster, fitting, smoothing

STEPS = 240


def wave(steps, seed=0, period=12):
    noise = np.random.default_rng(seed).standard_normal(steps)
    return 10 + 3 * np.sin(2 * np.pi * np.arange(steps) / period) + 0.2 * noise


def panel(steps=STEPS, ahead=0, seed=1):
    """Three daily series that a holiday lifts by 8 and a column of noise does not."""
    random = np.random.default_rng(seed)
    frames = []
    for k, name in enumerate("abc"):
        holiday = (random.random(steps + ahead) < 0.1).astype(float)
        y = 20 + 5 * k + 8 * holiday + 3 * wave(steps + ahead, k, 7) / 3 + random.normal(0, 0.3, steps + ahead)
        days = pd.date_range("2022-01-01", periods=steps + ahead)
        frames.append(pd.DataFrame({"unique_id": name, "ds": days, "y": y, "holiday": holiday,
                                    "noise": random.random(steps + ahead)}))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def parted(frame, steps=STEPS):
    first = frame.ds < pd.Timestamp("2022-01-01") + pd.Timedelta(days=steps)
    return frame[first], frame[~first]


def quick(h=7, **options):
    return Forecaster(h=h, networks=1, epochs=3, **options)


@pytest.fixture(scope="module")
def fitted():
    known, ahead = parted(panel(ahead=21))
    return quick(future=["holiday"]).fit(known), known, ahead


def covariates(ahead):
    return ahead[["unique_id", "ds", "holiday"]]


# ---- what it forecasts


def test_a_season_is_found_and_forecast():
    y = wave(STEPS)
    ahead = Forecaster(h=12, networks=0).fit(y[:-12]).predict()
    assert np.abs(ahead["rnncore"] - y[-12:]).mean() < 0.35
    assert (ahead["rnncore-lo-95"] < ahead["rnncore-lo-80"]).all()
    assert (ahead["rnncore-hi-80"] < ahead["rnncore-hi-95"]).all()


def test_known_covariates_are_used(fitted):
    forecaster, _, ahead = fitted
    first = ahead.groupby("unique_id").head(7)
    off = np.abs(forecaster.predict(covariates(first))["rnncore"].to_numpy() - first.y.to_numpy())
    assert off.mean() < 0.45  # a holiday is worth 8


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


# ---- new rows


def test_an_update_equals_a_run_over_all_rows(fitted):
    known, ahead = fitted[1:]
    forecaster = quick(future=["holiday"]).fit(known)
    later = ahead[(ahead.ds < ahead.ds.min() + pd.Timedelta(days=5)) & (ahead.unique_id != "c")]
    moved = forecaster.predict(covariates(ahead), df=pd.concat([known, later]))
    for day in sorted(later.ds.unique()):
        forecaster.update(later[later.ds == day])
    stepped = forecaster.predict(covariates(ahead))
    assert stepped.groupby("unique_id").ds.min().tolist() == moved.groupby("unique_id").ds.min().tolist()
    np.testing.assert_allclose(stepped["rnncore"], moved["rnncore"], rtol=1e-5)


@pytest.mark.parametrize("kind", [dict, pd.DataFrame])
def test_rows_one_by_one_equal_rows_in_a_block(kind, tmp_path):
    y, days = wave(STEPS), pd.date_range("2024-01-01", periods=STEPS)
    known = {"ds": days[:-20], "y": y[:-20]}
    single, block = quick(season=12).fit(known), quick(season=12).fit(known)
    for t in range(STEPS - 20, STEPS - 1):
        single.update(kind({"ds": days[t : t + 1], "y": y[t : t + 1]}))
    single.update({"ds": days[-1:].astype(str), "y": y[-1:]})  # text is read the longer way, after those that wait
    expected = block.update({"ds": days[-20:], "y": y[-20:]}).predict()
    np.testing.assert_allclose(single.predict()["rnncore"], expected["rnncore"], rtol=1e-5)
    single.update(kind({"ds": days[-1:] + pd.Timedelta(days=1), "y": [10.0]})).save(tmp_path / "kept.safetensors")
    assert Forecaster.load(tmp_path / "kept.safetensors").predict().ds.min() == days[-1] + pd.Timedelta(days=2)


def test_a_row_that_does_not_follow_changes_nothing():
    forecaster = quick().fit({"ds": np.arange(STEPS), "y": wave(STEPS)}).update({"ds": [STEPS], "y": [10.0]})
    before = forecaster.predict()
    with pytest.raises(ValueError, match="the row at 5 does not follow the last one, which is at 240"):
        forecaster.update({"ds": [5], "y": [1.0]})
    assert forecaster.predict().equals(before)
    assert forecaster.update({"ds": [STEPS + 2], "y": [10.0]}).predict()["ds"].min() == STEPS + 3  # one is missing


def test_new_series_and_recent_rows(fitted):
    forecaster, known, ahead = fitted
    recent = known[known.unique_id == "b"].tail(60)
    usual = forecaster.predict(covariates(ahead))
    usual = usual[usual.unique_id == "b"]["rnncore"].to_numpy()
    mine = covariates(ahead[ahead.unique_id == "b"])
    np.testing.assert_allclose(forecaster.predict(mine, df=recent)["rnncore"], usual, atol=0.6)
    other = forecaster.predict(mine.assign(unique_id="new"), df=recent.assign(unique_id="new"))
    assert other.unique_id.unique().tolist() == ["new"]
    np.testing.assert_allclose(other["rnncore"], usual, atol=3.0)  # a holiday is worth 8


def test_a_file_holds_it_all(fitted, tmp_path):
    forecaster, _, ahead = fitted
    forecaster.save(tmp_path / "f.safetensors")
    loaded = Forecaster.load(tmp_path / "f.safetensors")
    assert loaded.get_params() == forecaster.get_params()
    pd.testing.assert_frame_equal(loaded.predict(covariates(ahead)), forecaster.predict(covariates(ahead)))


# ---- cross-validation and importance


def test_cross_validation_does_not_look_ahead():
    y = wave(STEPS)
    changed = y.copy()
    changed[-12:] *= -5
    one, two = (quick(12).cross_validation(each, n_windows=2, step_size=12) for each in (y, changed))
    np.testing.assert_array_equal(one["rnncore"], two["rnncore"])
    assert one.cutoff.unique().tolist() == [STEPS - 25, STEPS - 13]
    np.testing.assert_array_equal(one.y, y[-24:])
    assert list(one.columns) == ["unique_id", "ds", "cutoff", "y", "rnncore", "rnncore-lo-80", "rnncore-hi-80",
                                 "rnncore-lo-95", "rnncore-hi-95"]  # fmt: skip


def test_cross_validation_with_refit_begins_like_without():
    y = wave(STEPS)
    one, two = (Forecaster(h=6, networks=0).cross_validation(y, 2, 6, refit=refit) for refit in (False, True))
    np.testing.assert_array_equal(one["rnncore"][:6], two["rnncore"][:6])
    assert not np.array_equal(one["rnncore"][6:], two["rnncore"][6:])


def test_importance_names_what_matters(fitted, tmp_path):
    found = fitted[0].explain(tmp_path / "importance.png").groupby("input").importance.mean()
    assert found["holiday"] > 1
    assert abs(found["noise"]) < 0.1
    assert (tmp_path / "importance.png").read_bytes().startswith(b"\x89PNG")


# ---- conventions


def test_conventions_of_scikit_learn():
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError

    forecaster = Forecaster(h=5, level=(50,), networks=0)
    assert clone(forecaster).get_params() == forecaster.get_params()
    assert forecaster.set_params(h=3).h == 3
    with pytest.raises(ValueError, match="there is no parameter 'horizon'"):
        forecaster.set_params(horizon=3)
    calls = forecaster.predict, forecaster.explain, lambda: forecaster.update([1.0]), lambda: forecaster.save("x")
    for call in calls:
        with pytest.raises(NotFittedError, match="call fit first"):
            call()


def test_partitions_are_forecast_in_other_processes(fitted):
    forecaster, known, _ = fitted
    plain = quick().fit(known[["unique_id", "ds", "y"]])
    call = pickle.loads(pickle.dumps(plain.predict_partition))
    parts = pd.concat([call(part) for _, part in known[["unique_id", "ds", "y"]].groupby("unique_id")])
    np.testing.assert_allclose(parts["rnncore"], plain.predict()["rnncore"], rtol=1e-5)
    assert forecaster.ensemble_.effects is not None


@pytest.mark.filterwarnings("default:::(distributed|dask|tornado|fugue|triad|joblib)")
def test_partitions_of_joblib_dask_and_fugue(fitted):
    known = fitted[1][["unique_id", "ds", "y"]]
    forecaster = quick(level=(80,)).fit(known)
    whole = forecaster.predict()["rnncore"].to_numpy()
    joblib = pytest.importorskip("joblib")
    calls = (joblib.delayed(forecaster.predict_partition)(part) for _, part in known.groupby("unique_id"))
    np.testing.assert_allclose(pd.concat(joblib.Parallel(n_jobs=2)(calls))["rnncore"], whole, rtol=1e-5)
    fugue = pytest.importorskip("fugue.api")
    types = "unique_id:str,ds:datetime,rnncore:double,`rnncore-lo-80`:double,`rnncore-hi-80`:double"
    found = fugue.transform(known, forecaster.predict_partition, schema=types, partition={"by": "unique_id"})
    np.testing.assert_allclose(found.sort_values(["unique_id", "ds"])["rnncore"], whole, rtol=1e-5)
    dask = pytest.importorskip("dask.dataframe").from_pandas(known.set_index("unique_id", drop=False), npartitions=3)
    found = dask.rename_axis(None).map_partitions(forecaster.predict_partition, meta=forecaster.predict()).compute()
    np.testing.assert_allclose(found.sort_values(["unique_id", "ds"])["rnncore"], whole, rtol=1e-5)


def test_only_what_is_known_ahead_is_asked_of_the_future():
    frame = panel(ahead=7).assign(region=lambda each: each.unique_id.map({"a": 1.0, "b": np.nan, "c": 3.0}))
    known, ahead = parted(frame)
    forecaster = quick(future=["holiday"], static=["region"]).fit(known)
    asked = covariates(ahead)
    usual = forecaster.predict(asked)
    assert np.isfinite(usual["rnncore"]).all()  # the region of b is missing
    pd.testing.assert_frame_equal(forecaster.predict(ahead), usual)  # other columns do no harm
    again = forecaster.predict(asked, df=known.drop(columns="region"))
    np.testing.assert_allclose(again["rnncore"], usual["rnncore"], rtol=1e-5)
    three = asked.groupby("unique_id").head(3)
    np.testing.assert_allclose(
        forecaster.predict(three, h=3)["rnncore"], usual.groupby("unique_id").head(3)["rnncore"], atol=1.0
    )
    with pytest.raises(ValueError, match="expected 4 rows of series 'a' with holiday; 2022-09-01 is missing"):
        forecaster.predict(three, h=4)


def test_a_polars_frame_comes_back_as_one():
    polars = pytest.importorskip("polars")
    ahead = Forecaster(h=3, networks=0).fit(polars.DataFrame({"ds": np.arange(60), "y": wave(60)})).predict()
    assert isinstance(ahead, polars.DataFrame)
    assert ahead["ds"].to_list() == [60, 61, 62]


def test_the_same_seed_gives_the_same_forecast():
    y = np.abs(wave(STEPS))
    one, two, other = (quick(seed=seed).fit(y).predict()["rnncore"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


REFUSED = {
    "a level beyond": (lambda f, k, a: quick(level=(120,)).fit(k), "level: expected percents above 0 and below 100"),
    "no horizon": (lambda f, k, a: Forecaster(h=0).fit(k), "h"),
    "an unknown cell": (lambda f, k, a: Forecaster(cell="tcn").fit(k), "cell should be one of gru, .*lstm, .*rnn"),
    "too few rows": (lambda f, k, a: Forecaster(h=7).fit(k.head(5)), "too few rows: 5 values of 'y'"),
    "no covariates ahead": (lambda f, k, a: quick(future=["holiday"]).fit(k).predict(), "expected 7 rows of holiday"),
    "too few ahead": (lambda f, k, a: f.predict(covariates(a).groupby("unique_id").head(3)), "2022-09-01 is missing"),
    "covariates for nobody": (lambda f, k, a: quick().fit(wave(90)).predict(covariates(a)), "without covariates"),
    "nothing to forecast from": (lambda f, k, a: f.predict(df=k.assign(y=np.nan)), "no value of 'y' of series 'a'"),
    "rows that do not follow": (lambda f, k, a: f.update(k.tail(3)), "does not follow the last one"),
    "a stranger": (lambda f, k, a: f.update(a.tail(2).assign(unique_id="z")), "unknown series 'z'"),
    "further than h": (lambda f, k, a: f.predict(covariates(a), h=9), "h"),
    "too many windows": (lambda f, k, a: quick(future=["holiday"]).cross_validation(k, 40), "too few rows"),
    "no such column": (lambda f, k, a: quick(future=["sun"]).fit(k), "^future: the data frame has no column 'sun'"),
    "no target": (lambda f, k, a: quick().fit(k.rename(columns={"y": "sales"})), "^target_col: .* no column 'y', only"),
    "two series": (lambda f, k, a: quick().fit(k[["ds", "y"]]), "stands on rows .*: .* give id_col"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_what_was_expected(call, message, fitted):
    with pytest.raises(ValueError, match=message):
        call(*fitted)
