"""The monitor: numbers equal their definitions, computed anew from all rows; blocks, steps and files agree in bits."""

import numpy as np
import pytest

from detection_case import noise
from rnncore import _core
from rnncore.reference import detection as reference

ROWS, CHANNELS, LAGS = 400, 2, [1, 7]


def monitor(**options):
    made = _core.Monitor(CHANNELS, LAGS, **{"warm": 20, "quiet": 30} | options)
    made.set_normal(0, {"centre": [0.5, -1.0], "scale": [2.0, 0.5], "whitening": [1, 0.5, 0, 2, 1, 0, 0.3, 1]})
    made.set_normal(0, {"spread": [0.5, 1, 2, 1], "low": [-2.0] * 16, "high": [1.0] * 16})
    return made


def problem(seed=0):
    rng = np.random.default_rng(seed)
    y = noise(ROWS, seed)
    y[rng.random(y.shape) < 0.03] = np.nan
    y[200:208, 0] = np.nan
    y[300:340, 1] = 1.25
    return y, np.arange(ROWS) * 600.0, (0.1 * rng.normal(size=(ROWS, 4))).astype(np.float32)


def held(y):
    """u and z as the monitor holds them: the last value where one is missing, 0 before the first."""
    u = (y - [0.5, -1.0]) / [2.0, 0.5]
    for t in range(len(u)):
        before = u[t - 1] if t else 0.0
        u[t] = np.where(np.isnan(u[t]), before, u[t])
    return u, np.arcsinh(u)


def expected_statistics(y):
    """The statistics from their definitions, (T, 8, C)."""
    u, z = held(y)
    missing = np.isnan(y)
    found = np.full((ROWS, 8, CHANNELS), np.nan)
    for t in range(ROWS):
        for c in range(CHANNELS):
            gap = 0
            while gap <= t and missing[t - gap, c]:
                gap += 1
            found[t, 6, c] = gap
            if gap:
                continue
            found[t, 0, c] = u[t, c]
            if t >= 11:
                found[t, 1, c] = u[t - 11 : t + 1, c].mean()
            if t >= 95:
                found[t, 2, c] = u[t - 95 : t + 1, c].mean()
                if missing[t - 95 : t + 1, c].sum() <= 24:
                    found[t, 4, c] = np.log(max(z[t - 95 : t + 1, c].std(), 1e-3))
            if t >= 24:
                changes = np.diff(z[t - 24 : t + 1, c])
                found[t, 3, c] = np.log(max(np.sqrt(np.mean(changes**2)), 1e-3))
            known = y[: t + 1, c][~missing[: t + 1, c]]
            run = 1
            while run < len(known) and known[-1 - run] == known[-1]:
                run += 1
            found[t, 5, c] = run
            found[t, 7, c] = reference.pace(np.arcsinh((known - [0.5, -1.0][c]) / [2.0, 0.5][c]))
    return found


def test_statistics_are_those_of_their_definitions():
    y, seconds, forecasts = problem()
    found = monitor().run(y, seconds, forecasts)["now"]
    np.testing.assert_allclose(found, expected_statistics(y), rtol=2e-6, atol=2e-6)  # they come as float32


