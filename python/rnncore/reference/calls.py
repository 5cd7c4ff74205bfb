"""NumPy twin of python/rnncore/network.py: calls over parameters that are a list of arrays, and over packed batches.

Both are taken apart into what ``reference.network.Network`` takes: one flat vector, and (T, N, I) with lengths.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnncore.reference.activations import Array
from rnncore.reference.network import Cache, Network


class Call(NamedTuple):
    """What backward needs to know of a forward call."""

    cache: Cache
    valid: Array | None  # (T, N) True where a row of a packed batch has a step


def forward(
    network: Network,
    parameters: Sequence[Array],
    x: Array,
    hx: tuple[Array, ...] | None = None,
    batch_sizes: Array | None = None,
    resets: Array | None = None,
) -> tuple[Array, tuple[Array, ...], Call]:
    """Return y in the form of x, the final state, and what backward needs.

    parameters in the order and shapes of the layout; x (T, N, I), or of a packed batch (sum of batch_sizes, I), all
    rows of step 0, then all rows of step 1 that are so long, and so on; resets in the form of x less its features.

    >>> import numpy as np
    >>> network = Network("gru", 2, 3, dtype="float64")
    >>> arrays = [np.full(shape, 0.1) for _, _, shape in network.layout]
    >>> y, (h,), _ = forward(network, arrays, np.ones((5, 2)), batch_sizes=np.array([2, 2, 1]))
    >>> y.shape, bool((h[0] == y[[4, 3]]).all())
    ((5, 3), True)
    """
    valid = None if batch_sizes is None else np.arange(batch_sizes[0]) < batch_sizes[:, None]
    whole = unpacked(x, valid)
    rows, axis = whole.shape[1], network.num_layers * network.num_directions
    y = np.empty((*whole.shape[:2], network.num_directions * network.state_sizes[0]), network.dtype)
    hn = tuple(np.empty((axis, rows, size), network.dtype) for size in network.state_sizes)
    lengths = None if valid is None else np.count_nonzero(valid, axis=0)
    flags = None if resets is None else unpacked(resets, valid)
    cache = network.forward(flat(parameters), whole, hx, y, hn, lengths, flags, keep=True)
    assert cache is not None
    return repacked(y, valid), hn, Call(cache, valid)


def backward(
    network: Network,
    call: Call,
    parameters: Sequence[Array],
    dy: Array,
    dhn: tuple[Array, ...] | None,
    add_to: Sequence[Array | None],
) -> tuple[Array, tuple[Array, ...]]:
    """Return dx in the form of x, and the gradients of the initial state.

    The gradient of each parameter is added to its array in add_to, unless that is None.
    """
    steps, rows = call.cache.sizes
    total = np.zeros(network.parameter_count, network.dtype)
    dx = np.empty((steps, rows, network.input_size), network.dtype)
    axis = network.num_layers * network.num_directions
    dh0 = tuple(np.empty((axis, rows, size), network.dtype) for size in network.state_sizes)
    network.backward(call.cache, flat(parameters), unpacked(dy, call.valid), dhn, dx, dh0, total)
    for array, gradient in zip(add_to, network.views(total).values(), strict=True):
        if array is not None:
            array += gradient
    return repacked(dx, call.valid), dh0


def flat(parameters: Sequence[Array]) -> Array:
    """Return the arrays one behind the other."""
    return np.concatenate([array.ravel() for array in parameters])


def unpacked(data: Array, valid: Array | None) -> Array:
    """Lay a packed batch out as (T, N, ...), with zeros past a row's end; anything else stays as it is."""
    if valid is None:
        return data
    whole = np.zeros((*valid.shape, *data.shape[1:]), data.dtype)
    whole[valid] = data
    return whole


def repacked(whole: Array, valid: Array | None) -> Array:
    """Undo `unpacked`."""
    return whole if valid is None else np.asarray(whole[valid])
