"""Windows of long series as data for `fit`: the engine gathers and scales those of a batch when its turn comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from rnncore import _core
from rnncore.arguments import Array, as_array, check_size
from rnncore.training.batches import Batch, prepared

__all__ = ["WindowRows", "Windows"]

_LEVEL, _CHANGE, _SPREAD = 0, 1, 3  # columns of what describe_windows writes
_TINY = 1e-9  # of the mean |x|: the least scale
_FURTHEST = 1e4  # scales: a value further off counts as that
_SCALES = {"spread": _SPREAD, "change": _CHANGE}


class Windows:
    r"""Windows of one or many long series, cut and scaled in the engine when they are asked for: data for `fit`.

    A window at origin t holds the `length` values before t, as a sequence of length / segment steps of `segment` values
    each, its target the `horizon` values from t on. Both are shifted by the window's level and divided by its
    scale::

        level = mean of the last `season` values        z = (x - level) / scale
        scale = the standard deviation ("spread"), or the mean of |x_t - x_(t - season)| ("change")

    so that a model meets values of the same size whatever the series is (as Smyl 2020 and Kim et al. 2022 do); what
    lies more than 10,000 scales off counts as that. The series are held once, as float64, and no window is.

    Parameters
    ----------
    series
        One series (T,), several of the same length (N, T), or a list of series (T_n,). NaN stands for a missing value:
        windows that hold one are left out, missing targets are masked.
    length, horizon
        L, the values of a window, and H, those ahead of it.
    segment
        Values in one step of the sequence (Lin et al. 2023), a divisor of the length.
    season
        Steps after which the series repeats themselves, 1 for none: of the level and of "change".
    scale
        "spread", "change", or None: neither shifted nor scaled.
    every
        Steps between the windows of a series.

    Attributes
    ----------
    rows, origins
        Series and origin t of each window, (K,) each.

    Raises ValueError for a length that is no multiple of the segment, a season longer than the window, infinite values,
    and for series that hold no window.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> t = np.arange(600)
    >>> series = [100 + 20 * np.sin(2 * np.pi * t / 24), 3 - np.cos(2 * np.pi * t[:400] / 24)]
    >>> windows = rnncore.Windows(series, length=48, horizon=24, segment=12, season=24)
    >>> len(windows), windows.origins[:3].tolist()
    (904, [48, 49, 50])
    >>> model = rnncore.Sequential(
    ...     rnncore.GRU(12, 16, seed=0), rnncore.LastStep(), rnncore.Linear(16, 24, seed=0)
    ... )
    >>> history = model.fit(windows, epochs=10, loss="mae", lr=0.01, progress=False)
    >>> x, level, scale = windows.at([0, 1], [600, 400])  # the ends of both
    >>> ahead = windows.unscaled(model(x)[0], level, scale)
    >>> bool(np.abs(ahead[0] - 100 - 20 * np.sin(2 * np.pi * np.arange(600, 624) / 24)).mean() < 4)
    True
    """

    def __init__(
        self,
        series: Any,
        length: int,
        horizon: int,
        *,
        segment: int = 1,
        season: int = 1,
        scale: Literal["spread", "change"] | None = "spread",
        every: int = 1,
    ) -> None:
        self.length, self.horizon = check_size("length", length, 1), check_size("horizon", horizon, 1)
        self.segment = check_size("segment", segment, 1)
        self.season = check_size("season", season, 1, self.length)
        if self.length % self.segment:
            raise ValueError(f"length must be a multiple of the segment, {self.segment}, got {self.length}")
        if scale not in (None, *_SCALES):
            raise ValueError(f"scale must be 'spread', 'change' or None, got {scale!r}")
        if scale == "change" and self.season == self.length:
            raise ValueError(f"season must be less than the length, {self.length}, for the scale 'change'")
        self.scale, self._limit = scale, np.inf if scale is None else _FURTHEST
        parts = _as_series(series)
        self._begins = np.cumsum([0, *(len(each) for each in parts)])
        gap = np.full(self.horizon, np.nan)  # targets past the end of a series are missing
        self._values = np.concatenate([*(part for each in parts for part in (each, gap))])
        self._begins += self.horizon * np.arange(len(self._begins))
        self.rows, self.origins = self._whole(check_size("every", every, 1))

    def _whole(self, every: int) -> tuple[Array, Array]:
        """Series and origins of the windows without a missing value, with a target that is not missing altogether."""
        missing = np.concatenate([[0], np.cumsum(np.isnan(self._values))])
        rows, origins = [], []
        for n in range(self.count):
            begin, steps = self._begins[n], self._steps(n)
            t = np.arange(self.length, steps, every)
            gone = missing[begin + t] - missing[begin + t - self.length]
            ahead = missing[begin + t + self.horizon] - missing[begin + t]
            t = t[(gone == 0) & (ahead < self.horizon)]
            rows.append(np.full(len(t), n))
            origins.append(t)
        if not sum(map(len, rows)):
            longest = max(map(self._steps, range(self.count)))
            raise ValueError(
                f"series: expected at least {self.length + 1} values without a missing one in a row, "
                f"got {longest} in the longest series"
            )
        return np.concatenate(rows), np.concatenate(origins)

    @property
    def count(self) -> int:
        """How many series there are."""
        return len(self._begins) - 1

    def __len__(self) -> int:
        """How many windows there are to learn from."""
        return len(self.rows)

    def _steps(self, n: int) -> int:
        """The values of a series."""
        return int(self._begins[n + 1] - self._begins[n] - self.horizon)

    # ---- windows

    def at(self, rows: ArrayLike, origins: ArrayLike, dtype: Any = "float32") -> tuple[Array, Array, Array]:
        """Return windows (S, K, segment), scaled, of some series at some origins, with their level and scale (K,).

        Raises ValueError for a series that is not there, and for an origin without `length` values before it.
        """
        return self._gathered(self._starts(rows, origins), dtype)

    def unscaled(self, z: ArrayLike, level: Array, scale: Array) -> Array:
        """Return what a model gives for windows, (K, H), in the unit of the series: level + scale z."""
        return np.asarray(z) * scale[:, None] + level[:, None]

    def batch(self, chosen: Any, dtype: Any = "float32") -> Batch:
        """Return the windows of some numbers below `len(windows)`, or of a slice, with their targets."""
        starts = self._begins[self.rows[chosen]] + self.origins[chosen] - self.length
        x, level, scale = self._gathered(starts, dtype)
        target = np.empty((1, len(starts), self.horizon), dtype)
        _core.gather_windows(self._values, starts + self.length, level, scale, self._limit, target)
        known = np.isfinite(target[0])
        mask = None if known.all() else known
        return Batch(x, target[0] if mask is None else np.where(known, target[0], 0), mask=mask)

    def _gathered(self, starts: Array, dtype: Any) -> tuple[Array, Array, Array]:
        level, scale = np.zeros(len(starts)), np.ones(len(starts))
        if self.scale is not None:
            measures = np.empty((len(starts), 4))
            lag = self.season if self.scale == "change" else 1
            _core.describe_windows(self._values, starts, self.length, self.season, lag, measures)
            level, size = measures[:, _LEVEL].copy(), measures[:, 2]
            scale = np.maximum(measures[:, _SCALES[self.scale]], _TINY * size + 1e-30)
        x = np.empty((self.length // self.segment, len(starts), self.segment), dtype)
        _core.gather_windows(self._values, starts, level, scale, self._limit, x)
        return x, level, scale

    def _starts(self, rows: ArrayLike, origins: ArrayLike) -> Array:
        n, t = (np.atleast_1d(np.asarray(each)) for each in (rows, origins))
        for name, each in (("rows", n), ("origins", t)):
            if each.ndim != 1 or each.dtype.kind not in "iu" or len(each) != len(n):
                raise ValueError(f"{name}: expected whole numbers, as many as rows, got {each.dtype} {each.shape}")
        if n.size and not 0 <= n.min() <= n.max() < self.count:
            raise ValueError(f"rows: expected 0 to {self.count - 1}, got {n.min()} to {n.max()}")
        steps = np.diff(self._begins)[n] - self.horizon
        wrong = np.flatnonzero((t < self.length) | (t > steps))
        if wrong.size:
            k = wrong[0]
            raise ValueError(f"origins[{k}] is {t[k]}, expected {self.length} to {steps[k]} in series {n[k]}")
        starts: Array = self._begins[n] + t - self.length
        return starts


def _as_series(series: Any) -> list[Array]:
    """Read one series, an array of them, or a list."""
    if isinstance(series, (list, tuple)) and series and not np.isscalar(series[0]):
        parts = [as_array(each, f"series[{n}]") for n, each in enumerate(series)]
    else:
        array = as_array(series, "series")
        if array.ndim not in (1, 2):
            raise ValueError(f"series: expected shape (T,) or (N, T), got {array.shape}")
        parts = [array] if array.ndim == 1 else list(array)
    if not parts:
        raise ValueError("series: expected at least one, got none")
    for n, each in enumerate(parts):
        if each.ndim != 1 or each.dtype.kind not in "iuf":
            raise ValueError(f"series[{n}]: expected real numbers of shape (T,), got {each.dtype} {each.shape}")
        if np.isinf(each.astype(np.float64, copy=False)).any():
            place = int(np.flatnonzero(np.isinf(each))[0])
            raise ValueError(f"series[{n}][{place}] is {each[place]}, expected finite numbers, or NaN for missing ones")
    return [each.astype(np.float64, copy=False) for each in parts]


class WindowRows:
    """Windows as `fit` takes them: a batch is some of them, in an order set by the seed and the epoch."""

    one_series = False

    def __init__(self, windows: Windows, model: Any, loss: Any, batch_size: int, shuffle: bool, seed: int) -> None:
        if model.per_step or model.batch_first:
            raise ValueError("Windows need a model with a LastStep, and steps before rows (batch_first=False)")
        self.windows, self.model, self.size, self.shuffle, self.seed = windows, model, batch_size, shuffle, seed
        self.count: int | None = -(-len(windows) // batch_size)
        prepared(windows.batch(slice(0, 1), model.dtype), model, loss)

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from number `first` on."""
        number = len(self.windows)
        order = np.random.default_rng([self.seed, epoch]).permutation(number) if self.shuffle else np.arange(number)
        for start in range(first * self.size, number, self.size):
            yield self.windows.batch(order[start : start + self.size], self.model.dtype)
