"""What is compared: the cases, and which contenders meet in which set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

GATES = {"rnn": 1, "gru": 3, "lstm": 4}  # of the cells that all peers have, under the names that they have there
PEERS = ("torch", "onnxruntime", "jax")
MODES = ("infer", "train", "step", "fit", "fleet")
SETS = ("peers", "threads", "ragged", "float64", "fit", "fleet", "torch", "few", "short", "precision")
UPDATES = 20  # of each model in a call of fit: in one epoch, or of a fleet one in each epoch
CLIP, RATE = 1.0, 1e-3  # of its training: the limit of the gradient's norm, Adam's learning rate


@dataclass(frozen=True)
class Case:
    """T steps of N rows, I inputs, H hidden units. A step is a call of T = 1 that goes on from the state it left.

    With fit a call is an epoch of UPDATES updates of a model with one linear output, each of T steps of N rows: windows
    of one long series where N is 1, else batches. With fleet it is as many epochs of one such update of each of
    `models` models.
    """

    mode: str
    cell: str
    H: int
    I: int  # noqa: E741
    N: int
    T: int
    dtype: str = "float32"
    ragged: bool = False
    models: int = 1
    weights: str | None = None  # in fewer bits than dtype: bf16 or int8
    precision: str = "float32"  # of the operands of products: float32 or bf16

    def lengths(self) -> np.ndarray:
        """Steps of each row: all T, or uniform in 0.1 T..T."""
        if not self.ragged:
            return np.full(self.N, self.T)
        return np.ceil(np.random.default_rng(1).uniform(0.1, 1, self.N) * self.T).astype(np.int64)

    def valid_steps(self) -> int:
        return int(self.lengths().sum())

    def operations(self) -> float:
        """Of the products: 2 G H (I + H) a valid step forward, three times that with backward."""
        forward = 2.0 * self.valid_steps() * GATES[self.cell] * self.H * (self.I + self.H)
        return forward * {"train": 3, "fit": 3 * UPDATES, "fleet": 3 * UPDATES * self.models}.get(self.mode, 1)

    def draw(self) -> dict[str, np.ndarray]:
        """Inputs and parameters, the same for every engine, parameters in PyTorch's order of gates."""
        generator = np.random.default_rng(0)
        rows = GATES[self.cell] * self.H

        def uniform(*shape: int) -> np.ndarray:
            return generator.uniform(-1, 1, shape).astype(self.dtype)

        scale = self.H**-0.5
        return {
            "x": uniform(self.T, self.N, self.I),
            "dy": uniform(self.T, self.N, self.H),
            "weight_ih": uniform(rows, self.I) * np.asarray(scale, self.dtype),
            "weight_hh": uniform(rows, self.H) * np.asarray(scale, self.dtype),
            "bias_ih": uniform(rows) * np.asarray(scale, self.dtype),
            "bias_hh": uniform(rows) * np.asarray(scale, self.dtype),
        }

    def lessons(self) -> dict[str, np.ndarray]:
        """Inputs and targets of an epoch of fit, a series or rows, and the weights of the linear output."""
        generator = np.random.default_rng(2)
        shape: tuple[int, ...] = (self.T * UPDATES, 1) if self.N == 1 else (self.T, self.N * UPDATES)
        shape = (self.models, self.T, self.N) if self.mode == "fleet" else shape

        def uniform(*shape: int) -> np.ndarray:
            return generator.uniform(-1, 1, shape).astype(self.dtype)

        return {
            "x": uniform(*shape, self.I),
            "target": uniform(*shape, 1),
            "weight": uniform(1, self.H) * np.asarray(self.H**-0.5, self.dtype),
            "bias": uniform(1),
        }

    def lesson(self, array: np.ndarray, update: int) -> np.ndarray:
        """What one update sees of an array of `lessons`."""
        if self.N == 1:
            return array[update * self.T : (update + 1) * self.T]
        return array[:, update * self.N : (update + 1) * self.N]


