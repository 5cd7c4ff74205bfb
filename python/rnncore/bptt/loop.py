"""Backpropagation through time in three ways, one call each: full, truncated and checkpointed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rnncore import arguments
from rnncore.arguments import Array
from rnncore.bptt.reader import Blocks, Source

__all__ = ["Network", "Result", "Window", "checkpointed", "full", "truncated"]

Loss: TypeAlias = Callable[[Array, slice], tuple[float, ArrayLike]]

_GRADIENT = "the gradient of the loss"


class Network(Protocol):
    """What the three calls ask of a network: the calls of a recurrent layer, which a model of layers has too."""

    def __call__(self, x: Array, hx: Any = None, /, **options: Any) -> tuple[Array, Any]:
        """Return y and the final state, without dropout; options are lengths, resets and num_threads."""

    def forward(self, x: Array, hx: Any = None, /, **options: Any) -> tuple[Array, Any, Any]:
        """Return y, the final state and a cache; options as of a call, and checkpoint."""

    def backward(self, cache: Any, dy: Any = None, dhx: Any = None, /, **options: Any) -> Any:
        """Return gradients .x, .hx and .parameters; options are input_gradient, add_to and num_threads."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What `update` is told after each window."""

    loss: float
    """The loss of the steps of this window that count."""
    parameters: Array
    """The gradient of that loss by the parameters, flat. The caller may change it."""
    steps: slice
    """The steps that count, numbered as in the whole sequence."""
    hx: Any
    """The state after the window."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What the three calls return."""

    loss: float
    """The sum over the windows."""
    parameters: Array
    """The gradient by the parameters, flat: the sum over the windows."""
    hx: Any
    """The final state."""
    initial_gradient: Any
    """The gradient by the initial state, in its form; None if the gradients do not reach back to it."""
    _x: Array | None

    @property
    def x(self) -> Array:
        """The gradient by the input; AttributeError from `truncated`, if it was not asked for, or if x holds labels."""
        if self._x is None:
            raise AttributeError("the gradient of x was not computed: it is of full and checkpointed calls")
        return self._x


def full(
    network: Network,
    x: Source,
    loss: Loss,
    hx: Any = None,
    *,
    lengths: ArrayLike | None = None,
    resets: ArrayLike | None = None,
    input_gradient: bool = True,
    num_threads: int | None = None,
) -> Result:
    """Backpropagation through all of time (Werbos 1990): exact gradients, in memory that grows with T.

    Parameters
    ----------
    network
        A recurrent layer, or what has its calls (`Network`).
    x
        The input in the form that the network takes (labels if it begins with an Embedding), or an iterator of
        consecutive blocks of it. The iterator may fill one buffer again and again.
    loss
        ``loss(y, steps) -> (value, dy)``: the loss of the outputs y, and its gradient by them. y has the form of x and
        holds the steps of the slice `steps`, so that ``target[steps]`` is its target (``target[:, steps]`` with
        batch_first). Behind a `LastStep`, y is the one output of the whole sequence, (N, O).
    hx, lengths, resets, num_threads
        As of the network's calls.
    input_gradient
        False saves the work for `result.x`. Labels have no gradient.

    Raises ValueError for an x without steps and for a gradient whose shape is not that of y, and what the network
    raises. lengths, resets and labels that do not fit x are refused before the first step if x is an array. If x is an
    iterator, its labels are checked window by window, lengths and resets at its end.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> wave = np.sin(np.arange(301) / 5)[:, None]
    >>> def loss(y, steps):
    ...     error = y[:, :1] - wave[1:][steps]
    ...     return float((error**2).sum()), np.pad(2 * error, ((0, 0), (0, 7)))
    >>> lstm = rnncore.LSTM(1, 8, dtype="float64", seed=0)
    >>> result = rnncore.bptt.full(lstm, wave[:-1], loss)
    >>> result.parameters.shape, result.x.shape
    ((352,), (300, 1))
    >>> twin = rnncore.bptt.checkpointed(lstm, wave[:-1], loss)
    >>> bool((twin.parameters == result.parameters).all())
    True
    """
    return _Loop(network, x, loss, lengths, resets, num_threads, input_gradient=input_gradient).run(hx)


def checkpointed(
    network: Network,
    x: Source,
    loss: Loss,
    hx: Any = None,
    *,
    checkpoint: int | Literal["auto"] = "auto",
    lengths: ArrayLike | None = None,
    resets: ArrayLike | None = None,
    input_gradient: bool = True,
    num_threads: int | None = None,
) -> Result:
    """Compute the gradients of `full`, bit for bit, in O(sqrt T) memory besides x and y (Chen et al. 2016).

    Only the states every `checkpoint` steps are kept. Each block of steps is run forward a second time before the
    backward pass goes through it, which takes 1.2 to 1.4 times as long as `full`. "auto" chooses the length of the
    blocks. Other arguments, errors and the example are those of `full`; raises ValueError for a bidirectional network.
    """
    options: Any = {"checkpoint": checkpoint, "input_gradient": input_gradient}
    return _Loop(network, x, loss, lengths, resets, num_threads, **options).run(hx)


