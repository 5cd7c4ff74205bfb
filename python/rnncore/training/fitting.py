"""`fit`: from what the caller says to a run of the training loop."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rnncore import optim
from rnncore.arguments import check_flag, check_positive, check_size
from rnncore.files import remove_leftovers, require_safetensors
from rnncore.memory import same_place
from rnncore.metrics import as_metric
from rnncore.models.file import architecture
from rnncore.optim import Optimizer
from rnncore.schedules import Constant
from rnncore.training.agreement import agree, as_ranks, fingerprint
from rnncore.training.checkpoints import Checkpoints
from rnncore.training.collective import Collective
from rnncore.training.history import History
from rnncore.training.progress import Callback, Display
from rnncore.training.sources import Sequences, as_source
from rnncore.training.stateful import check_resumable
from rnncore.training.step import as_loss
from rnncore.training.stopping import EarlyStopping
from rnncore.training.trainer import Plan, Trainer

OPTIMIZERS: dict[str, Any] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
}


_SETTINGS = ("k1", "k2", "burn_in", "clip_norm", "clip_value", "on_nonfinite")


def fit(
    model: Any,
    data: Any,
    *,
    loss: Any = "mse",
    epochs: int = 1,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int = 0,
    optimizer: Any = "adam",
    lr: float | None = None,
    schedule: Callable[[int, int], float] | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    k1: int | None = None,
    k2: int | None = None,
    burn_in: int = 0,
    validation: Any = None,
    metrics: Iterable[Any] = (),
    early_stopping: EarlyStopping | int | None = None,
    callbacks: Iterable[Callback] = (),
    on_nonfinite: str = "raise",
    progress: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    num_threads: int | None = None,
    collective: Collective | None = None,
    deterministic: bool = False,
) -> History:
    """Train the model on data and return a `rnncore.training.History`.

    Parameters
    ----------
    data
        One of

        - (x, target), or a `Batch`, of arrays: their rows are the sequences, and batches are batch_size of them;
        - the same with lists of sequences (T_n, I), and targets (T_n, ...) or, with a `LastStep`, one for each:
          batches hold sequences of about the same length;
        - with k1, arrays of one long series (T, I), or of N side by side: truncated backpropagation through time,
          the state carried from window to window; of a list each series begins from its own start;
        - an iterable of blocks, each (x, target) or a `Batch`, gone through once an epoch, or a function that
          makes an iterator: a batch each, or with k1 the next piece of one series.
    loss
        "mse" (default), "mae", "huber", "pinball", "gaussian_nll", "cross_entropy", or a function like those in
        `rnncore.losses`, as ``functools.partial(rnncore.losses.huber, delta=2.0)``.
    epochs, batch_size, shuffle, seed
        By default 1, 32, True and 0. The seed and the number of the epoch decide the order of the sequences.
    optimizer, lr
        "adam" (default), "adamw", "sgd", "rmsprop" with the learning rate lr (default: the optimiser's own), an
        optimiser over model.parameters, or a function that makes one of them.
    schedule
        One of `rnncore.schedules`, or a function schedule(epoch, update) -> factor of the learning rate.
    clip_norm, clip_value
        Limits of the gradient's norm, and of each of its elements; the latter comes first.
    k1, k2, burn_in
        As of `rnncore.bptt.truncated`: steps between updates, steps back, steps without a loss at the beginning.
    validation, metrics
        Data in the same form, and names of `rnncore.metrics` or functions to be taken on it after each epoch.
    early_stopping
        A number of epochs without a gain, or an `rnncore.training.EarlyStopping`. The best weights come back.
    callbacks
        Functions that are called with an `rnncore.training.Progress` after each update and each epoch; training
        ends if one returns True. The state of an object with `state_dict` and `load_state_dict`, such as
        `rnncore.training.RunningMean`, is part of the checkpoint; one with attributes and without these two methods is
        refused if resume is asked for.
    on_nonfinite
        What to do if loss or gradient are not finite. "raise" (default) raises FloatingPointError before the update
        and names epoch, batch and layer; "skip" leaves out the update and goes on with a state of zero.
    progress
        False shows nothing. Otherwise there is a bar for each epoch if tqdm is installed, or a line.
    checkpoint, checkpoint_every, resume
        A file that is replaced after each epoch, and after every `checkpoint_every` updates. With resume=True, if
        the file exists, training goes on from what it holds, to the same bits as without the interruption. A run
        that was stopped early goes on if it is given more patience, or no early stopping at all. `rnncore.load` reads
        the model of the file: with early stopping the best so far, of the epoch `best_epoch` in the file's metadata. A
        window with k2 > k1 begins in steps before it: checkpoint_every is refused there.
    num_threads
        As of the model's call. The weights do not depend on it. With a collective it is that of each rank, by default
        the cores of a machine divided among its ranks.
    collective
        Processes that train together, as `rnncore.distributed.MPICollective`. All give the same arguments; each takes
        its share of the rows of every batch, and all do the same update. Rank 0 gives the first weights, writes the
        checkpoint and shows progress. What ends one rank ends all: the others raise `rnncore.distributed.RankError`.
    deterministic
        True adds up the gradients of 12 parts of each batch in their order, so that the weights do not depend on the
        number of ranks (up to 12) either; a run without a collective has their bits too.

    Ctrl-C ends training after the last finished update; the history says so. Everything is checked before anything
    changes: ValueError for shapes that do not fit, labels out of range, lengths beyond the array, numbers that are
    not finite, an unknown name, a checkpoint of another model or other settings, which it names.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.LSTM(1, 8, seed=0), rnncore.Linear(8, 1, seed=0))
    >>> wave = np.sin(np.arange(401) / 5)[:, None]
    >>> history = model.fit((wave[:-1], wave[1:]), k1=50, epochs=10, lr=0.02, progress=False)
    >>> history.loss[-1] < 0.2 * history.loss[0]
    True
    """
    ranks = as_ranks(collective, check_flag("deterministic", deterministic))
    with ranks or nullcontext():
        function = as_loss(loss)
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
        check_windows(plan, model)
        if ranks is not None and plan.k2 not in (None, plan.k1):
            raise ValueError(f"k2: expected None or k1 with a collective or deterministic sums, got {plan.k2}")
        if plan.metrics and validation is None:
            raise ValueError("metrics are taken on validation data, got none")
        options: Any = {"batch_size": check_size("batch_size", batch_size, 1), "whole": k1 is not None}
        shuffled = check_flag("shuffle", shuffle)
        source = as_source(
            data, model, function, shuffle=shuffled, seed=check_size("seed", seed, 0, math.inf), **options
        )
        if isinstance(source, Sequences):
            source.check_burn_in(plan.burn_in)
        held_out = None if validation is None else as_source(validation, model, function, **options)
        chosen, stopping = as_optimizer(optimizer, model, lr), as_stopping(early_stopping)
        if schedule is not None and not callable(schedule):
            raise TypeError(f"schedule should be one of rnncore.schedules or a function, got {type(schedule).__name__}")
        settings = {
            "loss": loss_name(function),
            "optimizer": repr(chosen),
            "schedule": schedule_text(schedule) if hasattr(type(schedule), "__dataclass_fields__") else None,
            "batch_size": batch_size,
            "shuffle": shuffled,
            "seed": seed,
            **{name: getattr(plan, name) for name in _SETTINGS},
            "data": {"kind": type(source).__name__, "batches": source.count},
            "deterministic": deterministic,
        }
        checkpoints = None
        if checkpoint is not None:
            require_safetensors()
            check_place(Path(checkpoint))
            architecture(model)  # raises where no file can hold the model
            remove_leftovers(checkpoint)
            checkpoints = Checkpoints(checkpoint, settings)
            if check_flag("resume", resume):
                check_resumable(plan.callbacks, schedule)
        elif resume:
            raise ValueError("resume needs a checkpoint, got None")
        if ranks is not None:
            settings |= {
                "epochs": plan.epochs,
                "validation": fingerprint(held_out),
                "metrics": [metric.name for metric in plan.metrics],
                "early_stopping": None if stopping is None else vars(stopping),
                "checkpoint": Path(checkpoint) if resume and checkpoint is not None else checkpoint,
                "checkpoint_every": plan.checkpoint_every,
                "resume": resume,
            }
            agree(ranks, model, source, chosen, settings)
            plan.num_threads = num_threads or ranks.num_threads
        trainer = Trainer(
            model,
            source,
            function,
            chosen,
            plan,
            schedule=Constant() if schedule is None else schedule,
            validation=held_out,
            stopping=stopping,
            display=Display(check_flag("progress", progress) and (ranks is None or ranks.rank == 0), plan.epochs),
            save=None if checkpoints is None else checkpoints.save if ranks is None else ranks.saver(checkpoints.save),
            ranks=ranks,
        )
        if checkpoints is not None:
            checkpoints.content(trainer)  # raises where no file can hold the state of a callback
            if resume and checkpoints.path.exists():
                checkpoints.resume(trainer)
        return trainer.run()


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


def check_windows(plan: Plan, model: Any) -> None:
    """Refuse what does not go with truncated backpropagation, or without it."""
    if plan.k1 is None and plan.burn_in:
        raise ValueError(f"burn_in: expected 0 unless k1 is given, got {plan.burn_in}")
    if plan.k1 is not None and not model.per_step:
        raise ValueError("k1: expected None for a model with a LastStep: windows need an output at every step")
    if plan.k1 is not None and any(getattr(layer, "bidirectional", False) for layer in model.layers):
        raise ValueError("k1: expected None for a bidirectional model: its state carries over in one direction only")
    if plan.checkpoint_every is not None and plan.k2 not in (None, plan.k1):
        raise ValueError(f"checkpoint_every: expected None where k2 is more than k1, got {plan.checkpoint_every}")


def check_place(path: Path) -> None:
    """Refuse a path that no checkpoint can have, before an epoch is lost to it."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"checkpoint: there is no folder {path.parent}")
    if path.is_dir():
        raise IsADirectoryError(f"checkpoint: expected a file, {path} is a folder")


def as_stopping(early_stopping: Any) -> EarlyStopping | None:
    """Read a number of epochs, or an EarlyStopping, which begins anew."""
    if early_stopping is None:
        return None
    if isinstance(early_stopping, int):
        return EarlyStopping(early_stopping)
    if not isinstance(early_stopping, EarlyStopping):
        given = type(early_stopping).__name__
        raise TypeError(f"early_stopping should be a number of epochs or an EarlyStopping, got {given}")
    early_stopping.reset()
    return early_stopping


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} should be a list, got {type(values).__name__}")
    return list(values)


def as_functions(name: str, values: Any) -> list[Any]:
    """Read a list of functions; TypeError for anything else."""
    listed = _listed(name, values)
    for k, value in enumerate(listed):
        if not callable(value):
            raise TypeError(f"{name}[{k}] should be a function, got {type(value).__name__}")
    return listed


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
