"""`fit`: from what the caller says to a run of the training loop."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rnncore.arguments import check_flag, check_size
from rnncore.schedules import Constant
from rnncore.training.agreement import agree, as_ranks, fingerprint
from rnncore.training.checkpoints import Checkpoints, check_checkpoint
from rnncore.training.collective import Collective
from rnncore.training.history import History
from rnncore.training.options import as_optimizer, as_stopping, check_schedule, loss_name, read_plan, schedule_text
from rnncore.training.progress import Callback, Display
from rnncore.training.sources import Sequences, as_source
from rnncore.training.step import as_loss
from rnncore.training.stopping import EarlyStopping
from rnncore.training.trainer import Trainer

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
        - `rnncore.Windows` of long series, for a model with a `LastStep`;
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
        plan = read_plan(
            model,
            epochs=epochs,
            k1=k1,
            k2=k2,
            burn_in=burn_in,
            clip_norm=clip_norm,
            clip_value=clip_value,
            on_nonfinite=on_nonfinite,
            num_threads=num_threads,
            checkpoint_every=checkpoint_every,
            callbacks=callbacks,
            metrics=metrics,
        )
        if ranks is not None and plan.k2 not in (None, plan.k1):
            raise ValueError(f"k2: expected None or k1 with a collective or deterministic sums, got {plan.k2}")
        if plan.metrics and validation is None:
            raise ValueError("metrics are taken on validation data, got none")
        if model.weights is not None:
            raise ValueError(f"a model with weights in {model.weights} is for inference: train what it was made from")
        if getattr(model, "static_size", None) is not None:
            for name, given in (("k1", k1), ("checkpoint", checkpoint), ("collective", ranks)):
                if given is not None:
                    raise ValueError(f"{name}: expected None for a Conditioned model, got {given!r}")
        options: Any = {"batch_size": check_size("batch_size", batch_size, 1), "whole": k1 is not None}
        shuffled = check_flag("shuffle", shuffle)
        source = as_source(
            data, model, function, shuffle=shuffled, seed=check_size("seed", seed, 0, math.inf), **options
        )
        if isinstance(source, Sequences):
            source.check_burn_in(plan.burn_in)
        held_out = None if validation is None else as_source(validation, model, function, **options)
        chosen, stopping = as_optimizer(optimizer, model, lr), as_stopping(early_stopping)
        check_schedule(schedule)
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
        check_checkpoint(checkpoint, model, resume, plan.callbacks, schedule)
        checkpoints = None if checkpoint is None else Checkpoints(checkpoint, settings)
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
