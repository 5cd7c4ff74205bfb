"""Optimisers over flat vectors of parameters, one pass in the engine for each. Clipping is in clipping.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, ClassVar

import numpy as np

from rnncore import _core
from rnncore.arguments import Array, as_flat_gradient, check_dtype, check_flag, check_positive
from rnncore.clipping import as_vectors, clip_grad_norm, clip_grad_value
from rnncore.memory import at_place, place_of, was_left

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm", "clip_grad_value"]


class Optimizer:
    """What the optimisers share: one or several flat vectors of parameters, and as many of each kind of state.

    A step is one call into the engine: an interrupt leaves parameters, state and count as before it or as after it.
    Copied or pickled together with its model or layer, in one object such as a tuple, an optimiser goes on training the
    copy; alone, it takes a copy of the parameters along.
    """

    lr: float
    """The learning rate; it may be changed between steps."""
    _kind: ClassVar[Any]  # of the engine's update
    _letters: ClassVar[Mapping[str, str]]  # kind of state -> its letter in `state_dict`

    def __init__(
        self, parameters: Array | Sequence[Array], lr: float, weight_decay: float, maximize: bool, *states: str
    ) -> None:
        vectors = as_vectors(parameters)
        for k, vector in enumerate(vectors):
            as_flat_gradient(vector, f"parameters[{k}]", np.size(vector), check_dtype(getattr(vector, "dtype", None)))
        self.lr = check_positive("lr", lr, zero=True)
        self.weight_decay = check_positive("weight_decay", weight_decay, zero=True)
        self.maximize = check_flag("maximize", maximize)
        self._arrays = {"parameters": vectors, **{name: [np.zeros_like(v) for v in vectors] for name in states}}
        self._form = [(vector.shape, vector.dtype) for vector in vectors]
        self._steps = np.zeros((), np.int64)

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return int(self._steps)

    def step(self, gradients: Array | Sequence[Array]) -> None:
        """Take one step along gradients in the form of the parameters: flat, in their dtype.

        Raises ValueError for another shape or dtype, and for parameters of a layer that has become part of a model
        since; nothing has changed then.
        """
        if any(map(was_left, self._arrays["parameters"])):
            raise ValueError(
                "parameters: a model has taken their layer in and moved them; make the optimiser afterwards"
            )
        flat = as_vectors(gradients)
        if [(vector.shape, vector.dtype) for vector in flat] != self._form:
            given, expected = (
                [(vector.shape, str(vector.dtype)) for vector in each] for each in (flat, self._arrays["parameters"])
            )
            raise ValueError(f"gradients: expected {expected}, got {given}")
        arrays = {**self._arrays, "gradients": [np.ascontiguousarray(vector) for vector in flat]}
        _core.update(self._kind, arrays, self._steps, self._options())

    def _options(self) -> dict[str, Any]:
        """Return what the engine's update is told, by name."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Array]:
        """Name -> copy of the state (a letter and the number of the vector) and of the number of steps."""
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
        # one call into C: Python handles no signal before all are copied
        deque(map(np.ndarray.__setitem__, named.values(), repeat(...), loaded), maxlen=0)

    def _named(self) -> dict[str, Array]:
        states = {
            f"{self._letters[name]}{k}": vector
            for name, vectors in self._arrays.items()
            if name != "parameters"
            for k, vector in enumerate(vectors)
        }
        return {**states, "steps": self._steps}

    def __getstate__(self) -> dict[str, Any]:
        places = [place_of(vector) for vector in self._arrays["parameters"]]
        return {**vars(self), "_arrays": {**self._arrays, "parameters": places}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays = state["_arrays"]
        vars(self).update(state, _arrays={**arrays, "parameters": [at_place(place) for place in arrays["parameters"]]})

    def __repr__(self) -> str:
        hidden = ("_arrays", "_form", "_steps")
        options = ", ".join(f"{name}={value}" for name, value in vars(self).items() if name not in hidden)
        return f"{type(self).__name__}({options})"


class SGD(Optimizer):
    """Gradient descent, with momentum (Polyak 1964) and Nesterov's form of it (Sutskever et al. 2013).

    For the gradient g, with weight_decay * parameters added to it::

        v = momentum v + (1 - dampening) g        (v = g at the first step)
        parameters -= lr v                        (nesterov: lr (g + momentum v); without momentum: lr g)

    Parameters
    ----------
    parameters
        A flat vector, float32 or float64, or a sequence of such; `step` writes to it.
    lr, momentum, dampening, weight_decay, nesterov
        As above.
    maximize
        Climb instead.

    Raises ValueError for a number out of range and TypeError for what is no writable flat vector.

    >>> parameters = np.array([1.0, 2.0])
    >>> SGD(parameters, lr=0.5).step(np.array([1.0, -1.0]))
    >>> parameters.tolist()
    [0.5, 2.5]
    """

    _kind: ClassVar = "sgd"
    _letters: ClassVar = {"velocity": "v"}

    def __init__(
        self,
        parameters: Array | Sequence[Array],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        self.momentum = check_positive("momentum", momentum, zero=True)
        self.dampening = check_positive("dampening", dampening, zero=True)
        self.nesterov = check_flag("nesterov", nesterov)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(parameters, lr, weight_decay, maximize, *(["velocity"] if momentum else []))

    def _options(self) -> dict[str, Any]:
        return {
            "lr": self.lr,
            "momentum": self.momentum,
            "dampening": self.dampening,
            "weight_decay": self.weight_decay,
            "nesterov": self.nesterov,
            "maximize": self.maximize,
        }


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015) over one flat vector of parameters, or over several as if they were one.

    At step t, for the gradient g, with weight_decay * parameters added to it::

        m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
        parameters -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Parameters
    ----------
    parameters
        A flat vector, float32 or float64, or a sequence of such; `step` writes to it.
    lr, betas, eps, weight_decay
        As above.
    amsgrad
        Take the greatest v so far (Reddi et al. 2018).
    maximize
        Climb instead.

    Raises ValueError for a number out of range and TypeError for what is no writable flat vector.

    >>> import rnncore
    >>> lstm = rnncore.LSTM(3, 20, seed=0)
    >>> optimiser = rnncore.optim.Adam(lstm.parameters, lr=1e-2)
    >>> y, hx, cache = lstm.forward(np.ones((5, 4, 3)))
    >>> optimiser.step(lstm.backward(cache, dy=np.ones_like(y)).parameters)
    >>> optimiser.steps
    1
    """

    _kind: ClassVar = "adam"
    _letters: ClassVar = {"mean": "m", "square": "v", "greatest": "x"}
    _decoupled = False

    def __init__(
        self,
        parameters: Array | Sequence[Array],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        self.eps = check_positive("eps", eps, zero=True)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be in [0, 1), got {betas}")
        self.betas = betas
        more = ["greatest"] if check_flag("amsgrad", amsgrad) else []
        super().__init__(parameters, lr, weight_decay, maximize, "mean", "square", *more)

    def _options(self) -> dict[str, Any]:
        return {
            "lr": self.lr,
            "beta1": self.betas[0],
            "beta2": self.betas[1],
            "eps": self.eps,
            "weight_decay": self.weight_decay,
            "decoupled": self._decoupled,
            "maximize": self.maximize,
        }


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019).

    As `Adam`, but parameters *= 1 - lr weight_decay comes first, and the gradient stays as it is.

    >>> parameters = np.array([1.0])
    >>> AdamW(parameters, lr=0.1, weight_decay=0.5).step(np.array([0.0]))
    >>> parameters.tolist()
    [0.95]
    """

    _decoupled = True

    def __init__(
        self,
        parameters: Array | Sequence[Array],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012; centred: Graves 2013).

    For the gradient g, with weight_decay * parameters added to it::

        s = alpha s + (1 - alpha) g^2        m = alpha m + (1 - alpha) g        (m = 0 unless centered)
        v = momentum v + g / (sqrt(s - m^2) + eps)
        parameters -= lr v

    Parameters are those of `Adam` where they bear their names. Raises as `Adam` does.

    >>> parameters = np.array([1.0])
    >>> RMSprop(parameters, lr=0.1, alpha=0.75).step(np.array([2.0]))
    >>> parameters.round(6).tolist()
    [0.8]
    """

    _kind: ClassVar = "rmsprop"
    _letters: ClassVar = {"square": "s", "velocity": "v", "mean": "m"}

    def __init__(
        self,
        parameters: Array | Sequence[Array],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        self.alpha = check_positive("alpha", alpha, zero=True)
        self.eps = check_positive("eps", eps, zero=True)
        self.momentum = check_positive("momentum", momentum, zero=True)
        more = [*(["velocity"] if momentum else []), *(["mean"] if check_flag("centered", centered) else [])]
        super().__init__(parameters, lr, weight_decay, maximize, "square", *more)

    def _options(self) -> dict[str, Any]:
        return {
            "lr": self.lr,
            "alpha": self.alpha,
            "eps": self.eps,
            "weight_decay": self.weight_decay,
            "momentum": self.momentum,
            "maximize": self.maximize,
        }
