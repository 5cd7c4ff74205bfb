"""The adding problem (Hochreiter & Schmidhuber 1997): add two of 600 numbers, those that are marked.

    python examples/adding.py             # a GRU, and the plain RNN that cannot
    python examples/adding.py --cell lstm

One marker stands in each half. Whoever always says 1 has a mean squared error of 1/6.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import rnncore

STEPS, HIDDEN, BATCH, LR = 600, 64, 32, 5e-3
EPOCH = 100  # updates, then a look at other problems
CELLS = {"lstm": rnncore.LSTM, "gru": rnncore.GRU, "rnn": rnncore.RNN}


def draw(random: np.random.Generator, rows: int) -> rnncore.Batch:
    """Draw problems: x (600, N, 2), numbers and markers; the sums (N, 1)."""
    x = np.zeros((STEPS, rows, 2), np.float32)
    x[..., 0] = random.random((STEPS, rows))
    half, all_rows = STEPS // 2, np.arange(rows)
    first, second = random.integers(0, half, rows), random.integers(half, STEPS, rows)
    x[first, all_rows, 1] = x[second, all_rows, 1] = 1
    return rnncore.Batch(x, (x[first, all_rows, :1] + x[second, all_rows, :1]))


def build(cell: str, seed: int) -> rnncore.Sequential:
    """Make the model; its gates begin with memories of up to 600 steps."""
    layer = CELLS[cell](2, HIDDEN, seed=seed)
    if cell != "rnn":
        rnncore.initialisation.chrono(layer, longest=STEPS, uniform=True, seed=seed)
    return rnncore.Sequential(layer, rnncore.LastStep(), rnncore.Linear(HIDDEN, 1, seed=seed))


def train(cell: str, arguments: argparse.Namespace) -> list[float]:
    """Train for so many updates, until the loss on 1000 other problems is at most 5e-4; return its course."""
    random = np.random.default_rng(arguments.seed)
    held_out = draw(np.random.default_rng(arguments.seed + 1), 1000)
    model = build(cell, arguments.seed)

    def blocks() -> Iterator[rnncore.Batch]:
        for _ in range(EPOCH):
            yield draw(random, BATCH)

    def enough(progress: rnncore.training.Progress) -> bool:
        if progress.event != "epoch":
            return False
        print(f"{cell}, {progress.update} updates: {progress.history['val_loss'][-1]:.6f}", flush=True)
        return progress.history["val_loss"][-1] <= 5e-4

    history = model.fit(
        blocks,
        epochs=arguments.updates // EPOCH,
        lr=LR,
        clip_norm=1.0,
        validation=held_out,
        callbacks=[enough],
        progress=False,
        num_threads=arguments.threads,
    )
    print(
        f"{cell}: {history['val_loss'][-1]:.6f} after {EPOCH * len(history)} updates, {sum(history['seconds']):.0f} s"
    )
    return history["val_loss"]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=CELLS, default="gru", help="beside the plain RNN")
    parser.add_argument("--updates", type=int, default=3000, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    courses = {}
    for cell in dict.fromkeys([arguments.cell, "rnn"]):
        if cell == "rnn" and courses:  # as many updates as the other took
            arguments.updates = EPOCH * len(next(iter(courses.values())))
        courses[cell] = train(cell, arguments)
    if arguments.figure:
        draw_courses(courses, arguments.figure)


def draw_courses(courses: dict[str, list[float]], path: Path) -> None:
    """Draw the losses over the updates, and the baseline."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for cell, losses in courses.items():
        axes.semilogy(EPOCH * np.arange(1, len(losses) + 1), losses, label=cell.upper())
    axes.axhline(1 / 6, color="0.5", linestyle="--", label="always 1: 1/6")
    axes.set_xlabel("updates")
    axes.set_ylabel("mean squared error on 1000 other problems")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
