"""The detector: what is normal is learnt from a history, and what leaves it is an alarm."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from rnncore.arguments import Array
from rnncore.detection import store
from rnncore.detection.calibration import calibrate
from rnncore.detection.forecasters import FORECASTERS
from rnncore.detection.place import Place
from rnncore.detection.rate import parse_rate
from rnncore.detection.recipe import Recipe
from rnncore.detection.row_by_row import RowByRow
from rnncore.detection.rows import Rows, read_rows
from rnncore.detection.scores import Scores
from rnncore.detection.seasonal import SEASONS, Seasonal, rows_of_season
from rnncore.tables import InputError

__all__ = ["Detector"]

_LEAST = 150  # rows of a history
_SUPPORT = 0.1  # intervals between false alarms that a history has to hold


class Detector(RowByRow):
    """Finds faults in the signals of sensors: deviations from what a recurrent network expects, and from usual ranges.

    For each row the evidence is about -log10 of how rare it is, the largest of

    - the forecasts: whitened errors over several horizons, each as a tail score among earlier errors, and their mean
      (Malhotra et al. 2015);
    - how far the row, its means over 12 and 96 rows, its roughness over 24 rows and its spread over 96 rows leave
      their own ranges;
    - rows that repeat one value, and missing rows, beyond what the history has seen;
    - of a channel that swings regularly, how much faster or slower its last four swings were than any of the history.

    An alarm begins where the evidence reaches a threshold, and ends after 12 rows below it. The threshold follows from
    the rate of false alarms, by the evidence on the part of the history that the network has not seen
    (`rnncore.detection.threshold`).

    Parameters
    ----------
    false_alarms
        The rate of alarms on rows without faults: "1 per week", "2 per day", "1 per 1000 rows" (default).
    forecaster
        "network" (default): LSTMs of `hidden_size` units; "ridge": linear regression on the last 24 rows; "none":
        ranges alone; "reconstruction": an encoder-decoder (Malhotra et al. 2016), which costs a window for each row.
    horizons
        Rows ahead that are forecast.
    members
        Networks, which differ by their seed.
    adapt
        False (default): normal is what the history was. True: goes on learning, slowly: a row is taken in when `quiet`
        rows have followed it without an alarm, and rows of an alarm are not, unless it lasts for ten times as long.
        "at once": each row as it comes, for signals whose normal is what came last.
    season
        "day" or "week": what a row was so long before is one more forecast. None (default): no such forecast.
    quiet
        Rows after the beginning of an alarm in which no other begins, unless it is ten times rarer and the first has
        ended or is of another channel.
    contamination
        A share of the history's rows, as in PyOD: the threshold is then the evidence that so many exceed.
    seed
        Of the networks.

    Raises InputError, a ValueError, for a history that is too short, and for a rate that it cannot support.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(1500)
    >>> x = np.sin(t / 8)[:, None] + np.random.default_rng(0).normal(scale=0.1, size=(1500, 1))
    >>> x[1300:1320] += 4
    >>> detector = Detector(false_alarms="1 per 1000 rows", members=1).fit(x[:1000])
    >>> scores = detector.score(x[1000:])
    >>> [(alarm.row, alarm.kind) for alarm in scores.alarms]
    [(300, 'level shift')]
    >>> for row in x[1000:]:
    ...     if alarm := detector.score_one(row):
    ...         print(alarm.row, alarm.channels)
    300 ('y',)
    """

    def __init__(
        self,
        false_alarms: str = "1 per 1000 rows",
        *,
        forecaster: str = "network",
        horizons: Sequence[int] = (12, 24, 48, 96),
        hidden_size: int = 16,
        members: int = 3,
        adapt: bool | str = False,
        quiet: int = 100,
        contamination: float | None = None,
        seed: int = 0,
        season: str | None = None,
    ) -> None:
        self.false_alarms = false_alarms
        self.forecaster = forecaster
        self.horizons = horizons
        self.hidden_size = hidden_size
        self.members = members
        self.adapt = adapt
        self.quiet = quiet
        self.contamination = contamination
        self.seed = seed
        self.season = season

    # ---- learning

    def fit(
        self,
        X: Any,
        y: Any = None,  # noqa: ARG002  the signature of scikit-learn
        *,
        time: Any = None,
        channels: Sequence[str] | None = None,
    ) -> Self:
        """Learn what is normal from a history that is so, or mostly.

        X is an array (T, C), a data frame or a CSV file, NaN where values are missing. `time` names the column of the
        time, or of an array gives the times (T,); y counts nothing.
        """
        self._check_parameters()
        rows = read_rows(X, time, channels)
        if len(rows) < _LEAST:
            raise InputError(f"too little history: {len(rows)} rows, expected at least {_LEAST}")
        missing = np.isnan(rows.values).all(axis=0)
        if missing.any():
            raise InputError(f"channel {rows.names[int(missing.argmax())]!r} has no values in the history")
        rate = self._supported_rate(rows)
        forecaster = self._unfitted(rows.values.shape[1], rows.step, len(rows))
        found = calibrate(forecaster, rows, rate, self.quiet, self.adapt == "at once")
        evidence = found.evidence
        if self.contamination is not None:
            found.monitor.threshold = float(np.quantile(evidence, 1 - self.contamination))
        found.monitor.learns = bool(self.adapt)
        self._forecaster, self._monitor, self._bands = forecaster, found.monitor, found.bands
        self.channels_ = rows.names
        self.n_features_in_ = len(rows.names)
        self.constant_ = tuple(
            name for name, y in zip(rows.names, rows.values.T, strict=True) if np.nanmin(y) == np.nanmax(y)
        )
        self.history_rows_ = len(rows)
        self.rate_ = rate
        self.decision_scores_ = evidence
        self.threshold_ = float(found.monitor.threshold)
        self.labels_ = (evidence >= self.threshold_).astype(np.int64)
        self._place = Place(0, float(rows.seconds[-1]), rows.step)
        self._prepare(1)
        return self

    def _unfitted(self, channels: int, step: float | None, count: int) -> Any:
        """Return a forecaster for rows of some channels, a step apart, that a history of `count` rows will fit."""
        recipe = Recipe(channels, tuple(self.horizons), self.hidden_size, self.members, self.seed)
        forecaster = FORECASTERS[self.forecaster](recipe)
        if self.season is None:
            return forecaster
        return Seasonal(forecaster, recipe, rows_of_season(self.season, step, count))

    def _supported_rate(self, rows: Rows) -> float:
        rate = parse_rate(self.false_alarms).per_row(rows.step)
        if rate * len(rows) < _SUPPORT:
            needed = math.ceil(_SUPPORT / rate)
            span = "" if rows.step is None else f" ({needed * rows.step / 86400:.3g} days)"
            raise InputError(
                f"false_alarms={self.false_alarms!r} needs at least {needed} rows of history{span}, got {len(rows)}"
            )
        return rate

    def _check_parameters(self) -> None:
        if self.forecaster not in FORECASTERS:
            raise InputError(f"forecaster should be one of {', '.join(FORECASTERS)}, got {self.forecaster!r}")
        horizons: list[Any] = list(self.horizons)
        if not horizons or any(not isinstance(h, (int, np.integer)) or h < 1 for h in horizons):
            raise InputError(f"horizons should be whole numbers of at least 1, got {self.horizons!r}")
        for name in ("hidden_size", "members", "quiet"):
            value: Any = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise InputError(f"{name} should be a whole number of at least 1, got {value!r}")
        if self.adapt not in (False, True, "at once"):
            raise InputError(f"adapt should be False, True or 'at once', got {self.adapt!r}")
        if self.season is not None and self.season not in SEASONS:
            raise InputError(f"season should be None, 'day' or 'week', got {self.season!r}")
        if self.contamination is not None and not 0 < self.contamination <= 0.5:
            raise InputError(f"contamination should be in (0, 0.5], got {self.contamination!r}")
        parse_rate(self.false_alarms)

    # ---- a block of rows

    def score(self, X: Any, *, time: Any = None) -> Scores:
        """Judge rows that follow the last one seen; the detector stays where it is.

        Returns a `Scores`: for each row the score in [0, 1], 0.5 at the threshold, the expected value of each channel
        and a band that 95 % of usual values lie in, the channel to blame; and the alarms. `Scores.to_frame` makes a
        data frame of it. Raises InputError for other channels than those of the history, and for rows before its end.
        """
        rows = self._following(X, time)
        monitor, forecaster = self._monitor.fork(), self._forecaster.fork()
        x = monitor.inputs_of(rows.values, rows.seconds)
        verdicts = monitor.run(rows.values, rows.seconds, forecaster.run(x))
        return Scores.of(rows, self._place.row, self.threshold_, monitor.normal(), verdicts, self._bands)

    def _following(self, X: Any, time: Any) -> Rows:
        self._check_fitted()
        if isinstance(X, np.ndarray):
            width = X.shape[1] if X.ndim == 2 else 1
            if width != self.n_features_in_:
                raise InputError(f"X has {width} channels, the history has {self.n_features_in_}")
        rows = read_rows(X, time, self.channels_)
        if rows.names != self.channels_:
            raise InputError(f"X has channels {', '.join(rows.names)}, the history has {', '.join(self.channels_)}")
        return self._place.checked(rows)

    # ---- PyOD's contract

    def decision_function(self, X: Any) -> Array:
        """Return the evidence of each row (T,), the higher the rarer, as of rows after the history."""
        return self.score(X).evidence

    def predict(self, X: Any) -> Array:
        """Return 1 for each row whose evidence reaches the threshold, else 0."""
        return (self.decision_function(X) >= self.threshold_).astype(np.int64)

    def fit_predict(self, X: Any, y: Any = None) -> Array:  # noqa: ARG002
        """Fit, and return the labels of the history."""
        return self.fit(X).labels_

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the detector where it stands: weights, what is normal, the carried state, open alarms.

        One safetensors file, replaced in one go (needs `pip install rnncore[io]`). Raises OSError if that fails.
        """
        self._check_fitted()
        store.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a detector, which goes on where it stood, bit for bit.

        Raises OSError, and ValueError for a file that holds something else or is damaged.
        """
        detector: Self = store.load(cls, path)
        return detector
