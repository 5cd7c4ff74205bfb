"""What commands that read a table have in common: options of the data, and outputs that never replace an input."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from rnncore.tables.errors import InputError


def add_reading_options(data: argparse._ArgumentGroup) -> None:
    """Add the options that say how a file is read and what its columns are."""
    data.add_argument(
        "--time", metavar="COLUMN", action="append", help="time stamps (repeat it for a date and an hour, or parts)"
    )
    data.add_argument("--group", metavar="COLUMN", action="append", help="tells series apart (may be repeated)")
    data.add_argument("--only", metavar="VALUE", action="append", default=[], help="use this group (may be repeated)")
    data.add_argument("--time-format", metavar="FORMAT", help="of the time stamps, as %%d.%%m.%%Y; default: found")
    order = data.add_mutually_exclusive_group()
    order.add_argument("--dayfirst", action="store_true", default=None, help="01/02/2024 is the first of February")
    order.add_argument("--monthfirst", dest="dayfirst", action="store_false", help="01/02/2024 is January, the second")
    data.add_argument("--timezone", metavar="ZONE", help="of times without an offset, as Europe/Berlin")
    data.add_argument("--decimal", choices=(".", ","), help="the decimal mark, where the file does not tell")


def reading_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `build_panel` wants to know; `--decimal` is for `read_table`."""
    names = ("time", "group", "only", "time_format", "dayfirst", "timezone")
    return {name: getattr(arguments, name) for name in names}


def check_outputs(inputs: Sequence[str | Path | Traversable | None], outputs: Mapping[str, str | Path | None]) -> None:
    """Find out before the work is done whether every output, by its option, can be written; leaves no trace.

    Raises InputError for one that is an input, or the same as another output, or lies where nothing can be written.
    """
    wanted = {option: Path(path) for option, path in outputs.items() if path is not None}
    for option, path in wanted.items():
        for source in inputs:
            if isinstance(source, (str, Path)) and _same(path, Path(source)):
                raise InputError(f"{option}: {path} is an input, which is never overwritten")
        twin = next((other for other in wanted if other != option and _same(path, wanted[other])), None)
        if twin is not None:
            raise InputError(f"{option} and {twin} name the same file, {path}")
        check_writable(path, option)


def check_writable(path: Path, option: str) -> None:
    """Raise InputError for a path that cannot be written."""
    there = path.exists()
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise InputError(f"{option}: cannot write {path}: {error.strerror or error}") from None
    if not there:
        path.unlink()


def _same(one: Path, other: Path) -> bool:
    """Tell whether two paths are one file, by another name or link too."""
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return one.resolve() == other.resolve()
