"""The regular steps on which time stamps lie: whole, or nearly, or not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.errors import InputError
from rnncore.tables.grid import DAY, SECOND, Grid, to_local
from rnncore.tables.holidays import find_holidays, working_week
from rnncore.tables.stamps import Stamps, uniques

SNAP = 0.4  # of a step: stamps so near to a grid are moved onto it, if each has a place of its own
_MONTH_SPANS = ((1, 28, 31), (2, 59, 62), (3, 89, 92), (6, 181, 184), (12, 365, 366))  # months, days at least, at most
_EVEN = sorted(
    [k * unit for unit in (1, 1_000, 1_000_000) for k in (1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500)]
    + [k * SECOND for k in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)]
    + [k * 60 * SECOND for k in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)]
    + [k * 3600 * SECOND for k in (1, 2, 3, 4, 6, 8, 12)]
    + [DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY]
)
_LEAST_FULL = 0.8  # of the steps, where irregular stamps are gathered


def find_grid(stamps: Stamps, series: list[Array]) -> Grid:
    """Find the grid of all series; each holds the rows of one in order of time.

    Raises InputError if no series has two time stamps. The grid's steps may lie apart from the stamps: see `places`.
    """
    values = [uniques(stamps.values[rows]) for rows in series]
    if not any(len(each) > 1 for each in values):
        raise InputError("too few rows: no series has two time stamps")
    if not stamps.calendar:
        step = best_step(values)
        return Grid("index", origin_of(values, step), step)
    local = [uniques(stamps.local[rows]) for rows in series]
    clocks = uniques(np.concatenate(local).astype(np.int64) % DAY)
    if len(clocks) == 1:
        return replace(_grid_of_dates(stamps, [each // DAY for each in local], int(clocks[0])), zone=stamps.zone)
    step = best_step(values)
    return Grid("time", int(origin_of(values, step, stamps.zone)), step, zone=stamps.zone)


def _grid_of_dates(stamps: Stamps, days: list[Array], of_day: int) -> Grid:
    """A grid of days, workdays, weeks, months, quarters or years."""
    first = int(min(each[0] for each in days))
    monthly = _monthly(days)
    if monthly is not None:
        style = stamps.style if stamps.style == {3: "quarter", 12: "year"}.get(int(monthly.step)) else ""
        return replace(monthly, of_day=of_day, style=style)
    every = uniques(np.concatenate(days))
    week = working_week(every)
    if week is not None:
        workdays = Grid("business", 0, 1, of_day=of_day, week=week, holidays=find_holidays(every, week))
        return workdays.shifted(int(workdays.positions(np.array([first * DAY]))[0]))
    step = max(1, round(best_step([each * DAY for each in days]) / DAY))
    style = stamps.style if stamps.style == "week" and step == 7 else ""
    turn = np.bincount((np.concatenate(days) - first) % step).argmax()  # where most stamps stand
    return Grid("day", first + (int(turn) if turn <= step / 2 else int(turn) - step), step, of_day=of_day, style=style)


def _monthly(days: list[Array]) -> Grid | None:
    """Steps of whole months: stamps on one day of the month, at its end, or on its first or last workday."""
    gaps = np.concatenate([np.diff(each) for each in days])
    span = next((span for span, least, most in _MONTH_SPANS if least <= np.median(gaps) <= most), None)
    if span is None or (len(gaps) > 2 and span < 12 and np.ptp(gaps) == 0):
        return None
    dates = uniques(np.concatenate(days)).astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    for each in days:
        if len(uniques(each.astype("datetime64[D]").astype("datetime64[M]"))) < len(each):
            return None
    of_month = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1
    first = int(months.min().astype(np.int64))
    since: Array = months.astype(np.int64) - first
    if (since % span != 0).any():
        return None
    for day, workday in ((int(of_month[0]), False), (31, False), (1, True), (31, True)):
        grid = Grid("month", first, span, day=day, workday=workday)
        if (grid.instants(since // span) // DAY == dates.astype(np.int64)).all():
            return grid
    return Grid("month", first, span)


def best_step(values: list[Array]) -> float:
    """Return the distance that fits best: the commonest, a usual one near the median, or that of a line through all."""
    gaps = np.concatenate([np.diff(each) for each in values])
    sizes, counts = np.unique(gaps, return_counts=True)
    common = sizes[np.argmax(counts)].item()
    median = float(np.median(gaps))
    near = min(_EVEN, key=lambda step: abs(np.log(step / median)))
    tries = [common, _fitted(values, median)]
    if abs(near / median - 1) < 0.1:
        tries.insert(1 if counts.max() > 0.9 * len(gaps) else 0, near)
    for step in tries:
        if all(fits(each, step) for each in values):
            return _tidy(step, values)
    return _tidy(common if counts.max() > 0.5 * len(gaps) else _full_enough(values, median), values)


def _full_enough(values: list[Array], median: float) -> float:
    """A usual step, near the median or longer, in which most steps have a stamp."""
    tens = 10 ** np.floor(np.log10(median))
    steps = _EVEN if median > 1_000 and values[0].dtype.kind == "i" else [k * tens for k in (1, 2, 5, 10, 20, 50, 100)]
    for step in steps:
        if step >= 0.9 * median:
            places = [np.rint((each - each[0]) / step) for each in values]
            if sum(len(uniques(each)) for each in places) >= _LEAST_FULL * sum(each[-1] + 1 for each in places):
                return step
    return min(steps, key=lambda step: abs(np.log(step / median)))


def fits(values: Array, step: float) -> bool:
    """Tell whether sorted stamps lie near to even steps, each at one of its own."""
    places, off = _places(values, step)
    return bool((np.abs(off) <= SNAP).all() and (np.diff(places) > 0).all())


def _places(values: Array, step: float) -> tuple[Array, Array]:
    """The nearest steps of stamps, and how far off they are, where the mean of all is off by nothing."""
    exact = (values - values[0]) / step
    exact = exact - np.angle(np.exp(2j * np.pi * exact).mean()) / (2 * np.pi)
    whole: Array = np.rint(exact)
    return whole, exact - whole


def origin_of(values: list[Array], step: float, zone: str | None = None) -> float:
    """Return where the first step stands: on a round time, if stamps are as near to that as to their mean."""
    first: float = min(each[0] for each in values).item()
    everything = np.sort(np.concatenate(values))
    places, off = _places(everything, step)
    spread = np.abs(off).max() * step
    if spread <= 1e-6 * step:
        return first
    mean = first - (off[0] + places[0]) * step
    ahead = int(to_local(np.array([first]), zone)[0]) - first
    even = round((mean + ahead) / step) * step - ahead
    return float(even) if abs(even - mean) <= spread else float(mean)


def _fitted(values: list[Array], step: float) -> float:
    """The slope of the stamps over their numbers, which are rounded again as it changes."""
    longest = max(values, key=len)
    since = (longest - longest[0]).astype(np.float64)
    for _ in range(5):
        numbers = np.concatenate([[0], np.cumsum(np.maximum(1, np.rint(np.diff(since) / step)))])
        step = float(np.polyfit(numbers, since, 1)[0])
    return step


def _tidy(step: float, values: list[Array]) -> float:
    """The roundest number that fits as well, or a second over a whole number."""
    if step % 1 == 0 and step in _EVEN:
        return int(step)
    worst = max(float(np.abs(_places(each, step)[1]).max()) for each in values)
    for digits in range(1, 13):
        rounded = float(f"{step:.{digits}g}")
        if all(fits(each, rounded) and np.abs(_places(each, rounded)[1]).max() <= worst + 0.01 for each in values):
            break
    rate = SECOND / step
    if 1 <= rate < 1e5 and abs(rate - round(rate)) < 1e-5 * rate:
        rounded = SECOND / round(rate)
    return int(rounded) if rounded % 1 == 0 else rounded
