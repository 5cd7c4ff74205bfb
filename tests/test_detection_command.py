"""`rnncore detect`: what it prints and writes, following standard input, restarts, and bad input in one line."""

import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from detection_case import wave
from rnncore.cli import main
from rnncore.detection import Detector
from rnncore.detection.follow import follow

FAST = ["--forecaster", "ridge"]


def times(count, start="2024-01-01T00:00"):
    return (np.datetime64(start, "m") + 10 * np.arange(count)).astype(str).tolist()


def csv_of(y, label=None, start="2024-01-01T00:00"):
    lines = ["time,a,b" + (",fault" if label is not None else "")]
    for t, stamp in enumerate(times(len(y), start)):
        cells = ["" if np.isnan(value) else f"{value:.5f}" for value in y[t]]
        lines.append(",".join([stamp, *cells] + ([str(int(label[t]))] if label is not None else [])))
    return "\n".join(lines) + "\n"


def faulty():
    y = wave(2400)
    y[1900:1960, 1] += 4
    return y


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A detector in a file, behind 1500 rows."""
    path = tmp_path_factory.mktemp("kept") / "d.det"
    seconds = np.array(times(1500), "datetime64[s]").astype(np.int64)
    Detector("1 per week", forecaster="ridge").fit(wave(2400)[:1500], time=seconds, channels=["a", "b"]).save(path)
    return path


def test_a_file_is_judged_scored_and_drawn(tmp_path, capsys):
    path, out, figure, table = (tmp_path / name for name in ("data.csv", "out.json", "out.png", "out.csv"))
    label = np.zeros(2400)
    label[1900:1960] = 1
    path.write_text(csv_of(faulty(), label))
    options = ["--train-until", "2024-01-11", "--label", "fault", "--false-alarms", "1 per week", *FAST]
    outputs = ["--json", str(out), "--plot", str(figure), "--csv", str(table)]
    assert main(["detect", str(path), *options, *outputs]) == 0
    printed = capsys.readouterr().out
    assert "history: 1440 rows, 2024-01-01T00:00 to 2024-01-10T23:50" in printed
    assert "level shift in b" in printed
    assert "found 1 of 1 events" in printed
    told = json.loads(out.read_text())
    assert told["channels"] == ["a", "b"]
    assert told["recall"] == 1.0
    assert told["truth"] == [{"begin": 460, "end": 520}]
    assert 0 < told["vus_pr"] <= 1
    assert len(told["score"]) == len(told["times"]) == 960
    assert figure.read_bytes().startswith(b"\x89PNG")
    lines = table.read_text().splitlines()
    assert lines[0] == "time,score,alarm,blame,a,a_expected,a_low,a_high,b,b_expected,b_low,b_high"
    assert len(lines) == 961


def test_a_file_is_read_by_the_options_of_the_forecast(tmp_path, capsys):
    """Decimal commas, a date and an hour with the day first, and two pumps in one file: what one alone says."""
    y, stamps = faulty(), times(2400)
    label = (np.arange(2400) >= 1900) & (np.arange(2400) < 1960)
    (tmp_path / "plain.csv").write_text(csv_of(y, label))
    lines = ["pump;date;clock;a;b;fault"]
    for t, stamp in enumerate(stamps):
        date = "/".join(reversed(stamp[:10].split("-")))
        cells = [f"{value:.5f}".replace(".", ",") for value in y[t]]
        lines.append(";".join(["north", date, stamp[11:], *cells, str(int(label[t]))]))
        lines.append(";".join(["south", date, stamp[11:], "1,0", f"{t % 7},5", "0"]))
    (tmp_path / "pumps.csv").write_text("\n".join(lines) + "\n")
    options = ["--label", "fault", "--train-rows", "1500", "--false-alarms", "1 per week", *FAST]
    clocks = ["--time", "date", "--time", "clock", "--dayfirst"]
    reading = [*clocks, "--group", "pump", "--only", "north", "--decimal", ","]
    told = []
    for name, more in (("plain.csv", []), ("pumps.csv", reading)):
        out = tmp_path / f"{name}.json"
        assert main(["detect", str(tmp_path / name), *options, *more, "--json", str(out)]) == 0
        told.append(json.loads(out.read_text()))
    assert told[0]["alarms"]
    assert told[0]["truth"] == [{"begin": 400, "end": 460}]
    assert told[0] == told[1]
    capsys.readouterr()
    assert main(["detect", str(tmp_path / "pumps.csv"), "--group", "pump", "--decimal", ",", "--dayfirst", *FAST]) == 2
    assert "the data hold 2 series, expected one: --only names one of north, south" in capsys.readouterr().err


def test_without_a_file_faults_are_put_into_the_weather(capsys):
    assert main(["detect", "--seed", "2", *FAST]) == 0
    printed = capsys.readouterr().out
    assert "channels: temp_max, temp_min, wind, precipitation" in printed
    for kind in ("spike", "level shift", "drift", "stuck", "noise"):
        assert f"{kind} in " in printed
    assert "of 5 events" in printed


def test_a_kept_detector_judges_another_file(tmp_path, capsys, kept):
    path = tmp_path / "new.csv"
    path.write_text(csv_of(faulty()[1500:], start=times(1501)[-1]))
    assert main(["detect", str(path), "--load", str(kept)]) == 0
    assert "level shift in b" in capsys.readouterr().out


def lines_of(y, first):
    return csv_of(y, start=times(first + 1)[-1]).splitlines(keepends=True)


def test_following_writes_alarms_at_once_and_survives_bad_lines_and_gaps(kept):
    lines = lines_of(faulty()[1500:2300], 1500)
    lines[50:50] = ["nonsense\n", "2024-01-11T00:00,1,2,3,4\n", "\n", "yesterday,1.0,2.0\n"]
    del lines[700:740]  # behind the fault: 40 rows never came
    out, err = io.StringIO(), io.StringIO()
    follow(Detector.load(kept), lines, out, err)
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    alarms = [each for each in told if each["event"] == "alarm"]
    assert any(each["channels"][0] == "b" and each["row"] in range(400, 405) for each in alarms)
    assert any(each["kind"] == "missing data" for each in alarms)
    assert any(each["event"] == "end" and each["kind"] == "level shift" for each in told)
    assert "760 rows, 3 bad lines" in err.getvalue()
    assert "line 51 left out: 1 fields, expected 3" in err.getvalue()


def test_a_restart_goes_on_and_tells_no_alarm_twice(tmp_path, kept):
    lines, state = lines_of(faulty()[1500:2300], 1500), tmp_path / "state.det"
    whole, err = io.StringIO(), io.StringIO()
    follow(Detector.load(kept), lines, whole, err)
    parts = io.StringIO()

    def interrupted():
        yield from lines[:431]
        raise KeyboardInterrupt  # no chance to save anything

    with pytest.raises(KeyboardInterrupt):
        follow(Detector.load(kept), interrupted(), parts, err, state, every=100)
    assert parts.getvalue().count('"alarm"') >= 1
    follow(Detector.load(state), lines, parts, err, state, every=100)  # the feed begins anew
    assert parts.getvalue() == whole.getvalue()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_kill_at_any_time_leaves_a_state_that_loads(tmp_path, kept):
    state = tmp_path / "state.det"
    command = [sys.executable, "-m", "rnncore", "detect", "--load", str(kept), "--follow", "--state", str(state)]
    process = subprocess.Popen(
        [*command, "--every", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.writelines(lines_of(faulty()[1500:2000], 1500))
    process.stdin.flush()
    first = process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert json.loads(first)["event"] == "alarm"
    assert Detector.load(state)._place.row > 0


def refused(arguments, message, capsys):
    """The command ends with exit code 2 and one line that holds the message."""
    assert main(["detect", *arguments]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("rnncore: ")
    assert err.count("\n") == 1
    assert message in err
    assert not out


BAD = {
    "no such channel": (
        ["FILE", "--channels", "z"],
        "rnncore: --channels: data.csv has no column 'z', only time, a, b",
    ),
    "no such label": (["FILE", "--label", "z"], "rnncore: --label: data.csv has no column 'z', only time, a, b"),
    "no such time": (["FILE", "--time", "z"], "has no column 'z'"),
    "too little history": (["FILE", "--train-rows", "50"], "too little history: 50 rows"),
    "no season": (["FILE", "--season", "week"], "season='week' needs at least 2016 rows of history, got 1200"),
    "a rate that is none": (["FILE", "--false-alarms", "often"], "false_alarms should be like"),
    "a rate beyond the history": (["FILE", "--false-alarms", "1 per year"], "rows of history (36.5 days), got 1200"),
    "too many train rows": (["FILE", "--train-rows", "9999"], "--train-rows: expected 1 to 2399"),
    "a time that is none": (["FILE", "--train-until", "soon"], "--train-until: cannot read the time 'soon'"),
    "an output over the input": (["FILE", "--csv", "FILE"], "is an input, which is never overwritten"),
    "no detector to follow with": (["--follow"], "--follow needs a detector"),
    "a state without following": (["FILE", "--state", "s.det"], "--state is for --follow"),
    "a figure of no format": (["FILE", "--plot", "a.txt"], "the name has to end in one of .pdf, .png, .svg"),
    "no such file": (["missing.csv"], "missing.csv"),
    "no detector there": (["FILE", "--load", "missing.det"], "--load: cannot read missing.det"),
    "another file than a detector": (["FILE", "--load", "FILE"], "--load:"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data.csv"
    path.write_text(csv_of(faulty()))
    before = path.read_bytes()
    arguments, message = BAD[case]
    refused([*(str(path) if each == "FILE" else each for each in arguments), *FAST], message, capsys)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["data.csv"]


def other_columns(y):
    return csv_of(y).replace("time,a,b", "time,a,c", 1)


def nothing_at_first(y):
    y[:1500, 1] = np.nan
    return csv_of(y)


@pytest.mark.parametrize(
    ("content", "loads", "message"),
    [
        (nothing_at_first, False, "channel 'b' has no values in the history"),
        (other_columns, True, "--channels: data.csv has no column 'b', only time, a, c"),
        (csv_of, True, "time goes backwards, or stands still: 2024-01-01T00:00:00.000 after 2024-01-11T09:50:00.000"),
    ],
    ids=["all missing", "other columns than in training", "time going backwards"],
)
def test_rows_that_do_not_serve_are_one_line_and_exit_code_2(content, loads, message, tmp_path, capsys, kept):
    path = tmp_path / "data.csv"
    path.write_text(content(faulty()))
    options = ["--load", str(kept)] if loads else ["--channels", "a", "--channels", "b", *FAST]
    before = kept.read_bytes()
    refused([str(path), *options], message, capsys)
    assert kept.read_bytes() == before


def test_a_season_is_an_option(tmp_path, capsys):
    (tmp_path / "data.csv").write_text(csv_of(faulty()))
    options = ["--season", "day", "--save", str(tmp_path / "d.det"), *FAST]
    assert main(["detect", str(tmp_path / "data.csv"), *options]) == 0
    assert "level shift in b" in capsys.readouterr().out
    assert Detector.load(tmp_path / "d.det").season == "day"


def test_constant_channels_are_named(tmp_path, capsys):
    y = faulty()
    y[:, 0] = 7.0
    (tmp_path / "data.csv").write_text(csv_of(y))
    assert main(["detect", str(tmp_path / "data.csv"), *FAST]) == 0
    assert "constant in the history: a\n" in capsys.readouterr().out


@pytest.mark.parametrize("labelled", [False, True])
def test_a_column_without_values_is_left_out_and_named(labelled, tmp_path, capsys):
    y = faulty()
    y[:, 0] = np.nan
    (tmp_path / "data.csv").write_text(csv_of(y, label=np.arange(2400) // 60 == 32))
    options = ["--label", "fault"] if labelled else []
    assert main(["detect", str(tmp_path / "data.csv"), *options, *FAST]) == 0
    printed = capsys.readouterr().out
    assert printed.count("note: column 'a' has no values: left out\n") == 1
    assert ("channels: b\n" in printed) == labelled
