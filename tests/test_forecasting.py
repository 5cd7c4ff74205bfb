"""Forecasts of small files and of the weather: what is reported, what is refused, and how good they are."""

import json
from pathlib import Path

import numpy as np
import pytest

from rnncore import cli, datasets

FAST = ["--epochs", "2", "--members", "1", "--hidden", "4", "--no-plot", "--quiet"]


def series(steps: int = 200, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Daily time stamps, and a wave with noise."""
    times = (np.datetime64("2020-01-01") + np.arange(steps)).astype(str).tolist()
    return times, np.sin(np.arange(steps) / 5) * 3 + 10 + np.random.default_rng(seed).normal(0, 0.3, steps)


def write(path: Path, rows: list[str], header: str = "date,y") -> str:
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def plain(path: Path, steps: int = 200) -> str:
    return write(path, [f"{t},{v:.3f}" for t, v in zip(*series(steps), strict=True)])


def results(tmp_path: Path, *arguments: str) -> dict:
    out = tmp_path / "out.json"
    assert cli.main(["forecast", *arguments, *FAST, "--json", str(out)]) == 0
    return json.loads(out.read_text())


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a call that ends with exit code 2."""
    try:
        code = cli.main(["forecast", *arguments, *FAST])
    except SystemExit as stopped:
        code = stopped.code
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def test_the_report_compares_all_methods_for_each_horizon(tmp_path, capsys):
    assert cli.main(["forecast", plain(tmp_path / "a.csv"), "--horizon", "3", *FAST]) == 0
    text = capsys.readouterr().out
    assert any(verdict in text for verdict in ("no skill", "beats", "worse"))
    for word in ("network", "repeat", "climatology", "ridge", "RMSE", "MAE", "next 3"):
        assert word in text, word


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_each_cell_forecasts(tmp_path, cell):
    metrics = results(tmp_path, plain(tmp_path / "a.csv"), "--cell", cell, "--horizon", "2")["metrics"]
    assert set(metrics) == {"network", "repeat", "climatology", "ridge"}
    assert all(len(each["rmse"]) == 2 and min(each["rmse"]) > 0 for each in metrics.values())


def test_the_figure_is_drawn_where_it_was_asked_for(tmp_path, capsys):
    figure = tmp_path / "figure.png"
    options = ["--epochs", "1", "--members", "1", "--hidden", "4", "--quiet", "--plot", str(figure)]
    assert cli.main(["forecast", plain(tmp_path / "a.csv"), *options]) == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert str(figure) in capsys.readouterr().out


def test_several_series_of_different_length(tmp_path):
    rows = [
        f"{name},{t},{v:.2f}"
        for name, steps in (("a", 200), ("b", 150))
        for t, v in zip(*series(steps, len(name)), strict=True)
    ]
    path = write(tmp_path / "groups.csv", rows, "site,date,load")
    report = results(tmp_path, path, "--target", "load", "--group", "site", "--horizon", "2")
    assert report["data"]["series"] == ["a", "b"]


def test_gaps_and_missing_values_are_named_and_counted(tmp_path, capsys):
    times, values = series()
    rows = [f"{t},{'' if k in (50, 51) else f'{v:.2f}'}" for k, (t, v) in enumerate(zip(times, values, strict=True))]
    del rows[100:103]
    assert cli.main(["forecast", write(tmp_path / "gaps.csv", rows), *FAST]) == 0
    text = capsys.readouterr().out
    assert "3 days without a row" in text
    assert "2 values of 'y' missing" in text


def test_rows_out_of_order_are_sorted_and_that_is_said(tmp_path, capsys):
    times, values = series()
    rows = [f"{t},{v:.3f}" for t, v in zip(times, values, strict=True)]
    sorted_file, shuffled = write(tmp_path / "a.csv", rows), write(tmp_path / "b.csv", rows[::-1])
    first, second = results(tmp_path, sorted_file), results(tmp_path, shuffled)
    assert "sorted" in capsys.readouterr().out
    assert first["metrics"] == second["metrics"]


@pytest.mark.parametrize(
    ("header", "rows", "options", "message"),
    [
        ("date,y", ["2020-01-01,1", "2020-01-02,2"], [], "too few rows"),
        ("date,y", ["2020-01-01,1", "soon,2"], [], "soon"),
        ("date,y", ["2020-01-01,1", "2020-01-01,2", "2020-01-02,2"], [], "2020-01-01"),
        ("date,y", ["2020-01-01,a", "2020-01-02,b"], ["--target", "y"], "y"),
        ("date,y", ["2020-01-01,", "2020-01-02,"], ["--target", "y"], "y"),
        ("date,y", ["2020-01-01,1"], ["--target", "z"], "z"),
        ("date,y", ["2020-01-01,1"], ["--time", "when"], "when"),
        ("date,y", ["2020-01-01,1"], ["--group", "site"], "site"),
        ("date,y", [], [], "row"),
        ("a,b", ["x,1", "y,2"], [], "--time"),
        ("date,p,q", ["2020-01-01,1,2", "2020-01-02,3,4"], [], "--target"),
        ("date,y", ["2020-01-01,1"], ["--horizon", "0"], "horizon"),
        ("date,y", ["2020-01-01,1"], ["--cell", "cnn"], "cnn"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path, capsys, header, rows, options, message):
    assert message in refused(capsys, write(tmp_path / "bad.csv", rows, header), *options)


def test_a_file_that_is_not_there_and_places_that_cannot_be_written(tmp_path, capsys):
    assert "nowhere.csv" in refused(capsys, str(tmp_path / "nowhere.csv"))
    assert "--json" in refused(capsys, plain(tmp_path / "a.csv"), "--json", str(tmp_path / "no" / "out.json"))


def test_ctrl_c_is_one_line_and_its_own_exit_code(tmp_path, capsys, monkeypatch):
    from rnncore.forecasting import command

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "forecast", interrupted)
    assert cli.main(["forecast", plain(tmp_path / "a.csv"), *FAST]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_the_future_does_not_change_a_forecast(tmp_path):
    """Other values from some day on: forecasts made before it are the same to the last bit."""
    from rnncore.forecasting.run import Settings, forecast
    from rnncore.forecasting.table import read_table

    times, values = series(300)
    changed = values.copy()
    changed[280:] += 100
    paths = [
        write(tmp_path / f"{k}.csv", [f"{t},{v:.6f}" for t, v in zip(times, v_all, strict=True)])
        for k, v_all in enumerate((values, changed))
    ]
    settings = Settings(members=1, epochs=2, hidden_size=4, horizon=3)
    first, second = (forecast(read_table(path), settings, lambda _: None) for path in paths)
    a, b = first.forecasts["network"], second.forecasts["network"]
    np.testing.assert_array_equal(a[:280], b[:280])
    assert (a[280:] != b[280:]).any()


def test_the_accuracy_bar_on_the_weather_of_new_york():
    """One day ahead at most 3.15 degrees on 2015, the median of three seeds, with the defaults."""
    from rnncore.forecasting.run import Settings, forecast
    from rnncore.forecasting.table import read_table

    table = datasets.weather()
    errors = []
    for seed in range(3):
        settings = Settings(target="temp_max", group="location", only=("New York",), seed=seed)
        errors.append(forecast(read_table(table), settings, lambda _: None).scores["network"].rmse[0])
    assert np.median(errors) <= 3.15
