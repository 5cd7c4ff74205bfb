"""Kept networks: the same forecasts without training, and data or files that they are not for."""

import json
import subprocess
import sys

import pytest

from rnncore import datasets


def forecast(*arguments):
    command = [sys.executable, "-m", "rnncore", "forecast", "--no-plot", "--quiet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    options = ["--cell", "gru", "--hidden", "8", "--members", "2", "--epochs", "4", "--horizon", "2"]
    done = forecast(*options, "--save", str(folder / "net.safetensors"), "--json", str(folder / "first.json"))
    assert done.returncode == 0, done.stderr
    return folder


def test_kept_networks_forecast_what_they_forecast_before(kept):
    done = forecast("--load", str(kept / "net.safetensors"), "--json", str(kept / "second.json"))
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((kept / f"{name}.json").read_text()) for name in ("first", "second"))
    for report in (first, second):
        report.pop("seconds", None)
        for name in ("save", "load"):
            report["settings"].pop(name)
    assert first == second


def test_other_data_is_refused(kept, tmp_path):
    lines = datasets.weather().read_text(encoding="utf-8").splitlines()
    changed = [line.replace(",32.8,", ",22.8,") for line in lines]
    assert changed != lines
    (tmp_path / "other.csv").write_text("\n".join(changed) + "\n")
    done = forecast(str(tmp_path / "other.csv"), "--target", "temp_max", "--group", "location", "--only", "New York",
                    "--load", str(kept / "net.safetensors"))  # fmt: skip
    assert done.returncode != 0
    assert "are not those that the networks were trained on" in done.stderr


@pytest.mark.parametrize(("content", "message"), [
    (None, "--load: cannot read"), (b"nothing", "is no safetensors file, or damaged"),
])  # fmt: skip
def test_files_that_do_not_serve(content, message, tmp_path):
    path = tmp_path / "net.safetensors"
    if content is not None:
        path.write_bytes(content)
    done = forecast("--load", str(path))
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_another_target_is_refused(kept):
    done = forecast("--target", "wind", "--load", str(kept / "net.safetensors"))
    assert done.returncode != 0
    assert "--load: the networks forecast 'temp_max', not 'wind'" in done.stderr
