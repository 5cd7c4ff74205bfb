"""scikit-learn's estimators over recurrent networks: the conventions, the forms of X, frames, learning."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rnncore

RNNClassifier, RNNRegressor = rnncore.sklearn.RNNClassifier, rnncore.sklearn.RNNRegressor

CHECKS = """
import json, sys, warnings
from sklearn.utils.estimator_checks import check_estimator
from rnncore.bridges import sklearn
warnings.simplefilter("ignore")
estimator = getattr(sklearn, sys.argv[1])(**json.loads(sys.argv[2]))
found = check_estimator(estimator, on_fail=None)
print(json.dumps([[each["check_name"], each["status"], str(each["exception"])] for each in found]))
"""


@pytest.mark.parametrize("name", ["RNNRegressor", "RNNClassifier"])
def test_every_check_of_scikit_learn_passes_and_none_is_skipped(name, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it scikit-learn skips a check; it counts at import
    command = [sys.executable, "-c", CHECKS, name, json.dumps({"epochs": 60, "num_threads": 1})]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert [check for check in found if check[1] != "passed"] == []
    assert len(found) > 50


RANDOM = np.random.default_rng(0)
RAGGED = [RANDOM.normal(size=(steps, 2)) for steps in RANDOM.integers(2, 9, 60)]
SUMS = np.array([each.sum() for each in RAGGED])
EVEN = RANDOM.normal(size=(60, 7, 2))
SIDES = np.where(EVEN[:, :, 0].sum(1) > 0, "up", "down")
QUICK = {"cell": "gru", "hidden_size": 12, "random_state": 0}


# ---- forms of X


def test_a_list_of_sequences_of_different_lengths():
    model = RNNRegressor(**QUICK).fit(RAGGED, SUMS)
    assert model.n_features_in_ == 2
    assert model.score(RAGGED, SUMS) > 0.95
    one_by_one = [model.predict([each])[0] for each in RAGGED]
    np.testing.assert_array_equal(model.predict(RAGGED), one_by_one)
    held = np.empty(60, object)
    held[:] = RAGGED
    np.testing.assert_array_equal(model.predict(held), one_by_one)


def test_sequences_of_one_length_may_come_as_an_array_or_as_a_list():
    sums = EVEN.sum((1, 2))
    model = RNNRegressor(**QUICK, epochs=20).fit(EVEN, sums)
    np.testing.assert_allclose(model.predict(list(EVEN)), model.predict(EVEN), rtol=1e-12)
    twin = RNNRegressor(**QUICK, epochs=20).fit([each.tolist() for each in EVEN], sums)
    np.testing.assert_allclose(twin.predict(EVEN), model.predict(EVEN), rtol=1e-6)


def test_a_row_is_a_window_of_one_feature():
    rows = np.random.default_rng(1).normal(size=(40, 6))
    target = rows.sum(1)
    model = RNNRegressor(**QUICK, epochs=20).fit(rows, target)
    assert model.n_features_in_ == 6
    assert model.model_.in_features == 1
    twin = RNNRegressor(**QUICK, epochs=20).fit(rows[:, :, None], target)
    np.testing.assert_array_equal(model.predict(rows), twin.predict(rows[:, :, None]))


@pytest.mark.parametrize("window", [1, 3, 50])
def test_rows_may_be_the_steps_of_one_series(window):
    rows = np.random.default_rng(1).normal(size=(40, 2))
    target = rows[:, 0] + np.roll(rows[:, 1], 1)
    model = RNNRegressor(**QUICK, window=window, epochs=20).fit(rows, target)
    windows = [rows[max(0, k - window + 1) : k + 1] for k in range(40)]
    np.testing.assert_allclose(model.predict(rows), model.predict(windows), rtol=1e-12)
    np.testing.assert_array_equal(model.predict(rows[-window:])[-1:], model.predict(rows)[-1:])
    if window == 3:
        model.set_params(epochs=200).fit(rows, target)
        assert model.score(rows, target) > 0.95


def test_several_targets_come_back_in_their_form():
    targets = np.stack([EVEN.sum((1, 2)), 100 + 50 * EVEN[:, -1, 0]], axis=1)
    model = RNNRegressor(**QUICK).fit(EVEN, targets)
    assert model.predict(EVEN).shape == (60, 2)
    assert model.score(EVEN, targets) > 0.9


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "mgu", "leakyrnn"])
def test_every_cell_learns_classes(cell):
    model = RNNClassifier(cell, 12, random_state=0).fit(EVEN, SIDES)
    assert model.classes_.tolist() == ["down", "up"]
    assert model.score(EVEN, SIDES) > 0.9
    proba = model.predict_proba(EVEN)
    np.testing.assert_allclose(proba.sum(1), 1)
    np.testing.assert_allclose(np.log(proba), model.predict_log_proba(EVEN), rtol=1e-9)
    assert (model.classes_[proba.argmax(1)] == model.predict(EVEN)).all()


def test_depth_both_directions_dropout_and_single_precision():
    options = {"num_layers": 2, "bidirectional": True, "dropout": 0.1, "dtype": "float32", "epochs": 60}
    model = RNNClassifier(**QUICK, **options).fit(EVEN, SIDES)
    assert model.model_.dtype == np.float32
    assert model.score(EVEN, SIDES) > 0.9


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([np.ones((3, 2)), np.ones((3, 4))], r"X\[1\] has 4 features, but RNNRegressor is expecting 2 features"),
        ([np.ones((3, 2)), np.ones((0, 2))], r"X\[1\]: Found array with 0 sample"),
        ([np.ones((3, 2)), np.ones(3)], r"X\[1\]: Expected 2D array, got 1D"),
        ([np.ones((3, 2)), np.full((3, 2), np.nan)], r"Input X\[1\] contains NaN"),
        (np.ones((2, 0, 3)), "X: expected sequences of at least 1 step"),
        (np.full((2, 3, 1), np.inf), "Input X contains infinity"),
        (np.ones((2, 3, 1, 1)), "Found array with dim 4"),
    ],
)
def test_what_is_no_sequence_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        RNNRegressor().fit(X, [0.0, 1.0])


def test_predict_refuses_other_features():
    model = RNNRegressor(**QUICK, epochs=1).fit(EVEN, EVEN[:, 0, 0])
    with pytest.raises(ValueError, match="X has 3 features, but RNNRegressor is expecting 2 features as input"):
        model.predict(np.ones((4, 7, 3)))
    with pytest.raises(ValueError, match=r"X\[0\] has 3 features, but RNNRegressor is expecting 2"):
        model.predict([np.ones((4, 3))])


# ---- data frames


def frame(rows=30):
    random = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "load": random.normal(size=rows),
            "count": pd.array(random.integers(0, 9, rows), dtype="Int64"),
            "holiday": random.integers(0, 2, rows).astype(bool),
            "open": pd.array(random.integers(0, 2, rows).astype(bool), dtype="boolean"),
        }
    )


def test_numbers_and_bools_of_a_frame_convert_and_names_are_kept():
    table = frame()
    target = table["load"] + table["count"].astype(float)
    model = RNNRegressor(**QUICK, window=2, epochs=30).fit(table, target)
    assert model.feature_names_in_.tolist() == ["load", "count", "holiday", "open"]
    assert model.n_features_in_ == 4
    twin = RNNRegressor(**QUICK, window=2, epochs=30).fit(table.astype(float).to_numpy(), target)
    np.testing.assert_array_equal(model.predict(table), twin.predict(table.astype(float).to_numpy()))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[["count", "load", "holiday", "open"]])
    with pytest.raises(ValueError, match="Feature names seen at fit time, yet now missing:\n- open"):
        model.predict(table.drop(columns="open"))


def test_a_list_of_frames_keeps_its_names_too():
    frames = [frame(rows) for rows in (5, 3, 8)]
    model = RNNRegressor(**QUICK, epochs=2).fit(frames, [1.0, 2.0, 3.0])
    assert model.feature_names_in_.tolist() == ["load", "count", "holiday", "open"]
    with pytest.raises(ValueError, match=r"X\[1\]: The feature names should match"):
        model.predict([frames[0], frames[1].rename(columns={"open": "shut"})])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["a"] * 30, "X: column 'odd' should hold numbers, got str 'a' in row 0"),
        (pd.array([1, None] * 15, dtype="Int64"), "X: column 'odd' has nan in row 1, expected a finite number"),
        ([1.0, np.nan] * 15, "X: column 'odd' has nan in row 1, expected a finite number"),
        ([1.0, 2.0, np.inf] * 10, "X: column 'odd' has inf in row 2, expected a finite number"),
        (pd.date_range("2024", periods=30), "X: column 'odd' should hold numbers, got datetime64"),
        (pd.Categorical(["x", "y"] * 15), "X: column 'odd' should hold numbers, got str 'x' in row 0"),
        ([1 + 2j] * 30, "X: column 'odd' should hold numbers, got complex128"),
    ],
)
def test_other_columns_are_refused_by_name(column, message):
    with pytest.raises(ValueError, match=message):
        RNNRegressor().fit(frame().assign(odd=column), np.ones(30))


def test_columns_of_one_name_are_refused():
    table = pd.concat([frame()[["load"]], frame()[["load"]]], axis=1)
    with pytest.raises(ValueError, match="unique column names|columns of different names"):
        RNNRegressor().fit(table, np.ones(30))


# ---- conventions


def test_before_fit_there_is_nothing_to_predict():
    for model in (RNNRegressor(), RNNClassifier()):
        with pytest.raises(NotFittedError):
            model.predict(EVEN)


def test_a_random_state_gives_the_same_bits_and_copies_go_on():
    model = RNNClassifier(**QUICK, dropout=0.2, batch_size=16, epochs=5).fit(EVEN, SIDES)
    again = clone(model).fit(EVEN, SIDES)
    np.testing.assert_array_equal(model.predict_proba(EVEN), again.predict_proba(EVEN))
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(model.predict_proba(EVEN), copy.predict_proba(EVEN))
    for each in (model, copy):
        each.partial_fit(EVEN, SIDES)
    np.testing.assert_array_equal(model.predict_proba(EVEN), copy.predict_proba(EVEN))
    other = clone(model).set_params(random_state=1).fit(EVEN, SIDES)
    assert (model.predict_proba(EVEN) != other.predict_proba(EVEN)).any()


@pytest.mark.parametrize("X", [EVEN, RAGGED], ids=["array", "list"])
def test_weights_are_repetitions(X):
    target = np.array([each.sum() for each in X])
    weights = np.random.default_rng(3).integers(0, 4, 60)
    order = np.repeat(np.arange(60), weights)
    options = {**QUICK, "epochs": 20, "batch_size": 1000}
    weighted = RNNRegressor(**options).fit(X, target, sample_weight=weights)
    repeated = RNNRegressor(**options).fit([X[k] for k in order], target[order])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-7)


def test_wrong_weights_are_refused():
    for weights, message in ([[1.0], "expected shape"], [-np.ones(60), "negative"], [np.zeros(60), "all are zero"]):
        with pytest.raises(ValueError, match=message):
            RNNRegressor().fit(EVEN, SUMS, sample_weight=weights)


def test_partial_fit_learns_on():
    model = RNNClassifier(**QUICK)
    with pytest.raises(ValueError, match="y: 'up' is none of the classes"):
        clone(model).partial_fit(EVEN, SIDES, classes=["down", "left"])
    model.partial_fit(EVEN[SIDES == "up"], SIDES[SIDES == "up"], classes=["up", "down"])
    for _ in range(80):
        model.partial_fit(EVEN, SIDES)
    assert model.score(EVEN, SIDES) > 0.9
    with pytest.raises(ValueError, match="classes: expected those of the first call"):
        model.partial_fit(EVEN, SIDES, classes=["up"])
    regressor = RNNRegressor(**QUICK)
    losses = [regressor.partial_fit(RAGGED, SUMS).history_.loss[0] for _ in range(40)]
    assert losses[-1] < 0.2 * losses[0]
    with pytest.raises(ValueError, match="y: expected 1 targets a row, got 2"):
        regressor.partial_fit(RAGGED, np.ones((60, 2)))


def test_early_stopping_holds_out_a_part():
    model = RNNRegressor(**QUICK, early_stopping=5, validation_fraction=0.2, epochs=500)
    noise = np.random.default_rng(4).normal(size=60)
    model.fit(EVEN, noise)
    assert model.history_.stopped == "early stopping"
    assert "val_loss" in model.history_
    with pytest.raises(ValueError, match="validation_fraction should leave rows on both sides, got 0.001 of 60"):
        model.set_params(validation_fraction=0.001).fit(EVEN, noise)
    with pytest.raises(TypeError, match="early_stopping should be a number of epochs .*, got bool"):
        model.set_params(early_stopping=True, validation_fraction=0.2).fit(EVEN, noise)


def test_a_grid_search_over_a_list_and_a_pipeline():
    search = GridSearchCV(RNNRegressor(**QUICK, epochs=60), {"cell": ["gru", "rnn"], "lr": [0.01, 1e-6]}, cv=3)
    search.fit(RAGGED, SUMS)
    assert search.best_params_["lr"] == 0.01
    assert search.best_estimator_.score(RAGGED, SUMS) > 0.8
    wave = pd.DataFrame({"x": np.sin(np.arange(200) / 3)})
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), RNNRegressor(**QUICK, window=4))
    scores = cross_val_score(pipeline, wave[:-1], wave["x"].to_numpy()[1:], cv=TimeSeriesSplit(3))
    assert scores.min() > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "elman"}, "cell should be one of .*, got 'elman'"),
        ({"loss": "cross_entropy"}, "loss should be one of mse, mae, huber, got 'cross_entropy'"),
        ({"window": 0}, "window must be at least 1, got 0"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ({"optimizer": "adagrad"}, "unknown optimizer 'adagrad'"),
        ({"dtype": "float16"}, "dtype should be float32 or float64"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        RNNRegressor(**options).fit(EVEN, SUMS)


def test_the_import_of_rnncore_loads_no_framework():
    code = "import sys, rnncore; rnncore.nam; print(*{'sklearn', 'keras', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"
    assert rnncore.sklearn.RNNRegressor is RNNRegressor
