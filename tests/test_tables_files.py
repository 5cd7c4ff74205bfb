"""Files: dialects, headers, preambles, rows and groups, archives, encodings, Parquet."""

import bz2
import gzip
import io
import lzma
import sys
import zipfile

import numpy as np
import pytest

from rnncore import tables
from table_case import panel_of, rows, stamps

DAYS = stamps("2024-01-01", 60)
VALUES = [f"{k % 7}.{k % 10}" for k in range(60)]
PLAIN = rows("day,y", DAYS, VALUES)
EXPECTED = [float(value) for value in VALUES]


def values_of(text, **options):
    return panel_of(text, **options).series[0].y.tolist()


# ---- dialects


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old mac"])
def test_delimiters_and_line_ends(delimiter, end):
    text = rows(f"day{delimiter}y", DAYS, VALUES, delimiter, end)
    assert values_of(text) == EXPECTED


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_header_with_commas(delimiter):
    text = rows(delimiter.join(["Datum", "Leistung, Mittel", "Energie, Summe, kWh"]), DAYS,
                [f"{k},5{delimiter}{k}" for k in range(60)], delimiter)  # fmt: skip
    panel = panel_of(text, target="Leistung, Mittel")
    assert panel.columns == ("Leistung, Mittel", "Energie, Summe, kWh")
    assert panel.series[0].y[:2].tolist() == [0.5, 1.5]


def test_quoted_fields():
    text = '"day","y, in kW"\n' + "".join(f'"{day}","{value}"\n' for day, value in zip(DAYS, VALUES, strict=True))
    panel = panel_of(text)
    assert panel.columns == ("y, in kW",)
    assert panel.series[0].y.tolist() == EXPECTED


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("Zaehler;4711;Strom\n", 2),
        ("Zaehler;4711\n", 2),
        ("Station;Berlin\n", 2),
        ("# made by a logger\n# firmware 2.1\n\n", 4),
        ("Logger 12, serial 0815\n\nfrom 2024-01-01\n", 4),
        ("a;b;c;d\n1;2;3;4\n", 3),
    ],
)
def test_a_preamble_is_left_out_and_the_header_named(before, line):
    panel = panel_of(before + rows("day;y", DAYS, VALUES, ";"))
    assert panel.series[0].y.tolist() == EXPECTED
    assert panel.notes == [f"header on line {line}, what stands before it is left out"]


def test_a_line_of_units_is_left_out():
    panel = panel_of(PLAIN.replace("\n", "\n(UTC),(°C)\n", 1))
    assert panel.series[0].y.tolist() == EXPECTED
    assert "line 2 holds units, left out" in panel.notes


@pytest.mark.parametrize("mark", ["# ", "#", "% "])
def test_a_header_behind_a_comment_mark(mark):
    panel = panel_of(f"{mark}a logger\n{mark}day y\n" + rows("", DAYS, VALUES, " ").lstrip())
    assert panel.columns == ("y",)
    assert panel.series[0].y.tolist() == EXPECTED


def test_row_numbers_that_the_header_does_not_name():
    lines = [f'"{k + 1}" {day} {value}' for k, (day, value) in enumerate(zip(DAYS, VALUES, strict=True))]
    panel = panel_of("\n".join(['"day" "y"', *lines]) + "\n", target="y")
    assert (panel.schema.time, panel.series[0].y.tolist()) == (("day",), EXPECTED)


def test_decimal_commas_between_commas_are_refused():
    with pytest.raises(tables.InputError, match="data.csv, line 2: 3 fields, the header on line 1 has 2"):
        panel_of(rows("day,y", DAYS, [value.replace(".", ",") for value in VALUES]))


def test_a_file_without_a_header():
    panel = panel_of(PLAIN.split("\n", 1)[1])
    assert panel.columns == ("column 2",)
    assert len(panel.series[0]) == 60
    assert "has no header" in panel.notes[0]


@pytest.mark.parametrize("header", [",value", '"",value', ",0"], ids=["empty", "quoted", "a series of pandas"])
def test_the_index_of_a_data_frame_is_the_time(header):
    panel = panel_of(rows(header, DAYS, VALUES))
    assert panel.schema.time == ("index",)
    assert panel.series[0].y.tolist() == EXPECTED


def test_a_column_without_name_or_values_is_left_out():
    assert values_of("".join(line + ",\n" for line in PLAIN.splitlines())) == EXPECTED


def test_row_numbers_beside_a_time_are_no_time():
    text = ",day,y\n" + "".join(f"{k},{day},{value}\n" for k, (day, value) in enumerate(zip(DAYS, VALUES, strict=True)))
    panel = panel_of(text, target="y")
    assert panel.schema.time == ("day",)
    assert panel.grid.name == "day"


def test_errors_name_the_line_as_an_editor_counts():
    text = "# meta\n\n" + rows("day,y", DAYS, VALUES).replace(DAYS[10], "soon")
    with pytest.raises(tables.InputError, match="line 14: cannot read the time 'soon'"):
        panel_of(text)
    with pytest.raises(tables.InputError, match="line 5: 3 fields, the header has 2"):
        panel_of("# meta\n\n" + rows("day,y", DAYS, ["1", "2,3", *VALUES[2:]]))


# ---- rows


