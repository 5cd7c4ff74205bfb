"""What the nodes of a graph are given: their inputs and attributes, with errors that say what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from rnncore.bridges.onnx.chain import Chain
from rnncore.bridges.onnx.values import Constant, Value, as_sizes

__all__ = [
    "MOST_AXES",
    "MOST_PARTS",
    "Inputs",
    "Operation",
    "Result",
    "bounded",
    "data",
    "given",
    "integers",
    "place_of",
    "whole_array",
]

Inputs: TypeAlias = Sequence[Value | None]
Result: TypeAlias = Value | Sequence[Value]
Operation: TypeAlias = Callable[[Chain, dict[str, Any], Inputs], Result]
MOST_AXES = 8
MOST_PARTS = 1000  # of a tensor: states of levels and directions; entries of a vector of sizes
MOST_MADE = 1 << 28  # bytes of constants that nodes make of others


def place_of(place: int, count: int) -> int:
    """Return a place among so many, counted from the end if it is negative."""
    if not -count <= place < count:
        raise ValueError(f"its axis or index {place} is out of range: there are {count}")
    return place % count


def integers(value: Value | None, what: str) -> list[int]:
    """Return known integers."""
    entries = as_sizes(value)
    if entries is None or not all(isinstance(entry, int) for entry in entries):
        raise ValueError(f"its {what} should be constant integers")
    return [entry for entry in entries if isinstance(entry, int)]


def given(attributes: dict[str, Any], name: str, inputs: Inputs, place: int) -> list[int] | None:
    """Return integers that are an attribute in older operator sets and an input in newer ones."""
    if name in attributes:
        return list(attributes[name])
    return integers(inputs[place], name) if len(inputs) > place and inputs[place] is not None else None


def data(inputs: Inputs) -> Value:
    """Return the first input."""
    if not inputs or inputs[0] is None:
        raise ValueError("it has no input")
    return inputs[0]


def whole_array(value: Value) -> Any:
    """Return the array of a constant that is all there."""
    if not isinstance(value, Constant) or not value.whole:
        raise ValueError("it works on sizes or states in a way that no model of layers needs")
    return value.array


def bounded(chain: Chain, size: float) -> None:
    """Count the bytes of the constants that nodes make: a small file must not fill the memory."""
    chain.made += size
    if chain.made > MOST_MADE:
        raise ValueError(f"the graph makes more than {MOST_MADE} bytes of constants")
