"""Optimisers over flat vectors of parameters, and clipping of gradients."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from rnncore.arguments import Array, as_flat_gradient, check_dtype, check_positive

_BLOCK = 1 << 14  # elements: a dozen passes over a block stay within the L2 cache


def clip_grad_norm(gradients: Array | Sequence[Array], max_norm: float, *, error_if_nonfinite: bool = False) -> float:
    """Scale gradients in place so that their joint Euclidean norm is at most max_norm (Pascanu et al. 2013).

    Parameters
    ----------
    gradients
        A floating-point array or a sequence of such.
    max_norm
        At least 0; infinity leaves all as it is, and still returns the norm.
    error_if_nonfinite
        Raise FloatingPointError, before anything is changed, if the norm is infinite or NaN.

    Returns the norm before clipping; gradients of an infinite or NaN norm stay as they are. Raises ValueError for a
    negative or NaN max_norm.

    >>> gradient = np.array([3.0, 4.0])
    >>> clip_grad_norm(gradient, max_norm=1.0)
    5.0
    >>> gradient.round(3).tolist()
    [0.6, 0.8]
    """
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be at least 0, got {max_norm}")
    arrays = [gradients] if isinstance(gradients, np.ndarray) else list(gradients)
    norm = math.sqrt(sum(float(np.einsum("i,i->", flat, flat, dtype=np.float64)) for flat in map(np.ravel, arrays)))
    if error_if_nonfinite and not math.isfinite(norm):
        raise FloatingPointError(f"the norm of the gradients is {norm}")
    if max_norm < norm < math.inf:
        scale = max_norm / (norm + 1e-6)  # the guard that PyTorch uses
        for array in arrays:
            array *= array.dtype.type(scale)
    return norm


class Adam:
    """Adam (Kingma & Ba 2015) over one flat vector of parameters, or over several as if they were one.

    At step t, for the gradient g, with weight_decay * parameters added to it::

        m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
        parameters -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Parameters
    ----------
    parameters
        A flat vector, float32 or float64, or a sequence of such; `step` writes to it.
    lr
        The learning rate, an attribute that may be changed between steps.
    betas, eps, weight_decay
        As above.

    Raises ValueError for a number out of range and TypeError for what is no writable flat vector.

    >>> import rnncore
    >>> lstm = rnncore.LSTM(3, 20, seed=0)
    >>> optimiser = rnncore.optim.Adam(lstm.parameters, lr=1e-2)
    >>> y, hx, cache = lstm.forward(np.ones((5, 4, 3)))
    >>> optimiser.step(lstm.backward(cache, dy=np.ones_like(y)).parameters)
    >>> optimiser.steps
    1
    """

    lr: float

    def __init__(
        self,
        parameters: Array | Sequence[Array],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        vectors = _vectors(parameters)
        for k, vector in enumerate(vectors):
            as_flat_gradient(vector, f"parameters[{k}]", np.size(vector), check_dtype(getattr(vector, "dtype", None)))
        self.lr = check_positive("lr", lr, zero=True)
        self.eps = check_positive("eps", eps, zero=True)
        self.weight_decay = check_positive("weight_decay", weight_decay, zero=True)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be in [0, 1), got {betas}")
        self.betas = betas
        self._steps = np.zeros((), np.int64)
        self._state = [*vectors, *map(np.zeros_like, vectors), *map(np.zeros_like, vectors), self._steps]
        self._next = [np.empty_like(array) for array in self._state]

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return int(self._steps)

    def step(self, gradients: Array | Sequence[Array]) -> None:
        """Take one step along gradients in the form of the parameters: flat, in their dtype.

        Parameters, moments and count change together: an interrupt leaves them all as before the step or all as after.
        Raises ValueError for another shape or dtype.
        """
        count = len(self._state) // 3
        flat = _vectors(gradients)
        given, expected = (
            [(vector.shape, str(vector.dtype)) for vector in each] for each in (flat, self._state[:count])
        )
        if given != expected:
            raise ValueError(f"gradients: expected {expected}, got {given}")
        steps = self.steps + 1
        self._next[-1][...] = steps
        for k in range(count):
            state = self._state[k::count][:3]
            after = self._next[k::count][:3]
            for start in range(0, flat[k].size, _BLOCK):
                block = slice(start, start + _BLOCK)
                self._update(flat[k][block], [a[block] for a in state], [a[block] for a in after], steps)
        _copy(self._next, self._state)

    def _update(self, gradient: Array, state: list[Array], after: list[Array], steps: int) -> None:
        """Write the new parameters, m and v of one block; scalars are Python's, so float32 stays float32."""
        (p, m, v), (new_p, new_m, new_v) = state, after
        beta1, beta2 = self.betas
        if self.weight_decay:
            gradient = gradient + self.weight_decay * p
        np.multiply(m, beta1, out=new_m)
        new_m += (1 - beta1) * gradient
        np.multiply(v, beta2, out=new_v)
        new_v += (1 - beta2) * gradient * gradient
        scale = np.sqrt(new_v)
        scale /= math.sqrt(1 - beta2**steps)
        scale += self.eps
        np.divide(new_m, scale, out=scale)
        scale *= self.lr / (1 - beta1**steps)
        np.subtract(p, scale, out=new_p)

    def state_dict(self) -> dict[str, Array]:
        """Name -> copy of the moments (m0, v0, m1, ... by vector) and of the number of steps."""
        return {name: array.copy() for name, array in self._named().items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where the state was saved; ValueError for missing or unexpected names or a wrong shape."""
        named = self._named()
        if state_dict.keys() != named.keys():
            raise ValueError(f"state_dict: expected the names {sorted(named)}, got {sorted(state_dict)}")
        loaded = [np.array(state_dict[name], array.dtype) for name, array in named.items()]
        for name, array, value in zip(named, named.values(), loaded, strict=True):
            if array.shape != value.shape:
                raise ValueError(f"{name}: expected shape {array.shape}, got {value.shape}")
        _copy(loaded, list(named.values()))

    def _named(self) -> dict[str, Array]:
        count = len(self._state) // 3
        names = [f"{letter}{k}" for letter in "mv" for k in range(count)]
        return dict(zip([*names, "steps"], self._state[count:], strict=True))


def _vectors(arrays: Array | Sequence[Array]) -> list[Array]:
    return [arrays] if isinstance(arrays, np.ndarray) else list(arrays)


def _copy(sources: Sequence[Array], destinations: Sequence[Array]) -> None:
    """Copy each array to its destination, in one call into C: Python handles no signal before all are done."""
    deque(map(np.ndarray.__setitem__, destinations, repeat(...), sources), maxlen=0)
