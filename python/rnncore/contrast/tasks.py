"""The tasks: sequences and what is to be told of each, split into training and test parts."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rnncore import datasets
from rnncore.arguments import Array

__all__ = ["Data", "Task", "tasks"]

Data = tuple[list[Array], Array]
"""Sequences (T, F), each of its own length, and a class or a value for each."""

WINDOW = 30  # days of weather


@dataclass(frozen=True)
class Task:
    """What is to be learned."""

    name: str
    classes: int
    """The number of classes; 0 for a value to be predicted."""
    training: Data
    test: Data
    simple: str
    """What the simplest method reaches, in words."""
    epochs: int
    longer: dict[int, Data] = field(default_factory=dict)
    """Test parts of other lengths than those trained on."""

    @property
    def features(self) -> int:
        """F."""
        return int(self.training[0][0].shape[1])

    @property
    def length(self) -> int:
        """The longest training sequence: the window of a net that needs one."""
        return max(len(x) for x in self.training[0])


def tasks(folder: Path | None = None, *, small: bool = False, seed: int = 0) -> Iterator[Task]:
    """Yield the tasks; that of the spoken vowels only if the folder, or RNNCORE_DATA, holds its two files.

    small makes them in a size for tests, in which nothing is learned well.
    """
    yield weather(60 if small else None, epochs=2 if small else 60)
    for steps in (20,) if small else (100, 200, 400):
        others = (2 * steps,) if steps < 400 else ()
        yield adding(steps, 200 if small else 5000, others, epochs=2 if small else 40, seed=seed)
    found = folder or (Path(os.environ["RNNCORE_DATA"]) if os.environ.get("RNNCORE_DATA") else None)
    if found is not None and (found / "JapaneseVowels_TRAIN.ts").exists():
        yield vowels(found, epochs=2 if small else 60)
    yield digits(200 if small else None, epochs=2 if small else 60, seed=seed)


def weather(days: int | None, *, epochs: int) -> Task:
    """New York: tomorrow's maximum temperature from the last 30 days of all columns; 2015 is the test part."""
    with datasets.weather().open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["location"] == "New York"]
    columns = ("temp_max", "temp_min", "precipitation", "wind")
    values = np.array([[float(row[name]) for name in columns] for row in rows], np.float32)
    angle = 2 * np.pi * np.arange(len(rows)) / 365.2425
    test = next(k for k, row in enumerate(rows) if row["date"].startswith("2015"))
    mean, spread = values[:test].mean(axis=0), values[:test].std(axis=0)
    inputs = np.column_stack([(values - mean) / spread, np.sin(angle), np.cos(angle)]).astype(np.float32)
    ends = np.arange(WINDOW, len(rows))  # the day that is forecast

    def part(chosen: Array) -> Data:
        return [inputs[end - WINDOW : end] for end in chosen], values[chosen, 0]

    training, held_out = ends[ends < test][: days and int(days)], ends[ends >= test][: days and int(days)]
    repeat = np.sqrt(np.mean((values[held_out, 0] - values[held_out - 1, 0]) ** 2))
    return Task("weather of New York", 0, part(training), part(held_out), f"repeat {repeat:.2f}", epochs)


def adding(steps: int, count: int, others: tuple[int, ...], *, epochs: int, seed: int) -> Task:
    """Tell the sum of the numbers at the two marked steps (Hochreiter & Schmidhuber 1997)."""
    generator = np.random.default_rng(seed)

    def draw(length: int, problems: int) -> Data:
        x = np.zeros((problems, length, 2), np.float32)
        x[:, :, 0] = generator.random((problems, length))
        half, rows = length // 2, np.arange(problems)
        first, second = generator.integers(0, half, problems), generator.integers(half, length, problems)
        x[rows, first, 1] = x[rows, second, 1] = 1
        return list(x), x[rows, first, 0] + x[rows, second, 0]

    longer = {length: draw(length, count // 5) for length in others}
    name = f"adding, T = {steps}"
    return Task(name, 0, draw(steps, count), draw(steps, count // 5), "always 1: 0.41", epochs, longer)


def vowels(folder: Path, *, epochs: int) -> Task:
    """Who of nine speakers said two Japanese vowels: 7 to 29 steps of 12 channels, the official split."""
    parts = []
    for name in ("TRAIN", "TEST"):
        sequences, labels = [], []
        for line in (folder / f"JapaneseVowels_{name}.ts").read_text(encoding="utf-8").splitlines():
            if line and line[0] not in "#@":
                *channels, label = line.split(":")
                sequences.append(np.array([channel.split(",") for channel in channels], np.float32).T)
                labels.append(int(label) - 1)
        parts.append((sequences, np.array(labels)))
    every = np.concatenate(parts[0][0])
    mean, spread = every.mean(axis=0), every.std(axis=0)
    training, test = (([(x - mean) / spread for x in sequences], labels) for sequences, labels in parts)
    return Task("spoken vowels, 7 to 29 steps", 9, training, test, "ridge on statistics 0.978", epochs)


def digits(count: int | None, *, epochs: int, seed: int) -> Task:
    """Handwritten digits of 8 x 8 pixels (scikit-learn's), read as a sequence of 8 rows."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))[:count]
    x = (images.reshape(-1, 8, 8) / 16).astype(np.float32)[order]
    cut = len(order) * 3 // 4
    training, test = ((list(x[part]), labels[order][part]) for part in (slice(cut), slice(cut, None)))
    return Task("digits as 8 rows", 10, training, test, "most frequent class 0.10", epochs)
