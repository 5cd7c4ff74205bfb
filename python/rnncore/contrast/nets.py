"""The three nets, each of about the same number of parameters, with the same four calls."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

import rnncore
from rnncore.arguments import Array
from rnncore.contrast.tasks import Data, Task

__all__ = ["NETS", "Net"]

BATCH, LR = 32, 3e-3
PARAMETERS = 6000


class Net(Protocol):
    """What is asked of each."""

    any_length: bool
    """Whether it takes sequences of other lengths than those trained on."""

    def __init__(self, task: Task, seed: int) -> None: ...
    def fit(self, task: Task) -> None:
        """Learn the training part; a tenth of it is held out to stop early."""

    def predict(self, sequences: list[Array]) -> Array:
        """Return a class or a value for each sequence."""

    def parameters(self) -> int:
        """Return the number of parameters."""

    def step_seconds(self, task: Task) -> float:
        """Return the seconds for one more step of a sequence that comes one by one, and its new prediction."""

    def memory(self, length: int) -> int:
        """Return the bytes that have to be kept of a sequence of so many steps to go on with it."""


def _widest(count: Callable[[int], int]) -> int:
    """Return the largest even width whose net has at most PARAMETERS."""
    return max(width for width in range(2, 1000, 2) if width == 2 or count(width) <= PARAMETERS)


def _split(data: Data) -> tuple[Data, Data]:
    """Return nine tenths and one, evenly over the data."""
    held = np.arange(len(data[1])) % 10 == 9
    return _chosen(data, ~held), _chosen(data, held)


def _chosen(data: Data, mask: Array) -> Data:
    return [data[0][k] for k in np.flatnonzero(mask)], data[1][mask]


def _seconds(step: Callable[[], Any]) -> float:
    """Return the median of 200 calls."""
    taken = []
    for _ in range(200):
        began = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


class _Values:
    """Targets with a mean of 0 and a spread of 1, and back; classes stay as they are."""

    def __init__(self, task: Task) -> None:
        y = task.training[1]
        self.classes = task.classes
        self.mean, self.spread = (0.0, 1.0) if task.classes else (float(y.mean()), float(y.std()))

    def to(self, y: Array) -> Array:
        return y.astype(np.int64) if self.classes else ((y - self.mean) / self.spread).astype(np.float32)

    def back(self, outputs: Array) -> Array:
        if self.classes:
            return np.asarray(outputs.argmax(axis=1))
        return np.asarray(outputs).reshape(-1) * self.spread + self.mean


class Recurrent:
    """A GRU whose last output goes through a linear layer."""

    any_length = True

    def __init__(self, task: Task, seed: int) -> None:
        self.values, self.seed, outputs = _Values(task), seed, task.classes or 1
        width = _widest(lambda h: 3 * h * (task.features + h + 2) + (h + 1) * outputs)
        layer = rnncore.GRU(task.features, width, seed=seed)
        rnncore.initialisation.chrono(layer, longest=max(task.length, 2), uniform=True, seed=seed)
        self.model = rnncore.Sequential(layer, rnncore.LastStep(), rnncore.Linear(width, outputs, seed=seed + 1))
        self.width = width

    def _data(self, data: Data) -> tuple[list[Array], Array]:
        y = self.values.to(data[1])
        return data[0], y if self.values.classes else y[:, None]

    def fit(self, task: Task) -> None:
        training, held_out = _split(task.training)
        self.model.fit(
            self._data(training),
            loss="cross_entropy" if task.classes else "mse",
            validation=self._data(held_out),
            epochs=task.epochs,
            batch_size=BATCH,
            lr=LR,
            clip_norm=1.0,
            early_stopping=10,
            seed=self.seed,
            progress=False,
        )

    def predict(self, sequences: list[Array]) -> Array:
        lengths = np.array([len(x) for x in sequences])
        outputs, _ = self.model(rnncore.pad(sequences)[0], lengths=lengths)
        return self.values.back(outputs)

    def parameters(self) -> int:
        return self.model.parameter_count

    def step_seconds(self, task: Task) -> float:
        heads = rnncore.Sequential(copy.deepcopy(self.model[0]), copy.deepcopy(self.model[2]))
        with rnncore.Stream(heads) as stream:
            x, out = task.test[0][0][0].copy(), np.empty(task.classes or 1, np.float32)
            return _seconds(lambda: stream.step(x, out=out))

    def memory(self, length: int) -> int:  # noqa: ARG002
        return 4 * self.width  # whatever the length


class FeedForward:
    """One hidden layer over a window as long as the longest training sequence.

    Shorter sequences are filled up at the beginning, of longer ones it sees the end.
    """

    any_length = False

    def __init__(self, task: Task, seed: int) -> None:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        self.values, self.length, self.features = _Values(task), task.length, task.features
        outputs = task.classes or 1
        width = _widest(lambda h: h * (self.length * task.features + 1) + (h + 1) * outputs)
        kind = MLPClassifier if task.classes else MLPRegressor
        self.model: Any = kind(
            hidden_layer_sizes=(width,),
            batch_size=BATCH,
            learning_rate_init=LR / 3,
            max_iter=task.epochs,
            early_stopping=True,
            n_iter_no_change=10,
            random_state=seed,
        )

    def _window(self, sequences: list[Array]) -> Array:
        x = np.zeros((len(sequences), self.length, self.features), np.float32)
        for row, sequence in zip(x, sequences, strict=True):
            last = sequence[-self.length :]
            row[self.length - len(last) :] = last
        return x.reshape(len(sequences), -1)

    def fit(self, task: Task) -> None:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it may learn on after its epochs: the others stop there too
            self.model.fit(self._window(task.training[0]), self.values.to(task.training[1]))

    def predict(self, sequences: list[Array]) -> Array:
        found = self.model.predict(self._window(sequences))
        return np.asarray(found if self.values.classes else self.values.back(found))

    def parameters(self) -> int:
        return sum(array.size for array in (*self.model.coefs_, *self.model.intercepts_))

    def step_seconds(self, task: Task) -> float:
        window = self._window(task.test[0][:1])
        return _seconds(lambda: self.model.predict(window))

    def memory(self, length: int) -> int:  # noqa: ARG002
        return 4 * self.features * self.length  # its window, and it sees no further


class Convolutional:
    """Three dilated convolutions over time, the mean of their outputs, a linear layer."""

    any_length = True

    def __init__(self, task: Task, seed: int) -> None:
        import torch
        from torch import nn

        torch.manual_seed(seed)
        self.torch, self.values, self.features = torch, _Values(task), task.features
        outputs = task.classes or 1
        width = _widest(lambda c: c * (5 * task.features + 1) + 2 * c * (5 * c + 1) + (c + 1) * outputs)
        layers: list[Any] = []
        for before, dilation in ((task.features, 1), (width, 2), (width, 4)):
            layers += [nn.Conv1d(before, width, 5, padding=2 * dilation, dilation=dilation), nn.ReLU()]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(width, outputs)

    def _outputs(self, sequences: list[Array]) -> Any:
        torch = self.torch
        lengths = torch.tensor([len(x) for x in sequences])
        x = torch.from_numpy(rnncore.pad(sequences)[0]).permute(1, 2, 0)  # (N, F, T)
        valid = (torch.arange(x.shape[2]) < lengths[:, None])[:, None]
        for layer in self.body:
            x = layer(x) * valid  # as if nothing came behind a sequence's end
        return self.head(x.sum(dim=2) / lengths[:, None])

    def fit(self, task: Task) -> None:
        torch = self.torch
        training, held_out = _split(task.training)
        loss: Any = torch.nn.functional.cross_entropy if task.classes else _squared
        both = [*self.body.parameters(), *self.head.parameters()]
        optimizer = torch.optim.Adam(both, lr=LR)
        y, wanted = (torch.from_numpy(self.values.to(part[1])) for part in (training, held_out))
        best, waited, kept = np.inf, 0, [p.detach().clone() for p in both]
        for _ in range(task.epochs):
            for chosen in torch.randperm(len(y)).split(BATCH):
                optimizer.zero_grad()
                loss(self._outputs([training[0][k] for k in chosen]), y[chosen]).backward()
                optimizer.step()
            with torch.no_grad():
                now = float(loss(self._outputs(held_out[0]), wanted))
            waited = 0 if now < best else waited + 1
            if now < best:
                best, kept = now, [p.detach().clone() for p in both]
            if waited == 10:
                break
        with torch.no_grad():
            for parameter, value in zip(both, kept, strict=True):
                parameter.copy_(value)

    def predict(self, sequences: list[Array]) -> Array:
        with self.torch.no_grad():
            return self.values.back(self._outputs(sequences).numpy())

    def parameters(self) -> int:
        return sum(p.numel() for p in (*self.body.parameters(), *self.head.parameters()))

    def step_seconds(self, task: Task) -> float:
        window = task.test[0][:1]
        return _seconds(lambda: self.predict(window))

    def memory(self, length: int) -> int:
        return 4 * self.features * length  # every step so far: the mean is over all of them


def _squared(outputs: Any, target: Any) -> Any:
    return ((outputs[:, 0] - target) ** 2).mean()


NETS: dict[str, type[Net]] = {"recurrent": Recurrent, "feed-forward": FeedForward, "convolutional": Convolutional}
