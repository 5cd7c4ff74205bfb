"""NumPy twin of src/rnncore/network.hpp: layers and directions over one flat vector of parameters.

Sizes: T steps, N rows, I inputs, H hidden units, L layers, D directions, G gates, S states; P outputs of a direction, H
unless an LSTM projects them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from rnncore.reference import sequence
from rnncore.reference.activations import Array
from rnncore.reference.cells import CELLS
from rnncore.reference.cells.cell import Cell
from rnncore.reference.constraints import constrain, pull_back
from rnncore.reference.dropout import dropout as drop
from rnncore.reference.precision import Precision
from rnncore.reference.sequence import Step, Weights
from rnncore.reference.short_weights import Format, rounded

DTYPES = ("float32", "float64", "complex128")
Layout = list[tuple[str, int, tuple[int, ...]]]


@dataclass(frozen=True)
class Cache:
    """What backward needs of one forward call. It refers to no array of the caller."""

    sizes: tuple[int, int]  # T, N
    labels: Array | None  # of an input by number
    steps: list[list[Step]]  # [l * D + d]
    is_given: bool  # the initial state
    dropout: float
    key: int


@dataclass(frozen=True)
class Network:
    """A stack of recurrent layers: the engine call of the library, in readable NumPy.

    Takes and returns what ``rnncore._core.Network`` does. The dtype "complex128" exists here only: complex-step
    differentiation needs it.

    >>> import numpy as np
    >>> network = Network("gru", input_size=2, hidden_size=3, dtype="float64")
    >>> network.layout[0], network.parameter_count
    (('weight_ih_l0', 0, (9, 2)), 63)
    >>> x, y, h = np.ones((5, 4, 2)), np.empty((5, 4, 3)), np.empty((1, 4, 3))
    >>> network.forward(np.full(63, 0.1), x, None, y, (h,))
    >>> bool((y[-1] == h[0]).all())
    True
    """

    cell: str
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    bidirectional: bool = False
    dtype: str = "float32"
    learned_state: bool = False
    proj_size: int = 0
    options: Mapping[str, float] = field(default_factory=dict)  # of the cell
    mask_hh: Array | None = None
    dale: Array | None = None
    precision: Precision = "float32"
    weights: Format | None = None  # of a quantized network: its matrices are rounded to this before a call

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise ValueError(f"cell must be one of {', '.join(CELLS)}, got {self.cell!r}")
        CELLS[self.cell](**self.options)  # refuses what it has not
        for name, least in (("input_size", 0), ("hidden_size", 1), ("num_layers", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.proj_size < 0:
            raise ValueError(f"proj_size must be at least 0, got {self.proj_size}")
        if self.proj_size > 0 and not self._cell.can_project:
            projecting = ", ".join(name for name, cell in CELLS.items() if cell.can_project)
            raise ValueError(f"proj_size is for {projecting} only, cell is {self.cell!r}")
        if self.proj_size >= self.hidden_size:
            raise ValueError(f"proj_size must be smaller than hidden_size {self.hidden_size}, got {self.proj_size}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")

    @cached_property
    def _cell(self) -> Cell:
        return CELLS[self.cell](**self.options)

    @property
    def num_directions(self) -> int:
        """2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def num_states(self) -> int:
        """Arrays in a state: 2 for the LSTM (h and c), 1 for an RNN or GRU."""
        return len(self._cell.states)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """P, the width of h, and H, that of each other array of the state."""
        return (self.proj_size or self.hidden_size, *[self.hidden_size] * (self.num_states - 1))

    @cached_property
    def layout(self) -> Layout:
        """(name, offset, shape) of every parameter, in the order of the flat vector."""
        rows = len(self._cell.gates) * self.hidden_size
        entries: Layout = []
        offset = 0
        learned: list[tuple[str, int]] = []
        suffixes = ("", "_reverse")[: self.num_directions]
        for layer in range(self.num_layers):
            inputs = self.input_size if layer == 0 else self.num_directions * self.state_sizes[0]
            for suffix in suffixes:
                shapes = [("weight_ih", (rows, inputs)), ("weight_hh", (rows, self.state_sizes[0]))]
                biases = [("bias_ih", (rows,)), ("bias_hh", (rows,))] if self.bias else []
                projection = [("weight_hr", (self.proj_size, self.hidden_size))] if self.proj_size else []
                vectors = [(name, (self.hidden_size,)) for name in self._cell.vectors]
                for name, shape in [*shapes, *biases, *projection, *vectors]:
                    entries.append((f"{name}_l{layer}{suffix}", offset, shape))
                    offset += int(np.prod(shape))
            learned += [
                (f"{name}0_l{layer}{suffix}", size)
                for suffix in suffixes
                for name, size in zip(self._cell.states, self.state_sizes, strict=True)
            ]
        if self.learned_state:
            for name, size in learned:
                entries.append((name, offset, (size,)))
                offset += size
        return entries

    @property
    def parameter_count(self) -> int:
        """Length of the flat vector."""
        _, offset, shape = self.layout[-1]
        return offset + int(np.prod(shape))

    def views(self, vector: Array) -> dict[str, Array]:
        """Name -> view on the flat vector (P,) of parameters or of their gradient."""
        ends = [offset for _, offset, _ in self.layout[1:]] + [self.parameter_count]
        return {name: vector[i:j].reshape(shape) for (name, i, shape), j in zip(self.layout, ends, strict=True)}

    @np.errstate(over="ignore", invalid="ignore")  # NaN and infinity pass through in silence, as in the engine
    def forward(
        self,
        parameters: Array,
        x: Array,
        h0: tuple[Array, ...] | None,
        y: Array,
        hn: tuple[Array, ...],
        lengths: Array | None = None,
        resets: Array | None = None,
        dropout: float = 0.0,
        key: int = 0,
        keep: bool = False,
        checkpoint: int = 0,  # noqa: ARG002  the engine's signature
        num_threads: int = 0,  # noqa: ARG002
        labels: Array | None = None,
    ) -> Cache | None:
        """Write y (T, N, D*P) and hn, (L*D, N, P) and (L*D, N, H); return the cache for backward if keep.

        parameters flat; x (T, N, I), or by number (distinct, I) with labels (T, N), its row at each step; h0 like hn,
        or None for zeros or the learned state; lengths (N,) int64 in 0..T; resets (T, N) bool. A row is active for t <
        lengths[row]; past it y is zero. resets[t, row] begins a new segment at t: no state crosses the boundary before
        it, in either direction. dropout is the probability to zero an output between layers, by a mask that depends on
        key. num_threads and checkpoint are ignored: no result depends on them. Raises ValueError for an argument of
        another shape or dtype, or out of range, and for keep with weights in fewer bits.
        """
        if keep and self.weights:
            raise ValueError(f"weights in {self.weights} are for inference: keep should be False")
        x = x if labels is None else x[labels]
        T, N = x.shape[:2]
        self._check(T, N, parameters=parameters, x=x, h0=h0, y=y, hn=hn)
        lengths = np.full(N, T, np.int64) if lengths is None else lengths
        resets = np.zeros((T, N), np.bool_) if resets is None else resets
        self._check_rows(T, N, lengths, resets, dropout)
        parameters = self._constrained(parameters)
        learned = self._learned_state(parameters)
        initial = [np.repeat(array[:, None], N, axis=1) for array in learned] if h0 is None else h0
        final = [np.empty_like(array, self.dtype) for array in initial]
        steps = []
        values = x
        for layer in range(self.num_layers):
            if layer > 0:
                values = drop(values, dropout, key, layer - 1)
            outputs = []
            for direction in range(self.num_directions):
                k = layer * self.num_directions + direction
                weights = self._weights(parameters, k)
                start, reset_state = ([array[k] for array in arrays] for arrays in (initial, learned))
                output, end, taken = sequence.forward(
                    self._cell, weights, values, start, reset_state, lengths, resets, direction == 1, self.precision
                )
                for array, state in zip(final, end, strict=True):
                    array[k] = state
                outputs.append(output)
                steps.append(taken)
            values = np.concatenate(outputs, axis=2)
        y[...] = values
        for s in range(self.num_states):
            hn[s][...] = final[s]
        own = None if labels is None else labels.copy()
        return Cache((T, N), own, steps, h0 is not None, dropout, key) if keep else None

    @np.errstate(over="ignore", invalid="ignore")  # NaN and infinity pass through in silence, as in the engine
    def backward(
        self,
        cache: Cache,
        parameters: Array,
        dy: Array | None,
        dhn: tuple[Array, ...] | None,
        dx: Array | None,
        dh0: tuple[Array, ...],
        dparameters: Array,
        num_threads: int = 0,  # noqa: ARG002  the engine's signature
    ) -> None:
        """Write dx, unless None, and dh0; add to dparameters.

        dy (T, N, D*P) or None for zeros; dhn and dh0 shaped as hn, dhn None for zeros; dx in the form of x; dparameters
        flat. What dy holds past a row's length is ignored. num_threads is ignored.
        """
        T, N = cache.sizes
        dense = dx if cache.labels is None else None
        self._check(T, N, parameters=parameters, dy=dy, dhn=dhn, dx=dense, dh0=dh0, dparameters=dparameters)
        own, added_to = parameters, dparameters
        parameters, dparameters = self._constrained(own), np.zeros_like(added_to)
        P = self.state_sizes[0]
        d_final = tuple(map(np.zeros_like, dh0)) if dhn is None else dhn
        d_values = np.zeros((T, N, self.num_directions * P), self.dtype) if dy is None else dy
        for layer in reversed(range(self.num_layers)):
            inputs = self.input_size if layer == 0 else self.num_directions * P
            d_inputs = np.zeros((T, N, inputs), self.dtype)
            for direction in range(self.num_directions):
                k = layer * self.num_directions + direction
                d_output = d_values[:, :, direction * P : (direction + 1) * P]
                d_end = [array[k] for array in d_final]
                d_start, d_reset, d_weights = sequence.backward(
                    self._cell, self._weights(parameters, k), cache.steps[k], d_output, d_end, d_inputs, self.precision
                )
                totals = self._weights(dparameters, k)
                for total, part in zip(
                    [*totals[:-1], *totals.vectors], [*d_weights[:-1], *d_weights.vectors], strict=True
                ):
                    if total is not None and part is not None:
                        total += part
                d_learned = self._learned_state(dparameters)
                for s in range(self.num_states):
                    dh0[s][k] = d_start[s]
                    d_learned[s][k] += d_reset[s] if cache.is_given else d_reset[s] + d_start[s].sum(axis=0)
            d_values = drop(d_inputs, cache.dropout, cache.key, layer - 1) if layer > 0 else d_inputs
        for name, view in self.views(dparameters).items():
            if name.startswith("weight_hh"):
                view[...] = pull_back(view, self.views(own)[name], self.mask_hh, self.dale)
        added_to += dparameters
        if dx is not None and cache.labels is not None:
            dx[...] = 0
            np.add.at(dx, cache.labels, d_values)
        elif dx is not None:
            dx[...] = d_values

    def _constrained(self, parameters: Array) -> Array:
        """Return what the cells run on: the parameters, with each W_hh under its mask and signs, and then rounded."""
        vector = parameters.copy()
        for name, view in self.views(vector).items():
            if name.startswith("weight_hh"):
                view[...] = constrain(view, self.mask_hh, self.dale)
            if self.weights and view.ndim == 2:
                view[...] = rounded(view, self.weights)
        return vector

    def _learned_state(self, vector: Array) -> list[Array]:
        """View the state at the start and after resets, (L*D, P) and (L*D, H); zeros where it is not learned."""
        shape = (self.num_layers * self.num_directions, sum(self.state_sizes))
        whole = vector[vector.size - math.prod(shape) :] if self.learned_state else np.zeros(shape, vector.dtype)
        return np.split(whole.reshape(shape), np.cumsum(self.state_sizes)[:-1], axis=1)

    def _weights(self, vector: Array, k: int) -> Weights:
        """View the weights of direction k = l * D + d; zeros stand for biases that are not there."""
        arrays = list(self.views(vector).values())
        own = len(self._cell.vectors)
        count = 2 + 2 * self.bias + (self.proj_size > 0) + own
        weight_ih, weight_hh, *others = arrays[count * k : count * k + count]
        vectors = tuple(others[len(others) - own :])
        del others[len(others) - own :]
        weight_hr = others.pop() if self.proj_size else None
        bias_ih, bias_hh = others or np.zeros((2, len(weight_ih)), vector.dtype)
        return Weights(weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, vectors)

    def _check(self, T: int, N: int, **arguments: Array | tuple[Array, ...] | None) -> None:
        """Raise ValueError for an argument that has not the shape and dtype of its kind."""
        states = [(self.num_layers * self.num_directions, N, size) for size in self.state_sizes]
        shapes: dict[str, tuple[int, ...]] = {
            "parameters": (self.parameter_count,),
            "x": (T, N, self.input_size),
            "y": (T, N, self.num_directions * self.state_sizes[0]),
        }
        for name, argument in arguments.items():
            if isinstance(argument, tuple) and len(argument) != self.num_states:
                raise ValueError(f"{name} has {len(argument)} arrays, expected {self.num_states}")
            arrays = argument if isinstance(argument, tuple) else (argument,)
            wanted = states if isinstance(argument, tuple) else [shapes.get(name.removeprefix("d"), ())]
            for array, expected in zip(arrays, wanted, strict=True):
                if array is not None and array.shape != expected:
                    raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
                if array is not None and array.dtype != self.dtype:
                    raise ValueError(f"{name} has dtype {array.dtype}, expected {self.dtype}")

    @staticmethod
    def _check_rows(T: int, N: int, lengths: Array, resets: Array, dropout: float) -> None:
        if lengths.shape != (N,):
            raise ValueError(f"lengths has shape {lengths.shape}, expected {(N,)}")
        if not np.all((lengths >= 0) & (lengths <= T)):
            raise ValueError(f"lengths must be in 0..{T}, got {lengths.min()}..{lengths.max()}")
        if resets.shape != (T, N) or resets.dtype != np.bool_:
            raise ValueError(f"resets has shape {resets.shape} and dtype {resets.dtype}, expected {(T, N)} and bool")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be between 0 and 1, got {dropout}")
