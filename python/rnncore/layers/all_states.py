"""What a recurrent layer computed in every step: the states of all its layers, and its gates by name."""

from __future__ import annotations

from collections.abc import Mapping

from rnncore.arguments import Array, DType, empty
from rnncore.layers.cache import Cache
from rnncore.layers.cells import CELLS

__all__ = ["AllStates", "read_states"]


class AllStates:
    """Named arrays (L*D, T, N, H) of a call with return_all_states: the value after each step, in each layer.

    Time and rows stand as in x, for one sequence without a batch axis (L*D, T, H). Past a row's length all are zero.

    >>> import numpy as np, rnncore
    >>> lstm = rnncore.LSTM(3, 4, num_layers=2, seed=0)
    >>> y, (h, c), states = lstm(np.ones((5, 6, 3)), return_all_states=True, gates=True)
    >>> states
    AllStates(h, c, i, f, g, o: (2, 5, 6, 4) float32)
    >>> bool((states.h[-1] == y).all()), bool((states.c[:, -1] == c).all())
    (True, True)
    >>> bool(np.allclose(states.c[:, 1:], states.f[:, 1:] * states.c[:, :-1] + states.i[:, 1:] * states.g[:, 1:]))
    True
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = dict(arrays)

    @classmethod
    def in_form(cls, arrays: Mapping[str, Array], batched: bool, batch_first: bool) -> AllStates:
        """Of arrays (L*D, T, N, H), with time and rows as they stand in x."""
        if not batched:
            return cls({name: array[:, :, 0] for name, array in arrays.items()})
        order = (0, 2, 1, 3) if batch_first else (0, 1, 2, 3)
        return cls({name: array.transpose(order) for name, array in arrays.items()})

    def __getattr__(self, name: str) -> Array:
        if name != "arrays" and name in self.arrays:
            return self.arrays[name]
        raise AttributeError(f"AllStates has no {name!r}: it was not asked for, or the layer has no such thing")

    def __repr__(self) -> str:
        by_shape: dict[str, list[str]] = {}  # with a proj_size h is narrower than the others
        for name, array in self.arrays.items():
            by_shape.setdefault(f"{array.shape} {array.dtype}", []).append(name)
        parts = [f"{', '.join(names)}: {shape}" for shape, names in by_shape.items()]
        return f"AllStates({'; '.join(parts)})"


def read_states(cache: Cache, state_axis: int, sizes: tuple[int, ...], dtype: DType, gates: bool) -> dict[str, Array]:
    """Name -> array (L*D, T, N, size) of each state, and of the gates, which have the size of the hidden units."""
    network = cache._owner
    cell = CELLS[network.cell]
    widths = dict(zip(cell.states, sizes, strict=True))
    if gates:
        widths |= {name: network.hidden_size for name in cell.gates if name in cell.kept}
    shape = (state_axis, cache._steps, cache._rows)
    arrays = {name: empty((*shape, width), dtype) for name, width in widths.items()}
    for name, array in arrays.items():
        network.trace(cache._engine, name, array)
    return arrays
