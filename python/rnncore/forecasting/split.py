"""Where training ends: by default the last full calendar year is held out, else the last quarter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnncore.tables import Grid, InputError, Panel, position_of

_SHARE = 0.25
_MOST_SHARE = 0.4
_LEAST_STEPS = 50  # in a year that is held out: a quarter of the series is better than twelve months
_LEAST_TRAINING = 30  # values of the target before a split
_LEAST_SCORED = 5  # behind it


@dataclass(frozen=True)
class Split:
    """Training lies before `position`; `why` says how it was chosen."""

    position: int
    label: str
    why: str


def choose_split(panel: Panel, told: str | None = None, windows: int = 0, horizon: int = 1) -> Split:
    """Return the position where scoring begins: told as a time stamp, or as windows of a horizon at the end."""
    first, end = panel.span
    if windows:
        position, least = end - windows * horizon, _LEAST_TRAINING + horizon
        if position < first + least:
            raise InputError(
                f"--cv {windows}: so many windows of {horizon} steps need at least {end - position + least} steps, "
                f"there are {end - first}"
            )
        why = f"the last {windows} windows of {horizon} steps are scored"
        return Split(position, panel.grid.label(max(first, position)), why)
    if told is not None:
        position = position_of(panel.schema, told, "--test-from")
        if not first < position < end:
            span = f"{panel.grid.label(first)} to {panel.grid.label(end - 1)}"
            raise InputError(f"--test-from {told} leaves nothing to train on or to score: the file spans {span}")
        return Split(position, panel.grid.label(position), "as told")
    year = _last_full_year(panel.grid, first, end) if panel.grid.calendar else None
    if year is not None:
        return Split(year, panel.grid.label(year), "the last full year is held out")
    position = end - max(1, round(_SHARE * (end - first)))
    return Split(position, panel.grid.label(position), f"the last {_SHARE:.0%} are held out")


def _last_full_year(grid: Grid, first: int, end: int) -> int | None:
    """Return the position of its first step; None unless two full years, and most of the series, stand before it."""
    begin, stop = grid.local([first, end])
    year = stop.astype("datetime64[Y]") - 1
    if (year - 2).astype("datetime64[ns]") < begin:
        return None
    position = int(np.ceil(grid.at_local(np.array([year]))[0]))
    return position if _LEAST_STEPS <= end - position <= _MOST_SHARE * (end - first) else None


def with_training(panel: Panel, split: Split, horizon: int) -> tuple[Panel, list[str]]:
    """Return the series that have enough values before the split, and the names of the others.

    Raises InputError if there is too little before or behind the split, where the test part begins.
    """
    known = [~np.isnan(each.y) for each in panel]
    before = [there & (each.positions < split.position) for there, each in zip(known, panel, strict=True)]
    count = np.array([int(there.sum()) for there in before])
    kept = np.flatnonzero(count >= max(10, 2 * horizon)).tolist()
    scored = sum(int((known[n] & ~before[n]).sum()) for n in kept)
    target, least = panel.schema.target[0], _LEAST_TRAINING + horizon
    if int(count[kept].sum()) < least:
        raise InputError(
            f"too few rows: {int(count.sum())} values of {target!r} before {split.label}, where the test part begins; "
            f"at least {least} are needed for {horizon} steps ahead"
        )
    if scored < _LEAST_SCORED:
        raise InputError(
            f"too few rows: {scored} values of {target!r} from {split.label} on, where the test part begins; "
            f"at least {_LEAST_SCORED} are needed"
        )
    if all(np.ptp(panel.series[n].y[before[n]]) == 0 for n in kept):
        raise InputError(f"target {target!r} never changes before {split.label}: there is nothing to learn")
    return panel.take(kept), [name for n, name in enumerate(panel.names) if n not in kept]
