"""rnncore beside its peers: torch, ONNX Runtime and JAX, whichever is installed.

    python bench/compare.py [--mode infer train step] [--grid small|full] [--threads 1] [--rounds 5]
                            [--peak PATH] [--json OUT]

One long-lived process per engine, pinned to the same cores, called in turns (A B C A B C ...), and the core's
multiply-add peak in the same turns when --peak names the program rnncore_peak. Printed is the median over the rounds,
as time, share of the peak, and ratio to the fastest peer; then the geometric mean, the worst row and the rows behind.
Operations counted: 2 T N G H (I + H) forward, three times that for a training step.
"""

import argparse
import importlib.util
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
PEERS = {"torch": "torch", "onnxruntime": "onnxruntime", "jax": "jax"}


@dataclass(frozen=True)
class Case:
    mode: str
    cell: str
    H: int
    I: int  # noqa: E741
    N: int
    T: int

    def operations(self) -> float:
        forward = 2 * self.T * self.N * GATES[self.cell] * self.H * (self.I + self.H)
        return forward * (3 if self.mode == "train" else 1)


SHAPES = [
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


def cases(modes: list[str], grid: str) -> list[Case]:
    shapes = SHAPES + (BETWEEN if grid == "full" else [])
    steps = [(cell, *sizes, 1, 1) for cell in ("lstm", "gru") for sizes in ((16, 1), (32, 32), (64, 16), (512, 512))]
    return [Case(mode, *shape) for mode in modes for shape in (steps if mode == "step" else shapes)]


# An engine: case -> a function that runs it once. Each runs in a process of its own.


def rnncore_engine(case: Case, threads: int) -> Callable[[], object]:
    import rnncore

    rnncore.set_num_threads(threads)
    layer = getattr(rnncore, case.cell.upper())(case.I, case.H, seed=0)
    x = np.random.default_rng(0).normal(size=(case.T, case.N, case.I)).astype(np.float32)
    dy = np.ones((case.T, case.N, case.H), np.float32)

    def train() -> object:
        _, _, cache = layer.forward(x)
        return layer.backward(cache, dy)

    if case.mode == "step":
        stream = rnncore.Stream(layer, batch_size=case.N)
        return lambda: stream.step(x[0])
    return train if case.mode == "train" else lambda: layer(x)


def torch_engine(case: Case, threads: int) -> Callable[[], object]:
    import torch

    torch.set_num_threads(threads)
    module = getattr(torch.nn, case.cell.upper())(case.I, case.H)
    x = torch.randn(case.T, case.N, case.I)
    dy = torch.ones(case.T, case.N, case.H)

    def train() -> None:
        module.zero_grad(set_to_none=True)
        leaf = x.detach().requires_grad_()
        module(leaf)[0].backward(dy)

    if case.mode == "train":
        return train
    if case.mode == "step":
        module = getattr(torch.nn, case.cell.upper() + "Cell")(case.I, case.H)
        row, state = x[0], torch.zeros(1, case.H)
        hx = (state, state) if case.cell == "lstm" else state

    def infer() -> None:
        with torch.inference_mode():
            module(row, hx) if case.mode == "step" else module(x)

    return infer


def onnxruntime_engine(case: Case, threads: int) -> Callable[[], object] | None:
    import onnx
    import onnxruntime

    if case.mode == "train":
        return None
    rng = np.random.default_rng(0)
    rows = GATES[case.cell] * case.H
    weights = {"W": (1, rows, case.I), "R": (1, rows, case.H), "B": (1, 2 * rows)}
    states = ["h", "c"] if case.cell == "lstm" else ["h"]
    extra = {"linear_before_reset": 1} if case.cell == "gru" else {}
    node = onnx.helper.make_node(
        case.cell.upper(),
        ["x", "W", "R", "B", "", *states],
        ["y", *(f"{name}_n" for name in states)],
        hidden_size=case.H,
        **extra,
    )

    def value(name: str, shape: tuple[int, ...]) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    state = (1, case.N, case.H)
    graph = onnx.helper.make_graph(
        [node],
        "cell",
        [value("x", (case.T, case.N, case.I)), *(value(name, state) for name in states)],
        [value("y", (case.T, 1, case.N, case.H)), *(value(f"{name}_n", state) for name in states)],
        [
            onnx.numpy_helper.from_array(rng.uniform(-0.1, 0.1, shape).astype(np.float32), name)
            for name, shape in weights.items()
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {"x": rng.normal(size=(case.T, case.N, case.I)).astype(np.float32)}
    feed |= {name: np.zeros(state, np.float32) for name in states}
    return lambda: session.run(None, feed)


def jax_engine(case: Case, threads: int) -> Callable[[], object]:  # noqa: ARG001  pinning sets JAX's threads
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    rows = GATES[case.cell] * case.H
    weights = [
        jnp.asarray(rng.uniform(-0.1, 0.1, shape), jnp.float32) for shape in ((case.I, rows), (case.H, rows), (rows,))
    ]
    x = jnp.asarray(rng.normal(size=(case.T, case.N, case.I)), jnp.float32)
    zero = jnp.zeros((case.N, case.H), jnp.float32)

    def cell(state: Any, a: Any, R: Any) -> Any:
        h, c = state
        b = h @ R
        if case.cell == "rnn":
            return jnp.tanh(a + b), c
        if case.cell == "gru":
            (ar, az, an), (br, bz, bn) = jnp.split(a, 3, axis=-1), jnp.split(b, 3, axis=-1)
            z = jax.nn.sigmoid(az + bz)
            n = jnp.tanh(an + jax.nn.sigmoid(ar + br) * bn)
            return n + z * (h - n), c
        i, f, g, o = jnp.split(a + b, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    def forward(weights: Any, x: Any) -> Any:
        W, R, bias = weights

        def body(state: Any, a: Any) -> Any:
            state = cell(state, a, R)
            return state, state[0]

        return jax.lax.scan(body, (zero, zero), x @ W + bias)

    def loss(weights: Any, x: Any) -> Any:
        return forward(weights, x)[1].sum()

    function = jax.jit(jax.grad(loss, argnums=(0, 1)) if case.mode == "train" else forward)
    return lambda: jax.block_until_ready(function(weights, x))


ENGINES = {"rnncore": rnncore_engine, "torch": torch_engine, "onnxruntime": onnxruntime_engine, "jax": jax_engine}


def worker(name: str, threads: int, pipe: Any) -> None:
    """Answer each case with the time of one call, the median of what fits into a tenth of a second."""
    prepared: dict[Case, Callable[[], object] | None] = {}
    while (case := pipe.recv()) is not None:
        if case not in prepared:
            prepared = {case: ENGINES[name](case, threads)}
            for _ in range(3 if prepared[case] else 0):
                prepared[case]()
        run = prepared[case]
        times: list[float] = []
        while run and (len(times) < 3 or sum(times) < 0.1):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        pipe.send(statistics.median(times) if times else None)


class Engine:
    def __init__(self, name: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.name, (self.pipe, other) = name, context.Pipe()
        self.process = context.Process(target=worker, args=(name, threads, other), daemon=True)
        self.process.start()

    def time(self, case: Case) -> float | None:
        self.pipe.send(case)
        return self.pipe.recv()


def measure(case: Case, engines: list[Engine], rounds: int, peak: Callable[[], float]) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {}
    peaks = []
    for _ in range(rounds):
        for engine in engines:
            if (taken := engine.time(case)) is not None:
                seconds.setdefault(engine.name, []).append(taken)
        peaks.append(peak())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {**asdict(case), "seconds": medians, "peak": statistics.median(peaks), "operations": case.operations()}


def show(row: dict[str, Any]) -> str:
    def cell(name: str) -> str:
        if (seconds := row["seconds"].get(name)) is None:
            return "-"
        share = f" {100e-9 * row['operations'] / seconds / row['peak']:.0f} %" if row["peak"] else ""
        return f"{seconds * 1e6:.4g} us{share}"

    names = ["rnncore", *PEERS]
    ratio = f"{row['ratio']:.2f}" if row["ratio"] else "-"
    fields = [row["mode"], row["cell"], *(row[k] for k in "HINT"), *(cell(name) for name in names), ratio]
    return "| " + " | ".join(map(str, fields)) + " |"


def summary(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for mode in dict.fromkeys(row["mode"] for row in rows):
        rated = [row for row in rows if row["mode"] == mode and row["ratio"]]
        if not rated:
            continue
        mean = math.exp(statistics.fmean(math.log(row["ratio"]) for row in rated))
        worst = min(rated, key=lambda row: row["ratio"])
        behind = sum(row["ratio"] < 1 for row in rated)
        lines.append(
            f"{mode}: geometric mean {mean:.2f}x the best peer, worst {worst['ratio']:.2f}x "
            f"({worst['cell']} H={worst['H']} N={worst['N']}), {behind} of {len(rated)} rows behind"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", nargs="+", choices=["infer", "train", "step"], default=["infer", "train", "step"])
    parser.add_argument("--grid", choices=["small", "full"], default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", help="path of rnncore_peak, which the C++ benchmarks build")
    parser.add_argument("--json", help="write one JSON object a line")
    options = parser.parse_args()
    import rnncore

    isa = rnncore.show_config(mode="dicts")["isa"]
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-options.threads :]))  # the workers inherit it
    names = ["rnncore", *(name for name, module in PEERS.items() if importlib.util.find_spec(module))]
    engines = [Engine(name, options.threads) for name in names]

    def peak() -> float:
        return float(subprocess.check_output([options.peak, isa])) * options.threads if options.peak else 0.0

    print(
        f"{options.threads} thread(s), {isa}; time a call, share of the multiply-add peak; ratio: best peer / rnncore"
    )
    print("| mode | cell | H | I | N | T | rnncore | torch | ONNX Runtime | JAX | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    for case in cases(options.mode, options.grid):
        row = measure(case, engines, options.rounds, peak)
        peers = [seconds for name, seconds in row["seconds"].items() if name != "rnncore"]
        row["ratio"] = min(peers) / row["seconds"]["rnncore"] if peers else None
        rows.append(row)
        print(show(row), flush=True)
    print(*summary(rows), sep="\n")
    for engine in engines:
        engine.pipe.send(None)
    if options.json:
        with open(options.json, "w") as file:  # noqa: PTH123
            file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
