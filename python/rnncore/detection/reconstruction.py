"""An encoder-decoder that says the last rows again; the error of the latest is the evidence (Malhotra et al. 2016).

An LSTM reads a window of L rows z; another begins with its state, is told nothing more, and says the rows in reverse
order through a linear layer: the latest first. Both are trained to reconstruct windows of the history. In operation
each row is the end of a window of its own: a row costs L steps of the encoder and one of the decoder, and keeps no
state but the last L rows.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from rnncore.arguments import Array
from rnncore.detection.recipe import Recipe
from rnncore.layers.linear import Linear
from rnncore.layers.lstm import LSTM
from rnncore.optim import Adam

__all__ = ["Reconstruction"]

_ROWS = 24  # L
_BATCH, _UPDATES = 64, 1500
_AT_ONCE = 2048  # windows


class Reconstruction:
    """Says each row again from the window that it ends."""

    def __init__(self, recipe: Recipe) -> None:
        size, self.channels, self.seed = recipe.hidden_size, recipe.channels, recipe.seed
        self.lags = [0]  # of the row itself
        self.encoder = LSTM(self.channels, size, seed=recipe.seed)
        self.decoder = LSTM(1, size, seed=recipe.seed + 1)
        self.head = Linear(size, self.channels, seed=recipe.seed + 2)
        self.begin(1)

    def fit(self, x: Array) -> None:
        """Train on windows of the history, drawn by the seed."""
        z = np.ascontiguousarray(x[:, : self.channels], np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(z, _ROWS, axis=0).transpose(2, 0, 1)  # (L, W, C)
        rng = np.random.default_rng(self.seed)
        layers = (self.encoder, self.decoder, self.head)
        optimizers = [Adam(layer.parameters, lr=3e-3) for layer in layers]
        updates = min(_UPDATES, 20 * -(-windows.shape[1] // 8))
        for update in range(updates):
            chosen = rng.integers(0, windows.shape[1], _BATCH)
            for optimizer, gradient in zip(optimizers, self._gradients(windows[:, chosen]), strict=True):
                norm = float(np.linalg.norm(gradient))
                optimizer.lr = 3e-3 * (1 - update / updates)
                optimizer.step(gradient / max(norm, 1.0))
        self.begin(1)

    def _gradients(self, window: Array) -> tuple[Array, Array, Array]:
        """Return the gradients of the mean square error of a batch of windows (L, N, C)."""
        window = np.ascontiguousarray(window)
        _, state, encoded = self.encoder.forward(window)
        silence = np.zeros((*window.shape[:2], 1), np.float32)
        said, _, decoded = self.decoder.forward(silence, state)
        told, cache = self.head.forward(said)
        error = (told - np.clip(window[::-1], -5, 5)) * np.float32(2 / window.size)
        head = self.head.backward(cache, error)
        decoder = self.decoder.backward(decoded, head.x, input_gradient=False)
        encoder = self.encoder.backward(encoded, None, decoder.hx, input_gradient=False)
        return encoder.parameters, decoder.parameters, head.parameters

    def begin(self, sensors: int) -> None:
        """Start from the beginning, with so many series side by side."""
        self.past = np.zeros((_ROWS, sensors, self.channels), np.float32)

    def fork(self) -> Reconstruction:
        """Return another one with the same weights, where this one is."""
        other = copy(self)
        other.past = self.past.copy()
        return other

    def arrays(self) -> dict[str, Array]:
        """Return weights and states by name."""
        layers = {"encoder": self.encoder, "decoder": self.decoder, "head": self.head}
        return {name: layer.parameters for name, layer in layers.items()} | {"past": self.past}

    def load(self, arrays: dict[str, Array]) -> None:
        """Take over what `arrays` returned."""
        for name, layer in (("encoder", self.encoder), ("decoder", self.decoder), ("head", self.head)):
            layer.parameters[...] = arrays[name]
        self.past = arrays["past"]

    def _changes(self, windows: Array) -> Array:
        """Return the latest row of each window (L, N, C) as it is said again, less what it was."""
        _, state = self.encoder(np.ascontiguousarray(windows))
        said, _ = self.decoder(np.zeros((1, windows.shape[1], 1), np.float32), state)
        changes: Array = self.head(said[0]) - windows[-1]
        return changes

    def step(self, x: Array) -> Array:
        """Return the changes (N, C) for a row of each series."""
        self.past[:-1] = self.past[1:]
        self.past[-1] = x[:, : self.channels]
        return self._changes(self.past)

    def run(self, x: Array) -> Array:
        """Return the changes (T, C) for a block of one series."""
        z = np.concatenate([self.past[1:, 0], x[:, : self.channels]])
        windows = np.lib.stride_tricks.sliding_window_view(z, _ROWS, axis=0).transpose(2, 0, 1)
        self.past[:, 0] = np.concatenate([self.past[:, 0], x[:, : self.channels]])[-_ROWS:]
        parts = [self._changes(windows[:, k : k + _AT_ONCE]) for k in range(0, len(x), _AT_ONCE)]
        return np.concatenate(parts) if parts else np.empty((0, self.channels), np.float32)
