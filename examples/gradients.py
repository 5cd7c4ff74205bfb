"""Vanishing and exploding gradients, and what truncation costs: makes the figures of docs/gradients.md.

python examples/gradients.py [FOLDER]
"""

from __future__ import annotations

import multiprocessing
import re
import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np

import rnncore
from rnncore import bptt
from rnncore.diagnostics import gradient_flow
from rnncore.optim import clip_grad_norm

mpl.use("agg")
from matplotlib import pyplot

H = 32
RNG = np.random.default_rng(0)
INPUT = RNG.normal(size=(200, 1))


def rnn(scale: float, orthogonal: bool, nonlinearity: str = "tanh") -> rnncore.RNN:
    """A network whose recurrent matrix has the spectral radius, or all singular values, `scale`."""
    layer = rnncore.RNN(1, H, nonlinearity=nonlinearity, dtype="float64", seed=0)
    matrix = np.random.default_rng(1).normal(size=(H, H))
    matrix = np.linalg.qr(matrix)[0] if orthogonal else matrix / np.abs(np.linalg.eigvals(matrix)).max()
    layer.weight_hh_l0[...] = scale * matrix
    return layer


def lstm(forget_bias: float, hidden: int = H, inputs: int = 1) -> rnncore.LSTM:
    layer = rnncore.LSTM(inputs, hidden, dtype="float64", seed=0)
    layer.bias_ih_l0[hidden : 2 * hidden] = forget_bias
    return layer


def gru(update_bias: float) -> rnncore.GRU:
    layer = rnncore.GRU(1, H, dtype="float64", seed=0)
    layer.bias_ih_l0[H : 2 * H] = update_bias
    return layer


def draw_flow(axes) -> None:
    """The Jacobian product against the lag."""
    layers = {
        "RNN relu, spectral radius 2: explodes": rnn(2.0, False, "relu"),
        "RNN tanh, spectral radius 0.6: vanishes": rnn(0.6, False),
        "RNN tanh, orthogonal": rnn(1.0, True),
        "LSTM, forget bias 0": lstm(0),
        "LSTM, forget bias 4": lstm(4),
        "GRU, update bias 4": gru(4),
    }
    for name, layer in layers.items():
        flow = gradient_flow(layer, 0.1 * INPUT)
        axes.plot(flow.lags, flow.jacobian[0], label=name)
        print(f"{name:42} after 10, 100 and 200 steps {flow.jacobian[0, [9, 99, 199]]}")
    axes.set(yscale="log", ylim=(1e-16, 1e16), xlabel="steps back in time", ylabel="norm of the Jacobian product")
    axes.legend(fontsize=7, loc="lower right")


def train_echo(layer: rnncore.RNN, clip: float | None, updates: int = 200) -> list[float]:
    """Losses of plain gradient descent on the sum of the inputs of 60 steps."""
    generator, head = np.random.default_rng(2), np.full(H, 1 / H)
    losses = []
    for _ in range(updates):
        x = generator.uniform(0, 0.2, size=(60, 16, 1))

        target = x.sum(axis=0)[:, 0] / 6

        def echo(y, _steps, target=target):
            dy = np.zeros_like(y)
            error = y[-1] @ head - target
            dy[-1] = 2 * error[:, None] * head / len(error)
            return float((error**2).mean()), dy

        with np.errstate(all="ignore"):
            result = bptt.full(layer, x, echo, input_gradient=False)
        losses.append(result.loss)
        if not np.isfinite(result.loss) or not np.isfinite(result.parameters).all():
            break
        if clip:
            clip_grad_norm([result.parameters], clip)
        layer.parameters -= 0.02 * result.parameters
    return losses


def draw_clipping(axes) -> None:
    for name, layer, clip in (
        ("radius 2", rnn(2.0, False, "relu"), None),
        ("radius 2, clipped at norm 1", rnn(2.0, False, "relu"), 1.0),
        ("orthogonal", rnn(1.0, True, "relu"), None),
        ("orthogonal, clipped at norm 1", rnn(1.0, True, "relu"), 1.0),
    ):
        losses = train_echo(layer, clip)
        axes.plot(np.clip(losses, 1e-6, 1e12), label=name, marker="x" if len(losses) < 20 else None)
        print(f"{name:42} {len(losses)} updates, last loss {losses[-1]:.3g}")
    axes.set(yscale="log", xlabel="update", ylabel="loss", title="RNN relu, gradient descent")
    axes.legend(fontsize=7)


