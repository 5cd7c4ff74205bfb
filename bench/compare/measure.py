"""Long-lived processes, one per engine and number of threads, called in turns; the machine's limits in between."""

from __future__ import annotations

import gc
import multiprocessing
import os
import statistics
import subprocess
import time
import traceback
from dataclasses import asdict
from typing import Any

import numpy as np
from cases import GATES, UPDATES, Case, Contender

SAMPLE = 1e-3  # seconds that one sample lasts at least: the clock and the loop are then far below 1 % of it
TURN = 0.1  # seconds that an engine's turn lasts at least


def worker(engine: str, threads: int, cores: list[int], pipe: Any) -> None:
    """Answer a case with the seconds of one call, None where the engine has no such call, or the text of an error."""
    os.sched_setaffinity(0, cores)  # before the engine is imported: it counts its cores
    from engines import prepare

    current, prepared, calls = None, None, 1
    while (message := pipe.recv()) is not None:
        try:
            case, want = message
            if case != current:
                current, prepared, calls = case, None, 1
                prepared = prepare(engine, case, threads)
                if prepared:
                    prepared.run(2)
                    calls = enough_calls(prepared.run)
            if not prepared:
                pipe.send(None)
            else:
                pipe.send(prepared.output() if want == "output" else seconds_per_call(prepared.run, calls))
        except Exception:
            pipe.send(traceback.format_exc())


def enough_calls(run: Any) -> int:
    """So many that they last for a sample."""
    calls = 1
    while True:
        start = time.perf_counter()
        run(calls)
        took = time.perf_counter() - start
        if took >= SAMPLE:
            return calls
        calls = max(calls + 1, min(10 * calls, int(1.3 * calls * SAMPLE / max(took, 1e-9))))


def seconds_per_call(run: Any, calls: int) -> float:
    """Median over the samples of a turn, without the garbage collector."""
    samples: list[float] = []
    gc.collect()
    gc.disable()
    while sum(samples) < TURN or (len(samples) < 3 and sum(samples) < 5 * TURN):
        start = time.perf_counter()
        run(calls)
        samples.append(time.perf_counter() - start)
    gc.enable()
    return statistics.median(samples) / calls


class Engine:
    def __init__(self, engine: str, threads: int, cores: list[int]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=worker, args=(engine, threads, cores, other), daemon=True)
        self.process.start()

    def ask(self, case: Case, want: str) -> Any:
        self.pipe.send((case, want))
        answer = self.pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join()


class Limits:
    """What the machine can do at most, from a process of rnncore_peak; nothing without its path."""

    def __init__(self, path: str | None, threads: int, cores: list[int]) -> None:
        self.process = path and subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), path, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: str) -> float:
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def of(self, case: Case) -> dict[str, float]:
        """GFLOP/s of multiply-adds, GB/s of reading a block as large as the recurrent weights, 10^9 tanh a second."""
        if not self.process:
            return {}
        weights = GATES[case.cell] * case.H * case.H * np.dtype(case.dtype).itemsize
        return {
            "fma": self.ask(f"fma {case.dtype}"),
            "read": self.ask(f"read {case.dtype} {weights}"),
            "tanh": self.ask(f"tanh {case.dtype}"),
        }


def floor(case: Case, limits: dict[str, float]) -> dict[str, float]:
    """Seconds that a call needs at least for its multiply-adds, its reading of weights, and its activations.

    Each step reads the recurrent weights once, twice when training; activations are 5 a unit for an LSTM, 3 for a GRU,
    1 for an RNN.
    """
    itemsize = np.dtype(case.dtype).itemsize
    passes = 2 if case.mode in ("train", "fit", "fleet") else 1
    updates = {"fit": UPDATES, "fleet": UPDATES * case.models}.get(case.mode, 1)
    weights = updates * passes * case.T * GATES[case.cell] * case.H * case.H * itemsize
    activations = updates * case.valid_steps() * case.H * {"rnn": 1, "gru": 3, "lstm": 5}[case.cell]
    return {
        "arithmetic": 1e-9 * case.operations() / limits["fma"],
        "reading": 1e-9 * weights / limits["read"],
        "activations": 1e-9 * activations / limits["tanh"],
    }


def check(case: Case, outputs: dict[str, np.ndarray], most: float) -> dict[str, float]:
    """All engines compute the same before anyone is timed: return how far each is from the first."""
    first, *others = outputs
    errors = {}
    for name in others:
        error = float(np.abs(outputs[name] - outputs[first]).max() / np.abs(outputs[first]).max())
        if not error < most:
            raise RuntimeError(
                f"{name} computes something else than {first} for {case}: relative difference {error:.2g}"
            )
        errors[name] = error
    return errors


def measure(
    case: Case,
    players: list[Contender],
    engines: dict[tuple[str, int], Engine],
    limits: Limits,
    rounds: int,
    fastest: bool,
) -> dict[str, Any]:
    """One row: the median or the fastest of the rounds of each contender that has such a call, and of the limits."""
    of_times, of_rates = (min, max) if fastest else (statistics.median, statistics.median)
    same = len({player.of(case) for player in players}) == 1
    outputs, seconds, measured = {}, {player.label: [] for player in players}, []
    for player in players:
        answer = engines[player.engine, player.threads].ask(player.of(case), "output")
        if answer is None:
            del seconds[player.label]
        elif player.computes:
            outputs[player.label] = answer
    short = any(player.weights or player.precision != "float32" for player in players)
    errors = check(case, outputs, 0.1 if short else 2e-3) if same or short else {}
    for _ in range(rounds):
        for player in players:
            if player.label in seconds:
                seconds[player.label].append(engines[player.engine, player.threads].ask(player.of(case), "seconds"))
            if player is players[0]:  # directly behind its work, which may have lowered the clock
                measured.append(limits.of(players[0].of(case)))
    row = asdict(players[0].of(case))
    row["seconds"] = {label: of_times(values) for label, values in seconds.items()}
    if short:
        row["errors"] = errors
    row["operations"] = {player.label: player.of(case).operations() for player in players if player.label in outputs}
    row["limits"] = {key: of_rates(m[key] for m in measured) for key in measured[0]}
    row["floor"] = floor(players[0].of(case), row["limits"]) if row["limits"] else {}
    return row
