"""The plain recursive layer."""

from __future__ import annotations

from numpy.typing import ArrayLike

from rnncore.arguments import Array
from rnncore.layers.module import Gradients
from rnncore.layers.recursive import RecursiveCache, RecursiveLayer

__all__ = ["TreeRNN"]


class TreeRNN(RecursiveLayer[Array]):
    r"""A plain recursive network (Socher et al. 2011).

    A node takes its input x and the h_k of its children k::

        h = tanh(W x + b + U s)

    s is the sum of the h_k with kind="child_sum", and those of the left and the right child side by side (2H), zeros
    where one is missing, with kind="binary", which is that of Socher et al. Parameters and errors are those of
    `TreeLSTM`. A tree in which each node has one child is a sequence, and the layer is the RNN.

    Attributes
    ----------
    weight_ih, weight_hh, bias
        (H, I), W; (H, H), or (H, 2H) of the binary kind, U; (H,), b, or None: views on `parameters`.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> layer = rnncore.TreeRNN(input_size=3, hidden_size=4, kind="binary", seed=0)
    >>> h = layer(np.ones((3, 3)), [[-1, -1], [-1, -1], [0, 1]])
    >>> h.shape, bool((h[0] == h[1]).all())
    ((3, 4), True)
    """

    _cell = "rnn"

    def backward(
        self,
        cache: RecursiveCache,
        dh: ArrayLike | None = None,
        *,
        input_gradient: bool = True,
        add_to: Array | None = None,
        num_threads: int | None = None,
    ) -> Gradients:
        """Backpropagation through structure, from the gradient by h of all nodes; as of `TreeLSTM`."""
        return self._back(cache, (dh,), input_gradient, add_to, num_threads)

    def _join(self, states: tuple[Array, ...]) -> Array:
        return states[0]
