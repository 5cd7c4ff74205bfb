"""What each rank does in tests/test_distributed.py: `mpiexec -n N python ranks_program.py TASK [ARGUMENT]`.

Rank 0 prints what all ranks have to say as one line of JSON, a list with an entry for each.
"""

import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from mpi4py import MPI

import rnncore
from rnncore.distributed import MPICollective, RankError
from rnncore.training import RunningMean
from rnncore.training.ranks import digest

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((12, 64, 3), dtype=np.float32)
TARGET = RANDOM.standard_normal((12, 64, 2), dtype=np.float32)
HELD_OUT = X[:, :7] + 1, TARGET[:, :7]
LENGTHS = RANDOM.integers(0, 13, 64)
RAGGED = (
    [X[:length, k] for k, length in enumerate(LENGTHS) if length],
    [TARGET[:length, k] for k, length in enumerate(LENGTHS) if length],
)
LAST = MPI.COMM_WORLD.size - 1
COLLECTIVE = MPICollective()


def model(dropout=0.0, seed=0, **options):
    lstm = rnncore.LSTM(3, 16, num_layers=2, dropout=dropout, seed=seed, **options)
    return rnncore.Sequential(lstm, rnncore.Linear(16, 2, seed=1))


def fit(net, data=(X, TARGET), **options):
    defaults = {"epochs": 25, "batch_size": 16, "lr": 1e-3, "progress": False}
    return net.fit(data, **{**defaults, "collective": COLLECTIVE, **options})


# ---- N ranks are one

BATCH = rnncore.Batch(X, TARGET, lengths=LENGTHS)
TURNED = rnncore.Batch(X.swapaxes(0, 1), TARGET.swapaxes(0, 1), weights=RANDOM.random((64, 12)).astype(np.float32))
LONG = RANDOM.standard_normal((205, 7, 3), dtype=np.float32), RANDOM.standard_normal((205, 7, 2), dtype=np.float32)
# Two of 100 updates, others of 30 or so; batches of 16 rows, of which ranks hold 5, 5 and 6, or of 15, at the end 4.
COURSES = {
    "adam": {"data": BATCH},
    "sgd": {"data": BATCH, "optimizer": "sgd", "lr": 0.1, "clip_norm": 0.5},
    "uneven": {"data": TURNED, "batch_size": 15, "epochs": 8, "form": {"batch_first": True}},
    "lists": {"data": RAGGED, "batch_size": 15, "epochs": 8},
    "blocks": {"data": [(X[:, :32], TARGET[:, :32]), (X[:, 32:33], TARGET[:, 32:33])], "epochs": 15},
    "windows": {"data": LONG, "k1": 10, "burn_in": 5, "epochs": 2},
    "validated": {
        "validation": HELD_OUT,
        "metrics": ["rmse"],
        "early_stopping": 5,
        "lr": 0.01,
    },
}


def courses(path):
    """Go through all courses, alone if there is one rank; write weights, running means and losses to a file."""
    found = {}
    for deterministic in (False, True):
        for name, course in COURSES.items():
            found |= {f"{name} {what}": values for what, values in taken(course, deterministic).items()}
    if COLLECTIVE.rank == 0:
        np.savez(path, **found)
    return digest(*(array for name, array in found.items() if name.endswith(("weights", "mean"))))


def taken(course, deterministic):
    """What training gives, by name; with deterministic sums, dropout is the same for any number of ranks, too."""
    options = {**course, "deterministic": deterministic}
    net = model(**options.pop("form", {}), dropout=0.2 if deterministic else 0.0)
    mean = RunningMean(net, 10)
    if "validation" in course:
        options["schedule"] = rnncore.schedules.ReduceOnPlateau(patience=1)  # which keeps a state
    history = fit(net, collective=COLLECTIVE if LAST else None, callbacks=[mean], **options)
    columns = {column: values for column, values in history.columns.items() if column != "seconds"}
    found = {**columns, "weights": net.parameters, "mean": mean.parameters}
    return {f"deterministic {what}": values for what, values in found.items()} if deterministic else found


# ---- what ends one rank ends all


def at(update, action, rank=LAST):
    """A callback that does something on one rank after an update."""

    def callback(progress):
        if COLLECTIVE.rank == rank and progress.event == "update" and progress.update == update:
            return action(progress)
        return None

    return callback


def raising(progress):
    raise OSError("no space left")


