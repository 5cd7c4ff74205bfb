"""Dates and clocks in text: one regular expression for each usual spelling."""

from __future__ import annotations

import re

_MONTH_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
MONTHS = {name: k + 1 for k, name in enumerate(_MONTH_NAMES)} | {
    "mär": 3, "mrz": 3, "mai": 5, "okt": 10, "dez": 12, "janv": 1, "févr": 2, "avr": 4, "juin": 6, "juil": 7, "août": 8,
    "déc": 12, "ene": 1, "abr": 4, "ago": 8, "dic": 12,
}  # fmt: skip
_NAME = r"(?P<name>[^\W\d_]{3,10})\.?"
_CLOCK = (
    r"(?:(?:T|[ ,:]+|, at )(?P<H>\d{1,2})(?:[:.h](?P<M>\d{2})(?:[:.](?P<S>\d{2})(?:[.,](?P<f>\d{1,9})\d*)?)?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?(?: ?Uhr)?)?"
)
_COMPACT_CLOCK = r"(?:[T _-]?(?P<H>\d{2}):?(?P<M>\d{2}):?(?P<S>\d{2})?(?:[.,](?P<f>\d{1,9})\d*)?)?"
_OFFSET = r"(?: ?(?P<offset>[-+]\d{2}(?::?\d{2})?(?::?\d{2})?|Z|z)(?:\[[\w/+-]+\])?)?"
_DAY_NAME = r"(?:[^\W\d_]{2,10}\.?,? +)?"


def _spelling(date: str, clock: str = _CLOCK + _OFFSET) -> re.Pattern[str]:
    return re.compile(date + clock)


QUARTER = re.compile(
    r"(?P<y>\d{4})[-:/ ]?[Qq](?P<q>[1-4])|[Qq](?P<q2>[1-4])[-:/ ]?(?P<y2>\d{4})|(?P<q3>[1-4])[Qq] ?(?P<y3>\d{4})"
)
WEEK = re.compile(r"(?P<y>\d{4})[-/ ]?(?:W|KW|w)-?(?P<w>\d{1,2})(?:-?(?P<d>[1-7]))?")
YEAR_FIRST = _spelling(r"(?P<y>\d{4})(?P<mark>[-/. ])(?P<m>\d{1,2})(?P=mark)(?P<d>\d{1,2})")
COMPACT = _spelling(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})", _COMPACT_CLOCK + _OFFSET)
THREE = _spelling(_DAY_NAME + r"(?P<a>\d{1,2})(?P<mark>[-/.]) ?(?P<b>\d{1,2})(?P=mark) ?(?P<c>\d{4}|\d{2})")
NAMED = (
    _spelling(_DAY_NAME + rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th|\.)?[-/ ]?{_NAME}[-/ ,]*(?P<y>\d{{4}}|\d{{2}})"),
    _spelling(_DAY_NAME + rf"{_NAME} *(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,? +(?P<y>\d{{4}})"),
    _spelling(rf"(?P<y>\d{{4}})[-/ ]{_NAME}[-/ ](?P<d>\d{{1,2}})"),
    re.compile(_DAY_NAME + rf"{_NAME} +(?P<d>\d{{1,2}}){_CLOCK}{_OFFSET} (?P<y>\d{{4}})"),
)
MONTH = (
    re.compile(r"(?P<y>\d{4})[-/.: ]?M?(?P<m>\d{1,2})"),
    re.compile(r"(?P<m>\d{1,2})[-/.](?P<y>\d{4})"),
    re.compile(rf"{_NAME}[-/ ,']*(?P<y>\d{{4}}|\d{{2}})"),
    re.compile(rf"(?P<y>\d{{4}})[-/ ]?{_NAME}"),
)
CLOCK = re.compile(
    r"(?:HE ?)?(?P<H>\d{1,2})(?:[:.h]?(?P<M>\d{2})(?:[:.]?(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
CLOCK_ALONE = re.compile(r"(?P<H>\d{1,3}):(?P<M>\d{2})(?::(?P<S>\d{2}(?:\.\d+)?))?")
ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}(?::\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?)?(?P<offset>Z|[-+]\d{2}:?\d{2})?")
