"""What gradients do on their way back through time: whether they vanish or explode, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnncore import arguments
from rnncore.arguments import Array
from rnncore.layers.recurrent import RecurrentLayer

__all__ = ["GradientFlow", "gradient_flow"]


@dataclass(frozen=True, slots=True, eq=False)
class GradientFlow:
    """Norms against the lag k = 1..T, the number of steps before the end; L layers."""

    gradient: Array
    """(L, T) |dL / dh_(T-k)|, over rows and units: what reaches the output k steps before the end from behind it."""
    jacobian: Array
    """(L, T) the spectral norm of ds_T / ds_(T-k), s the layer's state (h, or h and c): the product of k Jacobians."""

    @property
    def lags(self) -> Array:
        """(T,) 1, 2, ..., T."""
        return np.arange(1, self.gradient.shape[1] + 1)

    def plot(self, axes: Any = None) -> Any:
        """Draw both against the lag, on matplotlib axes or new ones, which are returned (pip install rnncore[apps])."""
        if axes is None:
            try:
                from matplotlib import pyplot
            except ImportError:
                raise ImportError("figures need the package matplotlib: pip install 'rnncore[apps]'") from None
            axes = pyplot.figure(figsize=(6, 4), layout="constrained").add_subplot()
        for layer, (gradient, jacobian) in enumerate(zip(self.gradient, self.jacobian, strict=True)):
            name = "" if len(self.gradient) == 1 else f", layer {layer}"
            axes.plot(self.lags, _positive(gradient), color=f"C{layer}", label=f"gradient{name}")
            axes.plot(self.lags, _positive(jacobian), "--", color=f"C{layer}", label=f"Jacobian product{name}")
        axes.set(yscale="log", xlabel="steps back in time", ylabel="norm")
        axes.legend()
        return axes


def gradient_flow(
    layer: RecurrentLayer[Any],
    x: ArrayLike,
    hx: Any = None,
    *,
    loss: Callable[[Array, slice], tuple[float, ArrayLike]] | None = None,
    row: int = 0,
    num_threads: int | None = None,
) -> GradientFlow:
    """Follow the gradient back through a sequence step by step (Bengio et al. 1994; Pascanu et al. 2013).

    Parameters
    ----------
    layer
        RNN, LSTM or GRU, in one direction.
    x, hx
        As of the layer's call; at least one step.
    loss
        ``loss(y, steps) -> (value, dy)`` as of `rnncore.bptt.full`; by default the sum of the last outputs, so that the
        gradient is that of what was k steps ago by the end.
    row
        The sequence of the batch that the Jacobians are of.

    Norms are taken in float64; they are inf or nan where the gradients are.

    The Jacobians take L*S*H rows of a batch, S states per unit: mind the size. Raises ValueError for a bidirectional
    layer and for an x without steps, and what the layer raises.

    Examples
    --------
    A vanilla network forgets at the pace of its recurrent weights:

    >>> import numpy as np, rnncore
    >>> rnn = rnncore.RNN(2, 16, dtype="float64", seed=0)
    >>> rnn.weight_hh_l0[...] = 0.5 * np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]
    >>> flow = rnncore.diagnostics.gradient_flow(rnn, np.zeros((20, 2)))
    >>> flow.gradient.shape, bool((flow.jacobian[0] <= 0.5 ** flow.lags).all())
    ((1, 20), True)
    """
    if not getattr(layer, "_looks_along_time", False):
        raise TypeError(f"layer should be an RNN, LSTM or GRU, got {type(layer).__name__}")
    if layer.bidirectional:
        raise ValueError(f"layer should have bidirectional=False, got {layer!r}: its gradients flow both ways")
    values, batched = arguments.as_input(x, layer.input_size, layer.dtype, layer.batch_first)
    steps, rows, _ = values.shape
    if not steps or not rows:
        raise ValueError(f"x has {steps} steps and {rows} rows, expected at least one of each")
    row = arguments.check_size("row", row, 0)
    if row >= rows:
        raise ValueError(f"row must be below {rows}, the rows of x, got {row}")
    if hx is not None:
        hx = layer._join(layer._states(hx, "hx", rows, batched))
    _, start, _ = _run(layer, values[:0], hx, num_threads)  # the state that None stands for
    y, _, _ = _run(layer, values, hx, num_threads)
    dy = np.zeros_like(y)
    if loss is None:
        dy[-1] = 1
    else:
        seen = layer._like_input(y, batched)
        found = arguments.as_shaped(loss(seen, slice(0, steps))[1], "the gradient of the loss", layer.dtype, seen.shape)
        dy = layer._output_gradient(found, steps, rows, batched)
    gradient = [[_norm(part.ravel()) for part in d[0]] for d in _back(layer, values, start, dy, None, num_threads)]

    L, width = layer.num_layers, sum(layer._state_sizes)  # of a layer's state, h and c side by side
    size, cuts = L * width, np.cumsum(layer._state_sizes)[:-1]
    seeds = np.eye(size, dtype=layer.dtype).reshape(size, L, width).swapaxes(0, 1)  # a row for each element
    copies = np.broadcast_to(values[:, row : row + 1], (steps, size, layer.input_size))
    starts = tuple(np.repeat(state[:, row : row + 1], size, axis=1) for _, state in layer._split(start, "hx"))
    products = []
    ends = tuple(map(np.ascontiguousarray, np.split(seeds, cuts, axis=2)))
    for d in _back(layer, copies, layer._join(starts), None, ends, num_threads):
        by_layer = np.concatenate(d, axis=2).reshape(L, L, width, width)  # from layer; to layer, element; from element
        blocks = [by_layer[k, k] for k in range(L)]
        products.append([_norm(block) for block in blocks])
    return GradientFlow(np.array(gradient, np.float64).T, np.array(products, np.float64).T)


