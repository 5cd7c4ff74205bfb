"""Trees for recursive networks: from s-expressions and from Python's syntax, joined to a batch, drawn."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array

__all__ = ["Tree", "draw", "join", "read_trees", "tree_from_ast", "tree_from_sexpr"]


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree, or several side by side: nodes in an order in which children stand before their parents.

    `rnncore.TreeLSTM` and `rnncore.TreeRNN` take it as it is.
    """

    parent: Array
    """(nodes,) the parent of every node, -1 for a root."""
    words: tuple[str | None, ...]
    """The word, or the kind, of every node; None where there is none."""
    labels: Array | None = None
    """(nodes,) a number of every node, -1 for none."""

    def __len__(self) -> int:
        return len(self.parent)

    def __repr__(self) -> str:
        return (
            f"Tree({len(self)} nodes, {len(self.roots)} roots)" if len(self.roots) != 1 else f"Tree({len(self)} nodes)"
        )

    @property
    def roots(self) -> Array:
        """The numbers of the roots, one for each tree."""
        return np.flatnonzero(self.parent < 0)

    @property
    def root(self) -> int:
        """The number of the one root. Raises ValueError that names the roots if there are several, or none."""
        roots = self.roots
        if len(roots) != 1:
            named = ", ".join(map(str, roots[:5])) + (", ..." if len(roots) > 5 else "")
            raise ValueError(
                f"expected a tree of one root, got {len(roots)} roots" + (f": nodes {named}" if named else "")
            )
        return int(roots[0])

    @property
    def children(self) -> Array:
        """(nodes, 2) the left and the right child of every node, -1 for none; an only child is a left one.

        Raises ValueError that names a node with more than two.
        """
        children = np.full((len(self), 2), -1, np.int64)
        count = np.zeros(len(self), np.int64)
        for node, above in enumerate(self.parent):
            if above >= 0:
                if count[above] == 2:
                    raise ValueError(f"node {above} has more than two children: expected a binary tree")
                children[above, count[above]] = node
                count[above] += 1
        return children


def join(trees: Sequence[Tree]) -> Tree:
    """Put trees side by side: a batch for a recursive layer.

    >>> join([tree_from_sexpr("(3 (2 It) (4 works))"), tree_from_sexpr("(2 yes)")])
    Tree(4 nodes, 2 roots)
    """
    starts = np.cumsum([0, *(len(tree) for tree in trees)])
    parents = [np.where(tree.parent < 0, -1, tree.parent + start) for tree, start in zip(trees, starts, strict=False)]
    labels = [np.full(len(tree), -1, np.int64) if tree.labels is None else tree.labels for tree in trees]
    return Tree(
        np.concatenate([np.zeros(0, np.int64), *parents]),
        tuple(word for tree in trees for word in tree.words),
        None if all(tree.labels is None for tree in trees) else np.concatenate([np.zeros(0, np.int64), *labels]),
    )


_TOKEN = re.compile(r"\(|\)|[^\s()]+", re.ASCII)  # a no-break space stands inside a word, as in "8 1/2"


def tree_from_sexpr(text: str) -> Tree:
    """Read a labelled tree, `(label child child ...)` or `(label word)`, as the sentiment treebank writes them.

    Labels are integers; a node without one has the label -1. Raises ValueError that says where a tree does not parse.

    >>> tree = tree_from_sexpr("(3 (2 It) (4 works))")
    >>> tree.words, tree.parent.tolist(), tree.labels.tolist()
    (('It', 'works', None), [2, 2, -1], [2, 4, 3])
    """
    reader = _Reader()
    tokens = list(_TOKEN.finditer(text))
    place = 0
    while place < len(tokens):
        token, at = tokens[place].group(), tokens[place].start()
        place += 1
        if reader.parent and not reader.open:
            raise ValueError(f"a tree ends, and {token!r} follows, at character {at}")
        if token == "(":
            labelled = _INTEGER.fullmatch("".join(match.group() for match in tokens[place : place + 1]))
            if labelled and place + 1 < len(tokens) and tokens[place + 1].group() != ")":  # (3) holds the word 3
                place += 1
            else:
                labelled = None
            reader.open.append(_Open(at, int(labelled.group()) if labelled else -1))
        elif not reader.open:
            raise ValueError(f"expected '(' at character {at}, got {token!r}")
        elif token == ")":
            reader.close()
        else:
            reader.open[-1].hold(token)
    if reader.open:
        raise ValueError(f"the node at character {reader.open[-1].begun} does not end")
    if not reader.parent:
        raise ValueError("the text holds no tree")
    return Tree(np.array(reader.parent, np.int64), tuple(reader.words), np.array(reader.labels, np.int64))


def read_trees(path: str | os.PathLike[str]) -> list[Tree]:
    """Read a file of labelled trees, one a line, UTF-8. Raises ValueError that names the file and the line."""
    trees = []
    for number, line in enumerate(Path(path).read_bytes().removesuffix(b"\n").split(b"\n"), 1):
        try:
            trees.append(tree_from_sexpr(line.decode()))
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise ValueError(f"{path}, line {number}: expected UTF-8, got the byte 0x{byte:02x}") from None
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return trees


