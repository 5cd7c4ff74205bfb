"""Windows of long series: gathered and scaled by the engine as the twin says, and what `fit` makes of them."""

import numpy as np
import pytest

import rnncore
from rnncore import _core
from rnncore.reference import windows as twin

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(3, 20, 200)
STARTS = np.array([0, 7, 176, 41, 41])


def model(segment=4, horizon=6, seed=0, dtype="float32"):
    layers = rnncore.GRU(segment, 8, seed=seed, dtype=dtype), rnncore.LastStep(dtype=dtype)
    return rnncore.Sequential(*layers, rnncore.Linear(8, horizon, seed=seed, dtype=dtype))


@pytest.mark.parametrize("length", [1, 2, 7, 24])
@pytest.mark.parametrize(("last", "lag"), [(1, 1), (1, 30), (1, 6)])
def test_the_engine_describes_windows_as_the_reference_does(length, last, lag):
    measures = np.full((len(STARTS), 4), np.nan)
    _core.describe_windows(VALUES, STARTS, length, min(last * 3, length), lag, measures)
    expected = twin.describe(VALUES, STARTS, length, min(last * 3, length), lag)
    np.testing.assert_allclose(measures, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("limit", [1.5, np.inf])
def test_the_engine_gathers_windows_as_the_reference_does(dtype, limit):
    level, scale = RANDOM.normal(size=5), RANDOM.random(5) + 0.1
    to = np.full((4, 5, 6), np.nan, dtype)
    _core.gather_windows(VALUES, STARTS, level, scale, limit, to)
    np.testing.assert_array_equal(to, twin.gather(VALUES, STARTS, level, scale, limit, 4, 6).astype(dtype))


def test_a_window_does_not_depend_on_those_beside_it():
    measures, alone = np.empty((5, 4)), np.empty((1, 4))
    _core.describe_windows(VALUES, STARTS, 24, 5, 7, measures)
    for k in range(5):
        _core.describe_windows(VALUES, STARTS[k : k + 1], 24, 5, 7, alone)
        np.testing.assert_array_equal(alone[0], measures[k])


def test_windows_and_targets_are_those_of_the_series():
    series = [np.arange(40.0), 100 - 2 * np.arange(30.0)]
    windows = rnncore.Windows(series, 12, 6, segment=4, season=3, scale="change")
    assert len(windows) == 28 + 18
    batch = windows.batch(slice(None), "float64")
    x, level, scale = windows.at(windows.rows, windows.origins, "float64")
    np.testing.assert_array_equal(batch.x, x)
    flat = np.moveaxis(x, 1, 0).reshape(len(windows), 12)
    for k in (0, 27, 28, 45):
        y, t = series[windows.rows[k]], windows.origins[k]
        own, ahead = y[t - 12 : t], y[t : t + 6]
        assert level[k] == pytest.approx(own[-3:].mean())
        assert scale[k] == pytest.approx(np.abs(own[3:] - own[:-3]).mean())
        np.testing.assert_allclose(flat[k] * scale[k] + level[k], own)
        known = slice(None) if batch.mask is None else batch.mask[k, : len(ahead)]
        np.testing.assert_allclose(windows.unscaled(batch.target, level, scale)[k, : len(ahead)][known], ahead)
        assert batch.mask[k].sum() == len(ahead)


def test_missing_values_are_never_learned_from():
    y = np.arange(60.0)
    y[[20, 45]] = np.nan
    windows = rnncore.Windows(y, 8, 4, scale=None)
    for t in windows.origins:
        assert not np.isnan(y[t - 8 : t]).any()
    assert 20 in windows.origins  # its first target is missing, the others are not
    batch = windows.batch(np.flatnonzero(windows.origins == 20))
    assert batch.mask.tolist() == [[False, True, True, True]]
    assert batch.target.tolist() == [[0, 21, 22, 23]]


def test_training_on_windows_is_training_on_their_batches():
    y = np.sin(np.arange(150) / 4) + 0.1 * RANDOM.normal(size=150)
    windows = rnncore.Windows(y, 12, 6, segment=4, every=5)
    order = np.random.default_rng([3, 0]).permutation(len(windows))
    batches = [windows.batch(order[k : k + 8]) for k in range(0, len(order), 8)]
    ours, theirs = model(), model()
    first = ours.fit(windows, batch_size=8, seed=3, epochs=1, loss="mae", progress=False)
    second = theirs.fit(batches, epochs=1, loss="mae", progress=False)
    np.testing.assert_array_equal(ours.parameters, theirs.parameters)
    assert first.loss == second.loss
    plain = ours.evaluate((np.concatenate([b.x for b in batches], axis=1), np.concatenate([b.target for b in batches])))
    if all(b.mask is None for b in batches):
        assert ours.evaluate(windows)["loss"] == pytest.approx(plain["loss"], rel=1e-5)


def test_a_run_on_windows_resumes_to_the_same_bits(tmp_path):
    windows = rnncore.Windows(np.cos(np.arange(90)), 12, 6, segment=4)
    options = {"batch_size": 16, "seed": 1, "progress": False, "checkpoint": tmp_path / "run.safetensors"}
    whole, halves = model(), model()
    whole.fit(windows, epochs=4, **options)
    (tmp_path / "run.safetensors").unlink()
    halves.fit(windows, epochs=2, **options)
    halves.fit(windows, epochs=4, resume=True, **options)
    np.testing.assert_array_equal(whole.parameters, halves.parameters)


REFUSED = {
    "a length of no whole segments": (lambda: rnncore.Windows(VALUES, 10, 2, segment=4), "multiple of the segment, 4"),
    "a long season": (lambda: rnncore.Windows(VALUES, 4, 2, season=5), "season must be at most 4"),
    "another scale": (lambda: rnncore.Windows(VALUES, 4, 2, scale="range"), "'spread', 'change' or None, got 'range'"),
    "too short": (lambda: rnncore.Windows(VALUES[:4], 4, 2), "at least 5 values .* got 4"),
    "three axes": (lambda: rnncore.Windows(np.zeros((2, 3, 4)), 2, 1), r"expected shape \(T,\) or \(N, T\)"),
    "infinite": (lambda: rnncore.Windows([1.0, np.inf, 2.0], 1, 1), r"series\[0\]\[1\] is inf"),
    "an origin too early": (lambda: rnncore.Windows(VALUES, 4, 2).at([0], [3]), r"origins\[0\] is 3, expected 4 to 2"),
    "an unknown series": (lambda: rnncore.Windows(VALUES, 4, 2).at([1], [9]), "rows: expected 0 to 0"),
    "an output at every step": (
        lambda: rnncore.Sequential(rnncore.GRU(4, 6, seed=0)).fit(rnncore.Windows(VALUES, 12, 6, segment=4)),
        "a model with a LastStep",
    ),
    "another segment": (lambda: model(3).fit(rnncore.Windows(VALUES, 12, 6, segment=4)), "x has 4 features"),
    "windows of windows": (lambda: model().fit(rnncore.Windows(VALUES, 12, 6, segment=4), k1=3), "k1: expected None"),
    "a start outside": (lambda: _core.describe_windows(VALUES, STARTS, 99, 1, 1, np.empty((5, 4))), r"starts\[2\] is"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()
