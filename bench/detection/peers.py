"""Other detectors on the Numenta Anomaly Benchmark: their defaults, the same files, the same scorer.

Each learns from the probation of a file, or from each row as it comes, and an alarm is followed by 100 rows of silence,
as with ours. Thresholds are the libraries' own where they have one; HalfSpaceTrees has none, and gets the score that
one row in a hundred of the probation exceeds; the z-score has the usual 3. Each runs in a process of its own, so that
the peak of its memory is its own. A file that takes longer than LIMIT is given up and counts as one without alarms.
With a folder to keep what was found, a line a file, a run that was ended goes on where it stood.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import multiprocessing
import re
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from detection import nab
from detection.corpus import File, read_corpus, stored_scores

from rnncore.detection.nab import PROFILES, corpus_score, probation

WINDOW, SILENCE = 24, 100
LIMIT = 60  # CPU seconds of a file


def silenced(above: np.ndarray, start: int) -> np.ndarray:
    """Keep the first row of each alarm."""
    kept, last = np.zeros(len(above), bool), -SILENCE - 1
    for t in np.flatnonzero(above):
        if t >= start and t - last > SILENCE:
            kept[t] = True
            last = t
    return kept


def z_score(file: File, count: int) -> np.ndarray:
    """Rows three standard deviations from the mean of the last 100."""
    y, above = file.values, np.zeros(len(file.values), bool)
    for t in range(max(count, 100), len(y)):
        past = y[t - 100 : t]
        above[t] = abs(y[t] - past.mean()) > 3 * max(past.std(), 1e-9)
    return above


def windows(y: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(np.concatenate([np.full(WINDOW - 1, y[0]), y]), WINDOW)


def isolation_forest(file: File, count: int) -> np.ndarray:
    """PyOD's IForest on windows of 24 rows, fitted on the probation."""
    from pyod.models.iforest import IForest

    rows = windows(file.values)
    return IForest(random_state=0).fit(rows[:count]).predict(rows).astype(bool)


def half_space_trees(file: File, count: int) -> np.ndarray:
    """river's HalfSpaceTrees behind a MinMaxScaler, learning from each row."""
    from river import anomaly, compose, preprocessing

    model = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=0))
    scores = np.empty(len(file.values))
    for t, value in enumerate(file.values.tolist()):
        row = {"y": value}
        scores[t] = model.score_one(row)
        model.learn_one(row)
    return scores > np.quantile(scores[:count], 0.99)


def lstm_of_pyod(file: File, count: int) -> np.ndarray:
    """PyOD's LSTMAD, fitted on the probation."""
    import torch
    from pyod.models.ts_lstm import LSTMAD

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = LSTMAD().fit(file.values[:count, None])
    above = model.decision_function(file.values[:, None]) > model.threshold_
    return np.asarray(above, bool)


class Peer(NamedTuple):
    packages: tuple[str, ...]
    detect: Callable[[File, int], np.ndarray]


PEERS = {
    "moving z-score": Peer(("numpy",), z_score),
    "IForest on windows": Peer(("pyod",), isolation_forest),
    "HalfSpaceTrees": Peer(("river",), half_space_trees),
    "LSTMAD": Peer(("pyod", "torch"), lstm_of_pyod),
}


class Measured(NamedTuple):
    found: list[np.ndarray]  # of each file the rows at which an alarm begins
    seconds: float  # CPU
    peak: float  # MiB
    given_up: int  # files


def ours(file: File, forecaster: str) -> np.ndarray:
    return nab.detect(file, forecaster)


def theirs(file: File, name: str) -> np.ndarray:
    count = probation(len(file.values))
    return silenced(PEERS[name].detect(file, count), count)


class Result(NamedTuple):
    """Of a file."""

    file: str
    begins: list[int]  # rows at which an alarm begins
    seconds: float  # CPU
    peak: float  # MiB, until here
    given_up: bool


