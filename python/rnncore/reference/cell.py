"""NumPy twin of src/rnncore/cells/cell.hpp: what a cell is.

A cell is pure math on the hidden units of one time step. It knows no weights, no time and no batch: the loop of
sequence.py owns those. The pre-activations of the input and of the state come apart, since the GRU needs them apart.
"""

from typing import Protocol

from rnncore.reference.activations import Array


class Cell(Protocol):
    """The concept, for n rows of H hidden units.

    x, h    (gates, n, H)   the pre-activations W x + b_ih and R h + b_hh
    state   (states, n, H)  state[0] is the output h of the previous step, (n, P) if it is projected
    cache   (cached, n, H)  what backward needs besides the previous state
    """

    @property
    def name(self) -> str:
        """The one name of the cell in every layer of the library."""

    @property
    def gates(self) -> int:
        """Pre-activations per hidden unit: the weights have gates * H rows."""

    @property
    def states(self) -> int:
        """Numbers carried per hidden unit from one step to the next."""

    @property
    def cached(self) -> int:
        """Numbers kept per hidden unit and step for backward."""

    def forward(self, x: Array, h: Array, state: tuple[Array, ...], /) -> tuple[Array, Array]:
        """Return (new state, cache)."""

    def backward(self, cache: Array, previous: tuple[Array, ...], d_state: Array, /) -> tuple[Array, Array, Array]:
        """Return (d_x, d_h, d_previous) for the gradient of the new state.

        d_previous is what reaches the previous state past the product R h; the loop adds R^T d_h to d_previous[0].
        """