@dataclass(frozen=True)
class Contender:
    label: str
    engine: str
    threads: int
    dtype: str | None = None
    ragged: bool = False
    weights: str | None = None
    precision: str = "float32"
    computes: bool = True  # otherwise it is timed alone

    def of(self, case: Case) -> Case:
        return replace(
            case,
            dtype=self.dtype or case.dtype,
            ragged=self.ragged or case.ragged,
            weights=self.weights,
            precision=self.precision,
        )


def contenders(which: str, threads: int, dtype: str, engines: tuple[str, ...]) -> list[Contender]:
    """Who meets in a set: the first is divided by or compared with the others."""
    if which == "peers":
        return [Contender(name, name, threads, dtype) for name in ("rnncore", *engines)]
    if which == "threads":
        return [Contender("1 thread", "rnncore", 1, dtype), Contender("2 threads", "rnncore", 2, dtype)]
    if which == "ragged":
        full = Contender("full", "rnncore", threads, dtype)
        return [full, replace(full, label="ragged", ragged=True)]
    if which in ("fit", "fleet"):
        players = {"fit": "rnncore", "kernels": "kernels"} | {name: name for name in engines if name == "torch"}
        return [Contender(label, engine, threads, dtype) for label, engine in players.items()]
    if which == "few":
        return [Contender(name, name, threads, dtype) for name in ("rnncore", "torch")]
    if which == "torch":
        empty = Contender("empty", "empty", threads, dtype, computes=False)
        return [*(Contender(name, name, threads, dtype) for name in ("accelerated", "torch", "kernels")), empty]
    if which == "short":
        ours = [Contender(bits or "float32", "rnncore", threads, weights=bits) for bits in (None, "bf16", "int8")]
        peers = [name for name in engines if name != "jax"]
        others = [Contender(f"{name} {bits or 'float32'}", name, threads, weights=bits)
                  for name in peers for bits in (None, "int8")]  # fmt: skip
        return ours + others
    if which == "precision":
        players = {"rnncore": ""} | {name: "torch " for name in engines if name == "torch"}
        return [Contender(prefix + precision, name, threads, precision=precision)
                for name, prefix in players.items() for precision in ("float32", "bf16")]  # fmt: skip
    single = Contender("float32", "rnncore", threads, "float32")
    return [single, replace(single, label="float64", dtype="float64")]


def ratio(which: str, row: dict[str, Any]) -> float | None:
    """What a set is about: for peers and threads the speed-up, else the share of the speed that is kept."""
    labels = list(row["seconds"])
    first, others = row["seconds"][labels[0]], [row["seconds"][label] for label in labels[1:]]
    if not others:
        return None
    if which == "torch":
        return row["seconds"]["torch"] / first
    if which in ("peers", "few"):
        return min(others) / first
    if which == "threads":
        return first / others[0]
    if which in ("fit", "fleet"):
        return others[0] / first
    if which == "short":
        return first / row["seconds"]["int8"]
    if which == "precision":
        return first / row["seconds"]["bf16"]
    work = row["operations"]
    return (work[labels[1]] / others[0]) / (work[labels[0]] / first)


