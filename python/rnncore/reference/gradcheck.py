"""Is a gradient right? Compare it with differences of the function itself.

Two ways to differentiate without a backward pass: the complex step (Squire and Trapp, 1998), exact to rounding, for
functions that NumPy can evaluate on complex numbers, as it can the networks of this package; and central differences,
for any function of real numbers, good to about ten digits in float64.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from rnncore.reference.activations import Array
from rnncore.reference.network import Network

STEP = 1e-30  # its square vanishes against any derivative


def complex_step(function: Callable[[Array], Any], point: Array, directions: Array | None = None) -> Array:
    """Differentiate a function of a flat vector along directions: imag f(p + i h d) / h, with no cancellation.

    Parameters
    ----------
    function
        Takes a complex vector (P,) and returns one complex number; analytic at the point: no abs, no conjugate.
    point
        Real vector (P,).
    directions
        (K, P), or None for the unit vectors: the result is the gradient.

    Returns
    -------
    Array
        (K,) float64, or (P,) for the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> complex_step(lambda v: np.sum(v**3), np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    along = np.eye(point.size) if directions is None else directions
    return np.array([np.imag(function(point + 1j * STEP * d)) / STEP for d in along], np.float64)


def central_differences(
    function: Callable[[Array], Any], point: Array, directions: Array | None = None, step: float | None = None
) -> Array:
    """Differentiate a function of a flat vector along directions: (f(p + h d) - f(p - h d)) / 2h.

    Parameters
    ----------
    function
        Takes a vector (P,) of the point's dtype and returns one number.
    point
        Real vector (P,).
    directions
        (K, P), or None for the unit vectors: the result is the gradient.
    step
        h; None for the cube root of the dtype's epsilon, which balances truncation and rounding.

    Returns
    -------
    Array
        (K,) float64, or (P,) for the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> central_differences(lambda v: np.sum(v**3), np.array([1.0, 2.0])).round(6)
    array([ 3., 12.])
    """
    along = np.eye(point.size) if directions is None else directions
    h = float(np.finfo(point.dtype).eps) ** (1 / 3) if step is None else step
    differences = []
    for d in along:
        above, below = (point + h * d).astype(point.dtype), (point - h * d).astype(point.dtype)
        differences.append((float(function(above)) - float(function(below))) / (2 * h))
    return np.array(differences, np.float64)


def relative_error(actual: Array, expected: Array) -> float:
    """Largest difference by the largest magnitude expected; NaN if either holds a NaN, 0 for empty arrays."""
    if actual.size == 0:
        return 0.0
    scale = np.max(np.abs(expected))
    return float(np.max(np.abs(actual - expected)) / (scale if scale != 0 else 1))


class Layer(Protocol):
    """What gradcheck asks of a layer: the training call of rnncore.RNN, LSTM and GRU."""

    @property
    def parameters(self) -> Array:
        """The flat vector, writable."""

    def forward(self, x: Array, hx: Any, /, *, lengths: Any, resets: Any) -> tuple[Array, Any, Any]:
        """Return (y, hx, cache)."""

    def backward(self, cache: Any, dy: Array, dhx: Any, /) -> Any:
        """Return the gradients: .x, .hx and .parameters."""


def gradcheck(
    layer: Layer,
    x: Array,
    hx: Any = None,
    *,
    lengths: Any = None,
    resets: Any = None,
    directions: int | None = None,
    step: float | None = None,
    seed: int = 0,
) -> float:
    """Compare a layer's backward with central differences of its forward.

    The loss is a random linear function of all outputs and of the final state. Its gradient with respect to the
    parameters, the input and the initial state is compared as one vector. The layer is copied, never changed; each
    evaluation starts from a fresh copy, so that a layer with dropout draws the same mask every time.

    Parameters
    ----------
    layer
        An rnncore.RNN, LSTM or GRU, or anything with their ``parameters``, ``forward`` and ``backward``. Give it the
        dtype "float64": differences in float32 agree to two or three digits only.
    x
        Input as the layer takes it.
    hx
        Initial state as the layer takes it; None for a random one.
    lengths, resets
        As the layer takes them.
    directions
        How many random directions to compare along; None compares every coordinate, at two forward calls each.
    step
        Of the differences; None for the cube root of the dtype's epsilon.
    seed
        Of the loss, the random initial state and the directions.

    Returns
    -------
    float
        Largest difference relative to the largest derivative: about 1e-9 in float64 if backward is right.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> from rnncore.reference import gradcheck
    >>> lstm = rnncore.LSTM(2, 3, bidirectional=True, dtype="float64", seed=0)
    >>> x = np.random.default_rng(0).normal(size=(5, 4, 2))
    >>> gradcheck(lstm, x, lengths=[5, 0, 3, 1]) < 1e-7
    True
    """
    rng = np.random.default_rng(seed)
    given = np.asarray(x, layer.parameters.dtype)
    y, final, _ = copy.deepcopy(layer).forward(given, hx, lengths=lengths, resets=resets)
    state = _random_like(rng, _parts(final)) if hx is None else [np.asarray(part, y.dtype) for part in _parts(hx)]
    arguments = [layer.parameters, given, *state]
    weights = _random_like(rng, [y, *_parts(final)])

    def run(parameters: Array, x: Array, *state: Array) -> tuple[Layer, list[Array], Any]:
        trial = copy.deepcopy(layer)
        trial.parameters[...] = parameters
        y, hn, cache = trial.forward(x, _same_form(final, state), lengths=lengths, resets=resets)
        return trial, [y, *_parts(hn)], cache

    def loss(point: Array) -> Any:
        _, outputs, _ = run(*_cut(point, arguments))
        return _dot(weights, outputs)

    trial, _, cache = run(*arguments)
    gradients = trial.backward(cache, weights[0], _same_form(final, weights[1:]))
    actual = _flat([gradients.parameters, gradients.x, *_parts(gradients.hx)])
    along = _random_directions(rng, directions, actual.size)
    expected = central_differences(loss, _flat(arguments), along, step)
    return relative_error(actual if along is None else along @ actual, expected)


def gradcheck_network(
    network: Network,
    parameters: Array,
    x: Array,
    h0: tuple[Array, ...],
    *,
    lengths: Array | None = None,
    resets: Array | None = None,
    dropout: float = 0.0,
    key: int = 0,
    directions: int | None = None,
    seed: int = 0,
) -> float:
    """Compare a network's backward with the complex step through the twin of the same shape.

    As gradcheck, for whatever has the engine's signature, in float32 too: the derivative is exact in any case.

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore.reference import Network
    >>> rng, network = np.random.default_rng(0), Network("gru", 2, 3, dtype="float64")
    >>> parameters, x, h0 = (rng.normal(size=s) for s in (network.parameter_count, (5, 4, 2), (1, 4, 3)))
    >>> gradcheck_network(network, parameters, x, (h0,)) < 1e-12
    True
    """
    rng = np.random.default_rng(seed)
    arguments = [parameters, x, *h0]
    y = np.empty((*x.shape[:2], network.num_directions * h0[0].shape[2]), x.dtype)
    hn = tuple(np.empty_like(state) for state in h0)
    weights = _random_like(rng, [y, *hn])
    dparameters, dx, *dh0 = (np.zeros_like(argument) for argument in arguments)
    cache = network.forward(parameters, x, h0, y, hn, lengths, resets, dropout, key, keep=True)
    assert cache is not None  # since keep
    network.backward(cache, parameters, weights[0], tuple(weights[1:]), dx, tuple(dh0), dparameters)
    actual = _flat([dparameters, dx, *dh0])
    names = ("cell", "input_size", "hidden_size", "num_layers", "bias", "bidirectional", "proj_size", "options")
    twin = Network(**{name: getattr(network, name) for name in names}, dtype="complex128")

    def loss(point: Array) -> Any:
        parameters, x, *h0 = _cut(point, arguments)
        y, *hn = outputs = [np.empty(w.shape, point.dtype) for w in weights]
        twin.forward(parameters, x, tuple(h0), y, tuple(hn), lengths, resets, dropout, key)
        return _dot(weights, outputs)

    along = _random_directions(rng, directions, actual.size)
    expected = complex_step(loss, _flat(arguments).astype(np.float64), along)
    return relative_error(actual if along is None else along @ actual, expected)


# ---- arrays and flat vectors


def _flat(arrays: Sequence[Array]) -> Array:
    return np.concatenate([array.ravel() for array in arrays])


def _cut(vector: Array, like: Sequence[Array]) -> list[Array]:
    """Undo _flat."""
    parts = np.split(vector, np.cumsum([array.size for array in like])[:-1])
    return [part.reshape(array.shape) for part, array in zip(parts, like, strict=True)]


def _parts(state: Any) -> list[Array]:
    """List the arrays of a state: one of an RNN or GRU, two of an LSTM."""
    return list(state) if isinstance(state, tuple) else [state]


def _same_form(form: Any, arrays: Sequence[Array]) -> Any:
    return tuple(arrays) if isinstance(form, tuple) else arrays[0]


def _dot(weights: Sequence[Array], outputs: Sequence[Array]) -> Any:
    return sum(np.sum(w.astype(np.float64) * output) for w, output in zip(weights, outputs, strict=True))


def _random_like(rng: np.random.Generator, arrays: Sequence[Array]) -> list[Array]:
    return [rng.standard_normal(array.shape).astype(array.dtype) for array in arrays]


def _random_directions(rng: np.random.Generator, count: int | None, size: int) -> Array | None:
    """(count, size) of +1 and -1, so that every coordinate counts alike."""
    return None if count is None else rng.choice([-1.0, 1.0], (count, size))