def stray(y, target, *, mask=None, weights=None):
    """A loss that turns into NaN on the last rank, at its fifth call."""
    stray.calls += 1
    value, dy = rnncore.losses.mean_squared_error(y, target, mask=mask, weights=weights)
    return (float("nan"), dy) if COLLECTIVE.rank == LAST and stray.calls == 5 else (value, dy)


def interrupted(progress):
    os.kill(os.getpid(), signal.SIGINT)


def interrupted_later(progress):
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 0.003)


def moved(progress):
    progress.model.parameters[3] += 1e-6


def other(ours, theirs):
    return theirs if COLLECTIVE.rank == LAST else ours


def ends(folder):
    """How each of these ends, and after how long."""
    lost = Path(folder) / "lost"
    cases = {
        "exception": lambda: fit(model(), callbacks=[at(7, raising)]),
        "exception in an epoch's end": lambda: fit(model(), callbacks=[lambda p: p.event == "epoch" and at_end(p)]),
        "nan": lambda: fit(model(), loss=stray),
        "nan skipped": lambda: fit(model(), loss=stray, on_nonfinite="skip"),
        "ctrl-c": lambda: fit(model(), callbacks=[at(7, interrupted)]),
        "ctrl-c inside": lambda: fit(model(), epochs=2000, callbacks=[at(7, interrupted_later)]),
        "callback": lambda: fit(model(), callbacks=[at(7, lambda progress: True)]),
        "weights": lambda: fit(model(), callbacks=[at(7, moved)]),
        "checkpoint": lambda: fit(model(), checkpoint=lost / "run", callbacks=[at(7, lambda _: lost.rmdir(), 0)]),
        "batch_size": lambda: fit(model(), batch_size=other(16, 8)),
        "data": lambda: fit(model(), (X + other(0, 1), TARGET)),
        "model": lambda: fit(other(model, wide)()),
        "target": lambda: fit(model(), (X, other(TARGET, TARGET[:5]))),
        "k1": lambda: fit(model(), (X[:, :1], TARGET[:, :1]), k1=3),
        "k2": lambda: fit(model(), k1=3, k2=6),
        "seeds": lambda: fit(model(seed=COLLECTIVE.rank)),
    }
    lost.mkdir(exist_ok=True)
    found = {}
    for name, case in cases.items():
        stray.calls = 0
        COLLECTIVE.barrier()
        began = time.perf_counter()
        try:
            history = case()
            told = f"stopped by {history.stopped}, skipped {history.skipped}"
        except (RankError, OSError, ValueError, FloatingPointError) as error:
            told = f"{type(error).__name__}: {error}"
        found[name] = told, time.perf_counter() - began
    return found


def at_end(progress):
    if COLLECTIVE.rank == LAST and progress.epoch == 1:
        raise OSError("no space left")


def wide():
    return rnncore.Sequential(rnncore.LSTM(3, 17, seed=0), rnncore.Linear(17, 2, seed=1))


# ---- a killed job goes on


def resume(folder, *runs):
    """Go through runs, named by what they are, as "windows deterministic"; what each gives, by its name."""
    return {run: resumed(run.split(), Path(folder) / run) for run in runs}


def resumed(how, path):
    """Train whole, or with a checkpoint every three updates.

    In the second epoch `stopped` ends training, and `killed` the last rank by force; the run without this word goes on.
    """
    options = (
        {"k1": 10, "epochs": 4} if "windows" in how else {"epochs": 8, "validation": HELD_OUT, "early_stopping": 6}
    )
    ends = {"killed": at(17, killed), "stopped": at(17, lambda progress: True)}
    net = model(dropout=0.2)
    mean = RunningMean(net, 10)
    if "whole" not in how:
        kept = path.with_name(" ".join(word for word in how if word not in ends))
        options |= {"checkpoint": kept, "checkpoint_every": 3, "resume": True}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fit(
            net,
            LONG if "windows" in how else BATCH,
            callbacks=[mean, *(end for word, end in ends.items() if word in how)],
            deterministic="deterministic" in how,
            progress="progress" in how,
            **options,
        )
    return digest(net.parameters, mean.parameters), [
        str(warning.message) for warning in told if warning.category is UserWarning
    ]


def killed(progress):
    os.kill(os.getpid(), signal.SIGKILL)


TASKS = {"courses": courses, "ends": ends, "resume": resume}

if __name__ == "__main__":
    everyone = MPI.COMM_WORLD.gather(TASKS[sys.argv[1]](*sys.argv[2:]))
    if everyone is not None:
        print(json.dumps(everyone))
