"""scikit-learn's estimators over recurrent networks: `RNNRegressor` and `RNNClassifier`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from rnncore.arguments import Array
from rnncore.bridges.estimator import RNNEstimator, mean_and_scale

__all__ = ["RNNClassifier", "RNNRegressor"]


class RNNRegressor(RegressorMixin, RNNEstimator):  # type: ignore[misc]
    """Numbers from sequences: a recurrent network with scikit-learn's face.

    The network is a recurrent layer, its output after the last valid step, and a linear head. Each sequence has one
    target, a number or several. For a target at every step, or truncated backpropagation, use `rnncore.Sequential`.

    Parameters
    ----------
    cell
        "lstm" (default), "gru", "rnn", "mgu" or "leakyrnn".
    hidden_size, num_layers, bidirectional, dropout
        Of the layer, as of `rnncore.LSTM`; dropout stands before the head too.
    window
        How rows of a 2-D X are read. None (default): each row is a sequence of its own, one number a step, the oldest
        first. k: rows are the consecutive steps of one series, and row i has the target of the window of rows
        i-k+1..i, of which there are fewer at the beginning; X takes k times the memory. Split such rows with
        `TimeSeriesSplit`, not at random. A 3-D X and a list are sequences already.
    standardize
        True (default) takes each feature, and the target, less its mean by its standard deviation over what is learned.
    loss
        "mse" (default), "mae" or "huber"; of a classifier "cross_entropy".
    optimizer, lr, epochs, batch_size, clip_norm
        As of `Sequential.fit`. By default Adam with a learning rate of 0.01, 200 epochs in batches of 128 sequences,
        and gradients of a norm of 1 at most.
    early_stopping, validation_fraction
        A number of epochs without a gain on a held-out part of the rows (0.1 of them by default) that ends training;
        None trains to the end.
    dtype
        "float64" (default), in which weights of rows equal repetitions to rounding, or "float32", about twice as fast.
    random_state
        A number, a numpy RandomState or None: parameters, dropout and the order of the sequences depend on it.
    num_threads, progress
        As of `Sequential.fit`; by default those of rnncore, and nothing is shown.

    Attributes
    ----------
    model_
        The `rnncore.Sequential`; it takes what `feature_mean_` and `feature_scale_` have standardised.
    history_
        The `rnncore.training.History` of the last call of fit or partial_fit.
    n_features_in_, feature_names_in_
        F, and the names of the columns if X came as a data frame, or as a list of such.

    Raises ValueError for an X that does not fit, other columns than those of fit, text, missing and infinite numbers,
    and scikit-learn's NotFittedError by predict before fit.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> random = np.random.default_rng(0)
    >>> X = [random.normal(size=(steps, 2)) for steps in random.integers(3, 9, 80)]
    >>> y = [each.sum() for each in X]
    >>> model = rnncore.sklearn.RNNRegressor("gru", 16, random_state=0).fit(X, y)
    >>> model.predict(X[:5]).shape, model.score(X, y) > 0.95
    ((5,), True)
    """

    losses = ("mse", "mae", "huber")
    target_mean_: Array
    target_scale_: Array

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn for one epoch more, from the weights as they are; the first call standardises for good."""
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """Return the target of each sequence, in the form of y."""
        y = self._run(X) * self.target_scale_ + self.target_mean_
        return y[:, 0] if self._flat else y

    def _read_target(self, y: Any, first: bool, classes: Any) -> Array:  # noqa: ARG002  one signature for both
        target = np.asarray(check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self))
        flat = target.ndim == 1
        target = target[:, None] if flat else target
        if first:
            self._flat = flat
        elif target.shape[1] != self.model_.out_features:
            raise ValueError(f"y: expected {self.model_.out_features} targets a row, got {target.shape[1]}")
        return target

    def _outputs(self, target: Array, weights: Array | None) -> int:
        count = int(target.shape[1])
        plain = np.zeros(count), np.ones(count)
        self.target_mean_, self.target_scale_ = mean_and_scale(target, weights) if self.standardize else plain
        return count

    def _encoded(self, target: Array) -> Array:
        return (target - self.target_mean_) / self.target_scale_


class RNNClassifier(ClassifierMixin, RNNEstimator):  # type: ignore[misc]
    """Classes of sequences: a recurrent network with scikit-learn's face, trained by cross-entropy.

    Parameters, attributes and errors are those of `RNNRegressor`; `classes_` are the labels in their order.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> random = np.random.default_rng(0)
    >>> X = random.normal(size=(80, 10, 2))
    >>> y = np.where(X[:, :, 0].sum(1) > 0, "up", "down")
    >>> model = rnncore.sklearn.RNNClassifier("gru", 16, epochs=50, random_state=0).fit(X, y)
    >>> model.predict(X[:3]).tolist() == y[:3].tolist(), model.predict_proba(X).shape
    (True, (80, 2))
    """

    losses = ("cross_entropy",)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Learn for one epoch more, from the weights as they are.

        The first call standardises for good, and needs `classes`, all labels that will ever come, unless y has them.
        """
        return self._partial_fit(X, y, sample_weight, classes)

    def predict(self, X: Any) -> Array:
        """Return the likeliest class of each sequence."""
        chosen = self._run(X).argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of each class's probability (n, classes), in the order of `classes_`."""
        y = self._run(X)
        y -= y.max(axis=1, keepdims=True)
        return np.asarray(y - np.log(np.exp(y).sum(axis=1, keepdims=True)))

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class (n, classes), in the order of `classes_`."""
        return np.asarray(np.exp(self.predict_log_proba(X)))

    def _read_target(self, y: Any, first: bool, classes: Any) -> Array:
        target = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True)
        check_classification_targets(target)
        known = None if classes is None else np.unique(classes)
        if first:
            self.classes_ = np.unique(target) if known is None else known
        elif known is not None and not np.array_equal(known, self.classes_):
            raise ValueError(f"classes: expected those of the first call, {self.classes_}, got {known}")
        unknown = ~np.isin(target, self.classes_)
        if unknown.any():
            raise ValueError(f"y: {str(target[unknown][0])!r} is none of the classes {self.classes_}")
        return np.asarray(target)

    def _outputs(self, target: Array, weights: Array | None) -> int:  # noqa: ARG002  one signature for both
        return len(self.classes_)

    def _encoded(self, target: Array) -> Array:
        return np.searchsorted(self.classes_, target)
