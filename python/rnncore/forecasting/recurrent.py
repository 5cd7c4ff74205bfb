"""The network that carries its state: ridge regression on the last steps, and a recurrent layer for what that leaves.

The forecast of all horizons at step t, in standardised units, from the inputs x_t and the state h_t::

    z_t = ridge(x_t, ..., x_{t-k}) + W h_t        h_t = cell(x_t, h_{t-1})

One pass over the series yields every forecast; nothing is computed again for a window, and a new value costs one step.
The layer and W, which is zero at first, are trained by truncated backpropagation through time on the residuals of ridge
regression. Gate biases begin so that units remember for 2 to 64 steps (Tallec & Ollivier 2018). Noise on the inputs of
the layer (Bishop 1995) and weight decay keep it from learning a short series by heart, and a running mean of the
parameters forecasts (Polyak & Juditsky 1992).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnncore import Sequential
from rnncore.arguments import Array
from rnncore.forecasting import carried, lagged
from rnncore.forecasting.history import History
from rnncore.forecasting.inputs import Inputs
from rnncore.forecasting.lagged import Lagged
from rnncore.forecasting.periods import Periods

_RESTRAINTS = ((0.1, 0.0), (1.0, 3e-3))  # noise in the spreads of the inputs, weight decay
_PATIENCE = 200  # updates without a gain, but at least 5 epochs
_WORTH = 0.01  # of the squared error: what the recurrent part has to save, or it stays at zero
_LEVELS_SAVE = 0.1  # of the squared error at least, in logs: a series that wanders leaves the levels it was trained on
_MOST_STEPS = 4_000_000  # of all series in a course, copies with noise of their own among them
MOST_NUMBERS = 4_000_000  # steps x series x horizons that this member is for


@dataclass
class Recurrent:
    """The fitted member."""

    horizon: int
    cell: str
    hidden_size: int
    seeds: list[int]
    epochs: int
    num_threads: int = 1
    inputs: Inputs | None = None
    linear: Lagged | None = None
    noise: float = 1.0
    weight_decay: float = 0.0
    updates: int = 0
    parameters: list[Array] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)  # of each network after the last step taken in
    recent: Array | None = None  # (K, N, I) the last inputs, for the lags

    def choose(self, history: History, cut: int, periods: Periods, origins: Array, actual: Array) -> Array:
        """Fit to what lies before `cut`, choosing by the errors at the origins; return forecasts (N, O, H) there."""
        tried = {changes: self._linear(history, cut, periods, origins, actual, changes) for changes in (False, True)}
        total = {changes: float(np.log(error).mean()) for changes, (error, *_) in tried.items()}
        changes = total[True] < total[False] + _LEVELS_SAVE
        yardstick, self.inputs, self.linear = tried[changes]
        x, (z, known) = self.inputs.lay_out(history), self.inputs.targets(history, cut)
        self.linear.take_off(z, x[:cut])
        linear = self.linear(x, origins - 1)
        best = 1.0 - _WORTH
        found: tuple[int, tuple[float, float], list[Array]] = 0, _RESTRAINTS[0], []
        learned = linear
        for restraint in _RESTRAINTS:
            lowest, last = 1.0, 0
            for epoch, (updates, rest, parameters) in enumerate(self._course(x, z, known, origins, restraint), 1):
                error = float(np.mean(self._squares(history, origins, actual, linear + rest) / yardstick))
                if error < lowest:
                    lowest, last = error, epoch
                if error < best:
                    best, found, learned = error, (updates, restraint, parameters), linear + rest
                if epoch - last >= max(5, _PATIENCE * epoch // updates):
                    break
        self.updates, (self.noise, self.weight_decay), self.parameters = found
        return self._unit(history, origins, learned)

    def refit(self, history: History, end: int, periods: Periods) -> None:
        """Fit again to what lies before `end`, with what was chosen."""
        assert self.inputs is not None
        assert self.linear is not None
        self.inputs = Inputs.fit(history, end, periods, self.horizon, self.inputs.changes)
        x, (z, known) = self.inputs.lay_out(history)[:end], self.inputs.targets(history, end)
        self.linear = _solved(x, z, known, self.linear.lags, self.linear.penalty)
        self.linear.take_off(z, x)
        if self.updates:
            x = np.ascontiguousarray(x[..., self.inputs.recurrent])
            networks = [carried.Network(self, x.shape[-1], z.shape, seed) for seed in self.seeds]
            for network in networks:
                network.train(x, z, known, self.updates, (self.noise, self.weight_decay))
            self.parameters = [network.mean.parameters.copy() for network in networks]

    def linear_forecast(self, history: History, origins: Array) -> Array:
        """(N, O, H) of the ridge regression alone."""
        assert self.inputs is not None
        assert self.linear is not None
        return self._unit(history, origins, self.linear(self.inputs.lay_out(history), origins - 1))

    def forecast(self, history: History, origins: Array) -> Array:
        """(N, O, H) in the unit of the target, the state carried through the whole history."""
        assert self.inputs is not None
        assert self.linear is not None
        x = self.inputs.lay_out(history)
        learned = self.linear(x, origins - 1)
        x = x[..., self.inputs.recurrent]
        for model in self._models():
            learned = learned + carried.outputs(model, x, origins - 1, self.num_threads) / len(self.parameters)
        return self._unit(history, origins, learned)

    def settle(self, history: History) -> None:
        """Take in the whole history, and keep the state after it."""
        assert self.inputs is not None
        x = self.inputs.lay_out(history)
        self.states, self.recent = [None] * len(self.parameters), np.zeros((14, *x.shape[1:]), np.float32)
        self._take_in(x)

    def advance(self, history: History, steps: int, series: Array | None = None) -> None:
        """Take in the last steps of a history, of some series; those before are only looked at for changes."""
        assert self.inputs is not None
        self._take_in(self.inputs.lay_out(history, history.steps - steps), series)

    def ahead(self, history: History) -> Array:
        """(N, H) forecasts after the last step taken in, which ends the history."""
        assert self.linear is not None
        assert self.recent is not None
        learned = self.linear.at_end(self.recent)
        for _, y in self.states:
            learned = learned + y / len(self.states)
        return self._unit(history, np.array([history.steps]), learned[None])[:, 0]

    def _take_in(self, x: Array, series: Array | None = None) -> None:
        assert self.inputs is not None
        assert self.recent is not None
        some: Any = slice(None) if series is None else series
        x = x[:, some]
        own = np.ascontiguousarray(x[..., self.inputs.recurrent])
        for k, model in enumerate(self._models()):
            before = self.states[k]
            hx = None if before is None else _map(before[0], lambda state: np.ascontiguousarray(state[..., some, :]))
            y, after = model(own, hx, num_threads=self.num_threads)
            if before is None or series is None:
                self.states[k] = after, y[-1]
                continue
            _put(before[0], after, series)
            before[1][series] = y[-1]
        kept = len(self.recent)
        self.recent[:, some] = np.concatenate([self.recent[:, some], x])[-kept:]

    def _models(self) -> list[Sequential]:
        """Every network with its parameters, kept until those are others."""
        assert self.inputs is not None
        kept: list[tuple[Array, Sequential]] = getattr(self, "_kept", [])
        if [id(own) for own, _ in kept] != [id(own) for own in self.parameters]:
            size = int(self.inputs.recurrent.sum())
            kept = [(own, carried.build(self.cell, self.hidden_size, size, self.horizon, 0)) for own in self.parameters]
            for own, model in kept:
                model.parameters[...] = own
            self._kept = kept
        return [model for _, model in kept]

    def _unit(self, history: History, origins: Array, learned: Array) -> Array:
        """(O, N, H) learned -> (N, O, H) in the unit of the target."""
        assert self.inputs is not None
        values = self.inputs.base(history, origins - 1) + self.inputs.scale * learned
        unit: Array = np.swapaxes(values, 0, 1).astype(np.float32)
        return unit

    def _squares(self, history: History, origins: Array, actual: Array, learned: Array) -> Array:
        """(H,) mean squared error, each series over its own spread."""
        spread = np.nanstd(history.y[:, : history.end], axis=1)
        off = (self._unit(history, origins, learned) - actual) / np.where(spread > 0, spread, 1)[:, None, None]
        known = ~np.isnan(off)
        squares: Array = np.where(known, off, 0) ** 2
        mean: Array = squares.sum(axis=(0, 1)) / np.maximum(known.sum(axis=(0, 1)), 1) + 1e-30
        return mean

    def _linear(
        self, history: History, cut: int, periods: Periods, origins: Array, actual: Array, changes: bool
    ) -> tuple[Array, Inputs, Lagged]:
        """The best ridge regression of each horizon: its errors (H,), its inputs and itself."""
        inputs = self.inputs = Inputs.fit(history, cut, periods, self.horizon, changes)
        x, (z, known) = inputs.lay_out(history), inputs.targets(history, cut)
        best, lags, penalty = np.full(self.horizon, np.inf), [1] * self.horizon, [0.0] * self.horizon
        candidates = lagged.candidates(x)
        table = lagged.lagged(x, max(candidates), origins - 1)
        rows = known.mean(axis=-1) >= 0.5
        for lag, free, weight in lagged.fits(x[:cut], z, rows, candidates):
            learned = table @ lagged.widened(weight, lag, max(candidates), x.shape[-1])
            error = self._squares(history, origins, actual, learned)
            for h in np.flatnonzero(error < best):
                best[h], lags[h], penalty[h] = error[h], lag, free
        return best, inputs, _solved(x[:cut], z, known, lags, penalty)

    def _course(
        self, x: Array, z: Array, known: Array, origins: Array, restraint: tuple[float, float]
    ) -> Iterator[tuple[int, Array, list[Array]]]:
        """Train epoch by epoch; yield updates, what the networks say at the origins, parameters."""
        assert self.inputs is not None
        x = np.ascontiguousarray(x[..., self.inputs.recurrent])
        cut = len(z)
        networks = [carried.Network(self, x.shape[-1], z.shape, seed) for seed in self.seeds]
        each = networks[0].updates_per_epoch
        most = min(self.epochs, max(3, _MOST_STEPS // (cut * z.shape[1] * networks[0].copies)))
        for epoch in range(1, most + 1):
            for network in networks:
                network.train(x[:cut], z, known, epoch * each, restraint)
            rest = np.mean([network.forecast(x, origins - 1) for network in networks], axis=0)
            yield epoch * each, rest, [network.mean.parameters.copy() for network in networks]


def _solved(x: Array, z: Array, known: Array, lags: list[int], penalty: list[float]) -> Lagged:
    """Ridge regression with lags and a penalty for each horizon."""
    most, size = max(lags), x.shape[-1]
    weight = np.zeros((most * size + 1, z.shape[-1]))
    wanted = set(zip(lags, penalty, strict=True))
    for lag, free, own in lagged.fits(x, z, known.mean(axis=-1) >= 0.5, sorted(set(lags))):
        if (lag, free) in wanted:
            here = [h for h in range(len(lags)) if (lags[h], penalty[h]) == (lag, free)]
            weight[:, here] = lagged.widened(own, lag, most, size)[:, here]
    return Lagged(lags, penalty, weight)


def _map(state: Any, change: Any) -> Any:
    """The same for every array of a state."""
    if isinstance(state, (list, tuple)):
        return type(state)(_map(each, change) for each in state)
    return state if state is None else change(state)


def _put(state: Any, part: Any, series: Array) -> None:
    """Write the states of some series in place."""
    if isinstance(state, (list, tuple)):
        for whole, own in zip(state, part, strict=True):
            _put(whole, own, series)
    elif state is not None:
        state[..., series, :] = part
