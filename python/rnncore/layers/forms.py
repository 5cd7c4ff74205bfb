"""The arrays of a recurrent layer as its calls take and give them: a state is one array, or (h, c)."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from rnncore import arguments
from rnncore._core import Network
from rnncore.arguments import Array, Shape
from rnncore.layers.module import Module
from rnncore.layers.state import State as NamedState
from rnncore.layers.state import network_name

State = TypeVar("State", Array, tuple[Array, Array])

_NUMBERS = ("no", "one", "two", "three", "four")


class Stateful(Module, Generic[State]):
    """What a recurrent layer knows of the form of its arrays."""

    input_size: int
    hidden_size: int
    num_layers: int
    batch_first: bool
    proj_size: int

    _network: Network
    _width: int  # D*P
    _state_axis: int  # L*D
    _state_names: tuple[str, ...]
    _state_sizes: tuple[int, ...]  # of h: P, or H where nothing is projected; of c: H

    @property
    def state_names(self) -> tuple[str, ...]:
        """The arrays of the state in their order: h first; (h, c) of an LSTM."""
        return self._state_names

    def _split(self, hx: Any, name: str) -> tuple[tuple[str, Any], ...]:
        """(name, array) of each array in a state."""
        names = self._state_names
        if len(names) == 1:
            return ((name, hx),)
        several = isinstance(hx, (tuple, list))
        if several and len(hx) == len(names):
            return tuple([(f"{name}[{k}]", array) for k, array in enumerate(hx)])
        expected = f"{name} should be a tuple of {_NUMBERS[len(names)]} arrays, {', '.join(names[:-1])} and {names[-1]}"
        if not several:
            raise TypeError(f"{expected}, got {type(hx).__name__}")
        raise ValueError(f"{expected}, got {len(hx)}")

    def _join(self, states: tuple[Array, ...], batched: bool = True) -> State:
        if not batched:
            states = tuple([state[:, 0] for state in states])
        return states[0] if len(states) == 1 else states  # type: ignore[return-value]

    # ---- by layer and direction

    def unflatten(self, hx: Any) -> State:
        """View a state or its gradient (L*D, N, H) as (L, D, N, H): by layer and direction; of the LSTM both arrays.

        Its inverse is `flatten`. Without a batch axis (L*D, H) becomes (L, D, H). Raises ValueError for another shape.

        >>> import numpy as np, rnncore
        >>> gru = rnncore.GRU(3, 4, num_layers=2, bidirectional=True, seed=0)
        >>> y, h = gru(np.ones((5, 6, 3)))
        >>> by_layer = gru.unflatten(h)
        >>> by_layer.shape, bool((by_layer[1, 0] == y[-1, :, :4]).all()), bool((gru.flatten(by_layer) == h).all())
        ((2, 2, 6, 4), True, True)
        """
        return self._reshaped(hx, (self._state_axis,), (self.num_layers, self._network.num_directions))

    def flatten(self, hx: Any) -> State:
        """View a state by layer and direction, (L, D, N, H), as (L*D, N, H), the form of `hx`; see `unflatten`."""
        return self._reshaped(hx, (self.num_layers, self._network.num_directions), (self._state_axis,))

    def _reshaped(self, hx: Any, before: Shape, after: Shape) -> State:
        states = []
        hx = self._arrays_of(hx, "hx", "the layer", batched=True)
        for (name, state), size in zip(self._split(hx, "hx"), self._state_sizes, strict=True):
            array, axes = np.asarray(state), len(before)
            if array.ndim - axes not in (1, 2) or array.shape[:axes] != before or array.shape[-1] != size:
                expected = ", ".join(map(str, (*before, "N", size)))
                raise ValueError(f"{name}: expected shape ({expected}), got {array.shape}")
            states.append(array.reshape(*after, *array.shape[axes:]))
        return self._join(tuple(states))

    # ---- from the caller's arrays

    def _state_shapes(self, rows: int) -> list[Shape]:
        return [(self._state_axis, rows, size) for size in self._state_sizes]

    def _empty_states(self, rows: int) -> tuple[Array, ...]:
        axis, dtype = self._state_axis, self.dtype
        return tuple([arguments.empty((axis, rows, size), dtype) for size in self._state_sizes])

    def _states(self, hx: Any, name: str, rows: int, batched: bool, *, optional: bool = False) -> tuple[Array, ...]:
        axis, sizes, dtype = self._state_axis, self._state_sizes, self.dtype
        states = []
        for k, (label, state) in enumerate(self._split(self._arrays_of(hx, name, "the layer", batched), name)):
            shape = (axis, rows, sizes[k])
            if state is None and optional:
                states.append(np.zeros(shape, dtype))
            else:
                states.append(arguments.as_state(state, label, shape, batched, dtype))
        return tuple(states)

    def _arrays_of(self, hx: Any, name: str, owner: str, batched: bool) -> Any:
        """Take the arrays out of a `State`, if it is of this network; anything else stays what it is."""
        if not isinstance(hx, NamedState):
            return hx
        cell = self._network.cell
        if not hx.fits(cell, self.input_size, self.num_layers, self._state_sizes, self.dtype):
            own = network_name(cell, self.input_size, self.hidden_size, self.proj_size, self.num_layers, self.dtype)
            raise ValueError(f"{name} is of {hx.network}; {owner} is of {own}")
        alone = not batched and hx.batch_size == 1
        return self._join(tuple(array[:, 0] if alone else array for array in hx.arrays.values()))

    # ---- y and the gradients by x and y

    def _output_gradient(self, dy: ArrayLike, steps: int, rows: int, batched: bool) -> Array:
        """View dy as (T, N, D*P)."""
        width = self._width
        if not batched:
            return arguments.as_shaped(dy, "dy", self.dtype, (steps, width))[:, None]
        if self.batch_first:
            return arguments.as_shaped(dy, "dy", self.dtype, (rows, steps, width)).swapaxes(0, 1)
        return arguments.as_shaped(dy, "dy", self.dtype, (steps, rows, width))

    def _like_input(self, array: Array, batched: bool) -> Array:
        """View an array (T, N, width) in the form of x."""
        if not batched:
            return array[:, 0]
        return array.swapaxes(0, 1) if self.batch_first else array
