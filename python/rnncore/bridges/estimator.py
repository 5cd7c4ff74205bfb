"""What the estimators of `rnncore.sklearn` share: options, reading X, the network, learning."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from rnncore.arguments import Array, check_flag, check_size
from rnncore.bridges.sequences import Sequences, read_sequences
from rnncore.layers import CELL_KINDS, Dropout, LastStep, Linear
from rnncore.sequential import Sequential
from rnncore.training import Batch
from rnncore.training.options import as_optimizer

__all__ = ["RNNEstimator", "mean_and_scale"]

_ROWS = 1024  # at a time where nothing is learned; the bits do not depend on it


class RNNEstimator(BaseEstimator):  # type: ignore[misc]
    """A recurrent network as an estimator; subclasses say what they learn."""

    def __init__(
        self,
        cell: str = "lstm",
        hidden_size: int = 32,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        window: int | None = None,
        standardize: bool = True,
        loss: str | None = None,
        optimizer: Any = "adam",
        lr: float = 0.01,
        epochs: int = 200,
        batch_size: int = 128,
        clip_norm: float | None = 1.0,
        early_stopping: int | None = None,
        validation_fraction: float = 0.1,
        dtype: str = "float64",
        random_state: Any = None,
        num_threads: int | None = None,
        progress: bool = False,
    ) -> None:
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.window = window
        self.standardize = standardize
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.clip_norm = clip_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.dtype = dtype
        self.random_state = random_state
        self.num_threads = num_threads
        self.progress = progress

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from the beginning.

        Parameters
        ----------
        X
            Sequences: a list of arrays or data frames (T_n, F), an array (n, T, F), or rows (n, F), which are windows:
            see `window`.
        y
            One target for each sequence.
        sample_weight
            (n,), what each sequence counts in the loss, at least 0. In a batch of all rows a weight of 2 is what the
            row twice would be, and 0 leaves it out.
        """
        sequences, target, weights = self._read(X, y, sample_weight, first=True)
        self._begin(sequences, target, weights)
        held_out = None
        if self.early_stopping is not None:
            sequences, target, weights, held_out = self._split(sequences, target, weights)
        data = self._batch(sequences, target, weights)
        self.history_ = self.model_.fit(
            data,
            loss=self._loss(),
            epochs=self.epochs,
            validation=None if held_out is None else self._batch(*held_out),
            early_stopping=self.early_stopping,
            **self._options(),
        )
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        first = not hasattr(self, "model_")
        sequences, target, weights = self._read(X, y, sample_weight, first=first, classes=classes)
        if first:
            self._begin(sequences, target, weights)
        self.history_ = self.model_.fit(
            self._batch(sequences, target, weights), loss=self._loss(), epochs=1, **self._options()
        )
        self._calls += 1
        return self

    # ---- what the two differ in

    feature_mean_: Array
    feature_scale_: Array
    losses: ClassVar[tuple[str, ...]]  # the first is the default

    def _loss(self) -> str:
        if self.loss not in (None, *self.losses):
            raise ValueError(f"loss should be one of {', '.join(self.losses)}, got {self.loss!r}")
        return self.loss or self.losses[0]

    def _read_target(self, y: Any, first: bool, classes: Any) -> Array:
        raise NotImplementedError

    def _outputs(self, target: Array, weights: Array | None) -> int:
        """Return the outputs that the network needs."""
        raise NotImplementedError

    def _encoded(self, target: Array) -> Array:
        """Turn targets into what the network learns."""
        raise NotImplementedError

    # ---- what they share

    def _read(
        self, X: Any, y: Any, sample_weight: Any, *, first: bool, classes: Any = None
    ) -> tuple[Sequences, Array, Array | None]:
        """Check all that was given, before anything is learned."""
        if self.cell not in CELL_KINDS:
            raise ValueError(f"cell should be one of {', '.join(CELL_KINDS)}, got {self.cell!r}")
        if self.window is not None:
            check_size("window", self.window, 1)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        sequences = read_sequences(self, X, self.window, reset=first)
        target = self._read_target(y, first, classes)
        check_consistent_length(sequences.x, target)
        return sequences, target, _read_weights(sample_weight, len(sequences))

    def _begin(self, sequences: Sequences, target: Array, weights: Array | None) -> None:
        """Make the network, and what is known of its data before it learns."""
        random = check_random_state(self.random_state)
        seeds = [int(seed) for seed in random.randint(2**31 - 1, size=4)]
        steps, rows = sequences.steps()
        spread = mean_and_scale(steps, None if weights is None else weights[rows])
        features = sequences.features
        plain = np.zeros(features), np.ones(features)
        self.feature_mean_, self.feature_scale_ = spread if check_flag("standardize", self.standardize) else plain
        outputs = self._outputs(target, weights)
        between = self.dropout if self.num_layers > 1 else 0.0
        layer = CELL_KINDS[self.cell](
            features, self.hidden_size, num_layers=self.num_layers, bidirectional=self.bidirectional, dropout=between,
            batch_first=True, dtype=self.dtype, seed=seeds[0],
        )  # fmt: skip
        layers = [layer, LastStep(dtype=self.dtype)]
        if self.dropout:
            layers.append(Dropout(self.dropout, dtype=self.dtype, seed=seeds[1]))
        width = layer._features()[1]
        layers.append(Linear(width, outputs, dtype=self.dtype, seed=seeds[2]))
        self.model_ = Sequential(*layers)
        self._optimizer = as_optimizer(self.optimizer, self.model_, self.lr)
        self._shuffle_seed, self._calls = seeds[3], 0

    def _options(self) -> dict[str, Any]:
        return {
            "optimizer": self._optimizer,
            "batch_size": self.batch_size,
            "clip_norm": self.clip_norm,
            "seed": self._shuffle_seed + self._calls,
            "num_threads": self.num_threads,
            "progress": self.progress,
        }

    def _batch(self, sequences: Sequences, target: Array, weights: Array | None) -> Batch:
        scaled, encoded = sequences.scaled(self.feature_mean_, self.feature_scale_), self._encoded(target)
        if isinstance(scaled.x, list):
            each = None if weights is None else list(weights)
            return Batch(scaled.x, list(encoded), weights=each)
        return Batch(scaled.x, encoded, lengths=scaled.lengths, weights=weights)

    def _split(self, sequences: Sequences, target: Array, weights: Array | None) -> Any:
        """Hold out a part for early stopping: drawn at random, but of windows over one series the last rows."""
        rows = len(sequences)
        count = round(rows * self.validation_fraction)
        if not 0 < count < rows:
            raise ValueError(
                f"validation_fraction should leave rows on both sides, got {self.validation_fraction} of {rows} rows"
            )
        order = np.arange(rows)
        if self.window is None:
            order = np.random.default_rng(self._shuffle_seed).permutation(rows)
        parts = [
            (sequences.take(chosen), target[chosen], None if weights is None else weights[chosen])
            for chosen in (order[: rows - count], order[rows - count :])
        ]
        return *parts[0], parts[1]

    def _run(self, X: Any) -> Array:
        """Return the network's outputs (n, O), float64."""
        check_is_fitted(self)
        sequences = read_sequences(self, X, self.window, reset=False).scaled(self.feature_mean_, self.feature_scale_)
        y = np.empty((len(sequences), self.model_.out_features or 0))
        for rows, x, lengths in sequences.batches(_ROWS):
            y[rows] = self.model_(x, lengths=lengths, num_threads=self.num_threads)[0]
        return y


def _read_weights(given: Any, rows: int) -> Array | None:
    """Return weights (n,), or None."""
    if given is None:
        return None
    weights = check_array(given, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (rows,):
        raise ValueError(f"sample_weight: expected shape {(rows,)}, one for each sequence, got {weights.shape}")
    if (weights < 0).any():
        raise ValueError("sample_weight: expected weights of at least 0, some are negative")
    if not weights.any():
        raise ValueError("sample_weight: expected some weights greater than 0, all are zero")
    return np.asarray(weights)


def mean_and_scale(values: Array, weights: Array | None) -> tuple[Array, Array]:
    """Return mean and standard deviation of each column; 1 where it does not vary."""
    mean = np.average(values, axis=0, weights=weights)
    scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    scale[scale <= 1e-12 * np.maximum(1, np.abs(mean))] = 1
    return mean, scale