def test_errors_of_forecasts_are_whitened_and_scaled():
    y, seconds, forecasts = problem()
    ran = monitor().run(y, seconds, forecasts)
    _, z = held(y)
    whitening = np.array([1, 0.5, 0, 2, 1, 0, 0.3, 1]).reshape(2, 2, 2)
    made = forecasts.reshape(ROWS, 2, 2).astype(float)
    for t in (50, 123, 399):
        for k, lag in enumerate(LAGS):
            seen = ~np.isnan(y[t]) & ~np.isnan(y[t - lag])
            error = np.where(seen, z[t] - z[t - lag] - made[t - lag, k], 0)
            np.testing.assert_allclose(ran["sizes"][t, k], np.linalg.norm(whitening[k] @ error) / np.sqrt(2), rtol=1e-6)
            np.testing.assert_allclose(ran["errors"][t, k], error / [[0.5, 1], [2, 1]][k], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(ran["expected"][t], z[t - 1] + made[t - 1, 0], rtol=1e-12)


def test_inputs_hold_the_value_its_change_and_the_time_of_day():
    y, seconds, _ = problem()
    x = monitor().inputs_of(y, seconds)
    _, z = held(y)
    np.testing.assert_allclose(x[:, :2], z, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(x[1:, 2:4], np.diff(z, axis=0), rtol=1e-5, atol=1e-6)
    turn = 2 * np.pi * seconds / 86400
    clock = np.stack([np.sin(turn), np.cos(turn), np.sin(2 * turn), np.cos(2 * turn)], axis=1)
    np.testing.assert_allclose(x[:, 4:], clock, atol=1e-6)
    assert not monitor().inputs_of(y, np.full(ROWS, np.nan))[:, 4:].any()


def test_tails_are_ranks_with_an_exponential_end():
    watch = _core.Monitor(1, [1], warm=0)
    errors = np.random.default_rng(0).exponential(size=1000)
    watch.set_normal(0, {"recent0": errors.tolist(), "pending0": []})
    u = np.sort(errors)[949]
    beta = np.mean(errors[errors > u] - u)
    sizes = np.array([0.01, 0.7, 2.0, 6.0, 9.0])
    y = np.sinh(np.cumsum(np.concatenate([[0], sizes])))[:, None]  # z rises by those sizes, against a forecast of 0
    found = watch.run(y, np.full(6, np.nan), np.zeros((6, 1), np.float32))["heads"][1:]
    ranks = -np.log10((np.sum(errors[None] > sizes[:, None], axis=1) + 0.5) / 1001)
    expected = np.where(sizes > u, 1.301 + (sizes - u) / (beta * np.log(10)), np.minimum(ranks, 1.301))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("learns", [False, True])
def test_a_step_has_the_bits_of_a_block_and_of_many_sensors(learns):
    y, seconds, forecasts = problem()
    block, single = monitor(delay=10), monitor(delay=10)
    many = monitor(delay=10).with_sensors(3)
    for watch in (block, single, many):
        watch.learns, watch.threshold = learns, 2.0
    ran = block.run(y, seconds, forecasts)
    x, xs = np.empty((1, 8), np.float32), np.empty((3, 8), np.float32)
    for t in range(ROWS):
        single.inputs(y[t : t + 1], seconds[t], x)
        single.judge(forecasts[t : t + 1])
        rows = np.stack([y[t], y[(t + 5) % ROWS], y[t]])
        many.inputs(rows, seconds[t], xs)
        many.judge(np.tile(forecasts[t], (3, 1)))
        assert single.verdict() == (ran["evidence"][t], ran["kind"][t], ran["channel"][t], ran["event"][t])
        assert many.verdict(0) == many.verdict(2) == single.verdict()
    assert ran["evidence"].max() > 2
    for name, values in block.state().items():
        np.testing.assert_array_equal(single.state()[name], values)


def test_a_state_taken_over_goes_on_with_the_same_bits():
    y, seconds, forecasts = problem()
    first = monitor(delay=10)
    first.learns, first.threshold = True, 2.0
    first.run(y[:250], seconds[:250], forecasts[:250])
    other = monitor(delay=10)
    other.set_normal(0, first.normal())
    other.learns, other.threshold = True, 2.0
    other.set_state(0, first.state())
    a, b = (watch.run(y[250:], seconds[250:], forecasts[250:]) for watch in (first, other))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    with pytest.raises(ValueError, match="the state of a monitor lacks tally"):
        other.set_state(0, {name: values for name, values in first.state().items() if name != "tally"})


@pytest.mark.parametrize(("period", "noise"), [(9, 0.15), (50, 0.05), (50, 0.15), (300, 0.1)])
def test_a_pace_is_the_rows_of_four_swings_whatever_the_noise(period, noise):
    rng = np.random.default_rng(period)
    y = np.sin(2 * np.pi * np.arange(12 * period) / period) + rng.normal(scale=noise, size=12 * period)
    y[7 * period + (2 * period) // 3] += 9.0  # one swing more, and for a while they are not alike
    ran = _core.Monitor(1, []).run(y[:, None], np.full(len(y), np.nan), np.empty((len(y), 0), np.float32))
    pace = np.exp(ran["now"][:, 7, 0])
    assert np.isnan(pace[: 3 * period]).all()
    assert np.isfinite(pace[6 * period : 7 * period]).all()
    assert np.isnan(pace[8 * period : 11 * period]).any()
    assert pace[np.isfinite(pace)] == pytest.approx(4 * period, rel=0.15)


def test_an_alarm_begins_once_lasts_ends_and_is_followed_by_a_quiet_time():
    watch = _core.Monitor(1, [], warm=10, calm=5, quiet=40)
    watch.set_normal(0, {"low": [-1.0] + [-1e9] * 7, "high": [1.0] + [1e9] * 7})  # only the value itself counts
    y = np.random.default_rng(0).uniform(-1, 1, size=(800, 1))
    for start in (20, 22, 50, 70):  # the second belongs to the first, the third falls into its quiet time
        y[200 + start : 203 + start] = 9
    event = watch.run(y[200:], np.full(600, np.nan), np.empty((600, 0), np.float32))["event"]
    begins, ends = np.flatnonzero(event == 1), np.flatnonzero(event == -1)
    assert begins.tolist() == [20, 70]
    assert ends.tolist() == [29, 77]


def test_a_monitor_that_learns_takes_no_fault_for_normal():
    """Rows of an alarm, and the `delay` rows before it, never widen a range."""
    watch = _core.Monitor(1, [], warm=10, quiet=30, delay=30, patience=300)
    y = np.random.default_rng(0).uniform(-1, 1, size=(700, 1))
    y[400:480] += np.linspace(0, 8, 80)[:, None]
    nothing = np.empty((700, 0), np.float32)
    watch.learns, watch.threshold = True, 1e9
    watch.run(y[:300], np.full(300, np.nan), nothing[:300])
    watch.threshold = 3.5
    before = watch.normal()["high"][0]
    event = watch.run(y[300:], np.full(400, np.nan), nothing[300:])["event"]
    assert (event == 1).any()
    assert watch.normal()["high"][0] < max(before, 1.0) + 0.5, "the drift went up by 8"


def test_the_monitor_names_what_does_not_fit():
    watch = monitor()
    with pytest.raises(ValueError, match=r"y has shape \(1, 3\), expected \(1, 2\)"):
        watch.inputs(np.zeros((1, 3)), 0.0, np.empty((1, 8), np.float32))
    with pytest.raises(ValueError, match=r"forecast has shape \(1, 3\), expected \(1, 4\)"):
        watch.judge(np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match="scale has 1 values, expected 2"):
        watch.set_normal(0, {"scale": [1.0]})
