"""A CSV file as columns of text, with the line that each row stands on."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.errors import InputError

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "?"})  # compared in lower case
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Table:
    """Columns of text under their names, stripped of blanks around them."""

    name: str
    columns: dict[str, list[str]]
    lines: list[int]  # of each row, as an editor counts
    decimal_comma: bool = False
    notices: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str, option: str) -> list[str]:
        """Return the column that an option names."""
        if name not in self.columns:
            raise InputError(f"{option}: {self.name} has no column {name!r}, only {', '.join(self.columns)}")
        return self.columns[name]

    def numbers(self, name: str) -> Array:
        """Return the column as float64, NaN where a value is missing or infinite; InputError for other text."""
        values = np.full(len(self), np.nan)
        for row, text in enumerate(self.columns[name]):
            if text.lower() in MISSING:
                continue
            try:
                values[row] = float(text.replace(",", ".") if self.decimal_comma else text)
            except ValueError:
                raise InputError(f"column {name!r} is not numeric: line {self.lines[row]} holds {text!r}") from None
        values[~np.isfinite(values)] = np.nan
        return values

    def take(self, rows: list[int]) -> Table:
        """Return a table of these rows."""
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return Table(self.name, columns, [self.lines[row] for row in rows], self.decimal_comma, self.notices)


def read_table(source: str | Path | Traversable) -> Table:
    """Read a CSV file with a header: UTF-8; comma, semicolon, tab or bar between the fields.

    Raises InputError if it cannot be read, has no rows, or a row has not as many fields as the header.
    """
    path = Path(source) if isinstance(source, str) else source
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 text: byte {error.start} does not belong to it") from None
    return parse_table(text, path.name)


def parse_table(text: str, name: str) -> Table:
    """Read a table from text; name is what messages call it. Raises InputError as `read_table`."""
    first_line = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for fields in reader:
            if any(entry.strip() for entry in fields):  # not a blank line
                rows.append([entry.strip() for entry in fields])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: {error}") from None
    if not rows:
        raise InputError(f"{name} is empty")
    header = rows.pop(0)
    lines.pop(0)
    _check_header(header, name)
    if not rows:
        raise InputError(f"{name} has a header but no rows")
    for line, fields in zip(lines, rows, strict=True):
        if len(fields) != len(header):
            raise InputError(f"{name}, line {line}: {_count(len(fields), 'field')}, the header has {len(header)}")
    columns = {column: [fields[k] for fields in rows] for k, column in enumerate(header)}
    return Table(name, columns, lines, decimal_comma=delimiter != "," and _has_decimal_commas(columns))


def _check_header(header: list[str], name: str) -> None:
    if "" in header:
        raise InputError(f"{name}: column {header.index('') + 1} has no name in the header")
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        raise InputError(f"{name}: the header names {twice[0]!r} twice")


def _has_decimal_commas(columns: dict[str, list[str]]) -> bool:
    """Tell whether some column is numeric only if the comma is its decimal point."""
    for values in columns.values():
        given = [value for value in values if value.lower() not in MISSING]
        if any("," in value for value in given) and all(_is_number(value.replace(",", ".")) for value in given):
            return True
    return False


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
