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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import rnncore
from rnncore.arguments import Array
from rnncore.forecasting.design import Design
from rnncore.optim import Adam
from rnncore.training import AnyLayer, Progress, TruncatedBPTT

CELLS = ("lstm", "gru", "rnn")
_LAYERS: dict[str, Callable[..., AnyLayer]] = {"lstm": rnncore.LSTM, "gru": rnncore.GRU, "rnn": rnncore.RNN}


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
        self.layer = _LAYERS[recipe.cell](self.x.shape[-1], recipe.hidden_size, seed=self.random)
        _remember(self.layer, recipe, self.random)
        self.head = rnncore.Linear(recipe.hidden_size, design.z.shape[-1], bias=False)
        self.head.weight[...] = 0
        parameters = [self.layer.parameters, self.head.parameters]
        self.trainer = TruncatedBPTT(
            self.layer,
            self.head,
            block_length=recipe.block_length,
            optimizer=Adam(parameters, lr=recipe.lr, weight_decay=restraint.weight_decay),
            num_threads=recipe.num_threads,
        )
        self.mean = [vector.copy() for vector in parameters]
        self.updates = 0

    def train(self, updates: int) -> None:
        """Train for whole epochs until so many updates are done."""
        design = self.design
        last = int(np.flatnonzero(design.train.any(axis=(1, 2)))[-1]) + 1
        copies = max(1, self.recipe.rows // design.x.shape[1])
        x = np.tile(self.x[:last], (1, copies, 1))
        rest = np.tile((design.z - self.linear)[:last].astype(np.float32), (1, copies, 1))
        mask = np.tile(design.train[:last], (1, copies, 1))
        lengths = np.tile(np.minimum(design.lengths, last), copies)
        while self.updates < updates:
            noisy = x + np.float32(self.restraint.noise) * self.random.standard_normal(x.shape, np.float32)
            self.trainer.fit(noisy, rest, lengths=lengths, mask=mask, callback=self._average)

    @property
    def updates_per_epoch(self) -> int:
        """Blocks in the training part."""
        return -(-int(np.flatnonzero(self.design.train.any(axis=(1, 2)))[-1] + 1) // self.recipe.block_length)

    @property
    def parameter_count(self) -> int:
        """Of the layer and the head."""
        return sum(vector.size for vector in self.mean)

    def _average(self, _: Progress) -> None:
        self.updates += 1
        for mean, now in zip(self.mean, (self.layer.parameters, self.head.parameters), strict=True):
            mean += (now - mean) * np.float32(1 / self.recipe.mean_over)

    def predict(self) -> Array:
        """Return z (T, N, H) for every step, by the running mean of the parameters."""
        now = [self.layer.parameters.copy(), self.head.parameters.copy()]
        try:
            self.layer.parameters[...], self.head.parameters[...] = self.mean
            rest, _ = self.trainer.predict(self.x, lengths=self.design.lengths)
            return self.linear + rest
        finally:
            self.layer.parameters[...], self.head.parameters[...] = now


def _remember(layer: AnyLayer, recipe: Recipe, random: np.random.Generator) -> None:
    """Scale the weights to the number of inputs, and set the gates for memories of many lengths."""
    size, inputs = layer.hidden_size, layer.input_size
    layer.weight_ih_l0[...] *= np.sqrt(size / inputs)
    if recipe.cell == "rnn":
        return
    lifetimes = np.exp(random.uniform(np.log(2), np.log(recipe.longest_memory), size))
    keep = np.log(lifetimes - 1)
    layer.bias_ih_l0[...] = layer.bias_hh_l0[...] = 0
    layer.bias_ih_l0[size : 2 * size] = keep  # the LSTM's forget gate, the GRU's update gate
    if recipe.cell == "lstm":
        layer.bias_ih_l0[:size] = -keep
