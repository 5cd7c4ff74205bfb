"""Attention: what a decoder reads of an encoder's states."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnncore import _core, arguments
from rnncore.arguments import Array, Seed
from rnncore.layers.linear import Linear, LinearCache
from rnncore.layers.module import Gradients, Module

__all__ = ["Attention", "AttentionCache", "AttentionGradients"]


@dataclass(frozen=True, slots=True, eq=False)
class AttentionCache:
    """What `Attention.forward` keeps for `backward`."""

    _owner: Attention
    _query: Array  # as it meets the keys
    _keys: Array
    _lengths: Array | None
    weights: Array
    """(N, T, S), how much each query took of each key; zero past a row's length."""
    _projection: LinearCache | None


@dataclass(frozen=True, slots=True, eq=False)
class AttentionGradients(Gradients):
    """The gradients of an attention layer; `x` is that by the query."""

    keys: Array
    """By the keys, (S, N, E)."""


class Attention(Module):
    r"""Global attention behind a decoder (Luong, Pham & Manning 2015).

    A query q, such as a decoder's output, meets the keys k_1 ... k_S of its row, such as an encoder's outputs::

        score_s = q . k_s             with score="dot"
        score_s = q . W k_s           with score="general"
        a       = softmax(score)      over the valid keys of the row
        context = sum of a_s k_s

    Parameters
    ----------
    query_size, key_size
        Features of a query and of a key, at least 1; equal for "dot". key_size is query_size by default.
    score
        "dot", without parameters, or "general".
    dtype
        "float32" or "float64", of parameters and results.
    seed
        For `numpy.random.default_rng`: W is uniform in +-1/sqrt(query_size).

    Attributes
    ----------
    weight
        (key_size, query_size), W transposed, with "general" only: a view on `parameters`.

    A row's result does not depend on the rows beside it, and what its keys hold past its length does not matter: the
    bits are the same. Raises ValueError for sizes that do not fit and an unknown score.

    Examples
    --------
    Five steps of a decoder over three and two steps of an encoder:

    >>> import numpy as np, rnncore
    >>> attention = rnncore.Attention(8, score="general", seed=0)
    >>> query, keys = np.ones((5, 2, 8)), np.ones((3, 2, 8))
    >>> context, cache = attention.forward(query, keys, lengths=[3, 2])
    >>> context.shape, cache.weights[1, 0].round(2).tolist()
    ((5, 2, 8), [0.5, 0.5, 0.0])
    >>> grads = attention.backward(cache, np.ones_like(context))
    >>> grads.x.shape, grads.keys.shape
    ((5, 2, 8), (3, 2, 8))
    """

    query_size: int
    key_size: int
    score: Literal["dot", "general"]

    _fixed = Module._fixed | {"query_size", "key_size", "score"}
    _projection: Linear | None

    def __init__(
        self,
        query_size: int,
        key_size: int | None = None,
        score: Literal["dot", "general"] = "dot",
        *,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
    ) -> None:
        if score not in ("dot", "general"):
            raise ValueError(f"score must be one of dot, general, got {score!r}")
        queries = arguments.check_size("query_size", query_size, 1)
        keys = queries if key_size is None else arguments.check_size("key_size", key_size, 1)
        if score == "dot" and keys != queries:
            raise ValueError(f"key_size must be query_size, {queries}, with score='dot', got {keys}")
        scalar = arguments.check_dtype(dtype)
        self._set(query_size=queries, key_size=keys, score=score)
        self._allocate([("weight", 0, (keys, queries))] if score == "general" else [], scalar)
        self._initialise(np.random.default_rng(seed), 1 / math.sqrt(queries))
        self._project()
        self.train()

    def _project(self) -> None:
        """Make the linear layer over this layer's weight."""
        if self.score == "dot":
            self._set(_projection=None)
            return
        projection = Linear(self.query_size, self.key_size, bias=False, dtype=self.dtype, seed=0)
        projection.parameters[...] = self._parameters
        projection._adopt(self._parameters)
        self._set(_projection=projection)

    def _adopt(self, vector: Array) -> None:
        super()._adopt(vector)
        self._project()

    def __call__(
        self,
        query: ArrayLike,
        keys: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> Array:
        """Return the context, (T, N, key_size), of query (T, N, query_size) and keys (S, N, key_size).

        lengths are the valid keys of each row, (N,) integers in 0..S, all by default; a row without any has a context
        of zeros. Raises ValueError for a wrong shape or length and TypeError for arrays that hold no real numbers.
        """
        return self.forward(query, keys, lengths=lengths, num_threads=num_threads)[0]

    def forward(
        self,
        query: ArrayLike,
        keys: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> tuple[Array, AttentionCache]:
        """Call it, and return a cache for `backward`, which has the weights and refers to query and keys."""
        asked = arguments.as_real(query, "query", self.dtype)
        held = arguments.as_real(keys, "keys", self.dtype)
        for name, array, size in (("query", asked, self.query_size), ("keys", held, self.key_size)):
            if array.ndim != 3 or array.shape[2] != size:
                raise ValueError(f"{name}: expected shape (steps, rows, {size}), got {array.shape}")
        if held.shape[1] != asked.shape[1]:
            raise ValueError(f"keys have {held.shape[1]} rows, the query has {asked.shape[1]}")
        valid = None if lengths is None else arguments.as_lengths(lengths, len(held), held.shape[1], True)
        threads = arguments.check_threads(num_threads)
        projected = None
        if self._projection is not None:
            asked, projected = self._projection.forward(asked, num_threads=num_threads)
        weights = arguments.empty((asked.shape[1], len(asked), len(held)), self.dtype)
        context = arguments.empty((*asked.shape[:2], self.key_size), self.dtype)
        _core.attend(asked, held, valid, weights, context, threads)
        return context, AttentionCache(self, asked, held, valid, weights, projected)

    def backward(
        self,
        cache: AttentionCache,
        d_context: ArrayLike,
        *,
        add_to: Array | None = None,
        num_threads: int | None = None,
    ) -> AttentionGradients:
        """Return the gradients by the query (`grads.x`), by the keys and by the parameters.

        add_to is a flat vector (P,) to which the gradient by the parameters is added. Raises ValueError for a wrong
        shape or another layer's cache.
        """
        arguments.check_owner(cache, self)
        d = arguments.as_shaped(d_context, "d_context", self.dtype, (*cache._query.shape[:2], self.key_size))
        threads = arguments.check_threads(num_threads)
        if add_to is None:
            total = np.zeros(self._parameters.size, self.dtype)
        else:
            total = arguments.as_flat_gradient(add_to, "add_to", self._parameters.size, self.dtype)
        d_query = arguments.empty(cache._query.shape, self.dtype)
        d_keys = arguments.empty(cache._keys.shape, self.dtype)
        _core.attend_backward(cache._query, cache._keys, cache._lengths, cache.weights, d, d_query, d_keys, threads)
        if self._projection is not None and cache._projection is not None:
            d_query = self._projection.backward(cache._projection, d_query, add_to=total, num_threads=num_threads).x
        return AttentionGradients(d_query, total, self._layout, d_keys)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({name: value for name, value in state.items() if name != "_projection"})
        self._project()