def test_copies_of_a_row_are_left_out_with_a_note():
    lines = PLAIN.splitlines()
    panel = panel_of("\n".join([*lines[:10], lines[9], lines[9], *lines[10:]]) + "\n")
    assert panel.series[0].y.tolist() == EXPECTED
    assert panel.notes == ["2 rows left out, a copy of another (the first: line 11)"]


def test_two_values_of_one_time_are_refused():
    with pytest.raises(tables.InputError, match="the time 2024-01-09 stands on lines 10 and 11: .*--group"):
        panel_of(PLAIN.replace(DAYS[9], DAYS[8]))


def test_several_group_columns():
    text = "day,shop,article,y\n" + "".join(
        f"{day},{shop},{article},{k}\n" for k, day in enumerate(DAYS) for shop in "ns" for article in ("tea", "rice")
    )
    for options in ({}, {"group": ["shop", "article"]}):
        panel = panel_of(text, target="y", **options)
        assert panel.names == ["n / tea", "n / rice", "s / tea", "s / rice"]
        assert panel.series[2].key == ("s", "tea")
        assert all(len(each) == 60 for each in panel)
    options = {"target": "y", "group": ["shop", "article"]}
    assert panel_of(text, only=["s / tea", "n / rice"], **options).names == ["n / rice", "s / tea"]
    assert panel_of(text, only=["tea"], **options).names == ["n / tea", "s / tea"]


def test_series_whose_times_never_meet_are_told_apart():
    random = np.random.default_rng(0)
    start, lines = np.datetime64("2024-01-01T00:00:00"), []
    for name in (1, 2, 3):
        seconds = 300 * np.arange(80) + 7 * name + random.integers(-2, 3, 80)
        lines += [f"{name},{start + each},{k % 9}" for k, each in enumerate(seconds.astype("m8[s]"))]
    panel = panel_of("\n".join(["sensor,time,y", *lines]) + "\n")
    assert (panel.names, panel.grid.name) == (["1", "2", "3"], "5 minutes")
    assert [len(each) for each in panel] == [80, 80, 80]
    assert panel.notes[0] == "times go forward within each value of 'sensor': one series for each (--group)"


def test_a_word_among_the_numbers_of_the_only_column_is_named():
    with pytest.raises(tables.InputError, match="column 'y' is not numeric: line 12 holds 'ERR'"):
        panel_of(rows("day,y", DAYS, [*VALUES[:10], "ERR", *VALUES[11:]]))


def test_names_with_zeros_in_front_stay():
    text = "id,day,y\n" + "".join(f"{name},{day},{k}\n" for k, day in enumerate(DAYS) for name in ("007", "012"))
    assert panel_of(text).names == ["007", "012"]


def test_a_series_may_be_called_na():
    text = "day,country,y\n" + "".join(f"{day},{name},{k}\n" for k, day in enumerate(DAYS) for name in ("DE", "NA"))
    assert panel_of(text).names == ["DE", "NA"]


# ---- files


def packed(kind):
    content = PLAIN.encode()
    if kind == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("data.csv", content)
        return buffer.getvalue()
    return {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "csv": bytes}[kind](content)


@pytest.mark.parametrize("kind", ["csv", "gz", "bz2", "xz", "zip"])
@pytest.mark.parametrize("name", ["data.{}", "data"], ids=["by its name", "by its content"])
def test_archives(tmp_path, kind, name):
    path = tmp_path / name.format(kind)
    path.write_bytes(packed(kind))
    assert tables.read_panel(path).series[0].y.tolist() == EXPECTED


def test_damaged_archives_are_refused(tmp_path):
    for kind in ("gz", "bz2", "xz", "zip"):
        path = tmp_path / f"data.{kind}"
        path.write_bytes(packed(kind)[:60])
        with pytest.raises(tables.InputError, match=f"data.{kind} is a damaged archive"):
            tables.read_panel(path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", PLAIN)
        archive.writestr("b.csv", PLAIN)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(tables.InputError, match=r"data.zip holds 2 files, expected one: a.csv, b.csv"):
        tables.read_panel(path)


@pytest.mark.parametrize("kind", ["csv", "gz"])
def test_standard_input(monkeypatch, kind):
    class Stdin:
        buffer = io.BytesIO(packed(kind))

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert tables.read_panel("-").series[0].y.tolist() == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "data.csv"
    path.write_bytes(PLAIN.replace("day,y", "day,Größe").encode(encoding))
    panel = tables.read_panel(path)
    assert panel.columns == ("Größe",)
    assert panel.notes == (["not UTF-8: read as Windows-1252"] if encoding == "cp1252" else [])


def test_parquet(tmp_path):
    import pandas as pd

    path = tmp_path / "data.parquet"
    frame = pd.DataFrame({"y": EXPECTED}, index=pd.DatetimeIndex(DAYS, name="day"))
    frame.to_parquet(path)
    panel = tables.read_panel(path)
    assert (panel.schema.time, panel.grid.name) == (("day",), "day")
    assert panel.series[0].y.tolist() == EXPECTED
    path.write_bytes(path.read_bytes()[:80])
    with pytest.raises(tables.InputError, match=r"data.parquet is a damaged Parquet file"):
        tables.read_panel(path)
