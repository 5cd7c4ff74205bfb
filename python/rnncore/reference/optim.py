"""NumPy twin of src/rnncore/kernels/optim.hpp: a step of each optimiser, on arrays that are written to.

Each takes the parameters p, their gradient g and a dict of state arrays, zero at first; t counts this step too.
"""

import numpy as np

from rnncore.reference.activations import Array

State = dict[str, Array]


def sgd(
    p: Array,
    g: Array,
    state: State,
    t: int,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> None:
    """Gradient descent with momentum."""
    g = g + weight_decay * p
    if momentum:
        v = state["velocity"]
        v[...] = g if t == 1 else momentum * v + (1 - dampening) * g
        g = g + momentum * v if nesterov else v
    p -= lr * g


def adam(
    p: Array,
    g: Array,
    state: State,
    t: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    decoupled: bool = False,
) -> None:
    """Adam, AMSGrad, and AdamW if decoupled."""
    if decoupled:
        p *= 1 - lr * weight_decay
    else:
        g = g + weight_decay * p
    m, v = state["mean"], state["square"]
    m[...] = betas[0] * m + (1 - betas[0]) * g
    v[...] = betas[1] * v + (1 - betas[1]) * g * g
    if amsgrad:
        v = np.maximum(state["greatest"], v, out=state["greatest"])
    p -= lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def rmsprop(
    p: Array,
    g: Array,
    state: State,
    t: int,  # noqa: ARG001  one signature for all
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> None:
    """RMSprop."""
    g = g + weight_decay * p
    s = state["square"]
    s[...] = alpha * s + (1 - alpha) * g * g
    variance = s
    if centered:
        m = state["mean"]
        m[...] = alpha * m + (1 - alpha) * g
        variance = s - m * m
    step = g / (np.sqrt(variance) + eps)
    if momentum:
        step = state["velocity"][...] = momentum * state["velocity"] + step
    p -= lr * step
