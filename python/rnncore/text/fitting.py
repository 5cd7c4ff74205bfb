"""Training by teacher forcing: batches of pairs of like lengths, the best weights kept, checkpoints."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnncore import optim, schedules
from rnncore.arguments import Array, check_positive, check_size
from rnncore.files import FormatError, read_tensors, write_tensors
from rnncore.text.network import Network
from rnncore.text.vocabulary import PAD
from rnncore.training import History
from rnncore.training.interrupts import Interrupts
from rnncore.training.progress import Display

__all__ = ["Batch", "Course", "Numbers", "batches", "padded"]

FORMAT, VERSION = "rnncore.translator.checkpoint", 1
WARMUP = 100  # updates, or a tenth of all

Numbers = list[tuple[Array, Array]]
"""Pairs of sentences, the words of both by number."""

Batch = tuple[Array, Array, Array, Array]
"""Sources (S, N) and their lengths (N,), targets (T, N) and theirs."""


class Course:
    """A training: `run` takes it through its epochs, and leaves the weights with the lowest validation loss."""

    def __init__(
        self,
        network: Network,
        training: Numbers,
        held_out: Numbers,
        *,
        seed: int,
        epochs: int = 20,
        batch_size: int = 64,
        lr: float = 2e-3,
        clip_norm: float = 1.0,
        patience: int = 3,
        seconds: float | None = None,
        progress: bool = True,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.network, self.training, self.held_out = network, training, held_out
        self.epochs, self.batch_size = check_size("epochs", epochs, 1), check_size("batch_size", batch_size, 1)
        self.lr, self.clip_norm = check_positive("lr", lr), check_positive("clip_norm", clip_norm)
        self.patience, self.seed = check_size("patience", patience, 1), seed
        self.seconds = np.inf if seconds is None else check_positive("seconds", seconds)
        self.display = Display(progress, self.epochs)
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.optimizer = optim.Adam(network.vectors, lr=lr)
        self.per_epoch = -(-len(training) // self.batch_size)
        updates = self.epochs * self.per_epoch
        self.schedule = schedules.Warmup(min(WARMUP, 1 + updates // 10), schedules.Cosine(updates, per="update"))
        self.history, self.best = History(), self._copied()
        self.spent = 0.0  # seconds of a run that this one goes on with

    def run(self) -> History:
        """Train; Ctrl-C ends it between two updates."""
        if self.checkpoint is not None and self.checkpoint.exists():
            self.resume(self.checkpoint)
        self.began = time.monotonic() - self.spent
        history = self.history
        try:
            with Interrupts() as interrupts:
                while not self._over():
                    self._epoch(len(history), interrupts)
                    if self.checkpoint is not None:
                        self.save(self.checkpoint)
        except KeyboardInterrupt:
            history.stopped = "interrupt"
        finally:
            self.display.close()
        if history.best_epoch is not None:
            self._set(self.best)
        return history

    def _over(self) -> bool:
        history = self.history
        if history.best_epoch is not None and len(history) - 1 - history.best_epoch >= self.patience:
            history.stopped = "early stopping"
        return history.stopped is not None or len(history) >= self.epochs or self._elapsed() > self.seconds

    def _elapsed(self) -> float:
        return time.monotonic() - self.began

    def _epoch(self, epoch: int, interrupts: Interrupts) -> None:
        begun, total, words = self._elapsed(), 0.0, 0.0
        self.display.epoch_begins(epoch, self.per_epoch)
        for number, batch in enumerate(self.batches(epoch)):
            lr = self.lr * self.schedule(epoch, epoch * self.per_epoch + number)
            loss, count = self.update(batch, lr, interrupts), float(batch[3].sum())
            total, words = total + loss * count, words + count
            self.display.update(loss)
            if self._elapsed() > self.seconds:
                break
        row = {"loss": total / words, "val_loss": self.validation_loss()}
        self.history.add(row | {"lr": lr, "seconds": self._elapsed() - begun})
        if row["val_loss"] <= min(self.history.val_loss):
            self.best, self.history.best_epoch = self._copied(), epoch
        self.display.epoch_ends(epoch, row)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, in an order of its own."""
        return batches(self.training, self.batch_size, np.random.default_rng([self.seed, epoch]))

    def update(self, batch: Batch, lr: float, interrupts: Interrupts) -> float:
        """Take a step, and return the loss before it."""
        loss, gradients = self.network.loss_and_gradients(*batch)
        optim.clip_grad_norm(gradients, self.clip_norm, error_if_nonfinite=True)
        self.optimizer.lr = lr
        with interrupts.whole():
            self.optimizer.step(gradients)
        return loss

    def validation_loss(self) -> float:
        """Return the mean cross-entropy of a held-out word, in nats."""
        total = words = 0.0
        with self.network.evaluating():
            for batch in batches(self.held_out, self.batch_size, None):
                count = float(batch[3].sum())
                total, words = total + self.network.loss(*batch) * count, words + count
        return total / words

    def _copied(self) -> list[Array]:
        return [vector.copy() for vector in self.network.vectors]

    def _set(self, vectors: Sequence[Array]) -> None:
        for vector, kept in zip(self.network.vectors, vectors, strict=True):
            vector[...] = kept

    # ---- checkpoints

    def _settings(self) -> dict[str, Any]:
        names = ("epochs", "batch_size", "lr", "clip_norm", "seed")
        sizes = {"pairs": len(self.training), "parameters": sum(vector.size for vector in self.network.vectors)}
        return {name: getattr(self, name) for name in names} | sizes

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        arrays = {f"now.{k}": vector for k, vector in enumerate(self.network.vectors)}
        arrays |= {f"best.{k}": vector for k, vector in enumerate(self.best)}
        arrays |= {f"optimizer.{name}": array for name, array in self.optimizer.state_dict().items()}
        told = {
            "settings": self._settings(),
            "history": vars(self.history),
            "seconds": self._elapsed(),
            "keys": [layer._keys.__getstate__() for layer in self.network.drawing],
        }
        write_tensors(path, FORMAT, VERSION, arrays, {"course": json.dumps(told)})

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint."""
        arrays, metadata = read_tensors(path, FORMAT, VERSION)
        try:
            told = json.loads(metadata["course"])
        except (KeyError, ValueError):
            raise FormatError(f"{path} holds no checkpoint of a translator") from None
        for name, value in self._settings().items():
            if told["settings"].get(name) != value:
                raise ValueError(
                    f"{path}: {name} was {told['settings'].get(name)!r}, expected the same as now: {value!r}"
                )
        self._set([arrays[f"now.{k}"] for k in range(len(self.best))])
        self.best = [arrays[f"best.{k}"] for k in range(len(self.best))]
        state = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith("optimizer.")}
        self.optimizer.load_state_dict(state)
        vars(self.history).update(told["history"])
        self.history.stopped, self.spent = None, told["seconds"]
        for layer, keys in zip(self.network.drawing, told["keys"], strict=True):
            layer._keys.__setstate__(keys)


def padded(sequences: Sequence[Array]) -> tuple[Array, Array]:
    """Return the numbers (T, N), PAD past each end, and the lengths (N,)."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    numbers = np.full((int(lengths.max()), len(sequences)), PAD)
    for n, sequence in enumerate(sequences):
        numbers[: len(sequence), n] = sequence
    return numbers, lengths


def batches(pairs: Numbers, size: int, generator: np.random.Generator | None) -> Iterator[Batch]:
    """Batches of pairs of like length: sorted by length, by chance among those of one, in random order if asked."""
    chance = np.arange(len(pairs)) if generator is None else generator.permutation(len(pairs))
    order = sorted(chance.tolist(), key=lambda k: (len(pairs[k][0]), len(pairs[k][1])))
    starts = np.arange(0, len(order), size)
    for start in starts if generator is None else generator.permutation(starts):
        chosen = [pairs[k] for k in order[start : start + size]]
        yield *padded([source for source, _ in chosen]), *padded([target for _, target in chosen])