def truncated(
    network: Network,
    x: Source,
    loss: Loss,
    hx: Any = None,
    *,
    k1: int,
    k2: int | None = None,
    burn_in: int = 0,
    update: Callable[[Window], object] | None = None,
    lengths: ArrayLike | None = None,
    resets: ArrayLike | None = None,
    num_threads: int | None = None,
) -> Result:
    """Truncated backpropagation through time (Williams & Peng 1990): the memory needed grows with k2, not with T.

    The state is carried through the whole sequence, but gradients reach back no further than to the beginning of their
    window. Every k1 steps, the gradient of the loss of these steps is followed back over the last k2 steps. Steps that
    belong to an earlier window too are run again for that, from the state that was kept at the beginning of the
    window, with the parameters as they are by then.

    Parameters
    ----------
    k1
        Steps between updates.
    k2
        How many steps gradients reach back, at least k1. By default k1: the windows do not overlap.
    burn_in
        This many steps at the beginning of the sequence only advance the state: they have no loss and no gradient.
    update
        A function that is called with a `Window` every k1 steps and may change the parameters. Without it the
        gradients of all windows are added up; where k2 covers all steps, their sum is the gradient of `full`, bit for
        bit.

    Other arguments and errors are those of `full`. Raises ValueError for a k2 below k1, a burn_in that leaves no steps,
    a bidirectional network and a model with a `LastStep`. x is read window by window, so a `np.memmap` or an iterator
    of blocks may be larger than the memory. `loss` is called with the k1 steps of a window.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> gru = rnncore.GRU(1, 8, seed=0)
    >>> wave = np.sin(np.arange(1001, dtype="float32") / 5)[:, None]
    >>> def loss(y, steps):
    ...     error = y[:, :1] - wave[1:][steps]
    ...     return float((error**2).mean()), np.pad(2 * error / len(error), ((0, 0), (0, 7)))
    >>> losses = []
    >>> def update(window):
    ...     losses.append(window.loss)
    ...     gru.parameters -= 0.1 * window.parameters
    >>> blocks = iter(np.split(wave[:-1], 4))
    >>> result = rnncore.bptt.truncated(gru, blocks, loss, k1=20, k2=40, update=update)
    >>> len(losses), losses[-1] < 0.5 * losses[0]
    (50, True)
    """
    every = arguments.check_size("k1", k1, 1)
    back = every if k2 is None else arguments.check_size("k2", k2, 1)
    if back < every:
        raise ValueError(f"k2 must be at least k1 = {every}, got {back}: no step may go without its gradient")
    skipped = arguments.check_size("burn_in", burn_in, 0)
    if any(getattr(layer, "bidirectional", False) for layer in (network, *getattr(network, "layers", ()))):
        raise ValueError("network: expected bidirectional=False to go window by window: it reads the future")
    if not getattr(network, "per_step", True):
        raise ValueError("network: expected no LastStep to go window by window: windows need an output at every step")
    return _Loop(network, x, loss, lengths, resets, num_threads).run(hx, every, back, skipped, update)


@dataclass(slots=True)
class _Part:
    """Steps of a window that were run forward in one call."""

    begin: int
    end: int
    y: Array
    cache: Any


