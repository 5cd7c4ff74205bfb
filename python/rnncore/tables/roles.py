"""Which column is a target, which tells series apart, which are covariates: as told, or found where it is plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.dialect import is_missing
from rnncore.tables.errors import InputError
from rnncore.tables.numbers import not_a_number
from rnncore.tables.stamps import uniques
from rnncore.tables.table import Table
from rnncore.tables.time_columns import Times

MAX_CATEGORIES = 12
_GROUP_NAMES = ("unique_id", "group", "series", "series_id", "id", "location", "station", "site", "store", "name")
_MOST_SHOWN = 12  # columns in a message
_TARGET_NAMES = ("target", "y", "value")


@dataclass(frozen=True)
class Roles:
    """What the columns of a table stand for, besides the time."""

    target: tuple[str, ...]
    group: tuple[str, ...]
    numeric: tuple[str, ...]  # covariates
    text: tuple[str, ...]


def find_roles(
    table: Table,
    times: Times,
    target: Sequence[str],
    group: Sequence[str] | None,
    covariates: Sequence[str] | None,
    wanted: Sequence[str],
) -> Roles:
    """Tell the columns apart; adds a note to the table for every choice that was not told, or column left out.

    Covariates None stands for all other columns that serve; those that are wanted have to serve.
    """
    _check_told(table, times, target, group or ())
    if group is None:
        group = _find_group(table, times, target)
    taken = {*times.names, *group}
    rest = [name for name in table.columns if name not in taken]
    numeric = [name for name in rest if table.is_numeric(name)]
    if not target:
        target = [_find_target(table, rest, numeric)]
    chosen = rest if covariates is None else [*covariates, *wanted]
    for name in dict.fromkeys([*(covariates or ()), *wanted]):
        if name in taken or name in target:
            raise InputError(
                f"{name!r} cannot be a covariate, it is the {'target' if name in target else 'time or group'}"
            )
    text = []
    for name in dict.fromkeys(chosen):
        if name in numeric or name in target:
            continue
        count = len({entry for entry in table.texts(name).tolist() if not is_missing(entry)})
        if name in wanted or (1 < count <= MAX_CATEGORIES and count <= len(table) // 10):
            text.append(name)
        else:
            what = "one value" if count == 1 else "no value" if count == 0 else f"{count} different values"
            table.notes.append(f"column {name!r} is not numeric and has {what}: left out")
    numbers = [name for name in numeric if name in chosen and name not in target]
    return Roles(tuple(target), tuple(group), tuple(numbers), tuple(text))


def _check_told(table: Table, times: Times, target: Sequence[str], group: Sequence[str]) -> None:
    for name in target:
        table.column(name, "--target")
        if name in times.names:
            raise InputError(f"--target: {name!r} is the time column")
    for name in group:
        table.column(name, "--group")
        if name in times.names or name in target:
            raise InputError(f"--group: {name!r} is the {'time' if name in times.names else 'target'} column")


def _find_target(table: Table, rest: Sequence[str], numeric: Sequence[str]) -> str:
    named = [name for name in numeric if name.lower() in _TARGET_NAMES]
    if len(named) == 1 or len(numeric) == 1:
        return (named or numeric)[0]
    if not numeric:
        if len(rest) == 1 and not_a_number(table.texts(rest[0])[:1], ".") is None:
            table.numbers(rest[0])  # names the row that is no number
        raise InputError(f"{table.name} has no numeric column to forecast (--target says which)")
    shown, more = ", ".join(numeric[:_MOST_SHOWN]), len(numeric) - _MOST_SHOWN
    shown += f" and {more} more; or --wide, if each is a series" if more > 0 else ""
    raise InputError(f"{table.name}: which column to forecast? Give --target, one of {shown}")


def _find_group(table: Table, times: Times, target: Sequence[str]) -> list[str]:
    """Find the columns that tell series apart: wanted only where time stamps repeat."""
    if "unique_id" in table.columns and "unique_id" not in (*times.names, *target):
        return ["unique_id"]
    instants = times.stamps.values
    alone = len(uniques(instants)) == len(table)
    if alone and (not times.names or (np.diff(instants) > 0).all() or (np.diff(instants) < 0).all()):
        return []
    candidates = [
        name for name in table.columns if name not in times.names and name not in target and _is_label(table, name)
    ]
    if alone:
        return _find_runs(table, instants, candidates)
    for size in (1, 2, 3):
        found = [names for names in combinations(candidates, size) if _tells_apart(table, instants, names)]
        named = [names for names in found if all(name.lower() in _GROUP_NAMES for name in names)]
        if len(named) == 1 or len(found) == 1:
            chosen = list((named or found)[0])
            what = " and ".join(map(repr, chosen))
            table.notes.append(f"time stamps repeat: one series for each value of {what} (--group)")
            return chosen
        if found:
            break
    return []


def _find_runs(table: Table, instants: Array, candidates: Sequence[str]) -> list[str]:
    """Find the one column within whose values rows go forward, where no time is there twice: series that begin anew."""
    found = []
    for name in candidates:
        codes = codes_of(table, name)
        order = np.argsort(codes, kind="stable")
        forward = (np.diff(instants[order]) > 0) | (np.diff(codes[order]) != 0)
        if forward.all() and np.bincount(codes).min() > 2:
            found.append(name)
    if len(found) != 1:
        return []
    table.notes.append(f"times go forward within each value of {found[0]!r}: one series for each (--group)")
    return found


def _tells_apart(table: Table, instants: Array, names: Sequence[str]) -> bool:
    codes = np.stack([instants, *(codes_of(table, name) for name in names)], axis=1)
    return len(np.unique(codes, axis=0)) == len(table)


def codes_of(table: Table, name: str) -> Array:
    """Number the different values of a column."""
    _, codes = np.unique(table.texts(name).astype(str), return_inverse=True)
    return codes.astype(np.int64)


def _is_label(table: Table, name: str) -> bool:
    """Tell a label from a measurement: numbers with a fraction, or nearly as many values as rows."""
    values = table.columns[name]
    if values.dtype.kind == "M" or (values.dtype.kind == "f" and (values % 1 != 0).any()):
        return False
    return len(np.unique(table.texts(name).astype(str))) <= len(table) // 2
