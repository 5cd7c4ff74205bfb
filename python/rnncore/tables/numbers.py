"""Numbers from text: decimal points and commas, thousands, marks for missing values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.dialect import MISSING
from rnncore.tables.errors import InputError

_GROUPS = r"[1-9]\d{{0,2}}(?:{0}\d{{2,3}})*{0}\d{{3}}"  # 1,234,567, and in India 12,34,567
_EXPONENT = r"(?:[eE][-+]?\d+)?"
_PATTERNS = {
    point: re.compile(rf"[-+]?(?:(?:\d+|{_GROUPS.format(comma)})(?:{point}\d*)?|{point}\d+){_EXPONENT}")
    for point, comma in ((r"\.", ","), (",", r"\."))
}
_POINT, _COMMA = _PATTERNS[r"\."], _PATTERNS[","]
_THREE = re.compile(r"[-+]?[1-9]\d{0,2}\.\d{3}")  # 2.400, which may be 2400
_DRESS = re.compile(r"^[€$£]\s?|\s?[%€$£]$|(?<=\d)[ '’_\u00a0\u202f](?=\d{3})")  # around and within a number
_UNIT = re.compile(r"([-+]?(?:\d[\d.,']*)?\d)\s*((?<=\s)[^\W\d_][^\s\d]*|°[CF]?|[kMG]Wh?|hPa|mm|km|kg|km/h|m/s)")
_NO_UNITS = ("am", "pm", "a.m.", "p.m.", "h", "uhr")  # behind times
_TRIED = 50  # texts, before all of a column are looked at
_MANY = (
    50  # values with a separator and three digits after each: decimals would have ended in a zero, cut off, somewhere
)


@dataclass(frozen=True)
class _Texts:
    """The different values of a column that are not missing, as they may be read."""

    values: list[str]
    point: bool  # all are numbers if the point is the decimal mark
    comma: bool
    marked: bool  # some hold a point or a comma, so that it matters

    @classmethod
    def of(cls, column: Array) -> _Texts:
        distinct = dict.fromkeys(column.tolist())
        values = [
            _undressed(text) for text in islice((text for text in distinct if text.lower() not in MISSING), _TRIED)
        ]
        if not (all(map(_POINT.fullmatch, values)) or all(map(_COMMA.fullmatch, values))):
            return cls([], False, False, False)  # words, or times
        values = [_undressed(text) for text in distinct if text.lower() not in MISSING]
        return cls(
            values,
            all(map(_POINT.fullmatch, values)),
            all(map(_COMMA.fullmatch, values)),
            any("." in text or "," in text for text in values),
        )


def needs_text(sample: list[str], delimiter: str) -> bool:
    """Tell whether numbers of a column would lose what their text says: zeros in front, or points between thousands."""
    given = [text for text in sample if text.lower() not in MISSING]
    if any(re.fullmatch(r"0\d+", text) for text in given):
        return True
    return delimiter == ";" and any("." in text for text in given) and all(
        _THREE.fullmatch(text) or text.isdigit() for text in given
    )  # fmt: skip


def as_numbers(columns: dict[str, Array], delimiter: str, decimal: str | None, notes: list[str]) -> dict[str, Array]:
    """Turn columns of text that are numbers into float64; the others stay.

    What one column says about the decimal mark holds for all. Raises InputError where nothing decides.
    """
    columns = {name: _without_unit(name, column, notes) for name, column in columns.items()}
    texts = {name: _Texts.of(column) for name, column in columns.items() if column.dtype.kind == "O"}
    numeric = {name: each for name, each in texts.items() if each.values and (each.point or each.comma)}
    numeric = {name: each for name, each in numeric.items() if not all(re.fullmatch(r"0\d+", t) for t in each.values)}
    points = any(column.dtype.kind == "f" and _has_fraction(column) for column in columns.values())
    points |= any(each.marked and not each.comma for each in numeric.values())
    commas = any(each.marked and not each.point for each in numeric.values())
    result = dict(columns)
    for name, each in numeric.items():
        mark = decimal or _mark(name, each, points, commas, delimiter, notes)
        if not (each.point if mark == "." else each.comma):
            continue  # told otherwise: it stays text, and whoever wants numbers of it names the line
        result[name] = converted(columns[name], mark)
    if decimal == ",":
        result |= {name: converted(column, ",") for name, column in columns.items() if name not in numeric and
                   column.dtype.kind == "O" and _Texts.of(column).comma and _Texts.of(column).values}  # fmt: skip
    return result


def _without_unit(name: str, column: Array, notes: list[str]) -> Array:
    """A column whose values are numbers with the same unit behind each, without it; another one as it is."""
    if column.dtype.kind != "O":
        return column
    given = [text for text in dict.fromkeys(column.tolist()) if text.lower() not in MISSING]
    if not given or not (first := _UNIT.fullmatch(given[0])) or first[2].lower() in _NO_UNITS:
        return column
    matches = [_UNIT.fullmatch(text) for text in given]
    if not all(match is not None and match[2] == first[2] for match in matches):
        return column
    notes.append(f"column {name!r}: the unit {first[2]!r} behind the numbers is left off")
    plain = {text: match[1] for text, match in zip(given, matches, strict=True) if match is not None}
    return np.array([plain.get(text, text) for text in column.tolist()], object)


def _mark(name: str, texts: _Texts, points: bool, commas: bool, delimiter: str, notes: list[str]) -> str:
    """The decimal mark of a column."""
    if not texts.marked or (texts.point and not texts.comma):
        return "."
    if not texts.point:
        return ","
    if points != commas:
        return "." if points else ","
    separator = "." if any("." in text for text in texts.values) else ","
    grouped = [text for text in texts.values if separator in text]
    example = grouped[0]
    if len(grouped) >= _MANY and any(separator not in text and len(text) < 4 for text in texts.values):
        return "," if separator == "." else "."
    if delimiter == "," and separator == ",":
        plain = example.replace(",", "")
        notes.append(
            f"{example!r} in column {name!r} is read as {plain} (--decimal , reads {example.replace(',', '.')})"
        )
        return "."
    plain, fraction = example.replace(separator, ""), example.replace(separator, ".")
    thousands, decimals = ("," if separator == "." else "."), separator
    raise InputError(
        f"column {name!r}: {example!r} may be {plain} or {fraction}, and nothing in the file decides: "
        f"give --decimal {thousands} for {plain}, or --decimal {decimals} for {fraction}"
    )


def converted(column: Array, mark: str) -> Array:
    """Return numbers as float64, NaN where missing."""
    known: dict[str, float] = {}
    for text in set(column.tolist()):
        plain = _undressed(text)
        plain = plain.replace(",", "") if mark == "." else plain.replace(".", "").replace(",", ".")
        known[text] = np.nan if text.lower() in MISSING else float(plain)
    values = np.array([known[text] for text in column.tolist()])
    return np.where(np.isfinite(values), values, np.nan)


def not_a_number(column: Array, mark: str) -> int | None:
    """Return the first row whose text is no number and not missing; None if there is none."""
    pattern = _POINT if mark == "." else _COMMA
    rows = (
        k
        for k, text in enumerate(column.tolist())
        if text.lower() not in MISSING and not pattern.fullmatch(_undressed(text))
    )
    return next(rows, None)


def _undressed(text: str) -> str:
    """Without signs of currency and per cent, and without blanks between thousands; (5.2) is -5.2 in accounts."""
    text = text.replace("\u2212", "-")
    if text.startswith("(") and text.endswith(")"):
        text = f"-{text[1:-1]}"
    return _DRESS.sub("", text)


def _has_fraction(column: Any) -> bool:
    known = column[~np.isnan(column)]
    return bool((known % 1 != 0).any())
