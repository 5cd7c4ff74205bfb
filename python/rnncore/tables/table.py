"""A table: columns of numbers, times or text under their names, and how to name a row in a message."""

from __future__ import annotations

import csv
import io
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.dialect import BLANKS, Dialect, find_dialect, is_missing
from rnncore.tables.errors import InputError
from rnncore.tables.files import as_text, read_bytes
from rnncore.tables.frames import read_parquet
from rnncore.tables.numbers import as_numbers, converted, needs_text, not_a_number

_MOST_LINES_SHOWN = 1_000  # of a sample


@dataclass(frozen=True)
class Table:
    r"""Columns by name: int64, float64 (NaN: missing), datetime64[ns] (UTC where `zones` has a zone) or text as object.

    >>> table = parse_table("day;load\n2024-01-01;1,5\n2024-01-02;n/a\n", "load.csv")
    >>> table.columns["load"].tolist(), table.where(1)
    ([1.5, nan], 'line 3')
    """

    name: str
    columns: dict[str, Array]
    lines: Array | None = None  # of each row of the source, as an editor counts; None for a frame
    rows: Array | None = None  # of the source; None: all
    zones: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)  # what was told about reading it

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def place(self) -> str:
        """What a row is called: "line" of a file, "row" of a frame."""
        return "row" if self.lines is None else "line"

    def number(self, row: int) -> int:
        """Return the number of a row, to be named after `place`."""
        row = int(row if self.rows is None else self.rows[row])
        return row if self.lines is None else int(self.lines[row])

    def where(self, row: int) -> str:
        """Name a row: "line 8" of a file, "row 6" of a frame."""
        return f"{self.place} {self.number(row)}"

    def place_of_source(self, row: int) -> str:
        """Name a row of the source, whatever rows of it the table has."""
        return f"{self.place} {row if self.lines is None else self.lines[row]}"

    def column(self, name: str, option: str) -> Array:
        """Return the column that an option names."""
        if name not in self.columns:
            raise InputError(f"{option}: {self.name} has no column {name!r}, only {', '.join(self.columns)}")
        return self.columns[name]

    def is_numeric(self, name: str) -> bool:
        """Tell whether a column holds numbers, at least one."""
        values = self.columns[name]
        return values.dtype.kind == "i" or bool(values.dtype.kind == "f" and not np.isnan(values).all())

    def numbers(self, name: str) -> Array:
        """Return a column as float64, NaN where missing; InputError for one of other things."""
        values = self.columns[name]
        if values.dtype.kind == "O":
            mark = self.options.get("decimal", ".")
            row = not_a_number(values, mark)
            if row is None:
                return converted(values, mark)
            raise InputError(f"column {name!r} is not numeric: {self.where(row)} holds {values[row]!r}")
        if values.dtype.kind == "M":
            raise InputError(f"column {name!r} is not numeric: it holds times")
        return values.astype(np.float64)

    def texts(self, name: str) -> Array:
        """Return a column as text, "" where missing."""
        values = self.columns[name]
        if values.dtype.kind == "O":
            return values
        if values.dtype.kind == "i":
            return values.astype(str).astype(object)
        if values.dtype.kind == "M":
            return np.where(np.isnat(values), "", np.datetime_as_string(values)).astype(object)
        return np.array(["" if number != number else f"{number:.12g}" for number in values.tolist()], object)

    def take(self, rows: Sequence[int] | Array) -> Table:
        """Return a table of these rows."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        before = np.arange(len(self)) if self.rows is None else self.rows
        return replace(self, columns=columns, rows=before[rows])


def read_table(source: str | Path | Traversable, decimal: str | None = None) -> Table:
    """Read a CSV file, packed or not, a Parquet file, or standard input for "-".

    Raises InputError if it cannot be read, has no rows, a row has not as many fields as the header, or numbers such as
    2,400 may be read in two ways and `decimal` ("." or ",") does not say which.
    """
    require_pandas()
    content, name = read_bytes(source)
    if content.startswith(b"PAR1"):
        columns, zones = read_parquet(content, name)
        return _checked(Table(name, columns, zones=zones))
    notes: list[str] = []
    return parse_table(as_text(content, name, notes), name, decimal, notes)


def parse_table(text: str, name: str, decimal: str | None = None, notes: Sequence[str] = ()) -> Table:
    """Read a table from the text of a CSV file; name is what messages call it. Raises InputError as `read_table`."""
    require_pandas()
    if text.startswith("\ufeff") or "\r" in text:
        text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    dialect = find_dialect(text, name)
    body = _body(text, dialect.first)
    del text  # files may be large: one copy is enough
    lines = _lines(body, dialect, name) + dialect.first
    if not len(lines):
        raise InputError(f"{name} has a header but no rows")
    columns = _named(_parsed(body, dialect), dialect.names, name)
    found: list[str] = [*notes, *dialect.notes]
    columns = as_numbers(columns, dialect.delimiter, decimal, found)
    return Table(name, columns, lines, notes=found, options={} if decimal is None else {"decimal": decimal})


def require_pandas() -> None:
    """Raise InputError where pandas is not installed."""
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise InputError("reading tables needs pandas: pip install 'rnncore[apps]'") from None


def _body(text: str, first: int) -> bytes:
    """The text from a line on, in UTF-8."""
    at = 0
    for _ in range(first):
        at = text.find("\n", at) + 1
        if at == 0:
            return b""
    return text[at:].encode()


def _lines(body: bytes, dialect: Dialect, name: str) -> Array:
    """Number, counted from 1, of the line on which each row ends; InputError for a row of more or fewer fields."""
    width, delimiter = len(dialect.names), dialect.delimiter
    if delimiter == BLANKS:
        rows = [(k + 1, len(line.split())) for k, line in enumerate(body.split(b"\n")) if line.strip()]
        lines, counts = np.array(rows, np.int64).reshape(-1, 2).T
    elif b'"' in body or width == 1:
        lines, counts = _quoted_lines(body, dialect, name)
    else:
        lines, counts = _plain_lines(body, delimiter.encode())
    wrong = np.flatnonzero(counts != width)
    if wrong.size:
        given = "1 field" if counts[wrong[0]] == 1 else f"{counts[wrong[0]]} fields"
        raise InputError(f"{name}, line {lines[wrong[0]] + dialect.first}: {given}, the header has {width}")
    return lines


def _quoted_lines(body: bytes, dialect: Dialect, name: str) -> tuple[Array, Array]:
    """The last line of each row, and how many fields it has, by the csv module."""
    stream = io.TextIOWrapper(io.BytesIO(body), "utf-8", newline="")
    reader = csv.reader(stream, delimiter=dialect.delimiter, strict=True, skipinitialspace=True)
    lines, counts = array("q"), array("q")
    try:
        for fields in reader:
            if len(fields) > 1 or (fields and fields[0].strip()):
                lines.append(reader.line_num)
                counts.append(len(fields))
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num + dialect.first}: {error}") from None
    return np.array(lines, np.int64), np.array(counts, np.int64)


def _plain_lines(body: bytes, delimiter: bytes) -> tuple[Array, Array]:
    """The same of text without quotes, by counting bytes."""
    marks = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero(marks == ord("\n"))
    if not body.endswith(b"\n"):
        ends = np.append(ends, len(body))
    counts = np.diff(np.searchsorted(np.flatnonzero(marks == ord(delimiter)), ends), prepend=0) + 1
    begins = np.concatenate([[0], ends[:-1] + 1])
    few = np.flatnonzero(counts == 1)  # blank, perhaps
    blank = [k for k in few.tolist() if not body[begins[k] : ends[k]].strip()]
    lines = np.delete(np.arange(1, len(ends) + 1), blank)
    return lines, counts[lines - 1]


def _parsed(body: bytes, dialect: Dialect) -> list[Array]:
    """Columns in order: int64, float64 or object, as pandas' parser finds them."""
    import pandas as pd

    options: dict[str, Any] = {
        "sep": dialect.delimiter,
        "header": None,
        "index_col": False,
        "keep_default_na": False,
        "na_values": [""],
        "skipinitialspace": True,
        "low_memory": False,
    }
    if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1):  # later ones read numbers so by default, and warn
        options["float_precision"] = "round_trip"
    width = len(dialect.names)
    head = pd.read_csv(io.BytesIO(body), nrows=_MOST_LINES_SHOWN, dtype=str, names=range(width), **options)
    kept = {k: str for k in range(width) if needs_text(head[k].fillna("").tolist(), dialect.delimiter)}
    frame = pd.read_csv(io.BytesIO(body), dtype=kept, names=range(width), **options)
    return [_plain(frame[k].to_numpy()) for k in range(width)]


