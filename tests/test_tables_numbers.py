"""Numbers in text: decimal marks and thousands, dress and units, what is missing, what lies far outside."""

import numpy as np
import pytest

from rnncore import tables
from table_case import panel_of, rows, stamps

DAYS = stamps("2024-01-01", 60)
VALUES = [f"{k % 7}.{k % 10}" for k in range(60)]
EXPECTED = [float(value) for value in VALUES]


def values_of(text, **options):
    return panel_of(text, **options).series[0].y.tolist()


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


@pytest.mark.parametrize(("values", "unit"), [
    (["20.5 kW", "21 kW", "-1.5 kW"], "kW"), (["20,5°C", "21°C", "-1,5°C"], "°C"), (["20.5 items", "n/a", "3 items"],
    "items"),
])  # fmt: skip
def test_a_unit_behind_every_number_is_left_off_with_a_note(values, unit):
    text = "time;y\n" + "".join(f"{day};{value}\n" for day, value in zip(DAYS[:3], values, strict=True))
    panel = panel_of(text)
    assert panel.series[0].y[0] == 20.5
    assert any(f"the unit {unit!r} behind the numbers is left off" in note for note in panel.notes)


@pytest.mark.parametrize("values", [["1 kW", "2 MW", "3 kW"], ["1 pm", "2 pm", "3 pm"], ["12A", "13A", "14A"]])
def test_what_is_no_common_unit_stays_text(values):
    text = "time;y;x\n" + "".join(f"{day};{value};1.5\n" for day, value in zip(DAYS[:3], values, strict=True))
    assert tables.parse_table(text, "data.csv").columns["y"].dtype.kind == "O"
