"""The command line: what it prints and writes, and one line with exit code 2 for whatever does not serve."""

import importlib.util
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from forecast_case import FAST, csv_text, days, folded, run, two_shops, wave
from rnncore.cli import main
from rnncore.layers import RECURRENT

COUNT = 100
GOOD = csv_text(date=days(COUNT), y=wave(COUNT))


def command(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "rnncore", *arguments], capture_output=True, text=True, timeout=60, check=False, **kwargs
    )


# ---- what it does


def test_the_report_names_methods_horizons_and_files(tmp_path, capsys):
    figure = tmp_path / "figure.png"
    path = tmp_path / "data.csv"
    path.write_text(GOOD)
    options = [option for option in FAST if option not in ("--quiet", "--no-plot")]
    assert main(["forecast", str(path), "--horizon", "3", "--unit", "kW", "--plot", str(figure), *options]) == 0
    out, err = capsys.readouterr()
    for expected in ("y (kW): 100 days, 2020-01-01 to 2020-04-09", "RMSE (kW), days ahead", "MASE", "next 3 days"):
        assert expected in out
    for name in ("rnncore", "repeat", "season 7", "climatology", "profile", "ridge"):
        assert name in out
    assert "the last 25% are held out" in out
    assert "2020-04-10" in out
    assert str(figure) in out
    assert "held-out error" in err  # progress
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_json_has_everything(tmp_path):
    code, data = run(tmp_path, GOOD, "--horizon", "3", "--seed", "5")
    assert code == 0
    assert data["settings"]["seed"] == 5
    assert data["data"]["step"] == "day"
    methods = {"rnncore", "repeat", "season 7", "climatology", "profile", "ridge", "ridge of lags"}
    assert set(data["metrics"]) == methods
    assert all(len(each["rmse"]) == len(each["mae"]) == 3 for each in data["metrics"].values())
    (test,), (future,) = data["test"], data["forecast"]
    assert test["origins"] == days(COUNT)[72:-1]
    actual = np.array(test["actual"], float)
    np.testing.assert_array_equal(actual[2:, 0], wave(COUNT)[75:])
    assert future["times"] == days(COUNT + 3)[COUNT:]
    (low, high), (lower, higher) = (np.array(future["bands"][level]) for level in ("80", "95"))
    assert (lower < low).all()
    assert (low < future["forecast"]).all()
    assert (future["forecast"] < high).all()
    assert (high < higher).all()
    np.testing.assert_allclose(test["forecasts"]["repeat"], np.repeat(wave(COUNT)[72:-1, None], 3, 1), rtol=1e-6)
    rmse = np.sqrt(np.nanmean((np.array(test["forecasts"]["rnncore"]) - actual) ** 2, axis=0))
    np.testing.assert_allclose(data["metrics"]["rnncore"]["rmse"], rmse, rtol=1e-6)
    assert data["metrics"]["rnncore"]["count"] == [25] * 3


