"""Wide tables made long."""

import numpy as np
import pytest

from forecast_case import csv_text, days, run, wave
from rnncore import tables
from rnncore.cli import main
from rnncore.tables.wide import made_long


def wide(count=100):
    return csv_text(date=days(count), north=wave(count), south=wave(count, 1), place=["x"] * count)


def test_each_column_is_a_series():
    table = tables.parse_table(wide(), "wide.csv")
    panel = tables.read_panel(made_long(table, "columns"), target="value", group="series")
    assert panel.names == ["north", "south"]
    assert np.array_equal(panel.series[1].y, wave(100, 1))
    assert panel.next_labels(0, 1) == days(101)[100:]


def test_each_row_is_a_series_that_ends_with_its_last_value():
    text = "id,V1,V2,V3,V4\na,1.5,2.5,,4.5\nb,5,6,,\n"
    long = made_long(tables.parse_table(text, "rows.csv"), "rows")
    assert long.columns["series"].tolist() == ["a"] * 4 + ["b"] * 2
    assert long.columns["step"].tolist() == [0, 1, 2, 3, 0, 1]
    assert np.array_equal(long.columns["value"], [1.5, 2.5, np.nan, 4.5, 5, 6], equal_nan=True)
    assert long.where(4) == "line 3"


def test_the_command_forecasts_every_column(tmp_path):
    code, data = run(tmp_path, wide(), "--wide", "columns", "--horizon", "3")
    assert code == 0
    assert data["data"]["series"] == ["north", "south"]
    assert len(data["forecast"][1]["forecast"]) == 3


@pytest.mark.parametrize(("text", "options", "message"), [
    (wide(), ["--wide", "columns", "--target", "north"], "--wide: every column or row is a series, so --target and"),
    ("date,a\n2024-01-01,x\n2024-01-02,y\n", ["--wide", "columns"], "has no numeric column that may be a series"),
    ("id," + ",".join(f"V{k}" for k in range(30)) + "\na" + ",1.5" * 30 + "\n", [],
     "V10, V11 and 18 more; or --wide, if each is a series"),
])  # fmt: skip
def test_refusals_say_what_was_expected(text, options, message, tmp_path, capsys):
    path = tmp_path / "data.csv"
    path.write_text(text)
    assert main(["forecast", str(path), "--no-plot", *options]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
