"""Kept forecasters: the same forecast without fitting, from other rows, and what contradicts the file."""

import json
import subprocess
import sys

import pytest

from forecast_case import FAST, csv_text, days, run, wave
from rnncore import datasets
from rnncore.cli import main


def forecast(*arguments):
    command = [sys.executable, "-m", "rnncore", "forecast", "--no-plot", "--quiet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    options = ["--cell", "gru", "--hidden", "8", "--members", "1", "--epochs", "4", "--horizon", "2"]
    done = forecast(*options, "--save", str(folder / "net.safetensors"), "--json", str(folder / "first.json"))
    assert done.returncode == 0, done.stderr
    return folder


def test_a_kept_forecaster_forecasts_what_it_forecast_before(kept):
    done = forecast("--load", str(kept / "net.safetensors"), "--json", str(kept / "second.json"))
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((kept / f"{name}.json").read_text()) for name in ("first", "second"))
    (own,) = first["forecast"]
    assert second["forecast"]["rnncore"] == pytest.approx(own["forecast"], rel=1e-6)
    assert [each[:10] for each in second["forecast"]["date"]] == own["times"]


def test_it_forecasts_from_the_rows_that_it_is_given(kept, tmp_path):
    lines = datasets.weather().read_text(encoding="utf-8").splitlines()
    (tmp_path / "short.csv").write_text("\n".join(x for x in lines if "location" in x or "New York,2015-0" in x) + "\n")
    out = tmp_path / "out.csv"
    done = forecast(str(tmp_path / "short.csv"), "--load", str(kept / "net.safetensors"), "--csv", str(out))
    assert done.returncode == 0, done.stderr
    rows = out.read_text().splitlines()
    assert rows[0].startswith("location,date,rnncore,rnncore-lo-80")
    assert rows[1].startswith("New York,2015-10-01")
    assert 10 < float(rows[1].split(",")[2]) < 35


def test_it_draws_what_it_forecasts(kept, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    figure = tmp_path / "ahead.png"
    assert main(["forecast", "--load", str(kept / "net.safetensors"), "--plot", str(figure)]) == 0
    assert f"figure: {figure}" in capsys.readouterr().out
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("content", "message"), [
    (None, "--load: cannot read"), (b"nothing", "is no safetensors file, or damaged"),
])  # fmt: skip
def test_files_that_do_not_serve(content, message, tmp_path):
    path = tmp_path / "net.safetensors"
    if content is not None:
        path.write_bytes(content)
    done = forecast("--load", str(path))
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "wind"], "--load: the forecaster forecasts 'temp_max', not 'wind'"),
        (["--horizon", "5"], "--horizon 5 contradicts the file, which goes 2 ahead"),
        (["--cell", "lstm"], "--cell lstm contradicts the file, whose forecaster has gru"),
        (["--hidden", "9"], "--hidden 9 contradicts the file, whose forecaster has 8"),
        (["--test-from", "2015-05-01"], "so --test-from has no meaning"),
        (["--only", "Boston"], "column 'location' has no value 'Boston'"),
        (["--wide", "columns"], "forecasts 'temp_max' of a long file, so --wide has no meaning"),
        (
            ["--timezone", "Asia/Tokyo"],
            "--timezone Asia/Tokyo contradicts the file, whose forecaster has times without",
        ),
        (["--time-format", "%Y"], "cannot read the time '2012-01-01' as '%Y'"),
    ],
)
def test_options_that_contradict_the_file(kept, capsys, options, message):
    assert main(["forecast", "--no-plot", "--load", str(kept / "net.safetensors"), *options]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_covariates_of_the_future_come_from_a_file(tmp_path):
    price = (wave(130, 3) > 10).astype(int)
    sales = wave(130) + 20 * price
    (tmp_path / "ahead.csv").write_text(csv_text(date=days(130)[120:], price=price[120:]))
    text = csv_text(date=days(130)[:120], sales=sales[:120].round(3), price=price[:120])
    options = ["--target", "sales", "--horizon", "5", "--future", str(tmp_path / "ahead.csv")]
    code, data = run(tmp_path, text, *options)
    assert code == 0
    assert data["data"]["known_ahead"] == ["price"]
    assert data["members"]["effects_removed"]
    for value, truth in zip(data["forecast"][0]["forecast"], sales[120:], strict=False):
        assert abs(value - truth) < 8
    (tmp_path / "ahead.csv").write_text(csv_text(date=days(130)[120:123], price=price[120:123]))
    path = tmp_path / "data.csv"
    assert main(["forecast", str(path), *FAST, *options]) == 2


def test_rows_behind_the_last_value_hold_what_is_known_ahead(tmp_path):
    price = (wave(130, 3) > 10).astype(int)
    sales = [*(wave(130) + 20 * price)[:120].round(3), *[""] * 10]
    code, data = run(tmp_path, csv_text(date=days(130), sales=sales, price=price), "--target", "sales")
    assert code == 0
    assert data["data"]["known_ahead"] == ["price"]
    assert data["forecast"][0]["times"][0] == days(121)[120]
    text = csv_text(date=days(130)[:123], sales=sales[:123], price=price[:123])
    code, data = run(tmp_path, text, "--target", "sales")
    assert data["data"]["known_ahead"] == []
    assert any("known for 3 steps" in note and "horizon of 7" in note for note in data["notices"])


def test_windows_at_the_end_are_scored(tmp_path, capsys):
    out = tmp_path / "scores.csv"
    text = csv_text(date=days(200), y=wave(200))
    code, data = run(tmp_path, text, "--cv", "3", "--horizon", "5", "--level", "50", "--scores", str(out))
    assert code == 0
    assert data["test"][0]["origins"] == [days(200)[k] for k in (184, 189, 194)]
    assert data["metrics"]["rnncore"]["count"] == [3] * 5
    assert [band["level"] for band in data["bands"]] == [50]
    assert main(["forecast", str(tmp_path / "data.csv"), *FAST, "--cv", "40", "--horizon", "5"]) == 2
    assert "--cv 40: so many windows of 5 steps need at least 235 steps, there are 200" in capsys.readouterr().err
    rows = out.read_text().splitlines()
    assert rows[0] == "series,horizon,method,rmse,mae,count"
    assert len(rows) == 1 + 5 * len(data["metrics"])
