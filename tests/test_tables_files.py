"""Files: dialects, headers, preambles, decimal marks, thousands, missing values, archives, encodings, Parquet."""

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


# ---- numbers


def counts(mark, price=None):
    """Semicolons, counts with a mark between thousands, and a price that may say what the mark is."""
    table = "day;visits\n" if price is None else "day;price;visits\n"
    for k, day in enumerate(DAYS):
        middle = "" if price is None else f"{k}{price}25;"
        table += f"{day};{middle}{2 + k % 3}{mark}{400 + k}\n"
    return table


@pytest.mark.parametrize(("mark", "price"), [(",", "."), (".", ","), (" ", ","), ("'", "."), ("\u202f", ",")])
def test_thousands_where_another_column_decides(mark, price):
    assert values_of(counts(mark, price), target="visits")[:3] == [2400, 3401, 4402]


@pytest.mark.parametrize("mark", [",", "."])
def test_three_digits_behind_a_mark_are_refused_if_nothing_decides(mark):
    with pytest.raises(tables.InputError) as caught:
        panel_of(counts(mark))
    message = str(caught.value)
    assert "column 'visits'" in message
    assert "2400 or 2.400" in message
    assert "--decimal . for" in message
    assert "--decimal , for" in message
    other = "," if mark == "." else "."
    assert values_of(counts(mark), decimal=other)[:2] == [2400, 3401]
    assert values_of(counts(mark), decimal=mark)[:2] == [2.4, 3.401]


def test_the_mark_of_one_column_holds_for_all():
    lab = "t;volt\n" + "".join(f"{k // 10},{k % 10};{2 + k % 3},{400 + k}\n" for k in range(60))
    panel = panel_of(lab)
    assert panel.grid.name == "step of 0.1"
    assert panel.series[0].y[:2].tolist() == [2.4, 3.401]
    assert panel.next_labels(0, 2) == ["6.0", "6.1"]


def test_a_million_shows_what_the_mark_is():
    assert values_of(rows("day;y", DAYS, ["1,234,567", *["2,400"] * 59], ";"))[:2] == [1234567, 2400]
    assert values_of(rows("day;y", DAYS, ["1.234.567", *["2.400"] * 59], ";"))[:2] == [1234567, 2400]
    assert values_of(rows("day;y", DAYS, ["1.234,5", *["2.400"] * 59], ";"))[:2] == [1234.5, 2400]
    assert values_of(rows("day;y", DAYS, ["0,400", *["2,400"] * 59], ";"))[:2] == [0.4, 2.4]


def test_small_counts_without_a_mark_show_that_it_parts_thousands():
    values = [f"{k},{100 + k}" if k else "987" for k in range(60)]
    assert values_of(rows("day;y", DAYS, values, ";"))[:2] == [987, 1101]


def test_quoted_thousands_of_a_comma_file():
    panel = panel_of(rows("day,y", DAYS, [f'"{k + 1},{400 + k}"' for k in range(60)]))
    assert panel.series[0].y[:2].tolist() == [1400, 2401]
    assert "--decimal , reads" in panel.notes[0]


def test_points_with_three_digits_are_decimals_in_a_comma_file():
    assert values_of(rows("day,y", DAYS, [f"2.{400 + k}" for k in range(60)]))[:2] == [2.4, 2.401]


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("12 %", 12),
        ("€ 1,234.50", 1234.5),
        ("$5.25", 5.25),
        ("1e-3", 0.001),
        ("+7", 7),
        ("(5.2)", -5.2),
        ("-.5", -0.5),
        ("1E5", 1e5),
    ],
)
def test_numbers_in_usual_dress(written, number):
    values = values_of(rows("day\ty", DAYS, [written, *VALUES[1:]], "\t"))
    assert values[0] == number


@pytest.mark.parametrize("mark", [".", "", "NA", "n/a", "#N/A", "NaN", "null", "None", "-", "--", "?", "NULL", "nan"])
def test_marks_for_missing_values(mark):
    panel = panel_of(rows("day,y", DAYS, [*VALUES[:5], mark, *VALUES[6:]]))
    expected = [*EXPECTED[:5], None, *EXPECTED[6:]]
    assert [None if value != value else value for value in panel.series[0].y.tolist()] == expected
    assert panel.notes == ["1 value of 'y' missing"]


@pytest.mark.parametrize("number", ["-9999", "-999.9", "-99", "9999", "999999", "1e20", "-8888", "-32768"])
def test_a_repeated_number_far_outside_is_named_and_missing(number):
    values = [number if k % 20 == 7 else f"{10 + np.sin(k):.2f}" for k in range(60)]
    panel = panel_of(rows("day,y", DAYS, values))
    assert np.isnan(panel.series[0].y).sum() == 3
    note = f"{float(number):g} in column 'y' stands for a missing value (3 times, far outside all others)"
    assert panel.notes[0] == note


def test_a_single_number_far_outside_is_named_and_kept():
    values = ["1000000" if k == 30 else f"{10 + np.sin(k):.2f}" for k in range(60)]
    panel = panel_of(rows("day,y", DAYS, values))
    assert panel.series[0].y[30] == 1e6
    assert panel.notes == ["line 32: 1e+06 in column 'y' lies far outside all other values"]


@pytest.mark.parametrize(
    "values",
    [
        [str(0 if k % 9 else 1000 + k) for k in range(60)],  # mostly nothing
        [str(0 if k % 20 == 7 else 1000 + k % 5) for k in range(60)],  # out of order
        [f"{1.5**k:.3f}" for k in range(60)],
        [str(k % 2 * 100) for k in range(60)],
        [f"{np.random.default_rng(k).standard_cauchy():.2f}" for k in range(60)],
        ["99" if k % 5 else "98" for k in range(60)],
    ],
    ids=["sales", "zeros", "growth", "switch", "heavy tails", "nines that are values"],
)
def test_ordinary_values_are_not_taken_as_missing(values):
    assert not np.isnan(panel_of(rows("day,y", DAYS, values)).series[0].y).any()


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
