"""The network: ridge regression, and a recurrent layer for what that leaves over.

The forecast of all horizons at step t, in standardised units, from the inputs x_t and the state h_t::

    z_t = ridge(x_t, ..., x_{t-k}) + W h_t        h_t = cell(x_t, h_{t-1})

One pass over the series yields every forecast; nothing is computed again for a window. The layer and W, which is zero
at first, are trained by truncated backpropagation through time on the residuals of ridge regression: what they add is
all that a longer memory and non-linearity can. Gate biases begin so that units remember for 2 to 64 steps (Tallec &
Ollivier 2018). Noise on the inputs of the layer (Bishop 1995) and weight decay keep it from learning a short series by
heart, and a running mean of the parameters forecasts (Polyak & Juditsky 1992).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore import initialisation
from rnncore.arguments import Array
from rnncore.forecasting.design import Design
from rnncore.layers import GRU, LSTM, RNN
from rnncore.layers.linear import Linear
from rnncore.optim import Adam
from rnncore.sequential import Sequential
from rnncore.training import Batch, RunningMean

CELLS = ("lstm", "gru", "rnn")
_LAYERS: dict[str, Any] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}


@dataclass(frozen=True)
class Recipe:
    """How to build and train a network, but for what `tuning` chooses."""

    cell: str = "lstm"
    hidden_size: int = 32
    block_length: int = 64
    lr: float = 3e-3
    rows: int = 8  # series in a batch at least: with fewer, each stands there several times with noise of its own
    longest_memory: float = 64.0  # steps
    mean_over: int = 50  # updates in the running mean of parameters
    num_threads: int = 1


@dataclass(frozen=True)
class Restraint:
    """What keeps a network from learning a short series by heart."""

    noise: float  # in the spreads of the inputs
    weight_decay: float


class Member:
    """One network of an ensemble; `linear` is z (T, N, H) of ridge regression."""

    def __init__(self, recipe: Recipe, design: Design, linear: Array, restraint: Restraint, seed: list[int]) -> None:
        self.recipe, self.design, self.restraint = recipe, design, restraint
        self.random = np.random.default_rng(seed)
        self.linear = linear
        self.x = np.ascontiguousarray(design.x[..., design.recurrent], np.float32)
        self.model = build(recipe, self.x.shape[-1], design.z.shape[-1], self.random)
        self.optimizer = Adam(self.model.parameters, lr=recipe.lr, weight_decay=restraint.weight_decay)
        self.mean = RunningMean(self.model, recipe.mean_over)
        self.updates = 0

    def train(self, updates: int) -> None:
        """Train for whole epochs until so many updates are done."""
        epochs = -(-(updates - self.updates) // self.updates_per_epoch)
        if epochs <= 0:
            return
        self.model.fit(
            self._noisy,
            epochs=epochs,
            k1=self.recipe.block_length,
            optimizer=self.optimizer,
            clip_norm=1.0,
            callbacks=[self.mean],
            progress=False,
            num_threads=self.recipe.num_threads,
        )
        self.updates += epochs * self.updates_per_epoch

    def _noisy(self) -> Iterator[Batch]:
        """Yield the training part of all series as one batch, with new noise each time."""
        design, last = self.design, self._last
        copies = max(1, self.recipe.rows // design.x.shape[1])
        x = np.tile(self.x[:last], (1, copies, 1))
        noise = self.random.standard_normal(x.shape, np.float32)
        yield Batch(
            x + np.float32(self.restraint.noise) * noise,
            np.tile((design.z - self.linear)[:last].astype(np.float32), (1, copies, 1)),
            lengths=np.tile(np.minimum(design.lengths, last), copies),
            mask=np.tile(design.train[:last], (1, copies, 1)),
        )

    @property
    def _last(self) -> int:
        """Steps until the training part of the longest series ends."""
        return int(np.flatnonzero(self.design.train.any(axis=(1, 2)))[-1]) + 1

    @property
    def updates_per_epoch(self) -> int:
        """Blocks in the training part."""
        return -(-self._last // self.recipe.block_length)

    @property
    def parameter_count(self) -> int:
        """Of the layer and the head."""
        return self.model.parameter_count

    def predict(self) -> Array:
        """Return z (T, N, H) for every step, by the running mean of the parameters."""
        with self.mean.applied():
            rest, _ = self.model(self.x, lengths=self.design.lengths, num_threads=self.recipe.num_threads)
        forecast: Array = self.linear + rest
        return forecast


def build(recipe: Recipe, inputs: int, horizons: int, random: np.random.Generator) -> Sequential:
    """Make the network: input weights scaled to the number of inputs, gates for memories of many lengths, W zero."""
    size = recipe.hidden_size
    layer = _LAYERS[recipe.cell](inputs, size, seed=random)
    layer.weight_ih_l0[...] *= np.sqrt(size / inputs)
    if recipe.cell != "rnn":
        initialisation.chrono(layer, recipe.longest_memory, seed=random)
    model = Sequential(layer, Linear(size, horizons, bias=False))
    model[1].parameters[...] = 0
    return model
