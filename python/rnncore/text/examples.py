"""Parallel sentences made by a seed: numbers in words to digits, and dates in many spellings to ISO dates."""

from __future__ import annotations

import datetime
import re

import numpy as np

from rnncore.arguments import Seed

__all__ = ["Pairs", "numbers_and_dates"]

Pairs = list[tuple[str, str]]

_ONES: list[str] = re.findall(
    r"\w+",
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen
    """,
)
_TENS: list[str] = re.findall(r"\w+", "twenty thirty forty fifty sixty seventy eighty ninety")
_MONTHS: list[str] = re.findall(
    r"\w+", "january february march april may june july august september october november december"
)


def in_words(number: int) -> str:
    """Write a number below a million in words.

    >>> in_words(4_012), in_words(99)
    ('four thousand twelve', 'ninety nine')
    """
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10 - 2] + (f" {_ONES[number % 10]}" if number % 10 else "")
    size, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    rest = f" {in_words(number % size)}" if number % size else ""
    return f"{in_words(number // size)} {name}{rest}"


def numbers_and_dates(count: int, *, seed: Seed = 0) -> Pairs:
    """Return pairs (source, target), half of them numbers and half dates; targets are spelled digit by digit.

    >>> numbers_and_dates(2, seed=3)[0]
    ('twenty four', '2 4')
    """
    generator = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        if generator.random() < 0.5:
            number = int(10 ** generator.uniform(0, 5.9))
            source, target = in_words(number), str(number)
        else:
            day = datetime.date(1900, 1, 1) + datetime.timedelta(days=int(generator.integers(0, 60_000)))
            month, th = _MONTHS[day.month - 1], _ordinal(day.day)
            spellings = (
                f"{month} {day.day} {day.year}",
                f"{day.day} {month} {day.year}",
                f"{day.day}{th} of {month} {day.year}",
                f"{month[:3]} {day.day} {day.year}",
                f"{day.month} / {day.day} / {day.year}",
                f"the {day.day}{th} day of {month} in {day.year}",
            )
            source, target = spellings[generator.integers(len(spellings))], day.isoformat()
        pairs.append((source, " ".join(target)))
    return pairs


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