def examine(file: File, detect: Callable[[File, str], np.ndarray], name: str) -> Result:
    """Run one detector over one file."""

    def give_up(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGPROF, give_up)
    begins, given_up, began = [], False, time.process_time()
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        begins = np.flatnonzero(detect(file, name)).tolist()
    except TimeoutError:
        given_up = True
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Result(file.name, begins, time.process_time() - began, peak, given_up)


def measure(root: Path, detect: Callable[[File, str], np.ndarray], name: str, keep: Path | None) -> Measured:
    """Run one detector over all files, but those whose results are kept."""
    files = read_corpus(root)
    kept = None if keep is None else keep / f"{name.replace(' ', '_')}.jsonl"
    lines = kept.read_text().splitlines() if kept is not None and kept.exists() else []
    done = {result.file: result for result in (Result(*json.loads(line)) for line in lines)}
    for file in files:
        if file.name in done:
            continue
        done[file.name] = examine(file, detect, name)
        if kept is not None:
            with kept.open("a") as end:
                print(json.dumps(done[file.name]), file=end)
    results = [done[file.name] for file in files]
    found = [np.isin(np.arange(len(file.values)), r.begins) for file, r in zip(files, results, strict=True)]
    seconds, given_up = sum(r.seconds for r in results), sum(r.given_up for r in results)
    return Measured(found, seconds, max(r.peak for r in results), given_up)


def size_of(packages: tuple[str, ...]) -> str:
    """Return what the first of some packages takes on the disk, and with all that they need."""
    needed, waiting = set(), list(packages)
    while waiting:
        package = waiting.pop().lower()
        if package in needed:
            continue
        try:
            requires = importlib.metadata.requires(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        needed.add(package)
        waiting += [re.split(r"[^\w.-]", each)[0] for each in requires if "extra ==" not in each]
    alone, together = (sum(map(_bytes, each)) / 2**20 for each in (packages[:1], needed))
    return f"{alone:.0f} MiB, {together:.0f} with what it needs"


def _bytes(package: str) -> int:
    return sum(file.size or 0 for file in importlib.metadata.files(package) or [])


def run(root: Path, only: list[str] | None = None, keep: Path | None = None) -> list[str]:
    """Measure the peers, and ours beside them; `only` names some of them, `keep` a folder for what is found."""
    files = read_corpus(root)
    rows = sum(len(file.values) for file in files)
    lines = [
        "| detector | NAB, standard | alarms | CPU us a row | peak MiB | size of the package |",
        "| --- | --- | --- | --- | --- | --- |",
    ]

    def add(name: str, found: list[np.ndarray], *others: str) -> None:
        score = corpus_score(found, [file.windows for file in files], PROFILES["standard"])
        lines.append(f"| {name} | {score:.1f} | {sum(int(f.sum()) for f in found)} | {' | '.join(others)} |")

    if not only:
        stored = [stored_scores(root, "windowedGaussian", file.name) >= 1.0 for file in files]
        add("Windowed Gaussian, stored, at 1.0", [silenced(s, probation(len(s))) for s in stored], "", "", "")
    jobs = [(f"rnncore, {name}", ("rnncore",), ours, name) for name in nab.FORECASTERS]
    jobs += [(name, peer.packages, theirs, name) for name, peer in PEERS.items()]
    processes = multiprocessing.get_context("spawn")
    for title, packages, detect, name in jobs:
        if only and name not in only:
            continue
        if any(importlib.util.find_spec(package) is None for package in packages):
            lines.append(f"| {title} | needs {' and '.join(packages)} | | | | |")
            continue
        with processes.Pool(1) as pool:
            measured = pool.apply(measure, (root, detect, name, keep))
        told = f"{title} ({measured.given_up} files given up)" if measured.given_up else title
        each = f"{measured.seconds / rows * 1e6:.0f}"
        add(told, measured.found, each, f"{measured.peak:.0f}", size_of(packages))
    return lines