_INTEGER = re.compile(r"-?\d+")


@dataclass
class _Open:
    """A node whose end has not been read."""

    begun: int
    label: int
    children: list[int] = field(default_factory=list)
    word: str | None = None

    def hold(self, word: str) -> None:
        if self.children or self.word is not None:
            raise ValueError(f"the node at character {self.begun} has {word!r} beside a word or children")
        self.word = word


@dataclass
class _Reader:
    """The nodes read so far, and those that are open, the innermost last."""

    parent: list[int] = field(default_factory=list)
    words: list[str | None] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    open: list[_Open] = field(default_factory=list)

    def close(self) -> None:
        node, number = self.open.pop(), len(self.parent)
        if not node.children and node.word is None:
            raise ValueError(f"the node at character {node.begun} has neither a word nor children")
        self.parent.append(-1)
        self.words.append(node.word)
        self.labels.append(node.label)
        for child in node.children:
            self.parent[child] = number
        if self.open:
            above = self.open[-1]
            if above.word is not None:
                raise ValueError(f"the node at character {above.begun} has children beside the word {above.word!r}")
            above.children.append(number)


def tree_from_ast(source: str) -> Tree:
    """Read Python source as the tree of its syntax: a node's word is the name of its kind, such as 'BinOp'.

    Raises SyntaxError for source that does not parse.

    >>> tree = tree_from_ast("x = a + 1")
    >>> tree.words[-1], len(tree)
    ('Module', 9)
    """
    parent: list[int] = []
    words: list[str | None] = []
    stack: list[tuple[ast.AST, list[int] | None]] = [(ast.parse(source), None)]
    waiting: list[list[int]] = [[]]  # finished children of each open node
    while stack:
        node, kids = stack.pop()
        if kids is None:
            waiting.append([])
            stack.append((node, waiting[-1]))
            stack += [(child, None) for child in reversed(list(ast.iter_child_nodes(node)))]
            continue
        number = len(parent)
        parent.append(-1)
        words.append(type(node).__name__)
        for kid in waiting.pop():
            parent[kid] = number
        waiting[-1].append(number)
    return Tree(np.array(parent, np.int64), tuple(words))


def draw(tree: Tree, values: Any = None, *, ax: Any = None, cmap: str = "RdYlGn", limits: Any = None) -> Any:
    """Draw a tree, root on top, its words below, each node coloured by its value; returns the axes.

    Parameters
    ----------
    tree
        Of one root.
    values
        (nodes,) numbers, such as a prediction for every node; the tree's labels by default.
    ax
        Axes of matplotlib, new ones by default.
    cmap, limits
        The colours, and the values (lowest, highest) that have the first and the last, those of `values` by default.

    Raises ValueError for several roots or another number of values. Needs matplotlib (`pip install rnncore[apps]`).
    """
    import matplotlib.pyplot as plt

    tree.root  # noqa: B018 - refuses a forest
    shown = tree.labels if values is None else np.asarray(values, float)
    if shown is not None and np.shape(shown) != (len(tree),):
        raise ValueError(f"values: expected shape ({len(tree)},), got {np.shape(shown)}")
    across, height = _places(tree)
    if ax is None:
        ax = plt.subplots(figsize=(max(4.0, 0.7 * across.max() + 1.5), max(2.5, 0.6 * height.max() + 1)))[1]
    for node, above in enumerate(tree.parent):
        if above >= 0:
            ax.plot([across[node], across[above]], [height[node], height[above]], color="0.6", linewidth=1, zorder=1)
    low, high = limits if limits is not None else (None, None)
    colour: Any = "0.8" if shown is None else shown
    points = ax.scatter(across, height, c=colour, cmap=cmap, vmin=low, vmax=high, s=110, edgecolors="0.3", zorder=2)
    for node, word in enumerate(tree.words):
        if word is not None:
            ax.annotate(word, (across[node], height[node]), (0, -11), textcoords="offset points", ha="center", va="top")
    if shown is not None:
        ax.figure.colorbar(points, ax=ax, shrink=0.7)
    ax.margins(0.08, 0.18)
    ax.set_axis_off()
    return ax


def _places(tree: Tree) -> tuple[Array, Array]:
    """Leaves side by side in their order, as far apart as their words ask, every other node above its children."""
    children: list[list[int]] = [[] for _ in range(len(tree))]
    for node, above in enumerate(tree.parent):
        if above >= 0:
            children[above].append(node)
    across, height = np.zeros(len(tree)), np.zeros(len(tree))
    end, last = -1.0, 0.0  # where the last leaf stands, and the half of its word
    for node in range(len(tree)):  # children stand before their parents
        kids = children[node]
        if kids:
            across[node] = (across[kids[0]] + across[kids[-1]]) / 2
            height[node] = height[kids].max() + 1
        else:
            half = 0.085 * len(tree.words[node] or "")
            across[node] = end = end + max(1.0, last + half + 0.4)
            last = half
    return across, height
