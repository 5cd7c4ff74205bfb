"""The forecaster: covariates, new rows, files, frames, cross-validation, conventions and refusals."""

import pickle

import numpy as np
import pandas as pd
import pytest

from forecaster_case import STEPS, panel, parted, quick, wave
from rnncore.forecasting import Forecaster


@pytest.fixture(scope="module")
def fitted():
    known, ahead = parted(panel(ahead=21))
    return quick(future=["holiday"]).fit(known), known, ahead


def covariates(ahead):
    return ahead[["unique_id", "ds", "holiday"]]


def test_known_covariates_are_used(fitted):
    forecaster, _, ahead = fitted
    first = ahead.groupby("unique_id").head(7)
    off = np.abs(forecaster.predict(covariates(first))["rnncore"].to_numpy() - first.y.to_numpy())
    assert off.mean() < 0.45  # a holiday is worth 8


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
