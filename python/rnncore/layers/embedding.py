"""The embedding: a table of vectors, looked up by number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnncore import _core, arguments
from rnncore.arguments import Array, Seed
from rnncore.layers.module import Gradients, Module


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingCache:
    """What `Embedding.forward` keeps for `backward`."""

    _owner: Embedding
    _rows: Array


@final
@dataclass(frozen=True, slots=True, eq=False)
class ByNumber:
    """An input of few distinct rows: x[t, n] = table[labels[t, n]], for a recurrent layer to multiply each row once."""

    table: Array
    labels: Array


class Embedding(Module):
    r"""A table of vectors, y = W[x], for integers x of any shape.

    Parameters
    ----------
    num_embeddings, embedding_dim
        V, the numbers 0..V-1 that x may hold, at least 1; E, the features of y, at least 1.
    dtype
        "float32" or "float64", of parameters and results.
    seed
        For `numpy.random.default_rng`: parameters are drawn from the normal distribution, as PyTorch's.

    Attributes
    ----------
    weight
        (V, E): a view on the flat vector `parameters`.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> table = rnncore.Embedding(10, 3, seed=0)
    >>> table
    Embedding(10, 3)
    >>> y, cache = table.forward([[1, 2], [2, 2]])
    >>> y.shape, bool((y[0, 1] == table.weight[2]).all())
    ((2, 2, 3), True)
    >>> table.backward(cache, np.ones_like(y)).named["weight"][:3].tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [3.0, 3.0, 3.0]]
    """

    num_embeddings: int
    embedding_dim: int
    weight: Array

    takes_labels = True
    _in_sequence = True
    _fixed = Module._fixed | {"num_embeddings", "embedding_dim"}

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, dtype: DTypeLike = "float32", seed: Seed = None
    ) -> None:
        self._set(
            num_embeddings=arguments.check_size("num_embeddings", num_embeddings, 1),
            embedding_dim=arguments.check_size("embedding_dim", embedding_dim, 1),
        )
        shape = (self.num_embeddings, self.embedding_dim)
        self._allocate([("weight", 0, shape)], arguments.check_dtype(dtype))
        self.weight[...] = np.random.default_rng(seed).normal(size=shape)
        self.train()

    def _features(self) -> tuple[int | None, int | None]:
        return None, self.embedding_dim

    def __call__(self, x: ArrayLike) -> Array:
        """Look up x, integers (...) in 0..V-1: y (..., E).

        Raises ValueError, which names the place, for a number out of range, and TypeError for what holds no integers.
        """
        return self.forward(x)[0]

    def forward(self, x: ArrayLike) -> tuple[Array, EmbeddingCache]:
        """Call it, and return a cache for `backward` too."""
        rows = arguments.as_labels(x, "x", self.num_embeddings, np.shape(x))
        return self.weight.take(rows, axis=0), EmbeddingCache(self, rows)

    def backward(self, cache: EmbeddingCache, dy: ArrayLike, *, add_to: Array | None = None) -> Gradients:
        """Return the gradient by the table: the rows of dy (..., E) added up by number, in their order.

        add_to is a flat vector (P,) to which it is added. There is no gradient by x.
        """
        arguments.check_owner(cache, self)
        rows = cache._rows
        d_output = arguments.as_shaped(dy, "dy", self.dtype, (*rows.shape, self.embedding_dim))
        if add_to is None:
            total = np.zeros(self.parameters.size, self.dtype)
        else:
            total = arguments.as_flat_gradient(add_to, "add_to", self.parameters.size, self.dtype)
        flat = np.ascontiguousarray(d_output).reshape(rows.size, self.embedding_dim)
        _core.add_rows(flat, np.ascontiguousarray(rows).ravel(), total.reshape(self.weight.shape))
        return Gradients(None, total, self._layout)
