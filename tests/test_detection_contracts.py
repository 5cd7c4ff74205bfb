"""The detector as other libraries take it: PyOD, river and scikit-learn."""

import numpy as np
import pytest

from detection_case import detector, wave, with_fault
from rnncore.detection import RiverDetector


def test_the_contract_of_pyod():
    y = with_fault("spike", rows=2000)
    found = detector(forecaster="ridge", contamination=0.01).fit(y)
    assert found.decision_scores_.shape == found.labels_.shape == (2000,)
    assert found.labels_.sum() == pytest.approx(20, abs=2)
    np.testing.assert_array_equal(found.labels_, found.decision_scores_ >= found.threshold_)
    new = wave(300, 4)
    assert found.predict(new).tolist() == (found.decision_function(new) >= found.threshold_).astype(int).tolist()
    assert found.fit_predict(y).tolist() == found.labels_.tolist()


def test_rivers_way_learns_row_by_row():
    model = RiverDetector(history=400, forecaster="ridge", horizons=(1, 12), false_alarms="1 per 200 rows")
    y = wave(500, 1)
    scores = []
    for a, b in y:
        scores.append(model.score_one({"a": a, "b": b}))
        model.learn_one({"b": b, "a": a})
    assert not any(scores[:400])
    assert all(0 <= score <= 1 for score in scores)
    assert np.mean(scores[400:]) < 0.5 < model.score_one({"a": 20.0, "b": b})
    with pytest.raises(ValueError, match="row has no channel 'b', only a"):
        model.learn_one({"a": 1.0})


def test_the_conventions_of_scikit_learn():
    base = pytest.importorskip("sklearn.base")
    found = detector(false_alarms="1 per 500 rows")
    copy = base.clone(found)
    assert copy.get_params() == found.get_params()
    assert copy.set_params(quiet=50).quiet == 50
    assert repr(copy).startswith("Detector(false_alarms='1 per 500 rows'")
    with pytest.raises(ValueError, match="there is no parameter 'depth'"):
        copy.set_params(depth=3)
    with pytest.raises(ValueError, match="call fit first"):
        copy.score(wave(10))
