"""NumPy twin of src/rnncore/cells/cell.hpp: what a cell is.

A cell is pure math on the hidden units of one time step. It knows no weights, no time and no batch: the loop of
sequence.py owns those. The pre-activations of the input and of the state come apart, since the GRU needs them apart.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

from rnncore.reference.activations import Array


class Cell:
    """The concept, for n rows of H hidden units. The options of a cell are the arguments of its constructor.

    x, h    (gates, n, H)   the pre-activations W x + b_ih and R h + b_hh
    state   (states, n, H)  state[0] is the output h of the previous step, (n, P) if it is projected
    cache   (cached, n, H)  what backward needs besides the previous state
    vector  (H,) each       the cell's own parameters, in the order of `vectors`
    """

    name: ClassVar[str]
    """The one name of the cell in every layer of the library."""
    gates: ClassVar[tuple[str, ...]]
    """The pre-activations of a hidden unit: the weights have a block of H rows for each."""
    states: ClassVar[tuple[str, ...]]
    """What is carried for each hidden unit from one step to the next; the first is h."""
    cached: ClassVar[int]
    """Numbers kept per hidden unit and step for backward."""
    can_project: ClassVar[bool] = False
    """May a layer project the output h? Then the cell itself must not read it."""
    vectors: tuple[str, ...] = ()
    """Parameters of the cell's own, of one element for each hidden unit."""

    forward: ClassVar[Callable[..., tuple[Array, Array]]]
    """forward(x, h, state, *vectors) -> (new state, cache)."""
    backward: ClassVar[Callable[..., tuple[Array, ...]]]
    """backward(cache, previous, d_state, *vectors) -> (d_x, d_h, d_previous, *d_vectors).

    d_state is the gradient of the new state; d_previous is what reaches the previous state past the product
    R h; the loop adds R^T d_h to d_previous[0]. There is one d_vector (n, H) for each vector.
    """

    options: ClassVar[Mapping[str, float]] = {}
    """The cell's options and their defaults."""

    def __init__(self, **options: float) -> None:
        for name in options:
            if name not in self.options:
                raise ValueError(f"{self.name} has no option {name!r}")
        self.option = {**self.options, **options}
