"""Dropout: one 64-bit key per forward call, from which the engine draws the mask, and draws it again in backward."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnncore import _core, arguments
from rnncore.arguments import Array, Seed
from rnncore.layers.module import Gradients, Module

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

    def take_back(self, count: int) -> None:
        """Undo a call that would not be: `count` keys were drawn before it, and no other thread has drawn since."""
        with self._lock:
            if self._count == count + 1:
                self._count = count

    @property
    def count(self) -> int:
        """How many keys were drawn."""
        return self._count

    def go_to(self, count: int) -> None:
        """Go to where so many keys were drawn."""
        self._count = count

    def __getstate__(self) -> dict[str, Any]:
        return {"_seed": self._seed, "_count": self._count}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class DropoutCache:
    """What `Dropout.forward` keeps for `backward`: not the mask, but what it is drawn from."""

    _owner: Dropout
    _p: float
    _key: int


class Dropout(Module):
    r"""In training mode `forward` zeroes each element with probability p; the others grow by 1 / (1 - p).

    Whether an element stays depends on the seed, the number of the call and the element's place alone: not on threads,
    and not on what other layers draw (Srivastava et al. 2014; counter-based numbers: Steele et al. 2014).

    Parameters
    ----------
    p
        Between 0 and 1.
    dtype
        "float32" or "float64".
    seed
        For `numpy.random.default_rng`.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> drop = rnncore.Dropout(0.5, seed=0)
    >>> y, cache = drop.forward(np.ones((2, 4)))
    >>> sorted({float(value) for value in y.ravel()})
    [0.0, 2.0]
    >>> bool((drop.backward(cache, np.ones((2, 4))).x == y).all())
    True
    >>> drop(np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    p: float
    _in_sequence = True
    _fixed = Module._fixed | {"p"}
    _keys: DropoutKeys

    def __init__(self, p: float = 0.5, *, dtype: DTypeLike = "float32", seed: Seed = None) -> None:
        self._set(p=arguments.check_dropout(p))
        self._allocate([], arguments.check_dtype(dtype))
        self._keys = DropoutKeys(int(np.random.default_rng(seed).integers(1 << 64, dtype=np.uint64)))
        self.train()

    def __call__(self, x: ArrayLike) -> Array:
        """Return x itself, as numbers of the layer's dtype."""
        return arguments.as_real(x, "x", self.dtype)

    def forward(self, x: ArrayLike) -> tuple[Array, DropoutCache]:
        """Drop out in training mode, with a new mask in each call; return a cache for `backward` too."""
        values = arguments.as_real(x, "x", self.dtype)
        if not self.training or self.p == 0:
            return values, DropoutCache(self, 0.0, 0)
        key = self._keys.next()
        return _drop(values, self.p, key), DropoutCache(self, self.p, key)

    def backward(
        self, cache: DropoutCache, dy: ArrayLike, *, input_gradient: bool = True, add_to: Array | None = None
    ) -> Gradients:
        """Return the gradient by x. There are no parameters: add_to is there for the sake of the protocol."""
        arguments.check_owner(cache, self)
        d_output = arguments.as_real(dy, "dy", self.dtype)
        total = np.zeros(0, self.dtype) if add_to is None else add_to
        if not input_gradient:
            return Gradients(None, total, self._layout)
        return Gradients(_drop(d_output, cache._p, cache._key) if cache._p else d_output, total, self._layout)

    @property
    def _drops(self) -> bool:
        return self.p > 0

    def __repr__(self) -> str:
        return self._text(f"p={self.p}")


def _drop(values: Array, p: float, key: int) -> Array:
    source = np.ascontiguousarray(values)
    dropped = np.empty_like(source)
    _core.drop(source, dropped, p, key)
    return dropped