# ---- what truncation costs and saves

T, HIDDEN, K1 = 4000, 64, 50
WINDOWS = [50, 100, 200, 400, 800, 1600]
SERIES = RNG.normal(size=(T, 1, 1))
DY = RNG.normal(size=(T, 1, HIDDEN))


def loss(y, steps):
    return float((y * DY[steps]).sum()), DY[steps]


def status(name: str) -> float:
    """MB, from the kernel's account of this process."""
    return int(re.search(name + r":\s+([0-9]+)", Path("/proc/self/status").read_text())[1]) / 1024


def measure(queue, run) -> None:
    layer = lstm(0, HIDDEN)
    run(layer, SERIES[:60])
    seconds, before = [], status("VmRSS")
    for _ in range(3):
        start = time.process_time()
        run(layer, SERIES)
        seconds.append(time.process_time() - start)
    queue.put((float(np.median(seconds)), status("VmHWM") - before))


def measured(run) -> tuple[float, float]:
    """Seconds (median of three) and MB, in a process of its own."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=measure, args=(queue, run))
    process.start()
    result = queue.get()
    process.join()
    return result


def measure_truncation() -> dict[str, list[tuple[float, float]]]:
    options = {"input_gradient": False, "num_threads": 1}
    full = measured(lambda layer, x: bptt.full(layer, x, loss, **options))
    checkpointed = measured(lambda layer, x: bptt.checkpointed(layer, x, loss, **options))
    overlapping, side_by_side = (
        [
            measured(lambda layer, x, k=k, k1=k1: bptt.truncated(layer, x, loss, k1=k1 or k, k2=k, update=id))
            for k in WINDOWS
        ]
        for k1 in (K1, None)
    )
    costs = {
        f"truncated, k1 = {K1}": overlapping,
        "truncated, k1 = k2": side_by_side,
        "full": [full] * len(WINDOWS),
        "checkpointed": [checkpointed] * len(WINDOWS),
    }
    for name, points in costs.items():
        print(f"{name:20}", *(f"k2 {k}: {t:.3f} s, {m:.1f} MB;" for k, (t, m) in zip(WINDOWS, points, strict=True)))
    return costs


def draw_truncation(axes, costs) -> None:
    for bias in (0, 1, 2):
        layer = lstm(bias, HIDDEN)
        exact = bptt.full(layer, SERIES, loss).parameters
        errors = []
        for k2 in WINDOWS:
            got = bptt.truncated(layer, SERIES, loss, k1=K1, k2=k2).parameters
            errors.append(np.linalg.norm(got - exact) / np.linalg.norm(exact))
        print(f"forget bias {bias}, error", *(f"k2 {k}: {e:.1e};" for k, e in zip(WINDOWS, errors, strict=True)))
        axes[0].plot(WINDOWS, np.maximum(errors, 1e-16), "o-", label=f"forget bias {bias}")
    axes[0].set(xscale="log", yscale="log", xlabel="k2", title=f"gradient error, k1 = {K1}", ylabel="relative error")
    axes[0].legend(fontsize=7)
    for k, (title, unit) in enumerate((("time", "s"), ("memory", "MB"))):
        for name, points in costs.items():
            style = {"full": "k-", "checkpointed": "k--"}.get(name, "o-")
            axes[k + 1].plot(WINDOWS, [point[k] for point in points], style, label=name)
        axes[k + 1].set(xscale="log", yscale="log", xlabel="k2", title=title, ylabel=unit)
        axes[k + 1].legend(fontsize=7)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    folder.mkdir(parents=True, exist_ok=True)
    costs = measure_truncation()  # first, in a small process: memory once used is not given back at once
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    draw_flow(axes[0])
    draw_clipping(axes[1])
    figure.savefig(folder / "gradient_flow.png", dpi=110)
    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    draw_truncation(axes, costs)
    figure.savefig(folder / "truncation.png", dpi=110)


if __name__ == "__main__":
    main()
