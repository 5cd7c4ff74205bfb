"""A stack of recurrent layers as a function of its parameters, for whoever holds them elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnncore import _core, arguments
from rnncore.arguments import Array
from rnncore.layers.cache import Cache
from rnncore.layers.cells import CELLS
from rnncore.layers.module import Layout

__all__ = ["Network", "NetworkGradients"]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkGradients:
    """What `Network.backward` returns; None for what was not wanted."""

    x: Array | None
    hx: Any
    """In the form of the state."""
    parameters: Any
    """In the form of the parameters: a flat vector, or a list of arrays."""


class Network:
    r"""Recurrent layers over parameters that belong to the caller: nothing is stored between calls, all is passed in.

    A layer such as `rnncore.LSTM` keeps its parameters in one flat vector. A framework keeps them as arrays of its own;
    to gather thousands of numbers in each step would cost more than many a call. A network reads such arrays where they
    lie, and writes their gradients where it is told.

    Parameters
    ----------
    cell
        The name of a cell in the engine: "lstm", "gru", "rnn_tanh", "rnn_relu" or another one.
    input_size, hidden_size, num_layers, bias, bidirectional, proj_size
        As of `rnncore.LSTM`: I, H, L, D - 1, P.
    dtype
        "float32" or "float64".
    cell_options
        Numbers that the cell takes, by name.

    In all calls, `parameters` is one flat vector, a list of arrays in the order and shapes of `layout`, or what `pack`
    returned. Every array is C-contiguous and of the network's dtype, x and y (T, N, features) may have any strides
    between rows: nothing is copied.

    Raises ValueError for an unknown cell, and for sizes that do not fit.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> network = rnncore.Network("gru", input_size=3, hidden_size=4)
    >>> [(name, shape) for name, _, shape in network.layout]
    [('weight_ih_l0', (12, 3)), ('weight_hh_l0', (12, 4)), ('bias_ih_l0', (12,)), ('bias_hh_l0', (12,))]
    >>> parameters = [np.full(shape, 0.1, "float32") for _, _, shape in network.layout]
    >>> x = np.ones((5, 2, 3), "float32")
    >>> y, h, cache = network.forward(parameters, x)
    >>> grads = network.backward(cache, parameters, dy=np.ones_like(y))
    >>> [array.shape for array in grads.parameters]
    [(12, 3), (12, 4), (12,), (12,)]

    Frozen weights cost nothing, and the memory of a cache may go before the cache does:

    >>> network.backward(cache, parameters, np.ones_like(y), parameter_gradient=[False, True, True, True]).parameters[0]
    >>> cache.nbytes > 0, cache.release(), cache.nbytes
    (True, None, 0)

    Weights that do not change are packed once:

    >>> packed = network.pack(parameters)
    >>> bool((network(packed, x)[0] == y).all())
    True
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype: DTypeLike = "float32",
        cell_options: Mapping[str, float] | None = None,
    ) -> None:
        self.dtype = arguments.check_dtype(dtype)
        self._engine = _core.Network(
            cell, input_size, hidden_size, num_layers, bias, bidirectional, self.dtype.name, False, proj_size,  # type: ignore[arg-type]
            dict(cell_options or {}),
        )  # fmt: skip

    @property
    def layout(self) -> Layout:
        """(name, offset in the flat vector, shape) of every parameter, in order, under PyTorch's names."""
        return self._engine.layout

    @property
    def state_names(self) -> tuple[str, ...]:
        """The arrays of the state in their order: h first; (h, c) of an LSTM."""
        return CELLS[self._engine.cell].states

    def __call__(
        self,
        parameters: Any,
        x: ArrayLike,
        hx: Any = None,
        *,
        lengths: ArrayLike | None = None,
        batch_sizes: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        out: Array | None = None,
        num_threads: int | None = None,
    ) -> tuple[Array, Any]:
        """Return y and the final state, without dropout; see `forward`."""
        y, hn, _ = self._run(parameters, x, hx, lengths, batch_sizes, resets, 0.0, 0, out, None, False, 0, num_threads)
        return y, hn

    def forward(
        self,
        parameters: Any,
        x: ArrayLike,
        hx: Any = None,
        *,
        lengths: ArrayLike | None = None,
        batch_sizes: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        dropout: float = 0.0,
        key: int = 0,
        out: Array | None = None,
        memory: Array | None = None,
        checkpoint: int | Literal["auto"] | None = None,
        num_threads: int | None = None,
    ) -> tuple[Array, Any, Cache]:
        """Return y (T, N, D*P), the final state, and a cache for `backward`.

        Parameters
        ----------
        x, hx, lengths, resets, checkpoint, num_threads
            As of a layer's `forward`, time first: x (T, N, I), the state (L*D, N, H), resets (T, N).
        batch_sizes
            (T,) integers, none greater than the one before: x is a packed batch (sum of them, I), all rows of step 0,
            then all rows of step 1 that are so long, and so on. So is y, and resets are packed alike, (sum,).
        dropout, key
            The probability that an output between layers is zeroed, and an integer in 0..2**64 - 1 that decides which:
            the same key gives the same mask.
        out
            An array to write y into.
        memory
            A vector of at least `memory_size` elements in which the cache keeps what backward needs.

        The cache refers to x, hx and y, and the parameters must not change before `backward`. Raises ValueError and
        TypeError that name the argument.
        """
        every = arguments.check_checkpoint(checkpoint)
        dropped = arguments.check_dropout(dropout)
        y, hn, cache = self._run(
            parameters, x, hx, lengths, batch_sizes, resets, dropped, key, out, memory, True, every, num_threads
        )
        assert cache is not None
        return y, hn, cache

    def backward(
        self,
        cache: Cache,
        parameters: Any,
        dy: ArrayLike | None = None,
        dhx: Any = None,
        *,
        input_gradient: bool = True,
        parameter_gradient: bool | Sequence[bool] = True,
        add_to: Any = None,
        num_threads: int | None = None,
    ) -> NetworkGradients:
        """Return the gradients from those by y and by the final state, None for zeros.

        With `parameter_gradient=False` the products for the weights are left out; a list of bools says so for each
        parameter of a list. `add_to`, in the form of the parameters, is added to and becomes `grads.parameters`.

        Raises ValueError for the cache of another network, one that was released, and wrong shapes.
        """
        engine, dtype = self._engine, self.dtype
        arguments.check_owner(cache, engine)
        steps, rows = cache._steps, cache._rows
        form = (steps, rows) if cache._batch_sizes is None else (int(cache._batch_sizes.sum()),)
        shapes = state_shapes(engine, rows)
        dhn = None if dhx is None else self._split(dhx, "dhx", shapes, optional=True)
        values = None
        if dy is not None:
            values = arguments.as_shaped(dy, "dy", dtype, (*form, self._width))
        total = self._totals(parameters, parameter_gradient, add_to)
        dx = arguments.empty((*form, engine.input_size), dtype) if input_gradient else None
        dh0 = tuple([arguments.empty(shape, dtype) for shape in shapes])
        threads = arguments.check_threads(num_threads)
        engine.backward(cache._engine, parameters, values, dhn, dx, dh0, total, threads)
        return NetworkGradients(dx, self._join(dh0), total)

    def pack(self, parameters: Any, weights: Literal["bf16", "int8"] | None = None) -> _core.Packed:
        """Return the weights in the order of the kernels, a copy to pass to calls in place of the parameters.

        With `weights` in fewer bits, rounded as by `rnncore.quantize`, for calls that keep no cache.
        """
        return self._engine.pack(parameters, weights)

    def memory_size(
        self,
        steps: int,
        rows: int,
        *,
        lengths: ArrayLike | None = None,
        batch_sizes: ArrayLike | None = None,
        dropout: float = 0.0,
    ) -> int:
        """Return how many elements of the network's dtype `forward` needs as its `memory`.

        `batch_sizes` of a packed batch say how many rows each of the steps has. Raises ValueError where they do not fit
        `steps` and `rows`, or come with lengths.
        """
        valid = None if lengths is None else arguments.as_lengths(lengths, steps, rows, True)
        if batch_sizes is not None:
            sizes = arguments.as_batch_sizes(batch_sizes)
            if valid is not None:
                raise ValueError("lengths: expected None with batch_sizes, which say the same")
            if (len(sizes), int(sizes[0])) != (steps, rows):
                raise ValueError(
                    f"batch_sizes are of {len(sizes)} steps and {sizes[0]} rows, expected {steps} and {rows}"
                )
            valid = np.count_nonzero(np.arange(rows) < sizes[:, None], axis=0)
        return self._engine.memory_size(steps, rows, valid, arguments.check_dropout(dropout))

    # ---- from the caller's arrays

    @property
    def _width(self) -> int:
        return self._engine.num_directions * (self._engine.proj_size or self._engine.hidden_size)

    def _split(
        self, hx: Any, name: str, shapes: list[tuple[int, int, int]], optional: bool = False
    ) -> tuple[Array, ...]:
        parts = (hx,) if len(shapes) == 1 else hx
        if not isinstance(parts, (tuple, list)) or len(parts) != len(shapes):
            raise TypeError(f"{name} should be a tuple of the arrays {', '.join(self.state_names)}")
        return tuple(
            np.zeros(shape, self.dtype)
            if part is None and optional
            else arguments.as_state(part, f"{name}[{k}]", shape, True, self.dtype)
            for k, (part, shape) in enumerate(zip(parts, shapes, strict=True))
        )

    @staticmethod
    def _join(states: tuple[Array, ...]) -> Any:
        return states[0] if len(states) == 1 else states

    def _totals(self, parameters: Any, wanted: bool | Sequence[bool], add_to: Any) -> Any:
        """Return the arrays to which gradients are added, in the form of the parameters."""
        if add_to is not None:
            return add_to
        if isinstance(parameters, np.ndarray):
            return np.zeros(parameters.shape, self.dtype) if wanted else None
        flags = [wanted] * len(parameters) if isinstance(wanted, bool) else list(wanted)
        if len(flags) != len(parameters):
            raise ValueError(f"parameter_gradient has {len(flags)} values, expected {len(parameters)}")
        if not any(flags):
            return None
        return [np.zeros(np.shape(p), self.dtype) if flag else None for p, flag in zip(parameters, flags, strict=True)]

    def _run(
        self,
        parameters: Any,
        x: ArrayLike,
        hx: Any,
        lengths: ArrayLike | None,
        batch_sizes: ArrayLike | None,
        resets: ArrayLike | None,
        dropout: float,
        key: int,
        out: Array | None,
        memory: Array | None,
        keep: bool,
        checkpoint: int,
        num_threads: int | None,
    ) -> tuple[Array, Any, Cache | None]:
        engine, dtype = self._engine, self.dtype
        values = arguments.as_real(x, "x", dtype)
        sizes = None if batch_sizes is None else arguments.as_batch_sizes(batch_sizes, values)
        if values.ndim != (3 if sizes is None else 2) or values.shape[-1] != engine.input_size:
            form = "(T, N, {})" if sizes is None else "(steps of all rows, {})"
            raise ValueError(f"x: expected shape {form.format(engine.input_size)}, got {values.shape}")
        if sizes is not None and lengths is not None:
            raise ValueError("lengths: expected None with batch_sizes, which say the same")
        steps, rows = values.shape[:2] if sizes is None else (len(sizes), int(sizes[0]))
        flags = None
        if resets is not None and sizes is not None:
            flags = np.ascontiguousarray(arguments.as_mask(resets, "resets", values.shape[:1]))
        elif resets is not None:
            flags = arguments.as_resets(resets, steps, rows, True, False)
        shapes = state_shapes(engine, rows)
        h0 = None if hx is None else self._split(hx, "hx", shapes)
        valid = None if lengths is None else arguments.as_lengths(lengths, steps, rows, True)
        shape = (*values.shape[:-1], self._width)
        y = arguments.empty(shape, dtype) if out is None else arguments.check_out(out, shape, dtype, values)
        hn = tuple([arguments.empty(shape, dtype) for shape in shapes])
        threads = arguments.check_threads(num_threads)
        kept = engine.forward(
            parameters, values, h0, y, hn, valid, flags, dropout, key, keep, checkpoint, threads, None, memory,
            batch_sizes=sizes,
        )  # fmt: skip
        cache = None if kept is None else Cache(engine, kept, steps, rows, True, None, sizes)
        return y, self._join(hn), cache


def state_shapes(engine: _core.Network, rows: int) -> list[tuple[int, int, int]]:
    """Return the shapes of a state's arrays: h (L*D, N, P or H), and c (L*D, N, H) of an LSTM."""
    axis = engine.num_layers * engine.num_directions
    sizes = [engine.proj_size or engine.hidden_size] + [engine.hidden_size] * (engine.num_states - 1)
    return [(axis, rows, size) for size in sizes]
