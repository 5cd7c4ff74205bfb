"""Times of the day and offsets in text, and which order of day and month makes sense of them."""

from __future__ import annotations

import re

import numpy as np

from rnncore.arguments import Array
from rnncore.tables.grid import SECOND
from rnncore.tables.stamps import uniques


def clock_of(match: re.Match[str]) -> int | None:
    """Nanoseconds after midnight, 24:00 included; None for what is no time of the day."""
    hour, minute, second = (int(match[part] or 0) for part in "HMS")
    half = (match["half"] or "").lower() if "half" in match.re.groupindex else ""
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    fraction = int((match["f"] or "").ljust(9, "0"))
    if minute > 59 or second > 59 or hour > 24 or (hour == 24 and (minute or second or fraction)):
        return None
    return ((hour * 60 + minute) * 60 + second) * SECOND + fraction


def offset_of(text: str | None) -> int | None:
    """Minutes from UTC."""
    if text is None:
        return None
    if text in "Zz":
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    return (int(digits[:2]) * 60 + int(digits[2:4])) * (-1 if text[0] == "-" else 1)


def sensible_orders(orders: dict[str, Array], clocks: Array, codes: Array) -> dict[str, Array]:
    """Keep the orders in which rows go forward in time, if there are such; then the one of far more even steps."""
    forward = {name: days for name, days in orders.items() if _goes_forward((days + clocks)[codes])}
    orders = forward or orders
    breaks = {name: _unevenness(days + clocks) for name, days in orders.items()}
    least = min(breaks.values())
    return {name: days for name, days in orders.items() if breaks[name] <= 3 * least}


def _goes_forward(instants: Array) -> bool:
    steps = np.diff(instants)
    return bool((steps >= 0).all() or (steps <= 0).all())


def _unevenness(instants: Array) -> float:
    """The longest step over the median one."""
    gaps = np.diff(uniques(instants))
    return float(gaps.max() / np.median(gaps)) if gaps.size else 1.0