def _run(layer: RecurrentLayer[Any], values: Array, states: Any, num_threads: int | None) -> tuple[Array, Any, Any]:
    """Run a layer over x (T, N, I), without dropout; return y (T, N, H), the final state and the cache."""
    x = values.swapaxes(0, 1) if layer.batch_first else values
    y, final, cache = layer._run(x, states, None, None, num_threads, 0.0, True, 0, None)
    return y.swapaxes(0, 1) if layer.batch_first else y, final, cache


def _back(
    layer: RecurrentLayer[Any],
    values: Array,
    start: Any,
    dy: Array | None,
    d_final: tuple[Array, ...] | None,
    num_threads: int | None,
) -> Iterator[tuple[Array, ...]]:
    """Yield the gradients of the states before each step, from the last step to the first."""
    caches, states = [], start
    for t in range(len(values)):
        _, states, cache = _run(layer, values[t : t + 1], states, num_threads)
        caches.append(cache)
    d_states = d_final
    for t in reversed(range(len(values))):
        d_output = None if dy is None else dy[t : t + 1]
        if d_output is not None and layer.batch_first:
            d_output = d_output.swapaxes(0, 1)
        d_next = None if d_states is None else layer._join(d_states)
        grads = layer.backward(caches.pop(), d_output, d_next, input_gradient=False, num_threads=num_threads)
        d_states = tuple(state for _, state in layer._split(grads.hx, "hx"))
        yield d_states


def _norm(values: Array) -> float:
    """The 2-norm of a vector or matrix; inf or nan if there is one in it.

    In float64 and by the largest element: squares would underflow where gradients vanish, overflow where they explode.
    """
    largest = float(np.abs(values).max())
    if not np.isfinite(largest):
        return largest  # where the SVD would not converge
    exponent = np.frexp(largest)[1]
    return float(np.ldexp(np.linalg.norm(np.ldexp(values.astype(np.float64), -exponent), ord=2), exponent))


def _positive(values: Array) -> Array:
    """Leave out what a logarithmic axis cannot show."""
    return np.where(values > 0, values, np.nan)
