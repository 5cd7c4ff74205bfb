"""The comparison in bench/compare runs, agrees with itself, and keeps what it measures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMPARE = Path(__file__).resolve().parents[1] / "bench" / "compare"


def compare(*arguments: str) -> str:
    command = [sys.executable, str(COMPARE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.parametrize("statistic", ["fastest round", "median of the rounds"])
def test_rows_are_kept_as_json_and_shown_again(tmp_path, statistic):
    out = tmp_path / "run.jsonl"
    sets = ("--set", "peers", "ragged", "float64")
    choice = ["--fastest"] if statistic == "fastest round" else []
    printed = compare("--grid", "smoke", "--rounds", "2", *choice, "--engines", *sets, "--peak", "", "--json", str(out))
    head, *rows = (json.loads(line) for line in out.read_text().splitlines())
    assert head["versions"]["rnncore"]
    assert {row["set"] for row in rows} == {"peers", "ragged", "float64"}
    assert {row["mode"] for row in rows} == {"infer", "train", "step"}
    for row in rows:
        assert row["statistic"] == statistic
        assert all(seconds > 0 for seconds in row["seconds"].values())
        assert (row["ratio"] is None) == (row["set"] == "peers")  # there is nobody to compare with
    shown = compare("--show", str(out))
    table = [line for line in printed.splitlines() if line.startswith(("| infer", "| train", "| step"))]
    assert len(table) == len(rows)
    assert [line for line in shown.splitlines() if line.startswith(("| infer", "| train", "| step"))] == table
    assert "geometric mean" in shown
    assert shown.count(f"times: {statistic}") == printed.count(f"times: {statistic}") == 3


def test_an_epoch_of_fit_gives_the_weights_of_its_parts_and_is_timed(tmp_path):
    out = tmp_path / "run.jsonl"
    compare("--grid", "smoke", "--rounds", "1", "--engines", "--set", "fit", "--peak", "", "--json", str(out))
    _, *rows = (json.loads(line) for line in out.read_text().splitlines())
    assert [(row["mode"], row["N"]) for row in rows] == [("fit", 1), ("fit", 3)]
    for row in rows:
        assert row["ratio"] == row["seconds"]["kernels"] / row["seconds"]["fit"]


def test_an_epoch_of_a_fleet_gives_the_weights_of_its_parts_and_is_timed(tmp_path):
    out = tmp_path / "run.jsonl"
    compare("--grid", "smoke", "--rounds", "1", "--engines", "--set", "fleet", "--peak", "", "--json", str(out))
    _, row = (json.loads(line) for line in out.read_text().splitlines())
    assert (row["mode"], row["models"]) == ("fleet", 5)
    assert row["ratio"] == row["seconds"]["kernels"] / row["seconds"]["fit"]


def test_modules_of_pytorchs_are_timed_beside_accelerated_ones(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    out = tmp_path / "run.jsonl"
    printed = compare("--grid", "smoke", "--rounds", "1", "--set", "torch", "--peak", "", "--json", str(out))
    _, *rows = (json.loads(line) for line in out.read_text().splitlines())
    assert {row["mode"] for row in rows} == {"infer", "train"}
    for row in rows:
        assert row["ratio"] == row["seconds"]["torch"] / row["seconds"]["accelerated"]
        assert row["seconds"]["kernels"] < row["seconds"]["accelerated"]
        assert ("empty" in row["seconds"]) == (row["mode"] == "train")
    assert printed.count("a module adds ") == 2
    assert printed.count("an empty autograd.Function ") == 1


def test_speed_ups_are_drawn(tmp_path):
    sizes = {"cell": "lstm", "H": 16, "I": 1, "N": 1, "T": 10}
    seconds, operations = {"rnncore": 1e-5, "other": 3e-5}, {"rnncore": 1e4, "other": 1e4}
    rest = {
        "seconds": seconds,
        "operations": operations,
        "limits": {},
        "floor": {},
        "ratio": 3.0,
        "statistic": "fastest round",
    }
    rows = [{"set": "peers", "mode": mode, **sizes, **rest} for mode in ("infer", "step")]
    (tmp_path / "run.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    compare("--show", str(tmp_path / "run.jsonl"), "--plot", str(tmp_path / "run.png"))
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
