"""River's way: a model that begins with nothing, learns one row at a time and gives each a score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnncore.detection.detector import Detector
from rnncore.detection.scores import as_score

__all__ = ["RiverDetector"]


class RiverDetector:
    """A `Detector` with river's `learn_one` and `score_one`.

    The first `history` rows are gathered; then the detector is fitted, and each further row moves it on.

    Parameters
    ----------
    history
        Rows to learn from before the first score.
    options
        Those of `Detector`; adapt is True by default.

    >>> import numpy as np
    >>> model = RiverDetector(history=400, forecaster="ridge", false_alarms="1 per 200 rows")
    >>> for t in range(500):
    ...     x = {"a": np.sin(t / 5), "b": np.cos(t / 5)}
    ...     score = model.score_one(x)
    ...     model.learn_one(x)
    >>> round(model.score_one({"a": 9.0, "b": 0.0})) > score
    True
    """

    def __init__(self, history: int = 1000, **options: Any) -> None:
        self.history = history
        self.detector = Detector(**{"adapt": True} | options)
        self.fitted = False
        self._rows: list[list[float]] = []
        self._names: tuple[str, ...] = ()

    def learn_one(self, x: Mapping[str, float]) -> None:
        """Take the next row. Raises ValueError for one that lacks a channel."""
        if self.fitted:
            self.detector.score_one(x)
            return
        self._names = self._names or tuple(x)
        missing = [name for name in self._names if name not in x]
        if missing:
            raise ValueError(f"x has no channel {missing[0]!r}, only {', '.join(map(str, x))}")
        self._rows.append([float(x[name]) for name in self._names])
        if len(self._rows) == self.history:
            self.detector.fit(np.array(self._rows), channels=self._names)
            self._rows, self.fitted = [], True

    def score_one(self, x: Mapping[str, float]) -> float:
        """Return the score that a row would get next, in [0, 1]; 0 before there is a history. Nothing is learnt."""
        if not self.fitted:
            return 0.0
        row = np.array([[float(x[name]) for name in self._names]])
        evidence = self.detector.decision_function(row)[0]
        return float(as_score(evidence, self.detector.threshold_))
