"""The tree-structured long short-term memory layer."""

from __future__ import annotations

from numpy.typing import ArrayLike

from rnncore.arguments import Array
from rnncore.layers.module import Gradients
from rnncore.layers.recursive import RecursiveCache, RecursiveLayer

__all__ = ["TreeLSTM"]


class TreeLSTM(RecursiveLayer[tuple[Array, Array]]):
    r"""A long short-term memory network over trees (Tai, Socher & Manning 2015).

    A node takes its input x and the states h_k, c_k of its children k; a leaf has none. With kind="child_sum", for any
    number of children in no order, s the sum of the h_k::

        i   = sigmoid(W_i x + b_i + U_i s)
        f_k = sigmoid(W_f x + b_f + U_f h_k)      one forget gate for each child
        g   =    tanh(W_g x + b_g + U_g s)
        o   = sigmoid(W_o x + b_o + U_o s)
        c   = i * g + sum of f_k * c_k
        h   = o * tanh(c)

    With kind="binary" a node has a left and a right child, and weights know which is which: s is their h side by side
    (2H), zeros where one is missing, and f_left = sigmoid(W_f x + b_f + U_left s), f_right = sigmoid(W_f x + b_f +
    U_right s). A tree in which each node has one child is a sequence, and the layer is the LSTM.

    Parameters
    ----------
    input_size, hidden_size
        I, the features of a node's input, may be 0; H, at least 1.
    kind
        "child_sum" or "binary".
    bias
        False leaves out b.
    dtype
        "float32" or "float64", of parameters and results.
    seed
        For `numpy.random.default_rng`: parameters are uniform in +-1/sqrt(H).

    Attributes
    ----------
    weight_ih
        (4H, I), W, the rows of the gates in the order i f g o: a view on the flat vector `parameters`, as the others.
    weight_hh
        (4H, H), U, in the same order; (5H, 2H) of the binary kind, in the order i f_left f_right g o.
    bias
        (4H,), b, or None.

    All nodes of one height, of all trees of a batch, are computed in one product; a chain of any length is run without
    recursion. Raises ValueError or TypeError for a size, kind, flag or dtype out of range.

    Examples
    --------
    "It works" and a third word, the first two under a node of their own:

    >>> import numpy as np, rnncore
    >>> layer = rnncore.TreeLSTM(input_size=3, hidden_size=4, seed=0)
    >>> parent = [3, 3, 4, 4, -1]
    >>> x = np.random.default_rng(0).normal(size=(5, 3))
    >>> h, c = layer(x, parent)
    >>> h.shape, c.shape
    ((5, 4), (5, 4))

    Training: a loss of the root alone.

    >>> (h, c), cache = layer.forward(x, parent)
    >>> dh = np.zeros_like(h)
    >>> dh[4] = 1
    >>> grads = layer.backward(cache, dh)
    >>> grads.x.shape, grads.named["weight_hh"].shape
    ((5, 3), (16, 4))
    """

    _cell = "lstm"

    def backward(
        self,
        cache: RecursiveCache,
        dh: ArrayLike | None = None,
        dc: ArrayLike | None = None,
        *,
        input_gradient: bool = True,
        add_to: Array | None = None,
        num_threads: int | None = None,
    ) -> Gradients:
        """Backpropagation through structure (Goller & Kuechler 1996), from the gradients by h and c of all nodes.

        dh and dc are (nodes, H), zeros if None. input_gradient=False leaves out `grads.x`; add_to is a flat vector (P,)
        to which the gradient by the parameters is added. Raises ValueError for a wrong shape or another layer's cache.
        """
        return self._back(cache, (dh, dc), input_gradient, add_to, num_threads)

    def _join(self, states: tuple[Array, ...]) -> tuple[Array, Array]:
        return states[0], states[1]
