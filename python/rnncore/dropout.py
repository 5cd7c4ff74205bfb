"""Keys of dropout: one 64-bit number per forward call, from which the engine draws the mask again in backward."""

from __future__ import annotations

import threading
from typing import Any

_GOLDEN = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


class DropoutKeys:
    """An endless sequence of keys that depends on a seed alone; threads may share it.

    >>> keys, twin = DropoutKeys(7), DropoutKeys(7)
    >>> [keys.next(), keys.next()] == [twin.next(), twin.next()]
    True
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        """Return the next key: SplitMix64 (Steele, Lea and Flood, 2014) of the seed and the number of the call."""
        with self._lock:
            self._count += 1
            count = self._count
        z = (self._seed + count * _GOLDEN) & _WORD
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
        return z ^ (z >> 31)

    def __getstate__(self) -> dict[str, Any]:
        return {"_seed": self._seed, "_count": self._count}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
