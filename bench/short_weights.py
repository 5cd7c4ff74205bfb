"""What fewer bits cost in accuracy: the same trained models with float32, bf16 and int8 weights, and beside them models
that were trained and run with products in bf16.

    RNNCORE_DATA=folder python bench/short_weights.py [--epochs 4]
    python bench/short_weights.py --speed

The folder holds tinyshakespeare.txt and JapaneseVowels_TRAIN.ts and _TEST.ts. Models are small and not trained to the
end: it is the differences that count. Prints a table for docs/numerics.md; with --speed, what fewer bits gain by the
number of rows, for docs/short_weights.md.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

import rnncore
from rnncore.datasets import weather
from rnncore.text.language import side_by_side

sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))
import language_model
import utterances

FORMATS = (None, "bf16", "int8")
Precision = Literal["float32", "bf16"]
Score = Callable[[rnncore.Sequential], float]


def scores(model: rnncore.Sequential, score: Score) -> list[float]:
    """One for each format; in products of bf16 one alone."""
    if any(getattr(layer, "precision", "") == "bf16" for layer in model):
        return [score(model)]
    return [score(model if weights is None else rnncore.quantize(model, weights)) for weights in FORMATS]


def language(folder: Path, epochs: int, precision: Precision = "float32") -> list[float]:
    """Nats a character of the last 10 % of the text."""
    text = language_model.read(folder)
    network = language_model.build(0)
    network._cell = partial(network._cell, precision=precision)
    network.fit(text, epochs=epochs, rows=32, k1=64, lr=4e-3, clip_norm=1.0, progress=False)
    x, target = side_by_side(network.encode(text[len(text) * 9 // 10 :]), 32)

    def score(model: rnncore.Sequential) -> float:
        y = model(x)[0].astype(np.float64)
        y -= y.max(axis=-1, keepdims=True)
        chosen = np.take_along_axis(y, target[..., None], -1)[..., 0]
        return float((np.log(np.exp(y).sum(axis=-1)) - chosen).mean())

    return scores(network.model, score)


def temperature(epochs: int, precision: Precision = "float32") -> list[float]:
    """RMSE, in degrees, of the next day's maximum in New York over the last quarter of the days."""
    rows = list(csv.DictReader(weather().read_text().splitlines()))
    values = np.array([row["temp_max"] for row in rows if row["location"] == "New York"], np.float32)
    split = len(values) * 3 // 4
    mean, spread = values[:split].mean(), values[:split].std()
    days = 2 * np.pi * np.arange(len(values)) / 365.25
    x = np.stack([(values - mean) / spread, np.sin(days), np.cos(days)], axis=1).astype("float32")
    model = rnncore.Sequential(rnncore.LSTM(3, 128, precision=precision, seed=0), rnncore.Linear(128, 1, seed=1))
    model.fit((x[: split - 1, None], x[1:split, None, :1]), k1=64, epochs=10 * epochs, lr=2e-3, clip_norm=1.0,
              progress=False)  # fmt: skip

    def score(model: rnncore.Sequential) -> float:
        told = model(x[:-1])[0][split - 1 :, 0] * spread + mean
        return float(np.sqrt(np.square(told - values[split:]).mean()))

    return scores(model, score)


def speakers(folder: Path, epochs: int, precision: Precision = "float32") -> list[float]:
    """Accuracy on the test part, of a GRU with 128 units in each direction."""
    parts = (utterances.read(folder / f"JapaneseVowels_{part}.ts") for part in ("TRAIN", "TEST"))
    training, test = utterances.standardised(*parts)
    model = rnncore.Sequential(
        rnncore.GRU(12, 128, bidirectional=True, precision=precision, seed=0),
        rnncore.LastStep(),
        rnncore.Linear(256, 9, seed=1),
    )
    model.fit(training, loss="cross_entropy", epochs=5 * epochs, batch_size=16, lr=2e-3, clip_norm=1.0, progress=False)
    return scores(model, lambda short: short.evaluate(test, "cross_entropy", metrics=["accuracy"])["accuracy"])


def outputs(cell: Any) -> list[float]:
    """Largest difference of an output in 200 steps of a layer that was not trained, 512 units, 16 rows."""
    layer = cell(512, 512, seed=0)
    x = np.random.default_rng(0).uniform(-1, 1, (200, 16, 512)).astype("float32")
    right = layer(x)[0]
    others = [rnncore.quantize(layer, weights) for weights in FORMATS[1:]] + [cell(512, 512, precision="bf16", seed=0)]
    return [0.0] + [float(np.abs(other(x)[0] - right).max()) for other in others]


def speed(layer: Any, rows: int, steps: int = 50, turns: int = 8) -> list[float]:
    """How many times as fast as float32 packed calls in bf16 and int8 are, by the least processor time of each."""
    packed = [layer.pack(weights) for weights in FORMATS]
    x = np.random.default_rng(0).normal(size=(steps, rows, layer.input_size)).astype("float32")
    least = [float("inf")] * len(packed)
    for _ in range(turns):
        for k, weights in enumerate(packed):
            begin = time.thread_time()
            layer(x, packed=weights, num_threads=1)
            least[k] = min(least[k], time.thread_time() - begin)
    return [least[0] / each for each in least[1:]]


def print_speeds(numbers: tuple[int, ...] = (1, 2, 4, 8, 12, 16, 32, 64)) -> None:
    print("| rows | " + " | ".join(map(str, numbers)) + f" |\n|{' --- |' * (1 + len(numbers))}")
    for kind, size in ((rnncore.LSTM, 256), (rnncore.LSTM, 512), (rnncore.GRU, 512)):
        layer = kind(size, size, seed=0)
        speeds = [speed(layer, rows) for rows in numbers]
        for k, weights in enumerate(FORMATS[1:]):
            print(f"| {kind.__name__} {size}, {weights} | " + " | ".join(f"{each[k]:.2f}" for each in speeds) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--data", type=Path, default=os.environ.get("RNNCORE_DATA"))
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    if options.speed:
        print_speeds()
        return
    if options.data is None:
        parser.error("where is tinyshakespeare.txt? Set RNNCORE_DATA or give --data")
    folder = Path(options.data)
    rows = {
        "New York, RMSE of the next day": lambda: [*temperature(options.epochs), *temperature(options.epochs, "bf16")],
        "utterances, accuracy": lambda: [*speakers(folder, options.epochs), *speakers(folder, options.epochs, "bf16")],
        "LSTM 512, largest error of an output": lambda: outputs(rnncore.LSTM),
        "GRU 512, largest error of an output": lambda: outputs(rnncore.GRU),
        "language model, nats a character": lambda: [
            *language(folder, options.epochs),
            *language(folder, options.epochs, "bf16"),
        ],
    }
    print(f"| | float32 | bf16 | int8 | products in bf16 |\n|{' --- |' * 5}")
    for name, measured in rows.items():
        values = [f"{value:.4g}" if value < 0.1 else f"{value:.4f}" for value in measured()]
        print("| " + " | ".join([name, *values]) + " |", flush=True)


if __name__ == "__main__":
    main()
