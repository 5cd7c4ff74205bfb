"""A detector in a program in C++: the scores, alarms and ends of Python, from the same file."""

import subprocess

import numpy as np
import pytest

from detection_case import wave
from rnncore.detection import Detector
from rnncore.detection.scores import as_score
from test_embedding import EXAMPLES, LINK, compiler, run

START = 1.7e9


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("watch") / "watch"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror"]
    run(compiler("c++"), *flags, EXAMPLES / "cpp" / "watch.cpp", *LINK, "-o", path)
    return path


def faulty():
    y = wave(700, 9)
    y[200:260, 1] += 3
    y[330:345] = np.nan
    y[480:, 0] = y[480, 0]
    return y


def lines_of(y, seconds=None):
    rows = [["" if np.isnan(value) else repr(float(value)) for value in row] for row in y]
    stamps = [[] for _ in y] if seconds is None else [[repr(float(value))] for value in seconds]
    return "".join(",".join([*stamp, *row]) + "\n" for stamp, row in zip(stamps, rows, strict=True))


def told(detector, y, seconds=None):
    """What the program should say: Python row by row."""
    lines = []
    for t, row in enumerate(y):
        ended = detector.ended
        alarm = detector.score_one(row, None if seconds is None else seconds[t])
        line = f"{as_score(detector._monitor.verdict()[0], detector.threshold_):.17g}"
        if alarm:
            line += f" alarm: {alarm.kind} in {alarm.channels[0]}"
        elif detector.ended is not ended:
            line += f" end: {detector.ended.kind}"
        lines.append(line + "\n")
    return "".join(lines)


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize("forecaster", ["network", "ridge", "none", "reconstruction"])
def test_rows_from_a_pipe_have_the_scores_and_alarms_of_python(forecaster, adapt, program, tmp_path):
    options = {"members": 2, "hidden_size": 8, "horizons": (1, 12), "quiet": 50}
    detector = Detector(forecaster=forecaster, adapt=adapt, **options).fit(wave(1500))
    for row in wave(150, 3):
        detector.score_one(row)
    detector.save(tmp_path / "d.det")
    printed = run(program, tmp_path / "d.det", input=lines_of(faulty()).encode()).decode()
    assert printed == told(detector, faulty())
    assert printed.count(" alarm: ") >= 2
    assert " end: " in printed


def test_a_change_of_rate_has_its_name_here_too(program, tmp_path):
    Detector(forecaster="ridge").fit(wave(2500)).save(tmp_path / "d.det")
    speed = np.ones(1400)
    speed[400:1000] = 1.8
    rng = np.random.default_rng(5)
    y = 5 + np.sin(np.cumsum(speed)[:, None] / 8 + np.arange(2)) + rng.normal(scale=0.1, size=(1400, 2))
    printed = run(program, tmp_path / "d.det", input=lines_of(y).encode()).decode()
    assert printed == told(Detector.load(tmp_path / "d.det"), y)
    assert " end: change of rate" in printed


def test_times_count_rows_that_never_came_as_missing(program, tmp_path):
    seconds = START + 600.0 * np.arange(1600)
    y = wave(1600)
    detector = Detector("1 per week", forecaster="ridge").fit(y[:1500], time=seconds[:1500])
    detector.save(tmp_path / "d.det")
    kept = np.r_[0:20, 60:100]
    rows, times = y[1500:][kept], seconds[1500:][kept]
    lines = lines_of(rows, times).splitlines(keepends=True)
    bad = ["1.0\n", "1700000000,1,2\n", "1e10,inf,2\n", "a,b,c\n"]
    done = subprocess.run(
        [program, tmp_path / "d.det"], input="".join(lines[:30] + bad + lines[30:]), capture_output=True, text=True
    )
    assert done.stdout == told(detector, rows, times)
    assert "alarm: missing data" in done.stdout
    errors = done.stderr.splitlines()
    assert errors[0] == "line 31 left out: expected 2 numbers, got 1"
    assert errors[1].startswith("line 32 left out: time goes backwards, or stands still: 1700000000.0")
    assert errors[2] == "line 33 left out: rows[0] is infinite, expected a number, or NaN"
    assert errors[3] == "line 34 left out: expected a number, got 'a'"


@pytest.mark.parametrize("forecaster", ["network", "none"])
def test_a_season_is_one_more_forecast_here_too(forecaster, program, tmp_path):
    y, seconds = wave(1600), START + 1800.0 * np.arange(1600)
    detector = Detector(forecaster=forecaster, members=2, season="day", horizons=(1, 60), hidden_size=8)
    detector.fit(y[:1000], time=seconds[:1000])
    for t in range(1000, 1010):
        detector.score_one(y[t], seconds[t])
    detector.save(tmp_path / "d.det")
    printed = run(program, tmp_path / "d.det", input=lines_of(y[1010:], seconds[1010:]).encode()).decode()
    assert printed == told(detector, y[1010:], seconds[1010:])


def test_a_file_of_something_else_is_refused(program, tmp_path):
    path = tmp_path / "d.det"
    for content, message in ((b"{}", "bytes, expected at least 8"), (None, "No such file or directory")):
        if content is not None:
            path.write_bytes(content)
        else:
            path.unlink()
        refused = subprocess.run([program, path], capture_output=True, text=True, input="")
        assert refused.returncode == 1
        assert message in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_a_file_that_was_changed_is_refused(program, tmp_path):
    detector = Detector(forecaster="network", members=1, hidden_size=4, horizons=(1,)).fit(wave(300))
    detector.save(tmp_path / "d.det")
    content = bytearray((tmp_path / "d.det").read_bytes())
    content[-1] ^= 1
    (tmp_path / "d.det").write_bytes(content)
    refused = subprocess.run([program, tmp_path / "d.det"], capture_output=True, text=True, input="")
    assert refused.returncode == 1
    assert "does not match its digest" in refused.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [5000, 100, 12, 100, 1 << 39, 1000]}, "waiting has 1700 values, expected"),
        ({"place": {"row": 0, "seconds": None, "step": None, "sensors": 1 << 35}}, "forecaster.h0 has 4 values"),
        ({"learns": "yes"}, "describes no detector of this version"),
        ({"shape": [1, 2]}, "describes no detector of this version"),
        ({"found": {"channels_": [], "threshold_": 3.0}}, "a size is 0, expected at least 1"),
    ],
)
def test_a_file_that_asks_for_what_it_does_not_hold_is_refused(change, message, program, tmp_path):
    """With a digest that is right: nothing is made of a size that the arrays do not have."""
    import json

    from rnncore.files import read_tensors, write_tensors

    Detector(forecaster="network", members=1, hidden_size=4, horizons=(1,)).fit(wave(300)).save(tmp_path / "d.det")
    arrays, metadata = read_tensors(tmp_path / "d.det", "rnncore.detector", 1)
    metadata = {"detector": json.dumps(json.loads(metadata["detector"]) | change)}
    write_tensors(tmp_path / "d.det", "rnncore.detector", 1, arrays, metadata)
    refused = subprocess.run([program, tmp_path / "d.det"], capture_output=True, text=True, input="")
    assert refused.returncode == 1
    assert message in refused.stderr
