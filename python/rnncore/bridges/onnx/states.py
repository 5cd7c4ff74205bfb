"""Where the states of recurrent nodes begin: zeros, constants that a layer may learn, or inputs of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.bridges.onnx.recurrent import Recurrent
from rnncore.bridges.onnx.values import PARTS, Constant, Tensor, without_units
from rnncore.files import FormatError

__all__ = ["check_given", "initial"]


def initial(recurrent: Recurrent, values: dict[str, Any]) -> tuple[Any, ...]:
    """Return where a node's state begins: ("zero",), ("learned", arrays (D, H)) or ("given", inputs, places)."""
    D, H = recurrent.directions, recurrent.hidden_size
    names = ("initial_h", "initial_c")[: recurrent.state_count]
    found: list[Any] = []
    for name in names:
        value = values.get(name)
        if value is None:
            found.append(np.zeros((D, H)))
            continue
        if isinstance(value, Constant):
            found.append(_one_row(recurrent, name, value))
            continue
        places = _from_input(value, D, int(recurrent.batch_first)) if isinstance(value, Tensor) else None
        if places is None:
            raise ValueError(f"its {name} is neither constant nor an input of the graph")
        found.append(places)
    given = [isinstance(each, tuple) for each in found]
    if all(given):
        return ("given", tuple(each[0] for each in found), [each[1] for each in found])
    if any(given):
        raise ValueError("one of its initial_h and initial_c is an input, the other is not")
    if not any(np.any(each) for each in found):
        return ("zero",)
    return ("learned", [np.asarray(each) for each in found])


def _one_row(recurrent: Recurrent, name: str, value: Constant) -> Array:
    """Return a constant initial state that is the same for all rows, (D, H)."""
    D, H = recurrent.directions, recurrent.hidden_size
    array, sizes = value.array, value.sizes
    if recurrent.batch_first and array.ndim == 3:
        array, sizes = array.swapaxes(0, 1), (sizes[1], sizes[0], sizes[2])
    if len(sizes) != 3 or array.ndim != 3 or sizes[0] != D or sizes[2] != H:
        raise ValueError(f"its {name} should have the shape ({D}, rows, {H})")
    if array.shape[1] > 1 and (array != array[:, :1]).any():
        raise ValueError(f"its {name} is a constant that differs from row to row")
    if not array.shape[1]:
        raise ValueError(f"its {name} has no rows")
    return np.array(np.broadcast_to(array[:, 0], (D, H)))


def _from_input(value: Tensor, directions: int, axis: int) -> tuple[tuple[str, int], list[int]] | None:
    """Return an input and its size, and which places of it are a state whose directions lie along an axis."""
    if len(value.axes) != 3 or value.sizes[axis] != directions:
        return None
    if value.parts[0][0] == "given":
        names = {part[1:3] for part in value.parts}
        group = tuple(atom.name for atom in without_units(value.axes[axis]))
        if len(names) != 1 or len(value.parts) != directions or group != (PARTS,) * (directions > 1):
            return None
        return names.pop(), [part[3] for part in value.parts]
    if value.parts[0][0] == "input":
        return (value.parts[0][1], directions), list(range(directions))
    return None


def check_given(states: Sequence[tuple[Any, ...]]) -> None:
    """The states of all levels have to be those of one input each, in order."""
    if states[0][0] != "given":
        return
    for s, (name, size) in enumerate(states[0][1]):
        places = [place for each in states for place in each[2][s]]
        if places != list(range(size)):
            raise FormatError(f"the input {name!r} holds states in another order than the layers read them")
