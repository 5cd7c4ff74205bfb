"""A layer with everything that a call of it needs, drawn at random: no state and no gradient is ever zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnncore.reference import Network
from variants import LAYERS, in_form


def as_tuple(hx) -> tuple[np.ndarray, ...]:
    return hx if isinstance(hx, tuple) else (hx,)


@dataclass
class Result:
    """Arrays by name, states h and c apart."""

    arrays: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def assert_identical(self, other: Result) -> None:
        """Bit for bit: equal numbers are not enough, NaN equals NaN."""
        assert self.arrays.keys() == other.arrays.keys()
        for name, array in self.arrays.items():
            np.testing.assert_array_equal(array, other[name], err_msg=name, strict=True)

    def assert_close(self, other: Result, tolerance: float) -> None:
        """Relative to the largest number of each array."""
        assert self.arrays.keys() == other.arrays.keys()
        for name, array in self.arrays.items():
            assert array.shape == other[name].shape, name
            error = np.abs(array - other[name]).max(initial=0)
            assert error <= tolerance * max(1, np.abs(array).max(initial=0)), (name, error)


@dataclass
class Case:
    layer: Any
    x: np.ndarray
    hx: Any
    dy: np.ndarray
    dhx: Any

    def but(self, **changes) -> Case:
        return replace(self, **changes)

    def infer(self, **keywords) -> Result:
        y, hx = self.layer(self.x, self.hx, **keywords)
        return Result({"y": y, **{f"h{k}": h for k, h in enumerate(as_tuple(hx))}})

    def train(self, num_threads: int | None = None, **keywords) -> Result:
        """Forward and backward."""
        y, hx, cache = self.layer.forward(self.x, self.hx, num_threads=num_threads, **keywords)
        grads = self.layer.backward(cache, self.dy, self.dhx, num_threads=num_threads)
        arrays = {"y": y, "dx": grads.x, "dparameters": grads.parameters}
        arrays |= {f"h{k}": h for k, h in enumerate(as_tuple(hx))}
        arrays |= {f"dh{k}": h for k, h in enumerate(as_tuple(grads.hx))}
        return Result(arrays)

    def rows(self, rows) -> Case:
        """Some rows of a batch; a list of rows, not a number."""

        def cut(hx):
            return tuple(h[:, rows] for h in hx) if isinstance(hx, tuple) else hx[:, rows]

        time_major = not self.layer.batch_first
        x, dy = (a[:, rows] if time_major else a[rows] for a in (self.x, self.dy))
        return self.but(x=x, hx=cut(self.hx), dy=dy, dhx=cut(self.dhx))


def make_case(cell: str, T=7, N=4, I=3, H=5, L=2, *, seed=0, dtype="float64", **options) -> Case:  # noqa: E741
    generator = np.random.default_rng(seed)
    layer = LAYERS[cell](I, H, L, dtype=dtype, seed=generator, **options)
    directions = 2 if layer.bidirectional else 1

    def draw(*shape):
        return generator.normal(size=shape).astype(dtype)

    def state():
        return in_form(draw(L * directions, N, H) for _ in layer.state_names)

    batch = (N, T) if layer.batch_first else (T, N)
    return Case(layer, draw(*batch, I), state(), draw(*batch, directions * H), state())


def twin_of(layer, network_class=Network, **changes):
    """The network of a layer, as the NumPy twin or another."""
    names = ("input_size", "hidden_size", "num_layers", "bias", "bidirectional", "learned_state", "proj_size")
    names += ("precision",)
    arguments = {name: getattr(layer, name) for name in names} | {"dtype": layer.dtype.name} | changes
    return network_class(layer._network.cell, options=layer._network.options, **arguments)


def reference(case, lengths=None, resets=None, dropout=0.0, key=0) -> Result:
    """What the NumPy twin makes of a case that is time-major."""
    layer = case.layer
    network = twin_of(layer)
    y, hn = np.empty_like(case.dy), tuple(map(np.empty_like, as_tuple(case.hx)))
    h0, dhn = as_tuple(case.hx), as_tuple(case.dhx)
    lengths = None if lengths is None else np.array(lengths)
    cache = network.forward(layer.parameters, case.x, h0, y, hn, lengths, resets, dropout, key, True)
    dx, dh0, dparameters = np.empty_like(case.x), tuple(map(np.empty_like, h0)), np.zeros_like(layer.parameters)
    network.backward(cache, layer.parameters, case.dy, dhn, dx, dh0, dparameters)
    arrays = {"y": y, "dx": dx, "dparameters": dparameters}
    return Result(arrays | {f"h{k}": h for k, h in enumerate(hn)} | {f"dh{k}": h for k, h in enumerate(dh0)})