def test_json_to_standard_output_stands_alone(tmp_path, capsys):
    path = tmp_path / "data.csv"
    path.write_text(GOOD)
    assert main(["forecast", str(path), "--json", "-", *FAST]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["data"]["target"] == "y"
    assert "RMSE" in err


def test_without_a_file_the_weather_of_new_york_is_forecast(tmp_path, capsys):
    out = tmp_path / "out.json"
    assert main(["forecast", "--json", str(out), *FAST]) == 0
    assert "temp_max (°C) of New York: 1461 days, 2012-01-01 to 2015-12-31" in capsys.readouterr().out
    data = json.loads(out.read_text())
    assert data["split"]["test_from"] == "2015-01-01"
    assert data["settings"]["horizon"] == 7
    assert main(["forecast", "--only", "Seattle", "--target", "wind", *FAST]) == 0
    assert "wind (m/s) of Seattle" in capsys.readouterr().out


@pytest.mark.parametrize("cell", sorted(map(str.lower, RECURRENT)))
def test_every_cell_forecasts(tmp_path, cell):
    code, data = run(tmp_path, GOOD, "--cell", cell)
    assert code == 0
    assert data["settings"]["cell"] == cell
    assert np.isfinite(data["forecast"][0]["forecast"]).all()


def test_a_seed_gives_the_same_forecast_again(tmp_path):
    options = ["--target", "y", "--hidden", "16", "--epochs", "40", "--horizon", "2", "--seed"]
    first, second = (run(tmp_path, folded(), *options, "1")[1] for _ in range(2))
    other = run(tmp_path, folded(), *options, "2")[1]
    assert first["forecast"] == second["forecast"]
    assert first["forecast"] != other["forecast"]


def test_a_figure_of_several_series_in_another_format(tmp_path):
    figure = tmp_path / "figure.svg"
    path = tmp_path / "data.csv"
    path.write_text(two_shops())
    options = [option for option in FAST if option != "--no-plot"]
    assert main(["forecast", str(path), "--target", "sales", "--plot", str(figure), *options]) == 0
    assert figure.stat().st_size > 5000


def test_without_matplotlib_a_hint_stands_for_the_figure(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    path = tmp_path / "data.csv"
    path.write_text(GOOD)
    options = [option for option in FAST if option != "--no-plot"]
    assert main(["forecast", str(path), *options]) == 0
    assert "pip install 'rnncore[apps]'" in capsys.readouterr().out
    assert main(["forecast", str(path), "--plot", str(tmp_path / "a.png"), *options]) == 2
    assert capsys.readouterr().err == "rnncore: --plot needs matplotlib: pip install 'rnncore[apps]'\n"


def test_help_and_version():
    listing = command("forecast", "--help")
    assert listing.returncode == 0
    for option in ("--target", "--time", "--group", "--horizon", "--cell", "--plot", "--json", "--seed", "--epochs"):
        assert option in listing.stdout
    assert command("--version").stdout.startswith("rnncore ")
    assert "isa" in command("--config").stdout
    assert command().returncode == 2


def test_ctrl_c_ends_it_in_one_line_with_130(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(csv_text(date=days(2000), y=wave(2000)))
    process = subprocess.Popen(
        [sys.executable, "-m", "rnncore", "forecast", str(path), "--no-plot", "--members", "50", "--hidden", "64"],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert "choosing" in first
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "rnncore: interrupted"
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
def test_a_closed_pipe_is_no_error(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(GOOD)
    line = f"{sys.executable} -m rnncore forecast {path} --json - {' '.join(FAST)} | head -c 10"
    result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert len(result.stdout) == 10
    assert "Traceback" not in result.stderr
    assert "Exception" not in result.stderr


# ---- what does not serve


def rows(*lines):
    return "\n".join(lines) + "\n"


def changed(position, column, value):
    """The good file with one cell changed."""
    table = [line.split(",") for line in GOOD.split("\n")[:-1]]
    table[position][column] = value
    return rows(*(",".join(fields) for fields in table))


BAD_FILES = {
    "empty": ("", [], "data.csv is empty"),
    "blank lines only": ("\n\n \n", [], "data.csv is empty"),
    "header only": ("date,y\n", [], "has a header but no rows"),
    "not UTF-8": (b"date,y\n2020-01-01,\x81\n", [], "is not UTF-8 text"),
    "zero bytes": (b"\x00\x01\x02\x03", [], "data.csv"),
    "a field too many": (GOOD + "2020-06-01,1,2\n", [], "line 102: 3 fields, the header has 2"),
    "an open quote": (GOOD + '2020-06-01,"1\n', [], "data.csv, line 102"),
    "a column twice": ("date,y,y\n2020-01-01,1,2\n", [], "the header names 'y' twice"),
    "a column without a name": ("date,,y\n2020-01-01,1,2\n", [], "column 2 has no name"),
    "no such target": (GOOD, ["--target", "z"], "--target: data.csv has no column 'z', only date, y"),
    "no such time": (GOOD, ["--time", "z"], "--time: data.csv has no column 'z'"),
    "no such group": (GOOD, ["--group", "z"], "--group: data.csv has no column 'z'"),
    "the time as target": (GOOD, ["--target", "date"], "'date' is the time column"),
    "the target as group": (GOOD, ["--target", "y", "--group", "y"], "'y' is the target column"),
    "a time that is none": (changed(7, 0, "soon"), [], "column 'date', line 8: cannot read the time 'soon'"),
    "a time that is missing": (changed(7, 0, ""), [], "column 'date', line 8: the time is missing"),
    "no time at all": (
        csv_text(a=wave(COUNT), b=wave(COUNT, 1)),
        [],
        "which column to forecast? Give --target, one of a, b",
    ),
    "a time twice": (changed(8, 0, "2020-01-07"), [], "2020-01-07 stands on lines 8 and 9"),
    "a time twice in a group": (
        two_shops().replace("2020-01-05,north", "2020-01-04,north"),
        ["--group", "shop", "--target", "sales"],
        "lines 5 and 6 of series 'north' have the same time",
    ),
    "day or month first": (
        csv_text(date=[f"01/{m:02}/2020" for m in range(1, 13)], y=wave(12)),
        [],
        "may be day/month or month/day",
    ),
    "offsets now and then": (
        csv_text(time=["2020-01-01T00:00+01:00", *(f"{t}T00:00" for t in days(60)[1:])], y=wave(60)),
        [],
        "some times have an offset",
    ),
    "another time format": (GOOD, ["--time-format", "%d.%m.%Y"], "cannot read the time '2020-01-01' as '%d.%m.%Y'"),
    "a time far away": (changed(100, 0, "2202-04-09"), [], "before line 101; is its time right?"),
    "too few rows": (csv_text(date=days(20), y=wave(20)), [], "too few rows: 15 values of 'y' before 2020-01-16"),
    "too far ahead": (GOOD, ["--horizon", "60"], "too few rows"),
    "one row": (csv_text(date=days(1), y=[1]), [], "too few rows"),
    "a word in the target": (
        changed(50, 1, "many"),
        ["--target", "y"],
        "column 'y' is not numeric: line 51 holds 'many'",
    ),
    "a target of words": (
        csv_text(date=days(60), y=["a", "b"] * 30),
        ["--target", "y"],
        "column 'y' is not numeric: line 2 holds 'a'",
    ),
    "no numeric column": (csv_text(date=days(60), y=["a", "b"] * 30), [], "has no numeric column to forecast"),
    "no value of the target": (
        csv_text(date=days(60), y=["NA"] * 60, x=wave(60)),
        ["--target", "y"],
        "target 'y' has no values at all",
    ),
    "a target that never changes": (csv_text(date=days(90), y=[4] * 90), [], "'y' never changes before"),
    "enormous numbers": (changed(50, 1, "1e300"), [], "numbers beyond 1e+30"),
    "several targets": (csv_text(date=days(90), a=wave(90), b=wave(90)), [], "Give --target, one of a, b"),
    "no such series": (two_shops(), ["--group", "shop", "--only", "east"], "has no value 'east', only north, south"),
    "a series of no group": (GOOD, ["--only", "north"], "--only needs --group"),
    "a split before the data": (GOOD, ["--test-from", "1999-01-01"], "leaves nothing to train on or to score"),
    "a split that is no time": (GOOD, ["--test-from", "later"], "--test-from: cannot read the time 'later'"),
    "a figure of another kind": (GOOD, ["--plot", "a.xyz"], "--plot: the name has to end in one of .pdf, .png, .svg"),
    "a figure and none": (GOOD, ["--plot", "a.png", "--no-plot"], "exclude each other"),
    "a figure nowhere": (GOOD, ["--plot", "no/such/place/a.png"], "--plot: cannot write no/such/place/a.png"),
    "json nowhere": (GOOD, ["--json", "no/such/place/a.json"], "--json: cannot write no/such/place/a.json"),
    "no horizon": (GOOD, ["--horizon", "0"], "expected a whole number, at least 1, got '0'"),
    "half a horizon": (GOOD, ["--horizon", "1.5"], "expected a whole number, at least 1, got '1.5'"),
    "a short season": (GOOD, ["--season", "nan"], "expected a whole number, at least 2, got 'nan'"),
    "another cell": (GOOD, ["--cell", "transformer"], "invalid choice: 'transformer'"),
    "an unknown option": (GOOD, ["--colour", "red"], "unrecognized arguments: --colour red"),
}


@pytest.mark.parametrize(("text", "options", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_input_gets_one_line_and_exit_code_2(tmp_path, capsys, text, options, message):
    path = tmp_path / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    fast = [option for option in FAST if option != "--no-plot"] if "--plot" in options else FAST
    try:
        code = main(["forecast", str(path), *fast, *options])
    except SystemExit as stop:  # argparse's own
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("rnncore")
    assert message in err


@pytest.mark.parametrize("path", ["missing.csv", "."], ids=["no such file", "a directory"])
def test_a_file_that_cannot_be_read(path, capsys):
    assert main(["forecast", path]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"rnncore: cannot read {path}: ")
    assert err.count("\n") == 1


def test_no_memory_is_one_line_too(tmp_path, capsys):
    path = tmp_path / "data.csv"
    path.write_text(GOOD)
    assert main(["forecast", str(path), *FAST, "--hidden", "100000000"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("rnncore: MemoryError: ")
    assert err.count("\n") == 1


def test_a_refused_run_leaves_no_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("date,y\n")
    assert main(["forecast", "data.csv", "--json", "out.json", "--plot", "out.png"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_bad_input_ends_the_process_with_code_2(tmp_path):
    result = command("forecast", str(tmp_path / "missing.csv"))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
