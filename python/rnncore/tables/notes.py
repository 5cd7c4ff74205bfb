"""Wording that notes and reports share."""

from __future__ import annotations


def plural(number: int, what: str) -> str:
    """1 day, 7 days; 1 step of 15 minutes, 4 steps of 15 minutes."""
    if number == 1:
        return f"1 step of {what}" if what[0].isdigit() else f"1 {what}"
    return f"{number} {several(what)}"


def several(what: str) -> str:
    """Many of them: days; steps of 15 minutes, or of 0.1."""
    if what.startswith("step of "):
        return what.replace("step", "steps", 1)
    return f"steps of {what}" if what[0].isdigit() else f"{what}s"