# The rows that have always been compared, first, so that runs of other days can be laid beside each other.
SMALL = [
    ("lstm", 16, 1, 1, 1000),
    ("lstm", 32, 32, 1, 1000),
    ("lstm", 32, 16, 32, 100),
    ("lstm", 128, 128, 1, 100),
    ("lstm", 128, 64, 32, 100),
    ("lstm", 256, 256, 64, 50),
    ("lstm", 512, 512, 1, 50),
    ("lstm", 512, 512, 32, 50),
    ("gru", 32, 32, 1, 1000),
    ("gru", 32, 16, 32, 100),
    ("gru", 128, 64, 32, 100),
    ("gru", 512, 512, 32, 50),
    ("rnn", 128, 64, 32, 100),
    ("rnn", 512, 512, 32, 50),
]
BETWEEN = [(cell, H, H // 2, N, 100) for cell in GATES for H in (20, 40, 100, 126, 200, 300) for N in (1, 16)]
SMOKE = [("lstm", 16, 4, 3, 10), ("gru", 20, 4, 3, 10), ("rnn", 16, 4, 3, 10)]
STEPS = {
    "smoke": [(16, 1)],
    "small": [(16, 1), (32, 32), (64, 16), (512, 512)],
    "full": [(8, 1), (16, 1), (20, 4), (32, 32), (40, 8), (64, 16), (100, 20), (128, 64), (200, 100), (512, 512)],
}
FIT = {
    "smoke": [("lstm", 8, 1, 1, 10), ("gru", 16, 4, 3, 10)],
    "small": [("lstm", 8, 1, 1, 50), ("lstm", 32, 16, 32, 100), ("gru", 32, 16, 32, 100)],
}
FIT["full"] = [*FIT["small"], ("lstm", 64, 32, 1, 50), ("lstm", 128, 64, 32, 100), ("rnn", 8, 1, 1, 50)]
FLEETS = {"smoke": [("lstm", 8, 1, 1, 10, 5)], "small": [("lstm", 16, 1, 1, 200, 1000)]}
FLEETS["full"] = [*FLEETS["small"], ("gru", 8, 4, 1, 100, 1000), ("lstm", 32, 8, 8, 50, 100)]
GRIDS = {"smoke": SMOKE, "small": SMALL, "full": SMALL + BETWEEN}


# Clients of PyTorch's modules: a policy that steps and over rollouts, forecasters of short and long windows, characters
# of lines.
CLIENTS = [
    ("lstm", 64, 16, 1, 1),
    ("lstm", 256, 64, 8, 128),
    ("lstm", 25, 1, 32, 24),
    ("gru", 128, 4, 32, 48),
    ("rnn", 128, 4, 32, 48),
    ("gru", 32, 8, 128, 20),
]
LINES = ("lstm", 128, 64, 32, 100)
# Calls of one row and few steps: whatever is packed serves them alone.
FEW = {"smoke": [("gru", 16, 4, 1, 2)]}
FEW["small"] = [(cell, H, H, 1, T) for cell in GATES for H in (32, 64, 128, 256, 512) for T in (1, 4)]
FEW["full"] = [(cell, H, H, 1, T) for cell in GATES for H in (32, 64, 100, 128, 256, 512) for T in (1, 2, 3, 4)]


# In bf16 products cost least beside the rest where layers are large and rows many.
PRECISION = {"smoke": SMOKE[:1]}
PRECISION["small"] = [
    ("lstm", 128, 128, 32, 100),
    ("lstm", 256, 256, 16, 50),
    ("lstm", 256, 256, 64, 50),
    ("lstm", 512, 512, 32, 50),
    ("gru", 512, 512, 32, 50),
    ("rnn", 512, 512, 32, 50),
]
PRECISION["full"] = [*PRECISION["small"], ("lstm", 512, 512, 1, 50), ("lstm", 512, 512, 128, 50)]


def cases(which: str, modes: list[str], grid: str) -> list[Case]:
    """Ragged batches need rows; two threads split what a sequence has, a step has nothing to split."""
    if which == "fit":
        return [Case("fit", *shape) for shape in FIT[grid]]
    if which == "fleet":
        return [Case("fleet", *shape, models=count) for *shape, count in FLEETS[grid]]
    if which == "few":
        return [Case("infer", *shape) for shape in FEW[grid]]
    if which == "precision":
        return [Case(mode, *shape) for mode in modes if mode in ("infer", "train") for shape in PRECISION[grid]]
    if which == "short":
        sizes = (32,) if grid == "smoke" else (128, 256, 512)
        steps = [Case("step", cell, H, H, N, 1) for cell in ("lstm", "gru") for H in sizes for N in (1, 4)]
        return steps + [Case("infer", "lstm", H, H, N, 50) for H in sizes for N in (1, 32)]
    found = []
    for mode in modes:
        if mode in ("fit", "fleet"):
            continue
        if mode == "step":
            if which in ("peers", "float64"):
                found += [Case(mode, cell, H, I, 1, 1) for cell in ("lstm", "gru") for H, I in STEPS[grid]]  # noqa: E741
            continue
        shapes = [shape for shape in GRIDS[grid] if which != "ragged" or shape[3] > 1]
        found += [Case(mode, *shape) for shape in shapes]
        if which == "torch" and grid != "smoke":
            found += [Case(mode, *shape) for shape in CLIENTS] + [Case(mode, *LINES, ragged=True)]
    return found
