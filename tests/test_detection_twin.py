"""The NumPy twin of the monitor, which works everything out from all rows: verdicts, ranges, tails and kinds agree."""

import itertools

import numpy as np
import pytest

from detection_case import noise
from rnncore import _core
from rnncore.detection.kinds import EVIDENCE, KINDS, kind_of
from rnncore.reference import detection as reference

ROWS, CHANNELS, LAGS = 700, 2, [1, 7, 12]
OPTIONS = {"history": 200, "warm": 30, "quiet": 40, "patience": 120}


def problem(seed):
    """Rows with gaps, jumps, noise and a stuck channel; forecasts that are right in part."""
    rng = np.random.default_rng(seed)
    y = noise(ROWS, seed)
    y[rng.random(y.shape) < 0.02] = np.nan
    y[200:215] = np.nan
    y[300:330, 0] += 6
    y[400:480, 1] = 0.25
    y[520:700, 0] += 4
    y[600:605, 1] -= 9
    if seed == 2:  # it swings, and faster from row 400 on
        t = np.arange(ROWS)
        y[:, 0] = 0.5 + 4 * np.sin(np.where(t < 400, t, 400 + 1.6 * (t - 400)) / 3) + 0.3 * y[:, 0]
    seconds = 1.7e9 + 600.0 * np.arange(ROWS)
    seconds[100:] = seconds[100:] if seed else np.nan
    return y, seconds, rng.normal(scale=0.3, size=(ROWS, len(LAGS) * CHANNELS)).astype(np.float32)


def pair(delay, learns):
    """A monitor and its twin, of the same idea of what is normal."""
    rng = np.random.default_rng(7)
    engine = _core.Monitor(CHANNELS, LAGS, delay=delay, **OPTIONS)
    twin = reference.Monitor(CHANNELS, LAGS, delay=delay, **OPTIONS)
    twin.centre[:], twin.scale[:] = [0.5, -1.0], [2.0, 0.5]
    twin.whitening = rng.normal(size=twin.whitening.shape) + 2 * np.eye(CHANNELS)
    twin.spread = rng.uniform(0.5, 2, size=twin.spread.shape)
    twin.low[:5], twin.high[:5] = [[-3.0], [-1.5], [-0.7], [-4.0], [-2.5]], [[3.0], [1.5], [0.7], [0.2], [1.0]]
    twin.low[5:], twin.high[5:] = [[1.0], [0.0], [4.2]], [[2.0], [1.0], [4.4]]
    twin.low[7, 1], twin.high[7, 1] = 1, 0  # a channel without a pace
    errors = [rng.exponential(size=120 + 60 * k).tolist() for k in range(len(LAGS))]
    for tail, known in zip(twin.tails, errors, strict=True):
        tail.recent = list(known)[-OPTIONS["history"] :]
    normal = {name: np.ravel(getattr(twin, name)).tolist() for name in ("centre", "scale", "whitening", "spread")}
    normal |= {"low": twin.low.ravel().tolist(), "high": twin.high.ravel().tolist()}
    for k, tail in enumerate(twin.tails):
        normal |= {f"recent{k}": tail.recent, f"pending{k}": []}
    engine.set_normal(0, normal)
    engine.threshold = twin.threshold = 4.0
    engine.learns = twin.learns = learns
    return engine, twin


@pytest.mark.parametrize(("delay", "learns"), [(0, False), (0, True), (25, True)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_verdict_is_that_of_the_twin(delay, learns, seed):
    engine, twin = pair(delay, learns)
    y, seconds, forecasts = problem(seed)
    x = np.empty((1, 2 * CHANNELS + 4), np.float32)
    events, kinds = [], set()
    for t in range(ROWS):
        engine.inputs(y[t : t + 1], seconds[t], x)
        np.testing.assert_array_equal(twin.inputs(y[t], seconds[t]), x[0])
        engine.judge(forecasts[t : t + 1])
        verdict = twin.judge(forecasts[t])
        evidence, kind, channel, event = engine.verdict()
        assert evidence == pytest.approx(verdict.evidence, rel=1e-11, abs=1e-11)
        assert (event, kind) == (verdict.event, verdict.kind)
        if evidence > 0:
            assert channel == verdict.channel
        assert engine.suddenness(0, channel) == pytest.approx(twin.suddenness(channel), rel=1e-12)
        assert engine.tally() == twin.tally.tolist()
        events.append(event)
        kinds.add(EVIDENCE[kind])
    assert events.count(1) >= 2
    assert events.count(-1) >= 1
    assert "pace" in kinds or seed < 2
    normal = engine.normal()
    np.testing.assert_allclose(normal["low"], twin.low.ravel(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(normal["high"], twin.high.ravel(), rtol=1e-10, atol=1e-12)
    for k, tail in enumerate(twin.tails):
        np.testing.assert_allclose(normal[f"recent{k}"], tail.recent, rtol=1e-12)
        np.testing.assert_allclose(normal[f"pending{k}"], tail.pending, rtol=1e-12)


def test_the_twin_counts_what_the_engine_counts():
    assert ("forecast", *reference.STATISTICS) == EVIDENCE


def test_every_kind_is_that_of_the_twin():
    counts = (0, 2, 40)
    found = set()
    for tally in itertools.product(counts, repeat=len(EVIDENCE)):
        for sudden in (0.5, 2.0, 9.0):
            kind = kind_of(tally, sudden)
            assert kind == reference.kind_of(tally, sudden), (tally, sudden)
            found.add(kind)
    assert found == set(KINDS)
    with pytest.raises(ValueError, match="tally has 3 numbers, expected 9"):
        kind_of([1, 2, 3], 0.0)
