"""What scikit-learn's estimators take as X: sequences in a list, an array of them, or rows that are windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, validate_data

from rnncore.arguments import Array
from rnncore.padding import pad

__all__ = ["Sequences", "read_sequences"]


@dataclass
class Sequences:
    """Sequences of F features: an array (n, T, F), with the valid steps of each if they differ, or a list."""

    x: Array | list[Array]
    lengths: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def features(self) -> int:
        """F."""
        return int(self.x[0].shape[-1])

    def take(self, rows: Array) -> Sequences:
        """Return some of them."""
        if isinstance(self.x, list):
            return Sequences([self.x[k] for k in rows])
        return Sequences(self.x[rows], None if self.lengths is None else self.lengths[rows])

    def steps(self) -> tuple[Array, Array]:
        """Return all valid steps (S, F), and the sequence (S,) of each."""
        if isinstance(self.x, list):
            return np.concatenate(self.x), np.repeat(np.arange(len(self.x)), [len(each) for each in self.x])
        rows, length, features = self.x.shape
        row = np.repeat(np.arange(rows), length)
        if self.lengths is None:
            return self.x.reshape(-1, features), row
        valid = (np.arange(length) < self.lengths[:, None]).ravel()
        return self.x.reshape(-1, features)[valid], row[valid]

    def scaled(self, mean: Array, scale: Array) -> Sequences:
        """Return (x - mean) / scale of each feature."""
        if isinstance(self.x, list):
            return Sequences([(each - mean) / scale for each in self.x])
        return Sequences((self.x - mean) / scale, self.lengths)

    def batches(self, size: int) -> Iterator[tuple[Array, Array, Array | None]]:
        """Yield rows, x (N, T, F) and lengths, for all rows once; those of a list by their lengths."""
        if isinstance(self.x, list):
            order = np.argsort([len(each) for each in self.x], kind="stable")
            for begin in range(0, len(order), size):
                rows = order[begin : begin + size]
                yield rows, *pad([self.x[k] for k in rows], batch_first=True)
            return
        for begin in range(0, len(self.x), size):
            rows = np.arange(begin, min(begin + size, len(self.x)))
            part = self.take(rows)
            yield rows, np.asarray(part.x), part.lengths


def read_sequences(estimator: Any, X: Any, window: int | None, *, reset: bool) -> Sequences:
    """Read X, and set the estimator's n_features_in_ and feature_names_in_, or check X against them.

    Raises ValueError for another number of features or other names, numbers that are not finite, no steps or no rows;
    what is no number is named by its column; TypeError for sparse matrices.
    """
    if _is_list(X):
        return Sequences(_read_list(estimator, X, reset))
    if _axes(X) == 3:
        values = check_array(X, dtype=np.float64, allow_nd=True, estimator=estimator, input_name="X")
        if values.shape[1] == 0:
            raise ValueError(f"X: expected sequences of at least 1 step, got shape {values.shape}")
        _count(estimator, values.shape[2], reset)
        return Sequences(values)
    if hasattr(X, "columns"):
        validate_data(estimator, X=X, skip_check_array=True, reset=reset)
        values = check_array(_read_frame(X, "X"), dtype=np.float64, estimator=estimator, input_name="X")
    else:
        values = validate_data(estimator, X=X, dtype=np.float64, reset=reset)
    return Sequences(values[:, :, None]) if window is None else _windows(values, window)


def _windows(values: Array, window: int) -> Sequences:
    """Give each row those before it: rows k-window+1..k, fewer at the beginning."""
    rows, features = values.shape
    x = np.zeros((rows, window, features))
    behind = np.lib.stride_tricks.sliding_window_view(values, min(window, rows), axis=0).swapaxes(1, 2)
    x[rows - len(behind) :, : min(window, rows)] = behind
    lengths = np.minimum(np.arange(1, rows + 1), window)
    for k in range(min(window, rows) - 1):
        x[k, : k + 1] = values[: k + 1]
    return Sequences(x, None if lengths[0] == window else lengths)


def _is_list(X: Any) -> bool:
    """Tell whether X holds sequences one by one, each of two axes."""
    if isinstance(X, np.ndarray):
        return bool(X.dtype == object and X.ndim == 1 and len(X) and _axes(X[0]) == 2)
    return isinstance(X, (list, tuple)) and _axes(X) == 3


def _axes(value: Any) -> int:
    """Count the axes of what has any, or of nested lists."""
    if isinstance(value, (list, tuple)):
        return 1 + _axes(value[0]) if value else 1
    return int(getattr(value, "ndim", 0))


def _read_list(estimator: Any, X: Any, reset: bool) -> list[Array]:
    sequences = []
    for k, each in enumerate(X):
        first = reset and k == 0
        name = f"X[{k}]"
        try:
            if hasattr(each, "columns"):
                validate_data(estimator, X=each, skip_check_array=True, reset=first)
                values = _read_frame(each, name)
            else:
                values = each
            values = check_array(values, dtype=np.float64, ensure_min_features=1, input_name=name)
        except ValueError as error:
            raise ValueError(str(error) if name in str(error) else f"{name}: {error}") from None
        _count(estimator, values.shape[1], first, name)
        sequences.append(values)
    return sequences


def _count(estimator: Any, features: int, reset: bool, name: str = "X") -> None:
    if reset:
        estimator.n_features_in_ = features
    elif features != estimator.n_features_in_:
        kind, expected = type(estimator).__name__, estimator.n_features_in_
        raise ValueError(f"{name} has {features} features, but {kind} is expecting {expected} features as input")


def _read_frame(frame: Any, name: str) -> Array:
    """Return the columns of a data frame as float64: numbers and bools, nullable ones too, if nothing is missing."""
    names = list(frame.columns)
    for column in names:
        if names.count(column) > 1:
            raise ValueError(f"{name}: expected columns of different names, got several called {column!r}")
    columns = [_read_column(np.asarray(frame[column]), column, name) for column in frame.columns]
    return np.stack(columns, axis=1) if columns else np.zeros((len(frame), 0))


def _read_column(values: Array, column: Any, name: str) -> Array:
    if values.dtype.kind == "O":  # text, or numbers of a nullable column of which some are missing
        odd = [k for k, value in enumerate(values) if not isinstance(value, (int, float, np.number, np.bool_))]
        if odd:
            value = values[odd[0]]
            if value is None or type(value).__name__ in ("NAType", "NaTType"):
                raise ValueError(f"{name}: column {column!r} has no value in row {odd[0]}, expected a number")
            given = type(value).__name__
            raise ValueError(
                f"{name}: column {column!r} should hold numbers, got {given} {value!r:.40} in row {odd[0]}"
            )
        values = values.astype(np.float64)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name}: column {column!r} should hold numbers, got {values.dtype}")
    numbers = values.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        given = numbers[wrong[0]]
        raise ValueError(f"{name}: column {column!r} has {given} in row {wrong[0]}, expected a finite number")
    return numbers
