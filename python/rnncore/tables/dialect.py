"""How a CSV file is written: what stands between its fields, and where its header is."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass

from rnncore.tables.errors import InputError

BLANKS = r"\s+"  # runs of blanks between the fields
_DELIMITERS = ("\t", ";", "|", ",", BLANKS)  # where two fit, the first: commas and blanks stand in numbers and dates
_SAMPLE = 400  # lines
_NUMBER = re.compile(r"[-+(]?[€$£]?\s?(\d[\d.,' \u00a0\u202f_]*|[.,]\d+)([eE][-+]?\d+)?\s?[%€$£)]?")
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([T ,].*)?|\d{1,2}:\d\d.*|\d{4}\D?[QWM]\d{1,2}(-\d)?|\d{8}T\d+.*"
    r"|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4}.*"
)
MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "nil", "-", "--", "?", ".", "..."})


@dataclass(frozen=True)
class Dialect:
    """The delimiter (or `BLANKS`), the names of the columns, and the first line of data, counted from 0."""

    delimiter: str
    names: list[str]
    first: int
    notes: list[str]


def is_missing(text: str) -> bool:
    """Tell whether a field holds one of the usual marks for a missing value."""
    return text.strip().lower() in MISSING


def find_dialect(text: str, name: str) -> Dialect:
    """Find delimiter, header and preamble from the first lines. Raises InputError for a file without rows."""
    lines = text[: 200 * _SAMPLE].split("\n", _SAMPLE)
    if len(lines) > 2 and len(text) > 200 * _SAMPLE:
        lines.pop()  # cut within
    given = [(k, line) for k, line in enumerate(lines) if line.strip()]
    if not given:
        raise InputError(f"{name} is empty")
    found = [layout for delimiter in _DELIMITERS if (layout := _Layout.of(given, delimiter)) is not None]
    if not found:
        found = [_Layout.single(given)]
    best = max(found, key=lambda layout: layout.fit)  # the first of equals
    return best.dialect(name)


@dataclass(frozen=True)
class _Layout:
    """The sample's lines, split at one delimiter."""

    delimiter: str
    rows: list[tuple[int, list[str]]]  # line and fields
    width: int
    header: int | None  # index into rows
    data: int  # index of the first row of data

    @classmethod
    def of(cls, lines: list[tuple[int, str]], delimiter: str) -> _Layout | None:
        rows = _split(lines, delimiter)
        later = rows[len(rows) // 2 :]
        width = Counter(len(fields) for _, fields in later).most_common(1)[0][0]
        return None if width < 2 else cls.laid_out(delimiter, rows, width)

    @classmethod
    def single(cls, lines: list[tuple[int, str]]) -> _Layout:
        return cls.laid_out(",", [(k, [line.strip().strip('"')]) for k, line in lines], 1)

    @classmethod
    def laid_out(cls, delimiter: str, rows: list[tuple[int, list[str]]], width: int) -> _Layout:
        full = [k for k, (_, fields) in enumerate(rows) if len(fields) == width]
        later = [rows[k][1] for k in full[len(full) // 2 :]]
        figures = [sum(map(_is_figure, column)) > len(later) / 2 for column in zip(*later, strict=True)]
        never_blank = all(fields[0] for fields in later) and len(later) > 2

        def is_data(fields: list[str]) -> bool:
            if never_blank and not fields[0]:  # the header of a data frame's index
                return False
            return all(
                _is_figure(entry) or is_missing(entry) for entry, yes in zip(fields, figures, strict=True) if yes
            )

        if not any(figures) or len(rows) == 1:  # words alone
            return cls(delimiter, rows, width, full[0], min(full[0] + 1, len(rows)))
        data = next((k for k in full if is_data(rows[k][1])), len(rows))
        before = [k for k in full if k < data]
        named = [k for k in before if not any(_is_figure(entry) for entry in rows[k][1])]
        if len(named) > 1 and named[-1] == data - 1 and named[-2] == data - 2 and _are_units(rows[named[-1]][1]):
            named.pop()
        header = named[-1] if named else before[-1] if before else None
        if header is None and data > 0:
            header = _short_header(rows, data, width)
        if header is not None and named and before[-1] > header and not _are_units(rows[before[-1]][1]):
            data = before[before.index(header) + 1]  # a word among the numbers of the first row is for others to name
        return cls(delimiter, rows, width, header, data)

    @property
    def fit(self) -> tuple[bool, float, bool]:
        rows = self.rows[self.data :]
        even = sum(len(fields) == self.width for _, fields in rows) / len(rows) if rows else 1.0
        return self.delimiter != BLANKS or self.header is not None, round(even, 2), self.header is not None

    def dialect(self, name: str) -> Dialect:
        notes = []
        first = self.rows[self.data][0] if self.data < len(self.rows) else self.rows[-1][0] + 1
        if self.header is None and self.data > 0 and len(self.rows[self.data - 1][1]) > 1:
            line, fields = self.rows[self.data - 1]
            given = f"{self.width} fields, the header on line {line + 1} has {len(fields)}"
            raise InputError(f"{name}, line {first + 1}: {given}")
        if self.header is None:
            names = [f"column {k + 1}" for k in range(self.width)]
            notes.append(f"{name} has no header: its columns are called {names[0]!r} and so on")
        else:
            names = [entry.strip() for entry in self.rows[self.header][1]]
            names = [""] * (self.width - len(names)) + names  # of row numbers
            line = self.rows[self.header][0]
            if self.header > 0:
                notes.append(f"header on line {line + 1}, what stands before it is left out")
        if self.header is not None and self.data > self.header + 1:
            notes.append(f"line {self.rows[self.header + 1][0] + 1} holds units, left out")
        return Dialect(self.delimiter, names, first, notes)


def _short_header(rows: list[tuple[int, list[str]]], data: int, width: int) -> int | None:
    """The header of a file whose rows begin with their number, as R writes them."""
    first = [fields[0] for _, fields in rows[data:] if fields]
    numbered = first == [str(k + 1) for k in range(len(first))]
    return data - 1 if numbered and len(rows[data - 1][1]) == width - 1 else None


def _split(lines: list[tuple[int, str]], delimiter: str) -> list[tuple[int, list[str]]]:
    lines = [(k, line.lstrip("#% ") if line.startswith(("#", "%")) else line) for k, line in lines]
    if delimiter == BLANKS:
        return [(k, [entry.strip('"') for entry in line.split()]) for k, line in lines]
    reader = csv.reader((line for _, line in lines), delimiter=delimiter, skipinitialspace=True)
    rows = []
    try:
        for fields in reader:
            rows.append((lines[reader.line_num - 1][0], [entry.strip() for entry in fields]))  # noqa: PERF401
    except csv.Error:
        pass  # the whole file is read later, and complains then
    return rows or [(lines[0][0], [lines[0][1]])]


def _is_figure(text: str) -> bool:
    """Tell numbers and dates from words."""
    return bool(_NUMBER.fullmatch(text) or _DATE.fullmatch(text))


def _are_units(fields: list[str]) -> bool:
    """Tell a line of units, (°C) or [m/s], from names."""
    return "" in fields or any(re.fullmatch(r"[(\[].*[)\]]", entry) for entry in fields)
