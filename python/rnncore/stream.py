"""A layer in operation: one step at a time, at little more than the cost of the arithmetic."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import ArrayLike

from rnncore import _core, arguments
from rnncore.arguments import Array, Shape
from rnncore.layers.recurrent import RecurrentLayer
from rnncore.layers.state import RowIndex, State, row_index
from rnncore.models.call import engine_of
from rnncore.models.model import Model

__all__ = ["Stream"]

_ndarray = np.ndarray  # of every step: not looked up in NumPy's module each time


class Stream:
    """Packed weights of a layer and the state of a batch of sequences, carried from step to step.

    However a sequence is cut into steps and blocks, and whoever shares its batch, outputs and states have the bits of
    the layer's own call. There is no dropout. The weights are those of the moment of construction, or of the last
    `refresh`: training may go on meanwhile.

    One thread at a time may use a stream; each takes its own `fork`. A call during another thread's `run` raises
    RuntimeError. A refused call leaves the stream as it was.

    Parameters
    ----------
    layer
        A recurrent layer in one direction (the other one reads the future), or a `Sequential` of layers that look
        backwards only: one or more recurrent layers, and what may stand between them. x holds integers if it begins
        with an Embedding. Dropout takes no part, nor does a `LastStep`: what stands behind it is told at every step.
    batch_size
        N, the number of rows (sequences), at least 1. The state begins at zero, or at the learned state.
    num_threads
        At most so many threads for the rows of a block (`run`); a step is one thread's.
    weights
        "bf16" or "int8": read the weights in fewer bits, rounded as by `rnncore.quantize`, with the bits of the streams
        and calls of what that returns. One row of a large layer waits for its weights: fewer bytes come sooner.

    Raises ValueError for a bidirectional layer and a model without a state, TypeError for what is neither.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> lstm = rnncore.LSTM(3, 16, seed=0)
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> y, (h, c) = lstm(x)
    >>> stream = rnncore.Stream(lstm)
    >>> steps = [stream.step(x[t]) for t in range(60)]
    >>> rest = stream.run(x[60:])
    >>> bool((np.concatenate([steps, rest]) == y).all() and (stream.state.c[:, 0] == c).all())
    True

    In a loop with arrays of the layer's dtype, a step allocates nothing:

    >>> frame, out = np.zeros(3, "float32"), np.empty(16, "float32")
    >>> stream.step(frame, out=out) is out
    True

    A fork tries what might come, and the stream itself stays where it is:

    >>> with stream.fork() as trial:
    ...     _ = trial.run(np.ones((10, 3)))
    ...     trial.state == stream.state
    False
    """

    __slots__ = (
        "__weakref__", "_architecture", "_dtype", "_engine", "_in_place", "_layers", "_model", "_step", "_threads",
    )  # fmt: skip

    def __init__(
        self, layer: Any, batch_size: int = 1, num_threads: int = 1, *, weights: Literal["bf16", "int8"] | None = None
    ) -> None:
        self._model, self._layers = layer, _recurrent(layer)
        layer._check_weights(weights)
        for each in self._layers:
            if each.bidirectional:
                raise ValueError(f"layer should have bidirectional=False to stream, got {each!r}: it reads the future")
        rows = arguments.check_size("batch_size", batch_size, 1)
        self._threads = arguments.check_size("num_threads", num_threads, 1, arguments.MOST_THREADS)
        self._dtype = layer.dtype
        self._architecture = layer._engine if isinstance(layer, Model) else engine_of(layer)
        self._in_place = None if self._takes_labels else self._dtype  # of an x that the engine takes as it is
        self._use(_core.Stream(self._architecture, layer._parameters, rows, weights))

    @property
    def _takes_labels(self) -> bool:
        return bool(getattr(self._model, "takes_labels", False))

    @property
    def _sizes(self) -> tuple[int, int]:
        """I and O, the features of x and y."""
        model = self._model
        if not isinstance(model, Model):
            return model.input_size, model._width
        inputs = 1 if model.in_features is None else model.in_features
        assert model.out_features is not None  # a recurrent layer fixes it
        return inputs, model.out_features

    def _use(self, engine: _core.Stream) -> None:
        self._engine: _core.Stream | None = engine
        self._step: Any = engine.step  # bound once, for speed

    def _opened(self) -> _core.Stream:
        if self._engine is None:
            raise ValueError("the stream is closed")
        return self._engine

    # ---- steps

    def step(self, x: ArrayLike, out: Array | None = None) -> Array:
        """Take one step with every row; return the outputs of the last layer.

        Parameters
        ----------
        x
            (N, I), or (I,) where N is 1. Arrays of the layer's dtype with contiguous rows are read in place, other
            numbers are cast, as by the layer. For an Embedding integers (N,), or () where N is 1; their vectors are
            looked up first.
        out
            (N, H), or (H,) like x, with P for H if the layer has a proj_size: of the layer's dtype, with contiguous
            rows, apart from x. It is written and returned, and nothing is allocated.

        Raises ValueError for a wrong shape, for an `out` of another dtype or over x, and for a closed stream, TypeError
        for arrays that hold no real numbers.
        """
        if (
            type(x) is _ndarray and x.dtype is self._in_place
        ):  # what needs a cast would raise first, at 50 times the cost
            try:
                return self._step(x, out)  # type: ignore[no-any-return]
            except (TypeError, ValueError):
                pass  # it changed nothing: convert, or say what is wrong
        engine = self._opened()
        values = self._step_input(x, engine.batch_size)
        if out is not None:
            leading = values.shape if self._takes_labels else values.shape[:-1]
            expected = (*leading, self._sizes[1])
            if not isinstance(out, np.ndarray):
                raise TypeError(f"out should be a NumPy array, got {type(out).__name__}")
            if out.shape != expected:
                raise ValueError(f"out: expected shape {expected}, got {out.shape}")
        return engine.step(values, out)

    def _step_input(self, x: ArrayLike, rows: int) -> Array:
        if self._takes_labels:
            return _labels(self._model, x, (rows,))
        values, size = arguments.as_real(x, "x", self._dtype), self._sizes[0]
        shapes: tuple[Shape, ...] = ((size,), (1, size)) if rows == 1 else ((rows, size),)
        if values.ndim == len(shapes[-1]) and values.shape[-1] != size:
            raise ValueError(f"x has {values.shape[-1]} features, the layer expects {size}")
        if values.shape not in shapes:
            raise ValueError(f"x: expected shape {' or '.join(map(str, shapes))}, got {values.shape}")
        return values

    def run(self, x: ArrayLike) -> Array:
        """Take T steps in one go: x and the result are as in the layer's own call, bit for bit those of T steps.

        x is (T, N, I), or (N, T, I) if the layer has batch_first, or (T, I) where N is 1, for an Embedding integers
        without the axis I; y is (T, N, H) in the form of x. Other threads run meanwhile. An interrupt (Ctrl-C) leaves
        the state as it was before the block.

        Raises ValueError for a wrong shape and for a closed stream, TypeError for arrays that hold no real numbers.
        """
        engine, batch_first = self._opened(), self._model.batch_first
        if self._takes_labels:
            labels = _labels(self._model, x)
            batched = labels.ndim == 2
            values = (labels if batched else labels[:, None])[..., None]
            values = values.swapaxes(0, 1) if batch_first and batched else values
        else:
            values, batched = arguments.as_input(x, self._sizes[0], self._dtype, batch_first)
        steps, rows, _ = values.shape
        if rows != engine.batch_size:
            raise ValueError(f"x has {rows} rows, the stream {engine.batch_size}, shape {np.shape(x)}")
        leading = (rows, steps) if batch_first and batched else (steps, rows)
        y = arguments.empty((*leading, self._sizes[1]), self._dtype)
        engine.run(values, y.swapaxes(0, 1) if batch_first and batched else y, self._threads)
        return y if batched else y[:, 0]

    # ---- the state

    @property
    def state(self) -> Any:
        """The state, a copy: a `State`, or a tuple of them for a model of several recurrent layers.

        Assign such a one, or what the layer takes as hx: (L, N, H), or (L, H) where N is 1, or a tuple (h, c) of two
        such; for several recurrent layers a tuple with one for each. Raises ValueError for the state of another network
        or of another number of rows.
        """
        arrays, states = self._opened().states(), []
        for layer in self._layers:
            count = len(layer._state_sizes)
            cell = cast(Any, layer._network.cell)
            states.append(State._of_own(cell, layer.input_size, arrays[:count]))
            arrays = arrays[count:]
        return states[0] if len(states) == 1 else tuple(states)

    @state.setter
    def state(self, value: Any) -> None:
        engine = self._opened()
        count = len(self._layers)
        states = (value,) if count == 1 else tuple(value) if isinstance(value, (tuple, list)) else ()
        if len(states) != count:
            raise ValueError(f"state: expected a tuple of {count} states, one for each recurrent layer, got {value!r}")
        arrays: list[Array] = []
        for layer, state in zip(self._layers, states, strict=True):
            arrays += _arrays_of(layer, state, engine.batch_size)
        engine.set_states(tuple(arrays))

    def reset(self, rows: RowIndex | None = None) -> None:
        """Set the state of all rows to zero, or to the learned state; or that of some rows.

        `rows` is a number, a slice, a list of numbers, or a mask of N bools.

        Raises IndexError for a row that is not there, ValueError for a mask of another length.
        """
        engine = self._opened()
        engine.reset(row_index(slice(None) if rows is None else rows, engine.batch_size).tolist())

    # ---- rows and copies

    @property
    def layer(self) -> Any:
        """The layer or model that the weights are of."""
        return self._model

    @property
    def batch_size(self) -> int:
        """N, the number of rows; `resize` and `keep` change it."""
        return self._opened().batch_size

    def resize(self, batch_size: int) -> None:
        """Let rows join or leave at the end: the first ones keep their state, new ones are as after a reset."""
        rows = arguments.check_size("batch_size", batch_size, 1)
        self._use(self._copy(np.arange(min(rows, self.batch_size)), rows))

    def keep(self, rows: RowIndex) -> None:
        """Go on with some rows only, in the given order: a number, a slice, a list of numbers, or a mask of N bools.

        Raises IndexError for a row that is not there, ValueError for a mask of another length and for no rows at all.

        >>> import numpy as np, rnncore
        >>> stream = rnncore.Stream(rnncore.GRU(3, 16, seed=0), batch_size=3)
        >>> y = stream.step(np.ones((3, 3)))
        >>> stream.keep([2, 0])  # row 1 leaves
        >>> stream.resize(5)  # three others join
        >>> stream.batch_size, stream.state.h.any(axis=(0, 2)).tolist()
        (5, [True, True, False, False, False])
        """
        index = row_index(rows, self.batch_size)
        if not index.size:
            raise ValueError(f"rows should name at least one row to keep, got {rows!r}")
        self._use(self._copy(index, index.size))

    def fork(self) -> Stream:
        """Return another stream that shares the packed weights, with a state of its own that begins as this one's."""
        other = object.__new__(type(self))
        for name in ("_model", "_layers", "_architecture", "_dtype", "_in_place", "_threads"):
            setattr(other, name, getattr(self, name))
        other._use(self._copy(np.arange(self.batch_size), self.batch_size))
        return other

    def _copy(self, index: Array, rows: int) -> _core.Stream:
        """Make an engine with the same weights: the state of the indexed rows, the others as after a reset."""
        engine = self._opened()
        copy = engine.with_rows(rows)
        states = copy.states()
        for to, array in zip(states, engine.states(), strict=True):
            to[:, : index.size] = array[:, index]
        copy.set_states(states)
        return copy

    # ---- weights and life

    def refresh(self) -> None:
        """Take over the layer's parameters as they are now; the state stays.

        The new weights are packed first and put in place at once, so that no step sees a part of them. Call it between
        two updates of the parameters, not during one.
        """
        self._opened().replace(self._architecture, self._model._parameters)

    def close(self) -> None:
        """Let go of weights and state: any later use raises ValueError. Closing twice is fine."""
        self._engine = self._step = None

    def __enter__(self) -> Self:
        self._opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Stream({self._model!r}, {'closed' if self._engine is None else f'batch_size={self.batch_size}'})"

    def __reduce__(self) -> Any:
        raise TypeError("a Stream is neither pickled nor copied: fork it, or save its layer and its state")


