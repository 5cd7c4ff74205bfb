"""The arguments of `fit`, of a model's and of a fleet's: read and checked before anything changes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rnncore import optim
from rnncore.arguments import check_positive, check_size
from rnncore.memory import same_place
from rnncore.metrics import Metric, as_metric
from rnncore.optim import Optimizer
from rnncore.training.progress import Callback
from rnncore.training.stopping import EarlyStopping

__all__ = [
    "Plan",
    "as_functions",
    "as_optimizer",
    "as_stopping",
    "check_schedule",
    "loss_name",
    "read_plan",
    "schedule_text",
]

OPTIMIZERS: dict[str, Any] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
}


@dataclass
class Plan:
    """How to train."""

    epochs: int
    k1: int | None = None
    k2: int | None = None
    burn_in: int = 0
    clip_norm: float | None = None
    clip_value: float | None = None
    on_nonfinite: str = "raise"
    num_threads: int | None = None
    checkpoint_every: int | None = None
    callbacks: list[Callback] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    stream: int | None = None  # block length of a validation series


def read_plan(
    model: Any,
    *,
    epochs: int,
    k1: int | None,
    clip_norm: float | None,
    clip_value: float | None,
    num_threads: int | None,
    k2: int | None = None,
    burn_in: int = 0,
    on_nonfinite: str = "raise",
    checkpoint_every: int | None = None,
    callbacks: Iterable[Callback] = (),
    metrics: Iterable[Any] = (),
) -> Plan:
    """Read and check the arguments of `fit` that say how to train a model."""
    plan = Plan(
        epochs=check_size("epochs", epochs, 0),
        k1=None if k1 is None else check_size("k1", k1, 1),
        k2=_window(k1, k2),
        burn_in=check_size("burn_in", burn_in, 0),
        clip_norm=None if clip_norm is None else check_positive("clip_norm", clip_norm),
        clip_value=None if clip_value is None else check_positive("clip_value", clip_value),
        on_nonfinite=_one_of("on_nonfinite", on_nonfinite, "raise", "skip"),
        num_threads=num_threads,
        checkpoint_every=None if checkpoint_every is None else check_size("checkpoint_every", checkpoint_every, 1),
        callbacks=as_functions("callbacks", callbacks),
        metrics=[as_metric(metric) for metric in _listed("metrics", metrics)],
        stream=None if k1 is None else max(k1, 256),
    )
    _check_windows(plan, model)
    return plan


def _check_windows(plan: Plan, model: Any) -> None:
    """Refuse what does not go with truncated backpropagation, or without it."""
    if plan.k1 is None and plan.burn_in:
        raise ValueError(f"burn_in: expected 0 unless k1 is given, got {plan.burn_in}")
    if plan.k1 is not None and not model.per_step:
        raise ValueError("k1: expected None for a model with a LastStep: windows need an output at every step")
    if plan.k1 is not None and any(getattr(layer, "bidirectional", False) for layer in model.layers):
        raise ValueError("k1: expected None for a bidirectional model: its state carries over in one direction only")
    if plan.checkpoint_every is not None and plan.k2 not in (None, plan.k1):
        raise ValueError(f"checkpoint_every: expected None where k2 is more than k1, got {plan.checkpoint_every}")


def _window(k1: int | None, k2: int | None) -> int | None:
    if k2 is None:
        return None
    if k1 is None:
        raise ValueError(f"k2: expected None unless k1 is given, got {k2}")
    if check_size("k2", k2, 1) < k1:
        raise ValueError(f"k2 must be at least k1 = {k1}, got {k2}")
    return k2


def _one_of(name: str, value: Any, *known: str) -> str:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    return str(value)


def as_functions(name: str, values: Any) -> list[Any]:
    """Read a list of functions; TypeError for anything else."""
    listed = _listed(name, values)
    for k, value in enumerate(listed):
        if not callable(value):
            raise TypeError(f"{name}[{k}] should be a function, got {type(value).__name__}")
    return listed


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} should be a list, got {type(values).__name__}")
    return list(values)


def as_optimizer(optimizer: Any, model: Any, lr: float | None) -> Optimizer:
    """Read a name, an optimizer over the model's parameters, or a function that makes one of them.

    >>> import rnncore
    >>> as_optimizer("sgd", rnncore.Sequential(rnncore.Linear(1, 1)), 0.5).lr
    0.5
    """
    options = {} if lr is None else {"lr": lr}
    if isinstance(optimizer, str):
        if optimizer not in OPTIMIZERS:
            known = ", ".join(OPTIMIZERS)
            raise ValueError(f"unknown optimizer {optimizer!r}: expected one of {known}, or an Optimizer")
        made: Optimizer = OPTIMIZERS[optimizer](model.parameters, **options)
        return made
    if not isinstance(optimizer, Optimizer):
        if not callable(optimizer):
            raise TypeError(f"optimizer should be a name or an Optimizer, got {type(optimizer).__name__}")
        return as_optimizer(optimizer(model.parameters, **options), model, None)
    if lr is not None:
        raise ValueError("lr: expected None, the optimizer has its own")
    vectors = optimizer._arrays["parameters"]
    if len(vectors) != 1 or not same_place(vectors[0], model.parameters):
        raise ValueError("optimizer: expected one over model.parameters, got one over other vectors")
    return optimizer


def as_stopping(early_stopping: Any) -> EarlyStopping | None:
    """Read a number of epochs, or an EarlyStopping, which begins anew."""
    if early_stopping is None:
        return None
    if isinstance(early_stopping, int) and not isinstance(early_stopping, bool):
        return EarlyStopping(early_stopping)
    if not isinstance(early_stopping, EarlyStopping):
        given = type(early_stopping).__name__
        raise TypeError(f"early_stopping should be a number of epochs or an EarlyStopping, got {given}")
    early_stopping.reset()
    return early_stopping


def check_schedule(schedule: Any) -> None:
    """Refuse what is no function of epoch and update; None stands for a constant rate."""
    if schedule is not None and not callable(schedule):
        raise TypeError(f"schedule should be one of rnncore.schedules or a function, got {type(schedule).__name__}")


def schedule_text(schedule: Any) -> str:
    """Write a schedule without the addresses of functions in it, which are others in the next process."""
    return re.sub(" at 0x[0-9a-fA-F]+", "", repr(schedule))


def loss_name(function: Any) -> str:
    """Name a loss, with what a partial gives it."""
    inner = getattr(function, "func", function)
    keywords = getattr(function, "keywords", {})
    return str(getattr(inner, "__name__", type(inner).__name__)) + "".join(
        f" {key}={value}" for key, value in sorted(keywords.items())
    )
