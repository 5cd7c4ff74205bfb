"""The detector: what it finds, its calibration, row by row as in a block, files, what does not serve."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from detection_case import FORECASTERS, detector, noise, wave, with_fault
from rnncore.detection import KINDS, Alarm, Detector, InputError
from rnncore.detection.kinds import kind_of
from rnncore.detection.rate import parse_rate
from rnncore.detection.threshold import count_events, threshold_for


@pytest.fixture(scope="module", params=FORECASTERS)
def fitted(request):
    return detector(forecaster=request.param).fit(wave(1500))


# ---- what it finds


@pytest.mark.parametrize("kind", ["spike", "level shift", "drift", "stuck", "noise", "missing data"])
def test_each_kind_of_fault_is_found_in_its_channel_and_named(fitted, kind):
    scores = fitted.score(with_fault(kind))
    alarms = [alarm for alarm in scores.alarms if 300 <= alarm.row < 480]
    assert alarms, [str(alarm) for alarm in scores.alarms]
    assert alarms[0].channels[0] == "y1"
    assert alarms[0].kind == kind
    assert alarms[0].kind in KINDS
    assert not scores.alarmed[:250].mean() > 0.2


@pytest.mark.parametrize("factor", [0.6, 2.0])
def test_a_change_of_rate_is_found_and_named(fitted, factor, tmp_path):
    """A wave that goes on slower or faster, within its range: a pattern at first, until four swings have been seen."""
    t = np.arange(800)
    phase = np.where(t < 300, t, 300 + (t - 300) * factor)[:, None] / 8
    y = 5 + np.sin(phase + np.arange(2)) + np.random.default_rng(9).normal(scale=0.1, size=(800, 2))
    alarms = [alarm for alarm in fitted.score(y).alarms if alarm.row >= 300]
    assert alarms[0].row < 330
    assert "change of rate" in {alarm.kind for alarm in alarms}
    fitted.save(tmp_path / "a.det")
    one = Detector.load(tmp_path / "a.det")
    kinds = set()
    for row in y:
        one.score_one(row)
        kinds.add(one.open_alarm().kind if one.open_alarm() else None)
    assert "change of rate" in kinds


def test_scores_tell_what_was_expected(fitted):
    y = wave(400, 3)
    scores = fitted.score(y)
    assert ((scores.score >= 0) & (scores.score <= 1)).all()
    assert (scores.score >= 0.5).sum() == (scores.evidence >= fitted.threshold_).sum()
    inside = ((y >= scores.low) & (y <= scores.high))[50:]
    assert inside.mean() > 0.9
    if fitted.forecaster != "none":
        error = np.abs(scores.expected - y)[50:].mean()
        assert error < 0.2 < np.abs(y - y.mean(axis=0)).mean()
        assert inside.mean() < 0.99
    frame = scores.to_frame()
    assert list(frame.columns[:5]) == ["time", "score", "alarm", "blame", "evidence"]
    assert frame["y1_expected"].tolist() == scores.expected[:, 1].tolist()


def test_alarms_tell_start_channel_and_values():
    alarm = Alarm("noon", 0.9, ("a", "b"), {"a": 1.0, "b": 2.0}, {"a": 5.0, "b": float("nan")}, "spike", 3)
    assert str(alarm) == "noon spike in a and 1 more: got 5, expected 1 (severity 0.90)"
    assert alarm.as_dict()["got"] == {"a": 5.0, "b": None}


@pytest.mark.parametrize(
    ("tally", "sudden", "kind"),
    [
        ([1, 1, 0, 0, 0, 0, 0, 0, 0], 9, "spike"),
        ([9, 60, 70, 90, 0, 0, 0, 0, 0], 9, "level shift"),
        ([9, 60, 70, 90, 0, 0, 0, 0, 0], 1, "drift"),
        ([0, 0, 0, 0, 0, 40, 0, 0, 0], 0, "stuck"),
        ([0, 0, 0, 0, 0, 0, 30, 0, 0], 0, "stuck"),
        ([2, 9, 0, 0, 60, 0, 0, 0, 0], 9, "noise"),
        ([0, 0, 0, 0, 0, 0, 0, 5, 0], 0, "missing data"),
        ([30, 0, 0, 0, 0, 0, 0, 0, 0], 1, "pattern"),
        ([30, 0, 0, 30, 20, 0, 0, 0, 90], 1, "change of rate"),
        ([30, 20, 5, 30, 80, 0, 0, 0, 9], 9, "noise"),
    ],
)
def test_a_kind_follows_from_what_the_evidence_was_of(tally, sudden, kind):
    assert kind_of(tally, sudden) == kind


def test_an_encoder_decoder_finds_what_it_cannot_say_again(tmp_path):
    y = wave(2100)
    y[1900:1960, 1] += 3
    found = detector(forecaster="reconstruction").fit(y[:1500])
    scores = found.score(y[1500:])
    assert any(400 <= alarm.row < 404 and alarm.channels[0] == "y1" for alarm in scores.alarms)
    error = np.abs(scores.expected - y[1500:])[:350].mean()
    assert error < 0.3 * y.std(), "it has learnt to say rows again"
    found.save(tmp_path / "r.det")
    again = Detector.load(tmp_path / "r.det")
    evidence = []
    for row in y[1500:1700]:
        again.score_one(row)
        evidence.append(again._monitor.verdict()[0])
    np.testing.assert_array_equal(evidence, scores.evidence[:200])


# ---- the rate of false alarms


@pytest.mark.parametrize("forecaster", FORECASTERS)
def test_on_clean_data_the_rate_of_alarms_is_the_one_asked_for(forecaster):
    counts, expected = 0, 0.0
    for seed in range(6):
        y = noise(30_000, seed)
        found = detector(forecaster=forecaster, false_alarms="1 per 1000 rows").fit(y[:10_000])
        counts += len(found.score(y[10_000:]).alarms)
        expected += 20
    assert expected / 1.5 <= counts <= expected * 1.5


def test_a_threshold_is_where_events_have_the_wanted_rate():
    evidence = -np.log10(np.random.default_rng(0).random(200_000))
    level = threshold_for([evidence], 1e-3, quiet=5)
    assert count_events(evidence, level, 5) / len(evidence) == pytest.approx(1e-3, rel=0.05)
    beyond = threshold_for([evidence[:20_000]], 1e-5, quiet=5)
    assert beyond == pytest.approx(5.0, abs=0.5)


def test_a_rate_is_read_in_rows_and_in_time():
    assert parse_rate("1 per week").per_row(300) == pytest.approx(1 / 2016)
    assert parse_rate("2 per 3 days").per_row(3600) == pytest.approx(2 / 72)
    assert parse_rate("1 per 5000 rows").per_row(None) == 1 / 5000
    for text in ("often", "0 per day", "1 per fortnight", "-1 per day", "1 per 0 rows", "1e400 per day"):
        with pytest.raises(InputError, match="false_alarms should be like '1 per week'"):
            parse_rate(text)
    with pytest.raises(InputError, match="needs times, and the rows have none"):
        parse_rate("1 per week").per_row(None)


# ---- row by row


def test_rows_one_by_one_have_the_bits_of_the_block(fitted, tmp_path):
    fitted.save(tmp_path / "d.det")
    one = Detector.load(tmp_path / "d.det")
    y = with_fault("level shift")
    scores = one.score(y)
    alarms, evidence = [], []
    for row in y:
        if alarm := one.score_one(row):
            alarms.append(alarm)
        evidence.append(one._monitor.verdict()[0])
    np.testing.assert_array_equal(evidence, scores.evidence)
    assert [alarm.row for alarm in alarms] == [alarm.row for alarm in scores.alarms]
    for alarm, whole in zip(alarms, scores.alarms, strict=True):
        assert (alarm.start, alarm.channels) == (whole.start, whole.channels)
        assert alarm.expected == pytest.approx(whole.expected)


def test_a_saved_detector_goes_on_bit_for_bit(fitted, tmp_path):
    y = with_fault("level shift")
    fitted.save(tmp_path / "a.det")
    first = Detector.load(tmp_path / "a.det")
    for row in y[:310]:
        first.score_one(row)
    assert first.open_alarm().kind in KINDS
    first.save(tmp_path / "b.det")
    second = Detector.load(tmp_path / "b.det")
    assert second.open_alarm() == first.open_alarm()
    assert second.get_params() == first.get_params()
    for row in y[310:]:
        assert str(first.score_one(row)) == str(second.score_one(row))
        assert first._monitor.verdict() == second._monitor.verdict()
    np.testing.assert_array_equal(first.score(y).evidence, second.score(y).evidence)


def test_many_sensors_are_judged_as_each_alone(fitted, tmp_path):
    fitted.save(tmp_path / "a.det")
    many = Detector.load(tmp_path / "a.det")
    signals = [with_fault(kind, seed=20 + k) for k, kind in enumerate(["spike", "level shift", "stuck"])]
    rows = [many.score_many(np.stack(row)) for row in zip(*signals, strict=True)]
    pairs = [many.score_many(np.stack(row)) for row in zip(*(y[:5] for y in signals), strict=True)]
    assert len(pairs[0]) == 3
    for n, signal in enumerate(signals):
        twice = Detector.load(tmp_path / "a.det")
        found = [twice.score_many(np.stack([row, row]))[1] for row in signal]
        assert [str(alarm) for alarm in found] == [str(row[n]) for row in rows]
    with pytest.raises(ValueError, match="rows has 2 sensors, there were 3"):
        many.score_many(np.zeros((2, 2)))
    many.save(tmp_path / "many.det")
    again = Detector.load(tmp_path / "many.det")
    for row in wave(50, 5):
        assert str(again.score_many(np.tile(row, (3, 1)))) == str(many.score_many(np.tile(row, (3, 1))))


def test_score_one_takes_mappings_and_none_for_missing_values(fitted, tmp_path):
    fitted.save(tmp_path / "a.det")
    a, b = Detector.load(tmp_path / "a.det"), Detector.load(tmp_path / "a.det")
    for row in wave(20, 5):
        a.score_one({"y1": None, "y0": row[0], "more": 1})
        b.score_one(np.array([row[0], np.nan]))
        assert a._monitor.verdict() == b._monitor.verdict()
    with pytest.raises(ValueError, match="row has no channel 'y1', only y0"):
        a.score_one({"y0": 1.0})
    with pytest.raises(ValueError, match="row has 3 values, the detector expects 2"):
        a.score_one([1.0, 2.0, 3.0])


def test_rows_that_never_came_are_missing_data():
    y = wave(1600)
    seconds = 1.7e9 + 600.0 * np.arange(1600)
    found = detector(forecaster="ridge", false_alarms="1 per week").fit(y[:1500], time=seconds[:1500])
    assert found.score_one(y[1500], time=seconds[1500]) is None
    alarm = found.score_one(y[1540], time=seconds[1540])
    assert alarm.kind == "missing data"
    assert alarm.start.startswith("2023-11-25")
    assert found._place.row == 41, "all rows of the gap are taken, behind the alarm too"
    with pytest.raises(InputError, match="time goes backwards, or stands still"):
        found.score_one(y[2], time=seconds[1540])
    with pytest.raises(InputError, match="time goes backwards"):
        found.score(y, time=seconds)


@pytest.mark.alone
@pytest.mark.parametrize("adapt", [False, True])
def test_memory_stays_flat_over_many_rows(adapt):
    found = detector(adapt=adapt).fit(noise(2000))
    rows = list(noise(10_000, 1))

    def resident():
        return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

    for row in rows:  # fills what is remembered of errors
        found.score_one(row)
    before = resident()
    for _ in range(10):
        for row in rows:
            found.score_one(row)
    assert resident() - before < 1 << 20  # a row that was kept would take 16 bytes at least, in all 1.6 MB


# ---- a new normal


def test_it_adapts_to_a_new_normal_only_if_asked_and_never_at_once_to_a_fault():
    y = wave(5000, 1)
    y[1500:] += 3  # for good
    frozen, slow = (detector(forecaster="ridge", adapt=adapt, quiet=50).fit(y[:1400]) for adapt in (False, True))
    assert frozen.score(y[1400:]).alarmed[-500:].all()
    scores = slow.score(y[1400:])
    assert scores.alarmed[100:500].all(), "the first ten quiet times of an alarm are not learnt"
    assert not scores.alarmed[-500:].any()


# ---- what does not serve


def test_constant_channels_are_named_and_may_still_move():
    y = wave(1500, channels=2)
    y[:, 1] = 7.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = detector(forecaster="ridge").fit(y)
    assert found.constant_ == ("y1",)
    y[1200:, 1] = 8.0
    alarms = found.score(y[1100:]).alarms
    assert any(alarm.channels[0] == "y1" and 100 <= alarm.row <= 110 for alarm in alarms)


@pytest.mark.parametrize(
    ("options", "y", "message"),
    [
        ({}, wave(100), "too little history: 100 rows, expected at least 150"),
        ({}, np.full((500, 2), np.nan), "channel 'y0' has no values in the history"),
        ({"false_alarms": "1 per 100000 rows"}, wave(500), "needs at least 10000 rows of history, got 500"),
        ({"false_alarms": "1 per 5 rows"}, wave(500), "an alarm every 5 rows here, expected at least 10"),
        ({"false_alarms": "1 per week"}, wave(500), "needs times, and the rows have none"),
        ({"forecaster": "oracle"}, wave(500), "forecaster should be one of network, ridge, none"),
        ({"horizons": (0,)}, wave(500), "horizons should be whole numbers of at least 1"),
        ({"quiet": 0}, wave(500), "quiet should be a whole number of at least 1, got 0"),
        ({"contamination": 0.7}, wave(500), r"contamination should be in \(0, 0.5\], got 0.7"),
        ({"season": "year"}, wave(500), "season should be None, 'day' or 'week', got 'year'"),
        ({"season": "day"}, wave(500), "season='day' needs times, and the rows have none"),
        ({"adapt": "fast"}, wave(500), "adapt should be False, True or 'at once'"),
        ({}, np.array([["a"] * 2] * 500), "X should hold numbers"),
        ({}, np.full((500, 1), np.inf), "X holds an infinite number in row 0"),
    ],
)
def test_a_history_that_does_not_serve_is_an_error_of_one_line(options, y, message):
    with pytest.raises(InputError, match=message):
        detector(**options).fit(y)


def test_other_channels_than_in_training_are_refused(fitted):
    with pytest.raises(InputError, match="X has 3 channels, the history has 2"):
        fitted.score(wave(100, channels=3))
