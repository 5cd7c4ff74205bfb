"""Wording that several notes share."""

from __future__ import annotations


def count(number: int, what: str) -> str:
    """Say how many: 1 day, 3 days; steps whose name has a number become steps."""
    if number == 1:
        return f"1 {what}"
    return f"{number} steps of {what}" if what[0].isdigit() else f"{number} {what}s"
