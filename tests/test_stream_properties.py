"""Streams in any order of operations: every row goes on as its own sequence through the layer would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import properties  # noqa: F401  the profile
from layer_case import LAYERS, as_tuple
from rnncore import State, Stream
from rnncore.layers.cells import CELLS
from stream_case import identical, moved


class AnyOrder(RuleBasedStateMachine):
    """The model: of each row the state (h, c) that the layer's own call has left, as arrays (L, 1, H)."""

    @initialize(
        cell=st.sampled_from(sorted(LAYERS)),
        dtype=st.sampled_from(["float32", "float64"]),
        sizes=st.tuples(st.integers(0, 5), st.integers(1, 20), st.integers(1, 3)),
        rows=st.integers(1, 4),
        bias=st.booleans(),
    )
    def begin(self, cell, dtype, sizes, rows, bias) -> None:
        self.generator = np.random.default_rng(0)
        self.layer = LAYERS[cell](*sizes, bias=bias, dtype=dtype, seed=1)
        self.stream = Stream(self.layer, rows)
        self.rows = [self.zero() for _ in range(rows)]
        self.saved: tuple[State, list] | None = None

    def zero(self):
        shape = (self.layer.num_layers, 1, self.layer.hidden_size)
        return tuple(np.zeros(shape, self.layer.dtype) for _ in self.layer.state_names)

    def draw(self, steps):
        shape = (steps, len(self.rows), self.layer.input_size)
        return self.generator.normal(size=shape).astype(self.layer.dtype)

    def advance(self, x):
        """Return what the layer makes of x row by row, and keep the states."""
        outputs = []
        for n, state in enumerate(self.rows):
            y, hx = self.layer(x[:, n : n + 1], state if len(state) > 1 else state[0])
            self.rows[n] = as_tuple(hx)
            outputs.append(y)
        return np.concatenate(outputs, axis=1)

    @rule(with_out=st.booleans(), strided=st.booleans())
    def step(self, with_out, strided) -> None:
        x = self.draw(1)
        given = np.asfortranarray(x[0]) if strided else x[0]
        out = np.full((len(self.rows), self.layer.hidden_size), np.nan, self.layer.dtype) if with_out else None
        y = self.stream.step(given, out)
        assert out is None or y is out
        identical(y, self.advance(x)[0])

    @rule(steps=st.integers(0, 5))
    def run(self, steps) -> None:
        x = self.draw(steps)
        identical(self.stream.run(x), self.advance(x))

    @rule(data=st.data())
    def reset(self, data) -> None:
        mask = data.draw(st.lists(st.booleans(), min_size=len(self.rows), max_size=len(self.rows)))
        self.stream.reset(mask)
        self.rows = [self.zero() if wanted else state for wanted, state in zip(mask, self.rows, strict=True)]

    @rule(data=st.data())
    def keep(self, data) -> None:
        rows = data.draw(st.lists(st.integers(0, len(self.rows) - 1), min_size=1, max_size=5))
        self.stream.keep(rows)
        self.rows = [self.rows[n] for n in rows]

    @rule(rows=st.integers(1, 5))
    def resize(self, rows) -> None:
        self.stream.resize(rows)
        self.rows = self.rows[:rows] + [self.zero() for _ in range(rows - len(self.rows))]

    @rule()
    def go_on_with_a_fork(self) -> None:
        old, self.stream = self.stream, self.stream.fork()
        old.reset()

    @rule()
    def save(self) -> None:
        self.saved = self.stream.state, list(self.rows)

    @rule()
    def restore(self) -> None:
        if self.saved is None:
            return
        self.stream.resize(len(self.saved[1]))
        self.stream.state = self.saved[0]
        self.rows = list(self.saved[1])

    @rule()
    def train_and_refresh(self) -> None:
        self.layer.parameters *= np.asarray(0.9, self.layer.dtype)
        self.stream.refresh()

    @rule(width=st.integers(0, 8))
    def refuse(self, width) -> None:
        if width == self.layer.input_size:
            return
        with pytest.raises(ValueError, match=r"^x"):
            self.stream.step(np.zeros((len(self.rows), width)))
        with pytest.raises(ValueError, match=r"^x"):
            self.stream.run(np.zeros((3, len(self.rows), width)))

    @invariant()
    def states_are_those_of_the_rows(self) -> None:
        if not hasattr(self, "rows"):
            return
        for k, array in enumerate(as_tuple(self.stream.state.hx)):
            identical(array, np.concatenate([state[k] for state in self.rows], axis=1))


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=20)
test_any_order_of_operations_leaves_each_row_its_own_sequence = AnyOrder.TestCase


@settings(max_examples=150)
@given(data=st.data())
def test_a_damaged_file_gives_a_state_or_a_value_error(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    stream, _ = moved()
    stream.state.save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["change", "cut", "insert"]))
        if kind == "change":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[at : at + data.draw(st.integers(1, 64))]
        else:
            content[at:at] = data.draw(st.binary(min_size=1, max_size=16))
        if not content:
            break
    path.write_bytes(bytes(content))
    try:
        state = State.load(path)
    except ValueError:
        return
    assert state.cell in CELLS
    assert state.h.ndim == 3
