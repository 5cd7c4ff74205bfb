"""What a row was a day or a week before, as one more forecast of a detector."""

import numpy as np
import pytest

from detection_case import FORECASTERS, detector
from rnncore.detection import Detector, InputError
from rnncore.detection.seasonal import rows_of_season


def daily(rows):
    """Peaks at times of the day that nothing announces, 48 rows a day."""
    rng = np.random.default_rng(0)
    return 4.0 * np.tile(rng.random((48, 2)) < 0.2, (-(-rows // 48), 1))[:rows] + rng.normal(scale=0.1, size=(rows, 2))


@pytest.mark.parametrize(
    ("season", "step", "count", "message"),
    [
        ("day", 1800.0, 95, "season='day' needs at least 96 rows of history, got 95"),
        ("week", 86400.0, 13, "season='week' needs at least 14 rows of history, got 13"),
        ("day", 86400.0, 500, "season='day' should be a whole number of rows, at least 2, got 1"),
        ("day", 7000.0, 500, "got 12.3429"),
    ],
)
def test_a_season_that_the_history_does_not_hold_is_refused(season, step, count, message):
    with pytest.raises(InputError, match=message):
        rows_of_season(season, step, count)


@pytest.mark.parametrize("forecaster", [*FORECASTERS, "reconstruction"])
def test_a_season_is_one_more_forecast_in_steps_blocks_and_files(forecaster, tmp_path):
    y, seconds = daily(1300), 1.7e9 + 1800.0 * np.arange(1300)
    y[1200, 0] = 4.0 - y[1200, 0]  # inside the range, but not at this time of the day
    found = detector(forecaster=forecaster, season="day", horizons=(1, 60)).fit(y[:1000], time=seconds[:1000])
    scores = found.score(y[1000:], time=seconds[1000:])
    evidence = []
    for t in range(1000, 1300):
        if t == 1100:
            found.save(tmp_path / "d.det")
            found = Detector.load(tmp_path / "d.det")
        found.score_one(y[t], seconds[t])
        evidence.append(found._monitor.verdict()[0])
    np.testing.assert_array_equal(evidence, scores.evidence)
    if forecaster == "none":
        assert any(alarm.row == 200 and alarm.channels == ("y0",) for alarm in scores.alarms)
        np.testing.assert_allclose(scores.expected[100:150], y[1052:1102], rtol=1e-4, atol=1e-4)
        many = detector(forecaster=forecaster, season="day").fit(y[:1000], time=seconds[:1000])
        assert [many.score_many(np.tile(row, (3, 1)))[2] for row in y[1000:1050]] == [None] * 50
