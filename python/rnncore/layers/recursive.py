"""The base of the recursive layers: from the caller's trees and arrays to the compiled engine and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnncore import _core, arguments
from rnncore.arguments import Array, Seed
from rnncore.layers.module import Gradients, Module

Kind: TypeAlias = Literal["child_sum", "binary"]
States = TypeVar("States", Array, tuple[Array, Array])

KINDS = ("child_sum", "binary")


@dataclass(frozen=True, slots=True, eq=False)
class RecursiveCache:
    """What `forward` keeps for `backward`: opaque, unchanged by it, and good for any number of calls."""

    _owner: Any
    _engine: _core.TreeCache
    _nodes: int


class RecursiveLayer(Module, Generic[States]):
    """What TreeLSTM and TreeRNN share: reading trees and arrays, calling the engine."""

    input_size: int
    hidden_size: int
    kind: Kind
    bias: Array | None

    _fixed = Module._fixed | {"input_size", "hidden_size", "kind"}
    _cell: ClassVar[Literal["lstm", "rnn"]]
    _engine: _core.Tree

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        kind: Kind = "child_sum",
        bias: bool = True,
        *,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        self._set(
            input_size=arguments.check_size("input_size", input_size, 0),
            hidden_size=arguments.check_size("hidden_size", hidden_size, 1),
            kind=kind,
            bias=None,
        )
        scalar = arguments.check_dtype(dtype)
        self._build(arguments.check_flag("bias", bias), scalar.name)
        self._allocate(self._engine.layout, scalar)
        self._initialise(np.random.default_rng(seed), 1 / math.sqrt(self.hidden_size))
        self.train()

    def _build(self, bias: bool, dtype: Any) -> None:
        self._engine = _core.Tree(self._cell, self.kind == "binary", self.input_size, self.hidden_size, bias, dtype)

    def __call__(self, x: ArrayLike, tree: Any, *, num_threads: int | None = None) -> States:
        """Run the layer for inference: nothing is kept.

        Parameters
        ----------
        x
            (nodes, I), the input of every node, zeros for a node that has none.
        tree
            For "child_sum" the parent of every node, (nodes,) integers, -1 for a root; for "binary" its left and right
            child, (nodes, 2) integers, -1 for none; or a `rnncore.trees.Tree`. Several trees in one array are a batch.
        num_threads
            The largest number of threads for this call; by default the one of `rnncore.set_num_threads`.

        Returns h, or (h, c), of every node, (nodes, H) each. A tree's result does not depend on the trees beside it.

        Raises ValueError for a wrong shape, and for an index out of range, a node with two parents or one that is its
        own ancestor, which it names; TypeError for arrays that hold no real numbers.
        """
        states, _ = self._run(x, tree, num_threads, keep=False)
        return self._join(states)

    def forward(self, x: ArrayLike, tree: Any, *, num_threads: int | None = None) -> tuple[States, RecursiveCache]:
        """Call it, and return a cache for `backward` too, which refers to x: it has to stay as it is until then."""
        states, cache = self._run(x, tree, num_threads, keep=True)
        assert cache is not None
        return self._join(states), cache

    def _run(
        self, x: ArrayLike, tree: Any, num_threads: int | None, keep: bool
    ) -> tuple[tuple[Array, ...], RecursiveCache | None]:
        forest = self._forest(tree)
        values = arguments.as_real(x, "x", self.dtype)
        if values.shape != (forest.nodes, self.input_size):
            raise ValueError(f"x: expected shape ({forest.nodes}, {self.input_size}), got {values.shape}")
        threads = arguments.check_threads(num_threads)
        h = arguments.empty((forest.nodes, self.hidden_size), self.dtype)
        c = arguments.empty(h.shape, self.dtype) if self._cell == "lstm" else None
        kept = self._engine.forward(self._parameters, forest, values, h, c, keep, threads)
        cache = None if kept is None else RecursiveCache(self, kept, forest.nodes)
        return (h,) if c is None else (h, c), cache

    def _forest(self, tree: Any) -> _core.Forest:
        binary = self.kind == "binary"
        name = "children" if binary else "parent"
        numbers = np.ascontiguousarray(arguments.as_integers(getattr(tree, name, tree), name), np.int64)
        if numbers.ndim != (2 if binary else 1) or (binary and numbers.shape[1] != 2):
            raise ValueError(f"{name}: expected shape {'(nodes, 2)' if binary else '(nodes,)'}, got {numbers.shape}")
        return _core.Forest.from_children(numbers) if binary else _core.Forest.from_parents(numbers)

    def _back(
        self,
        cache: RecursiveCache,
        d_states: tuple[ArrayLike | None, ...],
        input_gradient: bool,
        add_to: Array | None,
        num_threads: int | None,
    ) -> Gradients:
        arguments.check_owner(cache, self)
        shape = (cache._nodes, self.hidden_size)
        dh, dc = (
            None if d is None else np.ascontiguousarray(arguments.as_shaped(d, name, self.dtype, shape))
            for name, d in zip(("dh", "dc"), (*d_states, None)[:2], strict=True)
        )
        threads = arguments.check_threads(num_threads)
        if add_to is None:
            d_parameters = np.zeros(self._parameters.size, self.dtype)
        else:
            d_parameters = arguments.as_flat_gradient(add_to, "add_to", self._parameters.size, self.dtype)
        dx = arguments.empty((cache._nodes, self.input_size), self.dtype) if input_gradient else None
        self._engine.backward(cache._engine, self._parameters, dh, dc, dx, d_parameters, threads)
        return Gradients(dx, d_parameters, self._layout)

    def _join(self, states: tuple[Array, ...]) -> States:
        raise NotImplementedError

    def _option(self, name: str) -> Any:
        return self.bias is not None if name == "bias" else super()._option(name)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_engine": self.bias is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._build(state["_engine"], self.dtype.name)
