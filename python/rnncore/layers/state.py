"""The state of a recurrent network between two steps: named arrays that know which network they belong to."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rnncore.arguments import Array, as_real, check_dtype, check_size
from rnncore.files import FormatError, read_tensors, write_tensors
from rnncore.layers.cells import CELLS

__all__ = ["State"]

RowIndex: TypeAlias = "int | slice | ArrayLike"

_FORMAT, _VERSION = "rnncore.State", 1


class State:
    """The state of a batch of sequences: `h`, and what else its cell carries, as `c` of the LSTM. It never changes.

    L layers, N rows (sequences), H hidden units. Two states are equal (==) if they are of the same network and have the
    same bits: a stream goes on from both alike. NaN equals itself. States pickle, and `save` to a file.

    Parameters
    ----------
    cell
        The name of the cell in the engine, such as "rnn_tanh", "lstm" or "gru".
    input_size
        I, the features of the network's input.
    arrays
        The arrays of the cell's state, in order or by name: h, for the LSTM h and c. (L, N, H) float32 or float64, all
        of one dtype; h is (L, N, P) with a proj_size P < H. They are copied; the state's own arrays are read-only.

    Raises ValueError for an unknown cell, or arrays of a wrong shape or dtype, and TypeError for what is no array.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> stream = rnncore.Stream(rnncore.LSTM(3, 16, num_layers=2, seed=0), batch_size=4)
    >>> y = stream.step(np.ones((4, 3)))
    >>> stream.state
    State(lstm, input_size 3, hidden_size 16, num_layers 2, float32; 4 rows)
    >>> stream.state.h.shape, bool((stream.state.h[-1] == y).all())
    ((2, 4, 16), True)
    >>> state = stream.state.rows([3, 0])
    >>> state.batch_size, rnncore.State.concatenate([state, stream.state]).batch_size
    (2, 6)
    """

    __slots__ = ("_arrays", "cell", "input_size")

    cell: str
    input_size: int
    _arrays: dict[str, Array]

    def __init__(self, cell: str, input_size: int, *arrays: Any, **named: Any) -> None:
        if cell not in CELLS:
            raise ValueError(f"cell should be one of {', '.join(CELLS)}, got {cell!r}")
        names = CELLS[cell].states
        given = {name: array for name, array in named.items() if array is not None}
        while arrays and arrays[-1] is None:  # states pickled by the first version name a c of None
            arrays = arrays[:-1]
        if len(arrays) > len(names) or given.keys() != set(names[len(arrays) :]):
            raise ValueError(f"a state of {cell} has the arrays {', '.join(names)}")
        given |= dict(zip(names, arrays, strict=False))
        own = {name: _owned(given[name], name) for name in names}
        h, *others = own.values()
        for name, array in zip(names[1:], others, strict=True):
            if array.shape[:2] != h.shape[:2] or array.shape[2] < h.shape[2] or array.dtype != h.dtype:
                raise ValueError(f"{name}: expected {h.shape} {h.dtype} as of h, got {array.shape} {array.dtype}")
        self._keep(cell, check_size("input_size", input_size, 0), own)

    def _keep(self, cell: str, input_size: int, arrays: dict[str, Array]) -> None:
        object.__setattr__(self, "cell", cell)
        object.__setattr__(self, "input_size", input_size)
        object.__setattr__(self, "_arrays", arrays)

    @classmethod
    def _of_own(cls, cell: str, input_size: int, arrays: Iterable[Array]) -> State:
        """Make one of arrays that fit and that nobody else holds: without a copy."""
        state = cls.__new__(cls)
        state._keep(cell, input_size, dict(zip(CELLS[cell].states, arrays, strict=True)))
        for array in state._arrays.values():
            array.flags.writeable = False
        return state

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a State never changes: cannot assign to {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a State never changes: cannot delete {name!r}")

    def __getattr__(self, name: str) -> Array:
        if name != "_arrays" and name in self._arrays:
            return self._arrays[name]
        raise AttributeError(f"a state of {self.cell} has no {name!r}" if name != "_arrays" else name)

    # ---- what it is

    @property
    def num_layers(self) -> int:
        """L."""
        return int(self.h.shape[0])

    @property
    def batch_size(self) -> int:
        """N, the number of rows."""
        return int(self.h.shape[1])

    @property
    def hidden_size(self) -> int:
        """H."""
        return int(list(self._arrays.values())[-1].shape[2])

    @property
    def proj_size(self) -> int:
        """P, the width of a projected h, or 0."""
        return 0 if self.h.shape[2] == self.hidden_size else int(self.h.shape[2])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the arrays: float32 or float64."""
        return self.h.dtype

    @property
    def network(self) -> str:
        """The network that the state belongs to, in words."""
        return network_name(self.cell, self.input_size, self.hidden_size, self.proj_size, self.num_layers, self.dtype)

    def fits(self, cell: str, input_size: int, num_layers: int, sizes: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        """Whether it is of a network with so many layers, and of so many elements a row in each array."""
        return (self.cell, self.input_size) == (cell, input_size) and all(
            (array.shape[0], array.shape[2]) == (num_layers, size) and array.dtype == dtype
            for array, size in zip(self._arrays.values(), sizes, strict=True)
        )

    @property
    def arrays(self) -> dict[str, Array]:
        """Name -> array."""
        return dict(self._arrays)

    @property
    def hx(self) -> Any:
        """The state in the form that the layer takes and returns: h, or (h, c) for the LSTM."""
        arrays = tuple(self._arrays.values())
        return arrays[0] if len(arrays) == 1 else arrays

    def __repr__(self) -> str:
        return f"State({self.network}; {self.batch_size} rows)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return (self.network, self.batch_size) == (other.network, other.batch_size) and all(
            array.tobytes() == other.arrays[name].tobytes() for name, array in self.arrays.items()
        )

    def __reduce__(self) -> tuple[Any, ...]:  # through the constructor: pickled arrays come back writable
        return State, (self.cell, self.input_size, *self._arrays.values())

    # ---- rows

    def rows(self, rows: RowIndex) -> State:
        """Return the state of some rows, in their order.

        `rows` is a number, a slice, a list of numbers or a mask of N bools. Raises IndexError for a row that is not
        there, ValueError for a mask of another length and TypeError for anything else.
        """
        index = row_index(rows, self.batch_size)
        return State(self.cell, self.input_size, *(array[:, index] for array in self.arrays.values()))

    @staticmethod
    def concatenate(states: Iterable[State]) -> State:
        """Return the state of all rows of the given states, one after another.

        Raises ValueError for states of different networks, and for none at all.
        """
        parts = list(states)
        for part in parts:
            if not isinstance(part, State):
                raise TypeError(f"states should hold objects of type State, got {type(part).__name__}")
            if part.network != parts[0].network:
                raise ValueError(f"states of different networks: {parts[0].network}; and {part.network}")
        if not parts:
            raise ValueError("states should hold at least one State, got none")
        joined = (np.concatenate([part.arrays[name] for part in parts], axis=1) for name in parts[0].arrays)
        return State(parts[0].cell, parts[0].input_size, *joined)

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file: the arrays under their names, the network and a digest over all in its metadata.

        The file is replaced in one go: whoever reads it finds the old or the new state. Needs the package safetensors
        (`pip install rnncore[io]`).

        >>> import numpy as np, rnncore
        >>> stream = rnncore.Stream(rnncore.GRU(3, 16, seed=0))
        >>> y = stream.step([0.5, 0.25, -1.0])
        >>> stream.state.save("state.safetensors")
        >>> rnncore.State.load("state.safetensors") == stream.state
        True
        """
        metadata = {
            "cell": self.cell,
            **{name: str(getattr(self, name)) for name in ("input_size", "hidden_size", "num_layers", "dtype")},
            **({"proj_size": str(self.proj_size)} if self.proj_size else {}),
        }
        write_tensors(path, _FORMAT, _VERSION, self.arrays, metadata)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> State:
        """Read what `save` has written.

        Raises FileNotFoundError, and ValueError: `rnncore.files.DamagedFileError` for a file that was changed in any
        bit, `rnncore.files.FormatError` for one that holds something else or is of a newer version. That the state fits
        a stream is checked when it is assigned: `stream.state = State.load(path)`. Nothing in the file is executed. An
        older file, without a digest, is read too.
        """
        arrays, metadata = read_tensors(path, _FORMAT, _VERSION, digest_missing=True)
        return _from_file(path, metadata, arrays)


def network_name(
    cell: str, input_size: int, hidden_size: int, proj_size: int, num_layers: int, dtype: np.dtype[Any]
) -> str:
    """Name a network by what its state depends on."""
    projection = f"proj_size {proj_size}, " if proj_size else ""
    return f"{cell}, input_size {input_size}, hidden_size {hidden_size}, {projection}num_layers {num_layers}, {dtype}"


def _from_file(path: Any, metadata: dict[str, str], arrays: dict[str, Array]) -> State:
    cell: Any = metadata.get("cell")
    if cell not in CELLS or sorted(arrays) != sorted(CELLS[cell].states):
        raise FormatError(f"{path}: the cell is {cell!r}, the arrays are {', '.join(sorted(arrays)) or 'missing'}")
    try:
        state = State(cell, int(metadata["input_size"]), **arrays)
    except (KeyError, ValueError) as error:
        raise FormatError(f"{path}: {error}") from None
    for name in ("hidden_size", "proj_size", "num_layers", "dtype"):
        if metadata.get(name, "0" if name == "proj_size" else None) != str(getattr(state, name)):
            raise FormatError(f"{path}: {name} is {metadata.get(name)}, the arrays have {getattr(state, name)}")
    return state


def _owned(value: Any, name: str) -> Array:
    """Copy an array (L, N, H), for good."""
    given = getattr(value, "dtype", None)
    array = np.array(as_real(value, name, check_dtype("float64" if given is None else given)), order="C")
    if array.ndim != 3 or not array.shape[0] or not array.shape[2]:
        raise ValueError(f"{name}: expected shape (num_layers, rows, hidden_size), got {array.shape}")
    array.flags.writeable = False
    return array


def row_index(rows: RowIndex, count: int) -> Array:
    """Return the numbers, 0..count-1, of the rows meant by a number, a slice, a list of numbers or a mask."""
    if isinstance(rows, slice):
        return np.arange(count)[rows]
    index = np.asarray(rows)
    if index.dtype == np.bool_:
        if index.shape != (count,):
            raise ValueError(f"rows: expected a mask of shape {(count,)}, got {index.shape}")
        return np.flatnonzero(index)
    if (index.size and index.dtype.kind not in "iu") or index.ndim > 1:
        raise TypeError(f"rows should be a number, a slice, a list of numbers or a mask, got {rows!r}")
    index = np.atleast_1d(index)
    wrong = np.flatnonzero((index < -count) | (index >= count))  # before the cast: uint64 would wrap
    if wrong.size:
        raise IndexError(f"rows: there is no row {index[wrong[0]]} among {count}")
    return index.astype(np.intp) % max(count, 1)
