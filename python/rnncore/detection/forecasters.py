"""What forecasts the next rows from those so far: a recurrent network, ridge regression, or nothing at all.

Each takes the monitor's inputs x (T, 2 C + 4): z, its change, and the time of day; and gives for every row the changes
z[t + h] - z[t] over the horizons h, (T, K C), K heads. `run` takes a block and `step` a row, to the same bits.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.detection.recipe import Recipe
from rnncore.detection.reconstruction import Reconstruction
from rnncore.layers.linear import Linear
from rnncore.layers.lstm import LSTM
from rnncore.sequential import Sequential
from rnncore.stream import Stream
from rnncore.training import Batch

__all__ = ["FORECASTERS", "Network", "Nothing", "Ridge"]

_MOST = 5.0  # a target further away is cut
_LAGS = 24  # rows that ridge regression sees
_UPDATES = 3000  # at most, about, of a network


def _targets(x: Array, channels: int, horizons: tuple[int, ...]) -> Array:
    """Return the changes of z over each horizon (T, H, C), NaN where they lie in the future."""
    z = x[:, :channels].astype(np.float64)
    targets = np.full((len(z), len(horizons), channels), np.nan)
    for k, h in enumerate(horizons):
        targets[: len(z) - h, k] = z[h:] - z[: len(z) - h]
    clipped: Array = np.clip(targets, -_MOST, _MOST)
    return clipped


class Network:
    """LSTMs with a linear head for all horizons, their state carried from row to row (Malhotra et al. 2015)."""

    def __init__(self, recipe: Recipe) -> None:
        channels, horizons, members = recipe.channels, recipe.horizons, recipe.members
        self.channels, self.horizons, self.members = channels, horizons, members
        self.lags = list(horizons) * members
        width = 2 * channels + 4
        self.models = [
            Sequential(
                LSTM(width, recipe.hidden_size, seed=recipe.seed + 1000 * m),
                Linear(recipe.hidden_size, len(horizons) * channels, seed=recipe.seed + 1000 * m + 1),
            )
            for m in range(members)
        ]
        self.begin(1)

    def fit(self, x: Array) -> None:
        """Train on the rows of one series, by truncated BPTT in windows of 50 rows."""
        targets = _targets(x, self.channels, self.horizons).reshape(len(x), -1)
        known = np.isfinite(targets)
        rows = min(8, max(1, len(x) // 2000))  # a long series is cut into pieces side by side
        length = len(x) // rows
        epochs = int(np.clip(_UPDATES // -(-length // 50), 3, 30))

        def side_by_side(array: Array) -> Array:
            return np.ascontiguousarray(array[: rows * length].reshape(rows, length, -1).transpose(1, 0, 2))

        batch = Batch(
            side_by_side(x), side_by_side(np.where(known, targets, 0).astype(np.float32)), mask=side_by_side(known)
        )
        for model in self.models:
            model.fit([batch], loss="huber", epochs=epochs, k1=50, lr=0.01, clip_norm=1.0, progress=False)
        self.begin(1)

    def begin(self, sensors: int) -> None:
        """Start from the beginning, with so many series side by side."""
        self._use([Stream(model, batch_size=sensors) for model in self.models])

    def _use(self, streams: list[Stream]) -> None:
        self.streams = streams
        self._steps = [stream.step for stream in streams]
        width = len(streams) * len(self.horizons) * self.channels
        self._made = np.empty((streams[0].batch_size, width), np.float32)
        parts = np.split(self._made, len(streams), axis=1)
        self._in_place = all(part.flags.c_contiguous for part in parts)  # of one series, or one network
        self._parts = parts if self._in_place else [np.empty(part.shape, np.float32) for part in parts]

    def fork(self) -> Network:
        """Return another one with the same weights, where this one is."""
        other = copy(self)
        other._use([stream.fork() for stream in self.streams])
        return other

    def arrays(self) -> dict[str, Array]:
        """Return weights and states by name."""
        found: dict[str, Array] = {}
        for m, (model, stream) in enumerate(zip(self.models, self.streams, strict=True)):
            state = stream.state
            found |= {f"weights{m}": model.parameters, f"h{m}": state.h, f"c{m}": np.asarray(state.c)}
        return found

    def load(self, arrays: dict[str, Array]) -> None:
        """Take over what `arrays` returned."""
        for m, (model, stream) in enumerate(zip(self.models, self.streams, strict=True)):
            model.parameters[...] = arrays[f"weights{m}"]
            stream.refresh()
            stream.state = (arrays[f"h{m}"], arrays[f"c{m}"])

    def step(self, x: Array) -> Array:
        """Return the forecasts (N, K C) from a row of each series."""
        if self.members == 1:
            return self._steps[0](x, self._made)
        for step, part in zip(self._steps, self._parts, strict=True):
            step(x, part)
        return self._made if self._in_place else np.concatenate(self._parts, axis=1, out=self._made)

    def run(self, x: Array) -> Array:
        """Return the forecasts (T, K C) from a block of one series."""
        return np.concatenate([stream.run(x) for stream in self.streams], axis=1)


class Ridge:
    """Linear regression on the last 24 rows, in closed form, with a penalty of one row's weight on each coefficient."""

    def __init__(self, recipe: Recipe) -> None:
        channels, horizons = recipe.channels, recipe.horizons
        self.channels, self.horizons = channels, horizons
        self.lags = list(horizons)
        self.linear = Linear(_LAGS * channels + 4, len(horizons) * channels, dtype="float64", seed=recipe.seed)
        self.begin(1)

    def fit(self, x: Array) -> None:
        """Solve for the coefficients."""
        features = self._features(np.zeros((_LAGS - 1, self.channels)), x)
        targets = _targets(x, self.channels, self.horizons)
        mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
        design = (features - mean) / spread
        for k in range(len(self.horizons)):
            known: Any = np.isfinite(targets[:, k]).all(axis=1)
            known[:_LAGS] = False
            if not known.any():
                continue
            a, b = design[known], targets[known, k]
            offset = b.mean(axis=0)
            weights = np.linalg.solve(a.T @ a + np.eye(a.shape[1]), a.T @ (b - offset)) / spread[:, None]
            place = slice(k * self.channels, (k + 1) * self.channels)
            self.linear.weight[place] = weights.T
            assert self.linear.bias is not None
            self.linear.bias[place] = offset - mean @ weights
        self.begin(1)

    def _features(self, before: Array, x: Array) -> Array:
        z = np.concatenate([before, x[:, : self.channels]])
        lags = np.lib.stride_tricks.sliding_window_view(z, _LAGS, axis=0)  # (T, C, 24)
        return np.concatenate([lags.reshape(len(x), -1), x[:, 2 * self.channels :]], axis=1)

    def begin(self, sensors: int) -> None:
        """Start from the beginning, with so many series side by side."""
        self.past = np.zeros((sensors, self.channels, _LAGS))

    def fork(self) -> Ridge:
        """Return another one with the same weights, where this one is."""
        other = copy(self)
        other.past = self.past.copy()
        return other

    def arrays(self) -> dict[str, Array]:
        """Return weights and states by name."""
        return {"weights": self.linear.parameters, "past": self.past}

    def load(self, arrays: dict[str, Array]) -> None:
        """Take over what `arrays` returned."""
        self.linear.parameters[...] = arrays["weights"]
        self.past = arrays["past"]

    def step(self, x: Array) -> Array:
        """Return the forecasts (N, K C) from a row of each series."""
        self.past[..., :-1] = self.past[..., 1:]
        self.past[..., -1] = x[:, : self.channels]
        features = np.concatenate([self.past.reshape(len(x), -1), x[:, 2 * self.channels :]], axis=1)
        return self.linear(features).astype(np.float32)

    def run(self, x: Array) -> Array:
        """Return the forecasts (T, K C) from a block of one series."""
        features = self._features(self.past[0, :, 1:].T, x)
        tail = np.concatenate([self.past[0].T, x[:, : self.channels]])[-_LAGS:]
        self.past[0] = tail.T
        return self.linear(features).astype(np.float32)


class Nothing:
    """No forecast: ranges and stuck signals are the only evidence."""

    def __init__(self, recipe: Recipe) -> None:
        del recipe  # there is nothing to make
        self.lags: list[int] = []
        self._none = np.empty((1, 0), np.float32)

    def fit(self, x: Array) -> None:
        """Do nothing."""
        del x

    def begin(self, sensors: int) -> None:
        """Start with so many series side by side."""
        self._none = np.empty((sensors, 0), np.float32)

    def fork(self) -> Nothing:
        """Return another one."""
        return copy(self)

    def arrays(self) -> dict[str, Array]:
        """Return nothing by name."""
        return {}

    def load(self, arrays: dict[str, Array]) -> None:
        """Take over nothing."""
        del arrays

    def step(self, x: Array) -> Array:
        """Return no forecasts (N, 0)."""
        del x
        return self._none

    def run(self, x: Array) -> Array:
        """Return no forecasts (T, 0)."""
        return np.empty((len(x), 0), np.float32)


FORECASTERS: dict[str, Any] = {
    "network": Network,
    "ridge": Ridge,
    "none": Nothing,
    "reconstruction": Reconstruction,
}
