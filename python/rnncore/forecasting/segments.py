"""The network of segments: a GRU (Cho et al. 2014) that reads a window a season at a time and forecasts all horizons.

::

    z = scaled values ahead - those of exponential smoothing = Linear(GRU(Linear(segment 1), ..., Linear(segment n)))

Each segment comes with the window's spread, its seasonal mean, the smoothing's forecast, phases and covariates. Reading
segments rather than single steps is after SegRNN (Lin et al. 2023), learning what smoothing leaves over after ES-RNN
(Smyl 2020). The mean absolute error is minimised by Adam; a running mean of the parameters forecasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from rnncore import Batch, LastStep, Linear, Sequential
from rnncore.arguments import Array
from rnncore.forecasting.windows import Windows
from rnncore.layers import CELL_KINDS
from rnncore.optim import Adam
from rnncore.training import RunningMean

Base = Callable[[Array, Array], Array]  # series and origins -> forecasts (K, H) that the network's output is added to

_BLOCK = 512  # windows forecast at a time
_LR = 2e-3
_CLIP = 10.0  # scales: what lies further off says no more than that
FRACTIONS = (0.1, 0.3, 1.0)  # of a course, after which held-out data are looked at
REFIT = 0.35  # of the updates chosen: how long training goes on with all windows
_SHOWN = 48  # steps of the smoothing and of the seasonal mean that the network sees, or the longest season


def full_course(count: int, series: int) -> tuple[int, int]:
    """Return updates of a full course and windows of a batch, by the number of windows and series."""
    batch = 256 if series > 1 and count > 40_000 else 128 if count > 2000 else 32
    return max(60, int((3600 if series > 1 else 1800) * (count / 93_000) ** 0.33)), batch


@dataclass
class Segments:
    """Networks of one form and different seeds."""

    hidden_size: int
    cell: str
    phases: bool
    seeds: list[int]
    num_threads: int = 1
    updates: int = 0  # chosen
    parameters: list[Array] = field(default_factory=list)  # of every network

    def course(self, windows: Windows, series: Array, origins: Array, smooth: Base) -> dict[int, list[Array]]:
        """Train on some windows; return the parameters of every network after some numbers of updates."""
        total, batch = full_course(len(series), len(windows.y))
        stops = sorted({max(1, int(total * part)) for part in FRACTIONS})
        found: dict[int, list[Array]] = {stop: [] for stop in stops}
        for seed in self.seeds:
            model = self.build(windows, [seed, 0])
            keeper = _mean(model, stops)
            self._train(model, windows, (series, origins, smooth), total, batch, [seed, 1], False, keeper)
            for stop in stops:
                found[stop].append(keeper.kept[stop])
        return found

    def refit(self, windows: Windows, series: Array, origins: Array, smooth: Base) -> None:
        """Go on from the parameters with all windows, more and more slowly."""
        batch = full_course(len(series), len(windows.y))[1]
        total = max(1, int(REFIT * self.updates))
        for k, seed in enumerate(self.seeds):
            model = self.build(windows, [seed, 0])
            model.parameters[...] = self.parameters[k]
            keeper = _mean(model, [total])
            self._train(model, windows, (series, origins, smooth), total, batch, [seed, 2], True, keeper)
            self.parameters[k] = keeper.kept[total]

    def build(self, windows: Windows, seed: list[int]) -> Sequential:
        """Return a network that has learned nothing."""
        zero = np.zeros(1, np.int64)
        smooth = np.zeros((1, windows.layout.horizon), np.float32)
        size = self._inputs(windows, zero, zero, smooth)[0].shape[-1]
        random, hidden = np.random.default_rng(seed), self.hidden_size
        return Sequential(
            Linear(size, hidden, seed=random),
            CELL_KINDS[self.cell](hidden, hidden, seed=random),
            LastStep(),
            Linear(hidden, windows.layout.horizon, seed=random),
        )

    def forecast(self, windows: Windows, series: Array, origins: Array, smooth: Base) -> tuple[Array, Array]:
        """Return the mean of all networks (K, H) in the target's unit, and their last states (K, .) side by side."""
        out = np.zeros((len(series), windows.layout.horizon), np.float32)
        models = self._models(windows)
        states = np.empty((len(series), self.hidden_size * len(models)), np.float32)
        for k in range(0, len(series), _BLOCK):
            here = slice(k, k + _BLOCK)
            x, base, level, scale = self._inputs(
                windows, series[here], origins[here], smooth(series[here], origins[here])
            )
            found = [model(x, num_threads=self.num_threads) for model in models]
            z = np.mean([y for y, _ in found], axis=0)
            out[here] = windows.unscaled(z + base, level, scale)
            states[here] = np.concatenate([(h[0] if isinstance(h, tuple) else h)[-1] for _, h in found], axis=1)
        return out, states

    def _models(self, windows: Windows) -> list[Sequential]:
        """Every network with its parameters, kept until those are others."""
        kept: list[tuple[Array, Sequential]] = getattr(self, "_kept", [])
        if [id(own) for own, _ in kept] != [id(own) for own in self.parameters]:
            kept = [(own, self.build(windows, [0])) for own in self.parameters]
            for own, model in kept:
                model.parameters[...] = own
            self._kept = kept
        return [model for _, model in kept]

    def _train(
        self,
        model: Sequential,
        windows: Windows,
        data: tuple[Array, Array, Base],
        total: int,
        batch: int,
        seed: list[int],
        settle: bool,
        keeper: RunningMean,
    ) -> None:
        series, origins, smooth = data
        random = np.random.default_rng(seed)

        def batches() -> Iterator[Batch]:
            done = 0
            while done < total:
                order = random.permutation(len(series))
                for k in range(0, max(1, len(order) - batch // 2), batch):
                    if done >= total:
                        return
                    chosen = order[k : k + batch]
                    yield self._batch(windows, series[chosen], origins[chosen], smooth)
                    done += 1

        def falling(_: int, update: int) -> float:
            return 0.02 + 0.49 * (1 + float(np.cos(np.pi * min(1.0, update / total))))

        model.fit(
            batches,
            epochs=1,
            optimizer=Adam(model.parameters, lr=_LR),
            loss="mae",
            schedule=falling if settle else None,
            clip_norm=1.0,
            callbacks=[keeper],
            progress=False,
            num_threads=self.num_threads,
        )

    def _batch(self, windows: Windows, series: Array, origins: Array, smooth: Base) -> Batch:
        x, base, level, scale = self._inputs(windows, series, origins, smooth(series, origins))
        ahead = windows.targets(series, origins)
        known = np.isfinite(ahead)
        z = np.where(known, (ahead - level[:, None]) / scale[:, None] - base, 0)
        return Batch(x, np.clip(z, -_CLIP, _CLIP).astype(np.float32), mask=None if known.all() else known)

    def _inputs(
        self, windows: Windows, series: Array, origins: Array, smooth: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Return inputs (segments, K, .), what the network's output is added to (K, H), level and scale (K,)."""
        x, level, scale = windows.at(series, origins)
        layout, seasonal = windows.layout, windows.seasonal(x)
        shown = min(layout.horizon, max(layout.periods.longest, _SHOWN))
        base = ((smooth - level[:, None]) / scale[:, None]).astype(np.float32)
        spread = np.log(x.std(axis=1) + 1e-3)
        relative = np.log(scale / (np.abs(level) + 1e-9 + 1e-6 * scale) + 1e-3)
        fixed = np.concatenate(
            [
                relative[:, None],
                spread[:, None],
                np.clip(seasonal[:, :shown], -_CLIP, _CLIP),
                np.clip(base[:, :shown], -_CLIP, _CLIP),
                windows.extras(series, origins, self.phases),
            ],
            axis=1,
        )
        steps = layout.length // layout.segment
        out = np.empty((steps, len(x), layout.segment + fixed.shape[1]), np.float32)
        out[:, :, : layout.segment] = np.moveaxis(
            np.clip(x, -_CLIP, _CLIP).reshape(len(x), steps, layout.segment), 1, 0
        )
        out[:, :, layout.segment :] = fixed
        return out, base, level, scale


def _mean(model: Sequential, keep: list[int]) -> RunningMean:
    """A running mean of the parameters over the last fifth of the updates or so."""
    return RunningMean(model, updates=200, share=0.2, keep=keep)


class Smoothed:
    """Forecasts of exponential smoothing by series and origin, (N, O, H) at origins in ascending order."""

    def __init__(self, origins: Array, forecasts: Array, log: bool) -> None:
        self.origins = origins
        self.forecasts = forecasts
        if log:
            self.forecasts = np.maximum(forecasts, np.float32(1e-30))
            np.log(self.forecasts, out=self.forecasts)

    def __call__(self, series: Array, origins: Array) -> Array:
        """(K, H) in the unit of the windows."""
        chosen: Array = self.forecasts[series, np.searchsorted(self.origins, origins)]
        return chosen
