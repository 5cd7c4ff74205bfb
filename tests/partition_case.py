"""Series in long frames, and what workers do with their partitions: they import it from here."""

import functools
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd

import rnncore


def long_frame(count, steps=20, first=0, seed=0):
    """Noisy waves, a series each."""
    random = np.random.default_rng([seed, first])
    values = 10 + 3 * np.sin(2 * np.pi * np.arange(steps) / 7 + random.uniform(0, 6, (count, 1)))
    values += random.normal(0, 0.5, values.shape)
    ids = [f"series {k}" for k in range(first, first + count)]
    return pd.DataFrame(
        {"unique_id": np.repeat(ids, steps), "ds": np.tile(np.arange(steps), count), "y": values.ravel()}
    )


@functools.cache
def _model(path):
    return rnncore.load(path)


def next_value(partition, model):
    """The next value of each series, by a recurrent model; all have one length."""
    ids = partition["unique_id"].unique()
    x = partition["y"].to_numpy().reshape(len(ids), -1, 1)
    return pd.DataFrame({"unique_id": ids, "next": _model(model)(x)[0][:, 0]})


def killed_once(partition, marker):
    """Take the worker down, the first time."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return partition


def refusing(partition):
    raise ValueError(f"{partition['unique_id'].iloc[0]} is not welcome")


def no_frame(partition):
    return len(partition)


def threads(partition):
    return pd.DataFrame({"threads": [rnncore.get_num_threads()]})


def resident():
    """MB in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
