"""What a recurrent layer's forward call keeps for its backward one, and what that returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from rnncore._core import Cache as EngineCache
from rnncore._core import Network
from rnncore.arguments import Array
from rnncore.layers.forms import State
from rnncore.layers.module import Gradients


@dataclass(slots=True, eq=False)
class Cache:
    """What `forward` keeps for `backward`: opaque, unchanged by it, and good for any number of calls."""

    _owner: Network
    _engine: EngineCache
    _steps: int
    _rows: int
    _batched: bool
    _distinct: int | None  # of an input by number
    _batch_sizes: Array | None = None  # of a packed batch

    @property
    def nbytes(self) -> int:
        """The bytes that it keeps, those of x, hx and y apart; 0 once it is released."""
        return self._engine.nbytes

    def release(self) -> None:
        """Give the memory back now. A later `backward` raises ValueError."""
        self._engine.release()


@dataclass(frozen=True, slots=True, eq=False)
class RecurrentGradients(Gradients, Generic[State]):
    """The gradients of a recurrent layer."""

    hx: State
    """The gradient by the initial state, in the form of the state."""