class _Loop:
    """The one loop: windows along time, each run forward from a kept state and backward to its beginning."""

    def __init__(
        self,
        network: Network,
        x: Source,
        loss: Loss,
        lengths: ArrayLike | None,
        resets: ArrayLike | None,
        num_threads: int | None,
        *,
        input_gradient: bool = False,
        checkpoint: int | str | None = None,
    ) -> None:
        self.network, self.loss = network, loss
        labels: int | None = None
        if getattr(network, "takes_labels", False):
            labels = network.layers[0].num_embeddings  # type: ignore[attr-defined]
        batch_first, self.per_step = getattr(network, "batch_first", False), getattr(network, "per_step", True)
        self.steps = Blocks(x, batch_first=batch_first, labels=labels, lengths=lengths, resets=resets)
        self.threads = {"num_threads": num_threads}
        self.checkpoint = {} if checkpoint is None else {"checkpoint": checkpoint}
        self.input_gradient = arguments.check_flag("input_gradient", input_gradient) and labels is None

    def run(
        self,
        hx: Any,
        k1: int | None = None,
        k2: int | None = None,
        burn_in: int = 0,
        update: Callable[[Window], object] | None = None,
    ) -> Result:
        """Take windows of k1 steps with k2 steps back, or one over all steps."""
        steps = self.steps
        if k1 is not None and k2 is not None and update is None and steps.reach(burn_in + k2 + 1) <= burn_in + k2:
            k2 = None  # the sum over the windows is the gradient of all steps: one backward pass gives it
        state = self._advance(burn_in, hx)
        if steps.reach(burn_in + 1) <= burn_in:
            raise ValueError(f"x has {steps.reach(None)} steps, expected more than the burn_in of {burn_in}")
        loss = 0.0
        total: Any = None
        summed: Any = None
        begin = start = burn_in
        while (end := steps.reach(None if k1 is None or k2 is None else begin + k1)) > begin:
            keep = end if k1 is None or k2 is None else max(start, end + k1 - k2)  # where the next window starts
            parts, state, final = self._forward(start, keep, end, state)
            value, dy = self._losses(parts, start, begin, end, k1 or end - begin)
            grads = self._backward(parts, begin, dy, None if update else total)
            loss += value
            total = grads.parameters
            if update:
                summed = grads.parameters.copy() if summed is None else summed + grads.parameters
                update(Window(value, grads.parameters, slice(begin, end), final))
            start, begin = keep, end
            steps.forget(start)
            parts.clear()  # so that its memory is free before the next window is run
        if k2 is not None or update or burn_in:  # the gradients do not reach back to the beginning
            return Result(loss, summed if update else total, final, None, None)
        return Result(loss, total, final, grads.hx, grads.x if self.input_gradient else None)

    def _advance(self, stop: int, hx: Any, at_once: int = 4096) -> Any:
        begin = 0
        while (end := self.steps.reach(min(stop, begin + at_once))) > begin:
            _, hx = self.network(self.steps.x(begin, end), hx, **self.steps.rows(begin, end), **self.threads)
            begin = end
            self.steps.forget(begin)
        return hx

    def _forward(self, start: int, keep: int, end: int, hx: Any) -> tuple[list[_Part], Any, Any]:
        """Run a window forward: in two calls if the step `keep`, whose state is to be kept, lies inside.

        Returns the parts, the state at `keep` and the last state.
        """
        parts, kept, rows = [], hx, self.steps.rows
        for begin, stop in ((start, keep), (keep, end)):
            if begin < stop:
                options = {**rows(begin, stop), **self.checkpoint, **self.threads}
                y, hx, cache = self.network.forward(self.steps.x(begin, stop), hx, **options)
                parts.append(_Part(begin, stop, y, cache))
            if stop == keep:
                kept = hx
        return parts, kept, hx

    def _losses(self, parts: list[_Part], start: int, begin: int, end: int, every: int) -> tuple[float, Array]:
        """Call the loss once for each `every` steps from `begin` on; return the sum, and dy of all these steps."""
        if not self.per_step:  # there is one output for all steps
            value, gradient = self._loss(parts[0].y, slice(begin, end))
            return value, arguments.as_shaped(gradient, _GRADIENT, parts[0].y.dtype, parts[0].y.shape)
        y = parts[-1].y if len(parts) == 1 else np.concatenate([part.y for part in parts], self.steps.axis)
        value, gradients = 0.0, []
        for first in range(begin, end, every):
            last = min(first + every, end)
            outputs = self.steps.cut(y, first - start, last - start)
            part, gradient = self._loss(outputs, slice(first, last))
            gradients.append(arguments.as_shaped(gradient, _GRADIENT, y.dtype, outputs.shape))
            value += part
        return value, gradients[0] if len(gradients) == 1 else np.concatenate(gradients, self.steps.axis)

    def _loss(self, y: Array, steps: slice) -> tuple[float, ArrayLike]:
        """Call the caller's function, and say what it should have returned."""
        found: Any = self.loss(y, steps)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise TypeError(f"loss should return (value, dy), dy its gradient by y; got {type(found).__name__}")
        return float(found[0]), found[1]

    def _backward(self, parts: list[_Part], begin: int, dy: Array, add_to: Array | None) -> Any:
        """Go back through a window. dy belongs to the steps from `begin` on; earlier ones do not add to the loss."""
        grads, cut = None, self.steps.cut
        for part in reversed(parts):
            d_part = None
            if part.end > begin:
                d_part = dy if not self.per_step else cut(dy, max(part.begin - begin, 0), part.end - begin)
                if part.begin < begin:
                    d_part = np.zeros_like(part.y)
                    cut(d_part, begin - part.begin, part.end - part.begin)[...] = cut(dy, 0, part.end - begin)
            options = {"input_gradient": self.input_gradient, "add_to": add_to, **self.threads}
            grads = self.network.backward(part.cache, d_part, None if grads is None else grads.hx, **options)
            add_to = grads.parameters
        return grads
