"""Reading options of the command line, and outputs that never replace an input."""

import gzip
import io
import json
import os
import sys

import pytest

from forecast_case import FAST, csv_text, days, wave
from rnncore.cli import main
from table_case import rows, stamps

PLAIN = csv_text(date=days(120), y=wave(120))
HALF_YEARS = [f"{month:02}/01/{year}" for year in range(1990, 2030) for month in (1, 7)]
HOURS = [f"{day},{hour}" for day in days(5) for hour in range(24)]


def forecast(tmp_path, text, *options, name="data.csv"):
    """Run the command on a file: exit code and what it wrote as JSON."""
    path, out = tmp_path / name, tmp_path / "out.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    code = main(["forecast", str(path), "--json", str(out), "--horizon", "2", *FAST, *options])
    return code, json.loads(out.read_text()) if code == 0 else None


@pytest.mark.parametrize(
    ("text", "options", "first"),
    [
        (rows("t;y", range(120), [f"2,{100 + k % 7}" for k in range(120)], ";"), ["--decimal", ","], "120"),
        (rows("t,y", HALF_YEARS, wave(80)), ["--monthfirst"], "2030-01-01"),
        (rows("t,y", stamps("2024-03-27T00:00", 120, 1, "h"), wave(120)), ["--timezone", "UTC"], "2024-04-01T00:00Z"),
        (rows("d,h,y", HOURS, wave(120)), ["--time", "d", "--time", "h"], "2020-01-06T00:00"),
        (gzip.compress(PLAIN.encode()), [], days(121)[120]),
    ],
    ids=["decimal", "month first", "zone", "two columns", "packed"],
)  # fmt: skip
def test_options_of_reading(tmp_path, text, options, first):
    code, data = forecast(tmp_path, text, *options)
    assert code == 0
    assert data["forecast"][0]["times"][0] == first


def test_several_groups(tmp_path):
    lines = [f"{day},{a},{b},{y}" for day, y in zip(days(120), wave(120), strict=True) for a in "xy" for b in "uv"]
    text = "\n".join(["date,a,b,y", *lines]) + "\n"
    code, data = forecast(tmp_path, text, "--group", "a", "--group", "b", "--only", "x / v", "--target", "y")
    assert code == 0
    assert data["data"]["series"] == ["x / v"]


def test_standard_input(tmp_path, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(PLAIN.encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    out = tmp_path / "out.json"
    assert main(["forecast", "-", "--json", str(out), *FAST]) == 0
    assert json.loads(out.read_text())["data"]["first"] == days(1)[0]


def test_long_tables_go_to_standard_output(tmp_path, capsys):
    (tmp_path / "data.csv").write_text(PLAIN)
    fitting = ["forecast", str(tmp_path / "data.csv"), *FAST, "--horizon", "3"]
    kept = str(tmp_path / "kept.safetensors")
    assert main([*fitting, "--csv", "-", "--save", kept]) == 0
    told = capsys.readouterr()
    header, *lines = told.out.splitlines()
    assert header.startswith("series,time,rnncore,rnncore-lo-80")
    assert len(lines) == 3
    assert "scored from there on" in told.err
    assert main([*fitting[:2], "--load", kept, "--no-plot", "--csv", "-"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("unique_id,date,rnncore")
    assert main([*fitting, "--json", "-", "--scores", "-"]) == 2
    assert capsys.readouterr().err == "rnncore: --json and --scores both go to standard output\n"
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("option", ["--json", "--save", "--plot", "--csv", "--scores"])
@pytest.mark.parametrize("other", ["same", "link", "dots"])
def test_an_input_is_never_overwritten(tmp_path, capsys, option, other):
    path = tmp_path / "data.png"
    path.write_text(PLAIN)
    target = {"same": path, "link": tmp_path / "link.png", "dots": tmp_path / "x" / ".." / "data.png"}[other]
    if other == "link":
        os.link(path, target)
    (tmp_path / "x").mkdir()
    fast = [each for each in FAST if each != "--no-plot"] if option == "--plot" else FAST
    assert main(["forecast", str(path), option, str(target), *fast]) == 2
    assert capsys.readouterr().err == f"rnncore: {option}: {target} is an input, which is never overwritten\n"
    assert path.read_text() == PLAIN


def test_two_outputs_of_one_name_are_refused(tmp_path, capsys):
    path = tmp_path / "data.csv"
    path.write_text(PLAIN)
    out = str(tmp_path / "out")
    assert main(["forecast", str(path), "--json", out, "--save", out, *FAST]) == 2
    assert capsys.readouterr().err == f"rnncore: --json and --save name the same file, {out}\n"


def test_a_folder_that_cannot_be_written_to_matters_only_for_what_was_asked(tmp_path, capsys, monkeypatch):
    (tmp_path / "data.csv").write_text(PLAIN)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rnncore-forecast.png").mkdir()  # so that nothing can be written there, by root either
    fast = [each for each in FAST if each != "--no-plot"]
    assert main(["forecast", "data.csv", *fast]) == 0
    assert "no figure: cannot write rnncore-forecast.png: Is a directory" in capsys.readouterr().out
    assert main(["forecast", "data.csv", "--plot", "rnncore-forecast.png", *fast]) == 2
    assert capsys.readouterr().err == "rnncore: --plot: cannot write rnncore-forecast.png: Is a directory\n"


def test_reading_without_pandas_says_what_is_missing(tmp_path, capsys, monkeypatch):
    (tmp_path / "data.csv").write_text(PLAIN)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert main(["forecast", str(tmp_path / "data.csv"), *FAST]) == 2
    assert capsys.readouterr().err == "rnncore: reading tables needs pandas: pip install 'rnncore[apps]'\n"
