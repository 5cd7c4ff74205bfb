"""Scores of alarms: the benchmark's totals of a published detector, its formula, matching by event, the PR surface."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from rnncore.detection.evaluation import as_events, match, vus_pr
from rnncore.detection.faults import CHANGE_OF_RATE, INJECTED, inject
from rnncore.detection.nab import PROFILES, corpus_score, file_score, probation

DATA = Path(os.environ.get("RNNCORE_DATA", "missing")) / "nab"
STORED = {"standard": 39.65, "reward_low_FP_rate": 20.87, "reward_low_FN_rate": 47.41}


def corpus():
    path = Path(__file__).parents[1] / "bench" / "detection" / "corpus.py"
    spec = importlib.util.spec_from_file_location("detection_corpus", path)
    module = importlib.util.module_from_spec(spec)

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not DATA.is_dir(), reason="RNNCORE_DATA names no folder with nab")
def test_the_scorer_gives_the_stored_totals_of_windowed_gaussian():
    module = corpus()
    files = module.read_corpus(DATA)
    thresholds = json.loads((DATA / "config" / "thresholds.json").read_text())["windowedGaussian"]
    scores = [module.stored_scores(DATA, "windowedGaussian", file.name) for file in files]
    for name, profile in PROFILES.items():
        found = [each >= thresholds[name]["threshold"] for each in scores]
        assert corpus_score(found, [file.windows for file in files], profile) == pytest.approx(STORED[name], abs=0.005)


def test_detections_weigh_by_their_place_in_a_window_and_behind_it():
    standard, rows = PROFILES["standard"], np.arange(200)

    def sigma(p):
        return 2 / (1 + np.exp(5 * p)) - 1

    window = [(100, 119)]
    assert file_score(rows < 0, window, standard) == -1.0
    assert file_score(rows == 100, window, standard) == 1.0
    assert file_score((rows == 110) | (rows == 115), window, standard) == pytest.approx(sigma(-0.5) / sigma(-1))
    assert file_score(rows == 130, window, standard) == pytest.approx(-1 + 0.11 * sigma(11 / 19))
    assert file_score(rows == 199, window, standard) == pytest.approx(-1 - 0.11)
    assert file_score(rows == 50, window, standard) == pytest.approx(-1 - 0.11)
    assert file_score(rows == 5, window, standard) == -1.0, "the probation counts nothing"
    assert probation(200) == 30
    assert probation(100_000) == 750
    assert corpus_score([rows == 100], [window], standard) == 100
    assert corpus_score([rows < 0], [window], PROFILES["reward_low_FN_rate"]) == 0
    with pytest.raises(ValueError, match="at least one labelled window"):
        corpus_score([rows < 0], [[]], standard)


def test_alarms_are_matched_with_events():
    found = match([15, 16, 200, 25], [(10, 20), (300, 310)], aftermath=30)
    assert found.found == (0,)
    assert found.missed == [1]
    assert found.false == (2,)
    assert (found.precision, found.recall) == (0.5, 0.5)
    assert match([], []).f1 == 1.0
    assert as_events(np.array([1, 1, 0, 0, 1])) == [(0, 2), (4, 5)]


def test_the_pr_surface_is_one_for_perfect_scores_and_small_for_noise():
    labels = np.zeros(2000, bool)
    labels[500:540] = labels[1500:1520] = True
    rng = np.random.default_rng(0)
    perfect, noise = vus_pr(labels + 0.0, labels, longest=0), vus_pr(rng.random(2000), labels)
    near = vus_pr(np.convolve(labels, np.ones(15) / 15, "same") + 1e-3 * rng.random(2000), labels)
    assert perfect > 0.99
    assert noise < 0.15 < near < 1.0
    with pytest.raises(ValueError, match="at least one event"):
        vus_pr(rng.random(10), np.zeros(10))


def test_injected_faults_are_what_they_say_and_nothing_else_changes():
    y = np.random.default_rng(0).normal(size=(3000, 3))
    changed, faults = inject(y, np.ones(3), seed=4, every=300)
    again, _ = inject(y, np.ones(3), seed=4, every=300)
    np.testing.assert_array_equal(changed, again)
    assert {fault.kind for fault in faults} == set(INJECTED)
    same = np.ones(y.shape, bool)
    for fault in faults:
        same[fault.begin : fault.end, fault.channel] = False
        part, before = (a[fault.begin : fault.end, fault.channel] for a in (changed, y))
        if fault.kind == "stuck":
            assert (part == before[0]).all()
        elif fault.kind in ("spike", "level shift"):
            np.testing.assert_allclose(np.abs(part - before), fault.size)
        elif fault.kind == "drift":
            assert abs(part[-1] - before[-1]) == pytest.approx(fault.size)
    np.testing.assert_array_equal(changed[same], y[same])


def test_a_change_of_rate_is_the_same_course_slower_or_faster():
    y = np.sin(np.arange(6000) / 8)[:, None]
    changed, faults = inject(y, np.ones(1), seed=0, every=1200, kinds=(CHANGE_OF_RATE,))
    assert len(faults) == 5
    for fault in faults:
        part = changed[fault.begin : fault.end, 0]
        t = np.arange(len(part))
        gaps = [np.abs(part - np.sin((fault.begin + speed * t) / 8)).max() for speed in (fault.size, 1 / fault.size)]
        assert min(gaps) < 2e-3 < 0.5 < max(gaps)
    assert {1.5 <= fault.size <= 2 for fault in faults} == {True}
