"""What a cell says of itself: the engine, its NumPy twin and the layers tell one story, and no cell is left out."""

import re

import numpy as np
import pytest

from rnncore import _core, reference
from rnncore.layers import RECURRENT
from variants import LAYERS, engine_arguments

CELLS = _core.cells()
each_cell = pytest.mark.parametrize("cell", CELLS)


@each_cell
def test_the_twin_says_the_same(cell):
    described, twin = CELLS[cell], reference.CELLS[cell]
    assert (described.name, described.gates, described.states) == (cell, twin.gates, twin.states)
    assert described.can_project == twin.can_project
    flags = {name: 1 for name, option in described.options.items() if option.flag}
    assert twin(**flags).vectors == described.vectors


def test_engine_and_twin_have_the_same_cells():
    assert set(CELLS) == set(reference.CELLS)


def test_every_cell_and_each_of_its_flags_occur_in_a_layer():
    """The tests go through the variants of the layers: what has no variant would not be tested."""
    seen = {}
    for variant in LAYERS:
        arguments = engine_arguments(variant)
        for name, value in arguments["options"].items():
            seen.setdefault((arguments["cell"], name), set()).add(value)
    assert {engine_arguments(variant)["cell"] for variant in LAYERS} == set(CELLS)
    for cell, described in CELLS.items():
        for name, option in described.options.items():
            assert not option.flag or seen[cell, name] >= {0.0, 1.0}


@each_cell
def test_options_reach_the_network_or_are_refused_by_name(cell):
    options = CELLS[cell].options
    network = _core.Network(cell, 2, 3)
    assert network.options == {name: option.default for name, option in options.items()}
    for kind in (_core.Network, reference.Network):
        with pytest.raises(ValueError, match=f"{cell} has no option 'tree'"):
            kind(cell, 2, 3, options={"tree": 1.0})
    for name, option in options.items():
        for value in (option.most + 1, option.least - 1, np.nan):
            with pytest.raises(ValueError, match=rf"^{name} must be .*, got {re.escape(f'{value:g}')}"):
                _core.Network(cell, 2, 3, options={name: value})


@each_cell
def test_a_learned_state_and_the_names_of_states_are_the_cells(cell):
    names = [name for name, _, _ in _core.Network(cell, 2, 3, learned_state=True).layout]
    assert names[-len(CELLS[cell].states) :] == [f"{state}0_l0" for state in CELLS[cell].states]


def test_an_unknown_cell_is_an_error_everywhere():
    for kind in (_core.Network, reference.Network):
        with pytest.raises(ValueError, match="cell must be one of .*rnn_tanh, .*got 'tree'"):
            kind("tree", 2, 3)


@pytest.mark.parametrize("kind", RECURRENT.values(), ids=list(RECURRENT))
def test_gates_that_remember_are_gates_of_the_cell(kind):
    for options in kind.variants.values():
        gates = CELLS[kind(2, 3, **options)._network.cell].gates
        assert set(kind.memory_gates) <= set(gates)
