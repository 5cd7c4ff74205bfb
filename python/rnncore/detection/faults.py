"""Faults put into clean signals, by seed: the truth is known, and a detector can be measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnncore.arguments import Array

__all__ = ["CHANGE_OF_RATE", "INJECTED", "Fault", "inject"]

INJECTED = ("spike", "level shift", "drift", "stuck", "noise")
CHANGE_OF_RATE = "change of rate"  # only of signals that swing, and so by name
_ROWS = {
    "spike": (1, 3), "level shift": (40, 80), "drift": (60, 100), "stuck": (60, 120), "noise": (40, 80),
    CHANGE_OF_RATE: (400, 600),
}  # fmt: skip
_SIZES = {
    "spike": (4, 8), "level shift": (2, 4), "drift": (3, 5), "stuck": (0, 0), "noise": (1, 2),
    CHANGE_OF_RATE: (1.5, 2),
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """Rows [begin, end) of one channel that are not as they were."""

    kind: str
    channel: int
    begin: int
    end: int
    size: float  # in spreads of the channel; how many times faster or slower


def inject(
    values: Array, spread: Array, seed: int, every: int, kinds: tuple[str, ...] = INJECTED
) -> tuple[Array, list[Fault]]:
    """Return a copy of values (T, C) with a fault in every so many rows, and the faults.

    A fault is of one channel, its kind, length, size and place drawn by the seed. In spreads of the channel (C,): a
    spike is 4 to 8 high and 1 to 3 rows long, a level shift 2 to 4 for 40 to 80 rows, a drift grows to 3 to 5 within
    60 to 100 rows, noise has 1 to 2 for 40 to 80 rows; a stuck channel repeats its value for 60 to 120 rows. A change
    of rate, if `kinds` asks for it, makes a channel go 1.5 to 2 times faster or slower for 400 to 600 rows.

    >>> import numpy as np
    >>> y, faults = inject(np.zeros((1000, 2)), np.ones(2), seed=0, every=300)
    >>> len(faults), bool((y[faults[0].begin : faults[0].end, faults[0].channel] != 0).any())
    (3, True)
    """
    rng = np.random.default_rng(seed)
    source, values, faults = values, values.copy(), []
    order: list[str] = []
    for start in range(0, len(values) - every + 1, every):
        order = order or [str(kind) for kind in rng.permutation(kinds)]
        kind, channel = order.pop(), int(rng.integers(values.shape[1]))
        low, high = _ROWS[kind]
        length = min(int(rng.integers(low, high + 1)), every // 2)
        begin = start + int(rng.integers(every // 8, every - length - every // 8 + 1))
        size = float(rng.uniform(*_SIZES[kind]) * rng.choice([-1, 1]))
        part, amount = values[begin : begin + length, channel], size * spread[channel]
        if kind == "stuck":
            part[:] = part[0]
        elif kind == "noise":
            part += rng.normal(scale=abs(amount), size=length)
        elif kind == CHANGE_OF_RATE:
            faster = size > 0 and begin + size * length < len(source)
            taken = begin + np.arange(length) * (abs(size) if faster else 1 / abs(size))
            part[:] = np.interp(taken, np.arange(len(source)), source[:, channel])
        else:
            part += amount * (np.arange(1, length + 1) / length if kind == "drift" else 1.0)
        faults.append(Fault(kind, channel, begin, begin + length, abs(size)))
    return values, faults
