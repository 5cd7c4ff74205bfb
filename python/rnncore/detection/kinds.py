"""Names of what goes wrong, in the order of the monitor (src/rnncore/detection/monitor.hpp), and the choice of one.

An alarm begins with what its first row shows. What it is can only be told when it lasts: a spike is over at once, a
level shift stays. `settle` looks at the evidence since the alarm began.
"""

from __future__ import annotations

import numpy as np

from rnncore.arguments import Array

__all__ = ["EVIDENCE", "KINDS", "settle"]

# what the monitor's evidence is of: forecasts, then its statistics
EVIDENCE = ("forecast", "value", "level", "trend", "roughness", "spread", "repeats", "gap")
KINDS = ("spike", "level shift", "drift", "noise", "stuck", "missing data", "pattern")

_OF_STATISTIC = {
    "value": "spike", "level": "level shift", "trend": "drift", "roughness": "noise", "spread": "stuck",
    "repeats": "stuck", "gap": "missing data",
}  # fmt: skip


def settle(evidence: str) -> str:
    """Return the kind of what an evidence shows by itself."""
    return _OF_STATISTIC.get(evidence, "pattern")
