"""The base of the recurrent layers: from the caller's arrays to the compiled engine and back."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnncore import arguments
from rnncore._core import Network, Packed
from rnncore.arguments import Array, Precision, Seed
from rnncore.layers.all_states import AllStates, read_states
from rnncore.layers.cache import Cache, RecurrentGradients
from rnncore.layers.cells import CELLS
from rnncore.layers.dropout import DropoutKeys
from rnncore.layers.embedding import ByNumber
from rnncore.layers.forms import State, Stateful
from rnncore.layers.module import Module


class RecurrentLayer(Stateful[State]):
    """What the recurrent layers share: reading arguments, calling the engine, dropout, copies.

    Calls on one layer may come from several threads at a time: nothing is kept between `forward` and `backward` but the
    cache that the caller holds.
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Name -> options of the constructor, of each kind of arithmetic that the layer has: tests go through all."""
    memory_gates: ClassVar[Mapping[str, int]] = {}
    """Gates that decide how long a unit remembers: 1 if it remembers while the gate is open, -1 while it is shut."""

    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    learned_state: bool
    proj_size: int
    precision: Precision

    _looks_along_time = True
    _in_sequence = True
    _fixed = Module._fixed | {
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
        "learned_state",
        "proj_size",
        "precision",
        "nonlinearity",
    }
    _printed_first = ("proj_size",)
    _cell_options: dict[str, float]
    _constraints: dict[str, Array | None]  # mask_hh and dale, for the engine
    _keys: DropoutKeys

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        dtype: DTypeLike,
        learned_state: bool,
        seed: Seed,
        precision: Precision,
        proj_size: int = 0,
        cell_options: Mapping[str, float] | None = None,
        constraints: Mapping[str, Array | None] | None = None,
    ) -> None:
        self._set(
            _cell_options=dict(cell_options or {}),
            _constraints=dict(constraints or {}),
            input_size=arguments.check_size("input_size", input_size, 0),
            hidden_size=arguments.check_size("hidden_size", hidden_size, 1),
            num_layers=arguments.check_size("num_layers", num_layers, 1),
            bias=arguments.check_flag("bias", bias),
            batch_first=arguments.check_flag("batch_first", batch_first),
            dropout=arguments.check_dropout(dropout),
            bidirectional=arguments.check_flag("bidirectional", bidirectional),
            learned_state=arguments.check_flag("learned_state", learned_state),
            proj_size=arguments.check_projection(proj_size, hidden_size),
            precision=arguments.check_precision(precision, arguments.check_dtype(dtype)),
        )
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        self._build(cell, arguments.check_dtype(dtype).name)
        self._allocate(self._network.layout, arguments.check_dtype(dtype))
        generator = np.random.default_rng(seed)
        weights = self._parameters.size - learned_state * self._state_axis * sum(self._state_sizes)
        self._initialise(generator, 1 / math.sqrt(self.hidden_size), weights)
        self._keys = DropoutKeys(int(generator.integers(1 << 64, dtype=np.uint64)))
        self.train()

    def _build(self, cell: Any, dtype: Any) -> None:
        self._network = Network(
            cell, self.input_size, self.hidden_size, self.num_layers, self.bias, self.bidirectional, dtype,
            self.learned_state, self.proj_size, self._cell_options, **self._constraints,
            precision=self.precision,
        )  # fmt: skip
        sizes = [self.hidden_size] * self._network.num_states
        sizes[0] = self.proj_size or self.hidden_size
        self._state_names = CELLS[self._network.cell].states
        self._state_sizes = tuple(sizes)
        self._width = self._network.num_directions * self._state_sizes[0]
        self._state_axis = self._network.num_directions * self.num_layers

    def _features(self) -> tuple[int | None, int | None]:
        return self.input_size, self._width

    def _described(self) -> tuple[str, dict[str, Any]]:
        return self._network.cell, {**self._options(), "cell_options": self._network.options, **self._constraints}

    @property
    def _drops(self) -> bool:
        return self.dropout > 0 and self.num_layers > 1

    @property
    def _refers_to_y(self) -> bool:
        return True

    # ---- calls

    @overload
    def __call__(
        self,
        x: ArrayLike,
        hx: Any = None,
        *,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        return_all_states: Literal[False] = False,
        gates: Literal[False] = False,
        num_threads: int | None = None,
        packed: Packed | None = None,
    ) -> tuple[Array, State]: ...
    @overload
    def __call__(
        self,
        x: ArrayLike,
        hx: Any = None,
        *,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        return_all_states: Literal[True],
        gates: bool = False,
        num_threads: int | None = None,
        packed: Packed | None = None,
    ) -> tuple[Array, State, AllStates]: ...
    def __call__(
        self,
        x: ArrayLike,
        hx: Any = None,
        *,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        return_all_states: bool = False,
        gates: bool = False,
        num_threads: int | None = None,
        packed: Packed | None = None,
    ) -> tuple[Array, State] | tuple[Array, State, AllStates]:
        """Run the layer for inference: no dropout, nothing is kept.

        Parameters
        ----------
        x
            (T, N, I), or (N, T, I) if batch_first, or (T, I) for one sequence without a batch axis. Anything that NumPy
            can view; arrays of the layer's dtype whose last axis is contiguous are not copied, other integers and
            floats are cast once.
        hx
            The initial state, zeros or the learned state if None: (L*D, N, H), or (L*D, H) without a batch axis; a
            tuple (h, c) of two such for the LSTM; or the `State` of a stream, of one row if
            there is no batch axis. L layers, D directions; h and y have P instead of H with a proj_size.
        lengths
            (N,) integers in 0..T, the valid steps of each row. Past them y is zero, and what x holds does not matter;
            the final state is the one after the last valid step, in each direction. A number for (T, I) input.
        resets
            Bools, or integers 0 and 1, (T, N), or (N, T) if batch_first, or (T,) without a batch axis. Where true, a
            new segment begins, from zeros or the learned state: no state crosses from the step before, nor back to it
            in the reverse direction.
        return_all_states, gates
            Return every layer's state after every step too; and, with gates, what its gates were.
        num_threads
            The largest number of threads for this call; by default the one of `rnncore.set_num_threads`.
        packed
            What `pack` has returned: the call reads these weights, of the moment when they were packed.

        Returns
        -------
        y, hx
            y (T, N, D*H) in the form of x, and the final state in the form of the initial one.
        states
            An `AllStates` with states.h, and states.c for the LSTM, (L*D, T, N, H), with time and rows in the form of
            x; with gates states.i, f, g, o of an LSTM and r, z, n of a GRU. Zero past a row's length.

        Raises ValueError for a wrong shape or value and TypeError for arrays that hold no real numbers.
        """
        every = arguments.check_flag("return_all_states", return_all_states)
        if arguments.check_flag("gates", gates) and not every:
            raise ValueError("gates come with the states: expected return_all_states=True")
        if packed is not None and not isinstance(packed, Packed):
            raise TypeError(f"packed should be what pack() returns, got {type(packed).__name__}")
        y, hn, cache = self._run(x, hx, lengths, resets, num_threads, 0.0, every, 0, packed)
        if cache is None:
            return y, hn
        arrays = read_states(cache, self._state_axis, self._state_sizes, self.dtype, gates)
        return y, hn, AllStates.in_form(arrays, cache._batched, self.batch_first)

    def forward(
        self,
        x: ArrayLike,
        hx: Any = None,
        *,
        lengths: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        checkpoint: int | Literal["auto"] | None = None,
        num_threads: int | None = None,
    ) -> tuple[Array, State, Cache]:
        """Run the layer for training; arguments and errors as for calling it. Returns y, the final state and a cache.

        With `checkpoint` = k, the cache keeps only the state before every k-th step, and `backward` runs each block of
        k steps forward once more before it goes back through it (Chen et al. 2016). The results have the same bits, the
        memory grows with T/k + k instead of T, and training takes 1.2 to 1.4 times as long. "auto" chooses a k of about
        sqrt(T). Raises ValueError for a bidirectional layer, since it reads the future.

        In training mode, dropout is applied to the outputs of all layers but the last, with a new mask in each call,
        which the cache can draw again. The cache refers to x, hx and y: therefore y is read-only, and x, hx and the
        parameters must not change before the last `backward`.
        """
        dropout = self.dropout if self.training and self.num_layers > 1 else 0.0
        every = arguments.check_checkpoint(checkpoint)
        if every and self.bidirectional:
            raise ValueError(
                f"checkpoint: expected None for a bidirectional layer, it reads the future; got {checkpoint!r}"
            )
        y, hn, cache = self._run(x, hx, lengths, resets, num_threads, dropout, True, every, None)
        assert cache is not None
        y.setflags(write=False)
        return y, hn, cache

    def pack(self, weights: Literal["bf16", "int8"] | None = None) -> Packed:
        """Return the weights as they are now in the order of the kernels, for calls: `layer(x, packed=packed)`.

        A call packs the weights first, which takes most of the time of a call of few steps. With `weights` they are in
        fewer bits, rounded as by `rnncore.quantize`. Weights that change are packed again.

        Raises ValueError for other `weights`, or if the layer has them in others already, and TypeError for what is no
        text.

        >>> import numpy as np, rnncore
        >>> lstm = rnncore.LSTM(3, 16, seed=0)
        >>> packed, x = lstm.pack(), np.ones((1, 2, 3))
        >>> bool((lstm(x, packed=packed)[0] == lstm(x)[0]).all())
        True
        """
        self._check_weights(weights)
        return self._network.pack(self._parameters, weights or self._weights)

    def _run(
        self,
        x: ArrayLike | ByNumber,
        hx: Any,
        lengths: ArrayLike | None,
        resets: ArrayLike | None,
        num_threads: int | None,
        dropout: float,
        keep: bool,
        checkpoint: int,
        packed: Packed | None,
    ) -> tuple[Array, State, Cache | None]:
        network, dtype, batch_first = self._network, self.dtype, self.batch_first
        labels: Array | None = None
        if type(x) is ByNumber:
            values, labels, batched = x.table, x.labels, True
            steps, rows = labels.shape
        else:
            values, batched = arguments.as_input(x, self.input_size, dtype, batch_first)
            steps, rows, _ = values.shape
        h0 = None if hx is None else self._states(hx, "hx", rows, batched)
        valid = None if lengths is None else arguments.as_lengths(lengths, steps, rows, batched)
        begins = None if resets is None else arguments.as_resets(resets, steps, rows, batched, batch_first)
        threads = 0 if num_threads is None else arguments.check_threads(num_threads)

        drawn = self._keys.count
        key = self._keys.next() if dropout > 0 else 0
        try:
            y, hn, kept = network.call(
                self._parameters if packed is None else packed, values, h0, valid, begins, dropout, key, keep,
                checkpoint, threads, labels, self._weights, batched and batch_first,
            )  # fmt: skip
        except BaseException:  # too little memory, or it was stopped: such a call changes nothing
            if dropout > 0:
                self._keys.take_back(drawn)
            raise
        distinct = None if labels is None else len(values)
        cache = None if kept is None else Cache(network, kept, steps, rows, batched, distinct)
        return y if batched else y[:, 0], self._join(hn, batched), cache

    def backward(
        self,
        cache: Cache,
        dy: ArrayLike | None = None,
        dhx: Any = None,
        *,
        input_gradient: bool = True,
        add_to: Array | None = None,
        num_threads: int | None = None,
    ) -> RecurrentGradients[State]:
        """Backpropagation through time (Werbos 1990): the gradients of a loss from those by y and the final state.

        Parameters
        ----------
        cache
            From `forward` of this layer, with parameters unchanged since.
        dy
            The gradient by y in y's shape, zeros if None. What it holds past a row's length does not matter.
        dhx
            The gradient by the final state in its form, zeros if None; the LSTM's dh or dc may be None by itself.
        input_gradient
            False saves the work for `grads.x`.
        add_to
            A flat vector (P,) to which the gradient by the parameters is added; it becomes `grads.parameters`. By
            default a new one.

        Returns
        -------
        grads
            With grads.x, grads.hx, grads.parameters (flat) and grads.named (views on it by name).

        Raises ValueError for a wrong shape or the cache of another layer, TypeError for what is no array or no cache.
        """
        network, dtype = self._network, self.dtype
        arguments.check_owner(cache, network)
        steps, rows, batched = cache._steps, cache._rows, cache._batched
        dhn = None if dhx is None else self._states(dhx, "dhx", rows, batched, optional=True)
        dvalues = None if dy is None else self._output_gradient(dy, steps, rows, batched)
        threads = 0 if num_threads is None else arguments.check_threads(num_threads)

        if add_to is not None:
            add_to = arguments.as_flat_gradient(add_to, "add_to", self._parameters.size, dtype)
        dparameters = np.zeros(self._parameters.size, dtype) if add_to is None else add_to
        dx, dh0 = network.gradients(
            cache._engine, self._parameters, dvalues, dhn, dparameters, threads, bool(input_gradient),
            batched and self.batch_first,
        )  # fmt: skip
        if dx is not None and not batched:
            dx = dx[:, 0]
        return RecurrentGradients(dx, dparameters, self._layout, self._join(dh0, batched))

    # ---- copies

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {**state, "_network": self._network.cell}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"_cell_options": {}, "_constraints": {}, "precision": "float32", **state})
        self._build(state["_network"], self.dtype.name)