def _recurrent(model: Any) -> tuple[RecurrentLayer[Any], ...]:
    """Return the layers that have a state."""
    if getattr(model, "_looks_along_time", False):
        return (model,)
    if not isinstance(model, Model):
        raise TypeError(f"layer should be a recurrent layer, or a model of layers, got {type(model).__name__}")
    if not model._recurrent:
        kinds = ", ".join(type(layer).__name__ for layer in model.layers)
        raise ValueError(f"a model that streams has a recurrent layer; got {kinds}")
    return model._recurrent


def _arrays_of(layer: RecurrentLayer[Any], state: Any, rows: int) -> tuple[Array, ...]:
    """Take a layer's state apart: a State, or what the layer takes as hx."""
    if isinstance(state, State):
        layer._arrays_of(state, "the state", "the stream", batched=True)
        if state.batch_size != rows:
            raise ValueError(f"the state has {state.batch_size} rows, the stream {rows}")
        return tuple(state._arrays.values())
    batched = rows != 1 or all(np.ndim(array) != 2 for _, array in layer._split(state, "state"))
    return layer._states(state, "state", rows, batched)


def _labels(model: Model, x: ArrayLike, step: Shape | None = None) -> Array:
    """Read labels: (T, N) in the model's form, or (T,) for one row; of a step those without T."""
    labels = arguments.as_integers(x, "x")
    if step is None and labels.ndim not in (1, 2):
        raise ValueError(f"x: expected labels to be 1D or 2D, got {labels.ndim}D instead, shape {labels.shape}")
    if step is not None and labels.shape != step and (step != (1,) or labels.shape):
        raise ValueError(f"x: expected shape {'() or (1,)' if step == (1,) else step}, got {labels.shape}")
    count = cast(Any, model.layers[0]).num_embeddings
    return np.ascontiguousarray(arguments.as_labels(labels, "x", count, labels.shape)).reshape(labels.shape)
