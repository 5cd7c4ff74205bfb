"""The network that carries its state through a series: how it is built, and one in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rnncore import Batch, Linear, Sequential, initialisation
from rnncore.arguments import Array
from rnncore.forecasting.history import blocks
from rnncore.layers import CELL_KINDS
from rnncore.optim import Adam
from rnncore.training import RunningMean

_BLOCK = 64  # steps of truncated backpropagation
_LR = 3e-3
_ROWS, _STEPS = 8, 1500  # series in a batch at least, each with noise of its own; of longer series fewer
_MEMORY = 64.0  # steps
_PIECE = 50_000  # numbers of the inputs that are taken in at a time
_MEAN_OVER = 50  # updates in the running mean of parameters


class Network:
    """One network in training. Of its owner it takes the cell, the size and the threads; the targets are (T, N, H)."""

    def __init__(self, owner: Any, inputs: int, shape: tuple[int, ...], seed: int) -> None:
        steps, series, horizon = shape
        self.random = np.random.default_rng([seed, 7])
        self.model = build(owner.cell, owner.hidden_size, inputs, horizon, self.random)
        self.mean = RunningMean(self.model, _MEAN_OVER)
        self.copies = max(1, round(_ROWS * min(1.0, _STEPS / steps)) // series)
        self.updates_per_epoch = -(-steps // _BLOCK)
        self.updates, self.num_threads = 0, owner.num_threads
        self.optimizer: Adam | None = None

    def train(self, x: Array, z: Array, known: Array, updates: int, restraint: tuple[float, float]) -> None:
        """Train for whole epochs until so many updates are done."""
        epochs = -(-(updates - self.updates) // self.updates_per_epoch)
        if epochs <= 0:
            return
        noise, weight_decay = restraint
        self.optimizer = self.optimizer or Adam(self.model.parameters, lr=_LR, weight_decay=weight_decay)

        def noisy() -> Iterator[Batch]:
            wide = np.tile(x, (1, self.copies, 1))
            wide += np.float32(noise) * self.random.standard_normal(wide.shape, np.float32)
            yield Batch(wide, self._copied(z), mask=self._copied(known))

        self.model.fit(
            noisy,
            epochs=epochs,
            k1=_BLOCK,
            optimizer=self.optimizer,
            clip_norm=1.0,
            callbacks=[self.mean],
            progress=False,
            num_threads=self.num_threads,
        )
        self.updates += epochs * self.updates_per_epoch

    def forecast(self, x: Array, steps: Array) -> Array:
        """(K, N, H) at K steps."""
        with self.mean.applied():
            return outputs(self.model, x, steps, self.num_threads)

    def _copied(self, values: Array) -> Array:
        """The same values for every copy of the series."""
        return values if self.copies == 1 else np.tile(values, (1, self.copies, 1))


def outputs(model: Sequential, x: Array, steps: Array, num_threads: int) -> Array:
    """(T, N, I) -> (K, N, H) at K ascending steps: the state goes through all that come before them."""
    found, state = [], None
    for here in blocks(int(steps[-1]) + 1, x[0].size, _PIECE):
        y, state = model(np.ascontiguousarray(x[here]), state, num_threads=num_threads)
        own = steps[slice(*np.searchsorted(steps, (here.start, here.stop)))]
        found.append(y[own - here.start])
    return np.concatenate(found)


def build(cell: str, hidden_size: int, inputs: int, horizons: int, random: Any) -> Sequential:
    """Make the network: input weights scaled to the number of inputs, gates for memories of many lengths, W zero."""
    layer = CELL_KINDS[cell](inputs, hidden_size, seed=random)
    layer.weight_ih_l0[...] *= np.sqrt(hidden_size / inputs)
    if layer.memory_gates:
        initialisation.chrono(layer, _MEMORY, seed=random)
    model = Sequential(layer, Linear(hidden_size, horizons, bias=False))
    model[1].parameters[...] = 0
    return model