def _plain(values: Array) -> Array:
    """One of the few types that a table has."""
    if values.dtype.kind == "f":
        return values if np.isfinite(values).all() else np.where(np.isfinite(values), values, np.nan)
    if values.dtype.kind == "b":
        return values.astype(np.int64)
    if values.dtype.kind == "u":
        return values.astype(np.float64)
    if values.dtype.kind == "O":
        plain = (entry.strip() if isinstance(entry, str) else "" if entry != entry else str(entry) for entry in values)
        return np.fromiter(plain, object, len(values))
    return values


def _named(columns: list[Array], names: list[str], name: str) -> dict[str, Array]:
    """Columns under their names; the first may have none, as the index of a frame has; empty ones are left out."""
    named: dict[str, Array] = {}
    for k, (column, title) in enumerate(zip(columns, names, strict=True)):
        if not title and k == 0:
            title = next(each for each in ("index", "first column", "column 1") if each not in names)
        if not title:
            if all(is_missing(str(entry)) for entry in column):
                continue
            raise InputError(f"{name}: column {k + 1} has no name in the header")
        named[title] = column
    twice = [title for title, count in Counter(filter(None, names)).items() if count > 1]
    if twice:
        raise InputError(f"{name}: the header names {twice[0]!r} twice")
    return named


def _checked(table: Table) -> Table:
    """Return it; InputError where it has nothing."""
    if not table.columns or not len(table):
        raise InputError(f"{table.name} has no rows")
    return table
