"""A search for the learning rate (Smith 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from rnncore.arguments import check_positive, check_size
from rnncore.optim import Optimizer, clip_grad_norm
from rnncore.training.evaluation import blocks_of
from rnncore.training.options import as_optimizer
from rnncore.training.sources import as_source
from rnncore.training.stateful import drawing
from rnncore.training.step import as_loss, run


@dataclass(frozen=True)
class Rates:
    """Learning rates, the smoothed loss at each of them, and the one to begin with."""

    lr: list[float]
    loss: list[float]
    suggestion: float


def find_lr(
    model: Any,
    data: Any,
    loss: Any = "mse",
    *,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    optimizer: Any = "adam",
    batch_size: int = 32,
    clip_norm: float | None = None,
    k1: int | None = None,
    seed: int = 0,
    num_threads: int | None = None,
) -> Rates:
    """Watch the loss while the learning rate grows step by step from low to high.

    Afterwards the model is as it was before. The search ends early when the loss has grown to four times its minimum.
    The suggestion is a tenth of the rate at which the smoothed loss was smallest. Raises as `fit` does, and ValueError
    unless low < high.

    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.GRU(1, 8, seed=0), rnncore.Linear(8, 1, seed=0))
    >>> x = np.sin(np.arange(400.0).reshape(50, 8, 1))
    >>> rates = model.find_lr((x[:-1], x[1:]), steps=30)
    >>> 1e-6 < rates.suggestion < 1
    True
    """
    function, number = as_loss(loss), check_size("steps", steps, 3)
    if not check_positive("low", low) < check_positive("high", high):
        raise ValueError(f"low must be less than high, got {low} and {high}")
    if isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer should be a name or a function, got {optimizer!r}, whose moments would change")
    whole = k1 is not None
    source = as_source(data, model, function, batch_size=batch_size, shuffle=not whole, seed=seed, whole=whole)
    before, chosen = model.parameters.copy(), as_optimizer(optimizer, model, low)
    mode, keys = model.training, [(layer._keys, layer._keys.__getstate__()) for _, layer in drawing(model)]
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    batches = _endless(source, k1, 1 if model.batch_first else 0)
    try:
        model.train()
        for k, lr in enumerate(np.geomspace(low, high, number).tolist()):
            value, grads, _ = run(model, next(batches), function, None, num_threads, input_gradient=False)
            mean = 0.9 * mean + 0.1 * value
            smooth = mean / (1 - 0.9 ** (k + 1))
            if not math.isfinite(smooth) or (k > 2 and smooth > 4 * min(losses)):
                break
            rates.append(lr)
            losses.append(smooth)
            if clip_norm is not None:
                clip_grad_norm(grads.parameters, clip_norm)
            chosen.lr = lr
            chosen.step(grads.parameters)
    finally:
        model.parameters[...] = before
        model.train(mode)
        for key, state in keys:
            key.__setstate__(state)
    if len(losses) < 3:
        raise ValueError(f"the loss is not finite at the learning rate {low:g}: there is nothing to choose from")
    return Rates(rates, losses, rates[int(np.argmin(losses))] / 10)


def _endless(source: Any, k1: int | None, axis: int) -> Any:
    for epoch in count():
        for batch in source.batches(epoch):
            yield from blocks_of(batch, k1, axis)
