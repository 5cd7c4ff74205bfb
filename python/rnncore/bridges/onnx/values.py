"""What the reader of a graph knows of a value: constants, sizes, and which axes a tensor has, without its numbers.

A tensor's axes are made of atoms: time, rows, features, and the parts that lie side by side (directions, layers of a
state). Transposing permutes the axes, reshaping groups atoms anew, so that at every node it is known what lies where.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from rnncore.arguments import Array
from rnncore.files import FormatError

__all__ = [
    "PARTS",
    "Atom",
    "Axis",
    "Constant",
    "Product",
    "Size",
    "Sizes",
    "Tensor",
    "Value",
    "as_sizes",
    "axis_size",
    "elements",
    "from_sizes",
    "product",
    "regroup",
    "without_units",
]


@dataclass(frozen=True)
class Product:
    """A size that the file leaves open: a number times unknown sizes."""

    factor: int
    names: tuple[str, ...]


Size: TypeAlias = int | Product


def product(sizes: Iterable[Size]) -> Size:
    """Multiply sizes.

    >>> product([2, Product(1, ("T",)), 3])
    Product(factor=6, names=('T',))
    """
    factor, names = 1, list[str]()
    for size in sizes:
        if isinstance(size, Product):
            names += size.names
            size = size.factor
        factor *= size
        if len(names) > 16 or abs(factor) >= 1 << 62:
            raise FormatError("the graph reckons with sizes that no tensor has")
    return Product(factor, tuple(sorted(names))) if names and factor else factor


@dataclass(frozen=True)
class Atom:
    """What an axis is made of."""

    name: str
    size: Size


Axis: TypeAlias = tuple[Atom, ...]
PARTS = "parts"


def axis_size(axis: Axis) -> Size:
    """Return the product of the sizes of an axis's atoms."""
    return product(atom.size for atom in axis)


def without_units(axis: Axis) -> Axis:
    """Leave out atoms of size 1."""
    return tuple(atom for atom in axis if atom.size != 1)


@dataclass(frozen=True)
class Tensor:
    """A tensor whose numbers depend on the graph's inputs: its axes, and what it holds.

    parts say what lies side by side along the atom PARTS, or the one thing that is there. A part is a tuple: ("input",
    name), ("given", name, k), ("now", version), ("y", version, direction), ("final", node, state, direction), ("steps",
    ) or ("valid",).
    """

    axes: tuple[Axis, ...]
    parts: tuple[tuple[Any, ...], ...]
    table: Array | None = None  # of labels through a function: its values at 0, 1, 2 ...

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The shape."""
        return tuple(map(axis_size, self.axes))

    def with_axes(self, axes: Iterable[Axis]) -> Tensor:
        """Return the same with other axes."""
        return replace(self, axes=tuple(axes))

    def select(self, axis: int, places: Sequence[int]) -> Tensor:
        """Take some of the parts, which lie along an axis of their own."""
        atom = Atom(PARTS, len(places))
        axes = [(atom,) if k == axis else each for k, each in enumerate(self.axes)]
        return replace(self, axes=tuple(axes), parts=tuple(self.parts[place] for place in places))


@dataclass(frozen=True)
class Constant:
    """Numbers that stand in the file, perhaps repeated along axes of unknown size."""

    array: Array
    sizes: tuple[Size, ...]

    @classmethod
    def of(cls, array: Any) -> Constant:
        """Return an array as it is."""
        whole = np.asarray(array)
        return cls(whole, whole.shape)

    @property
    def whole(self) -> bool:
        """Whether the array is all there."""
        return self.array.shape == self.sizes


@dataclass(frozen=True)
class Sizes:
    """Integers that the sizes of the inputs decide: a vector, or a scalar of one entry."""

    entries: tuple[Size, ...]
    scalar: bool = False


Value: TypeAlias = Tensor | Constant | Sizes


def regroup(axes: Sequence[Axis], target: Sequence[Size], allow_zero: bool = False) -> tuple[Axis, ...] | None:
    """Group the atoms of axes anew for a reshape, as ONNX reads its target: 0 is the old size, -1 what is left.

    Returns None where an axis of the target would cut an atom in two.

    >>> t, n, f = Atom("t", Product(1, ("T",))), Atom("n", 2), Atom("f", 3)
    >>> regroup(((t,), (n,), (f,)), [0, -1]) == ((t,), (n, f))
    True
    """
    sizes = list(target)
    for k, size in enumerate(sizes):
        if size == 0 and not allow_zero:
            if k >= len(axes):
                return None
            sizes[k] = axis_size(axes[k])
    if sizes.count(-1) > 1:
        return None
    atoms = [atom for axis in axes for atom in axis]
    middle = sizes.index(-1) if -1 in sizes else len(sizes)
    front = _take(atoms, sizes[:middle])
    if front is None:
        return None
    atoms.reverse()
    back = _take(atoms, sizes[: middle - len(sizes) : -1] if middle < len(sizes) else [])
    if back is None:
        return None
    atoms.reverse()
    if middle < len(sizes):
        return (*front, tuple(atoms), *(axis[::-1] for axis in reversed(back)))
    if any(atom.size != 1 for atom in atoms):
        return None
    return (*front[:-1], (*front[-1], *atoms)) if front else ()


def _take(atoms: list[Atom], sizes: Sequence[Size]) -> list[Axis] | None:
    """Take atoms from the front of a list for each size in turn."""
    axes = list[Axis]()
    for size in sizes:
        taken = list[Atom]()
        if size == 1 and atoms and atoms[0].size == 1:
            taken.append(atoms.pop(0))
        if isinstance(size, int) and size > 1 and atoms and isinstance(atoms[0].size, Product):
            taken.append(atoms.pop(0))  # a reshape that fixes the size of an axis which the input leaves open
            axes.append(tuple(taken))
            continue
        while product(atom.size for atom in taken) != size:
            if not atoms:
                return None
            taken.append(atoms.pop(0))
        axes.append(tuple(taken))
    return axes


def as_sizes(value: Value | None) -> list[Size] | None:
    """Return the entries of a vector or scalar of integers, None for anything else."""
    if isinstance(value, Sizes):
        return list(value.entries)
    if isinstance(value, Constant) and value.whole and value.array.ndim <= 1 and value.array.dtype.kind in "iu":
        return [int(entry) for entry in value.array.ravel()]
    return None


def from_sizes(entries: Sequence[Size], scalar: bool = False) -> Value:
    """Return integers as a constant if all are known."""
    if all(isinstance(entry, int) for entry in entries):
        array = np.array(entries, np.int64)
        return Constant.of(array.reshape(()) if scalar else array)
    return Sizes(tuple(entries), scalar)


def elements(sizes: Sequence[Size] | Sequence[int]) -> float:
    """Return how many elements there are, an unknown size counted as 1."""
    return math.prod(size.factor if isinstance(size, Product) else size for size in sizes)
