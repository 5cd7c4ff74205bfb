"""One step's loss and gradient, and where it goes wrong if it does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnncore import _core
from rnncore.arguments import Array, check_flag, check_threads, empty
from rnncore.layers.module import named_views
from rnncore.losses import LOSSES, Loss, engine_loss
from rnncore.models.call import Call
from rnncore.models.model import Model, ModelGradients
from rnncore.training.batches import Batch, as_batch, options_of, prepared
from rnncore.training.engine import Sight


def as_loss(loss: Any) -> Loss:
    """Read the name of a loss, or a function like those of `rnncore.losses`.

    >>> as_loss("mse").__name__
    'mean_squared_error'
    """
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(f"unknown loss {loss!r}: expected one of {', '.join(LOSSES)}, or a function")
        return LOSSES[loss]
    if not callable(loss):
        raise TypeError(f"loss should be a name or a function, got {type(loss).__name__}")
    return loss  # type: ignore[no-any-return]


def loss_and_grad(
    model: Any,
    batch: Any,
    loss: Any = "mse",
    *,
    hx: Any = None,
    input_gradient: bool = False,
    num_threads: int | None = None,
) -> tuple[float, Any]:
    """Return the loss of a batch and the gradients of a model, from one forward and one backward call.

    Parameters
    ----------
    model
        A `Sequential`.
    batch
        A `Batch`, or a pair (x, target), or a mapping.
    loss
        A name ("mse", "mae", "huber", "pinball", "gaussian_nll", "cross_entropy") or a function like those.
    hx, num_threads
        As of the model's call.
    input_gradient
        True asks for `grads.x` too, which training has no use for.

    Returns the loss and what `model.backward` returns. Raises ValueError for shapes that do not fit, lengths beyond the
    array, numbers that are not finite, and labels out of range.

    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.Linear(8, 1, seed=0))
    >>> loss, grads = model.loss_and_grad((np.ones((5, 4, 3)), np.ones((5, 4, 1))))
    >>> grads.parameters.shape == model.parameters.shape
    True
    """
    function = as_loss(loss)
    wanted = check_flag("input_gradient", input_gradient)
    ready = prepared(as_batch(batch), model, function)
    value, grads, _ = run(model, ready, function, hx, num_threads, input_gradient=wanted)
    return value, grads


def run(
    model: Any,
    batch: Batch,
    loss: Loss,
    hx: Any = None,
    num_threads: int | None = None,
    add_to: Array | None = None,
    input_gradient: bool = True,
) -> tuple[float, Any, Any]:
    """Return loss, gradients and final state of a batch that has been prepared.

    With a loss of rnncore's it is one call into the engine, else forward, loss and backward one after the other.
    """
    engine = engine_loss(loss)
    if engine is not None and isinstance(model, Model):
        sight = Sight(model, engine, batch)
        if sight.fits:
            return _in_one_call(model, engine, batch, sight, hx, num_threads, add_to, input_gradient)
    y, state, cache = model.forward(batch.x, hx, **options_of(batch, num_threads))
    value, dy = loss(y, fit_target(batch.target, y), mask=batch.mask, weights=batch.weights)
    grads = model.backward(cache, dy, input_gradient=input_gradient, add_to=add_to, num_threads=num_threads)
    return value, grads, state


def _in_one_call(
    model: Model,
    loss: _core.Loss,
    batch: Batch,
    sight: Sight,
    hx: Any,
    num_threads: int | None,
    add_to: Array | None,
    input_gradient: bool,
) -> tuple[float, Any, Any]:
    call, dtype = Call(model, batch.x, hx, batch.lengths, batch.resets), model.dtype
    total = np.zeros(model.parameter_count, dtype) if add_to is None else add_to
    dx = empty(call.input_shape, dtype) if input_gradient and not model.takes_labels else None
    final, start = call.empty_states(), call.empty_states()
    value, _ = _core.loss_and_gradients(
        model._engine, loss, model._parameters, call.x, call.initial, final, call.lengths, call.resets,
        model._dropout_keys(), sight.target, sight.mask, sight.weights, None if dx is None else call.by_time(dx), start,
        total, check_threads(num_threads),
    )  # fmt: skip
    return value, ModelGradients(dx, total, model._layout, call.join(start)), call.join(final)


def fit_target(target: Array, y: Array) -> Array:
    """Give a target of one number per step the axis of its one feature."""
    return target[..., None] if y.shape == (*target.shape, 1) and target.dtype.kind == "f" else target


def blame(model: Any, batch: Batch, hx: Any, value: float, gradient: Array) -> str:
    """Say what is not finite: the first layer whose output or weights are not, or the loss, or a gradient by name."""
    if math.isfinite(value):
        named = named_views(gradient, model._layout)
        bad = [name for name, view in named.items() if not np.isfinite(view).all()]
        return f"the gradient of {bad[-1] if bad else 'the parameters'} is not finite, the loss is {value:g}"
    for name, view in model.named_parameters().items():
        if not np.isfinite(view).all():
            return f"the loss is {value}: {name} is not finite"
    for k, (name, layer) in enumerate(model.named_layers().items()):
        part = model._first(k + 1)
        states = hx if isinstance(hx, (tuple, list)) and len(model._recurrent) > 1 else (hx,)
        own = tuple(states[: len(part._recurrent)])
        start = None if hx is None or not own else own[0] if len(own) == 1 else own
        y, _ = part(batch.x, start, lengths=batch.lengths, resets=batch.resets)
        if not np.isfinite(y).all():
            return f"the loss is {value}: the output of layer {name} ({type(layer).__name__}) is not finite"
    return f"the loss is {value}: the outputs of all layers are finite"
