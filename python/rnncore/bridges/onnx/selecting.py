"""Nodes that take parts of a tensor, or put parts side by side: states of levels, directions, the last step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnncore.bridges.onnx.attributes import INT, INTS
from rnncore.bridges.onnx.chain import Chain
from rnncore.bridges.onnx.operands import (
    MOST_PARTS,
    Inputs,
    Operation,
    bounded,
    data,
    given,
    integers,
    place_of,
    whole_array,
)
from rnncore.bridges.onnx.values import (
    PARTS,
    Atom,
    Axis,
    Constant,
    Sizes,
    Tensor,
    Value,
    as_sizes,
    axis_size,
    elements,
    from_sizes,
    without_units,
)

__all__ = ["SELECTING"]

_END = (1 << 31) - 1  # an end of a slice past all axes


def _gather(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    """Take entries of sizes, or one part or step of a tensor; rows of a table by labels are an Embedding's."""
    value = data(inputs)
    index = inputs[1] if len(inputs) > 1 else None
    entries = as_sizes(value)
    places = integers(index, "indices")
    scalar = isinstance(index, Constant) and index.array.ndim == 0
    if entries is not None and attributes.get("axis", 0) in (0, -1):
        taken = [entries[place_of(place, len(entries))] for place in places]
        return from_sizes(taken, scalar)
    if isinstance(value, Tensor):
        axis = place_of(attributes.get("axis", 0), len(value.axes))
        taken_tensor = _select(chain, value, axis, places)
        if not scalar:
            return taken_tensor
        return taken_tensor.with_axes(each for k, each in enumerate(taken_tensor.axes) if k != axis)
    array = whole_array(value)
    axis = place_of(attributes.get("axis", 0), array.ndim)
    bounded(chain, array.nbytes * len(places))
    places = [place_of(place, array.shape[axis]) for place in places]
    return Constant.of(np.take(array, places[0] if scalar else places, axis=axis))


def _slice(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value = data(inputs)
    starts, ends = (given(attributes, name, inputs, place) for place, name in enumerate(("starts", "ends"), 1))
    if starts is None or ends is None:
        raise ValueError("its starts and ends are not known")
    entries = as_sizes(value)
    rank = 1 if isinstance(value, Sizes) or entries is not None else len(value.sizes)
    axes = given(attributes, "axes", inputs, 3) or list(range(len(starts)))
    steps = given(attributes, "steps", inputs, 4) or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) <= rank or len(set(axes)) < len(axes):
        raise ValueError("its starts, ends, axes and steps do not fit together")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step == 0:
            raise ValueError("its step is 0")
        value = _slice_axis(chain, value, place_of(axis, rank), slice(start, end if abs(end) < _END else None, step))
    return value


def _slice_axis(chain: Chain, value: Value, axis: int, wanted: slice) -> Value:
    entries = as_sizes(value)
    if entries is not None:
        return from_sizes(entries[wanted])
    if isinstance(value, Tensor):
        size = value.sizes[axis]
        if (wanted.start, wanted.stop, wanted.step) == (0, None, 1):
            return value
        if isinstance(size, int):
            return _select(chain, value, axis, range(size)[wanted])
        if (wanted.start, wanted.stop) == (-1, None):
            return _select(chain, value, axis, [-1])
        if (wanted.start, wanted.stop) == (0, 1):
            return _select(chain, value, axis, [0])
        raise ValueError("it cuts off a part of the sequence")
    assert isinstance(value, Constant)
    size = value.sizes[axis]
    if not isinstance(size, int):
        raise ValueError("it slices an axis of unknown size")
    sizes = tuple(len(range(size)[wanted]) if k == axis else each for k, each in enumerate(value.sizes))
    if value.array.shape[axis] == 1 != size:
        return Constant(value.array, sizes)
    return Constant(value.array[(slice(None),) * axis + (wanted,)], sizes)


def _select(chain: Chain, tensor: Tensor, axis: int, places: Sequence[int]) -> Tensor:
    """Take some places along an axis: parts that lie along it, or the last step of a sequence."""
    group, size = without_units(tensor.axes[axis]), axis_size(tensor.axes[axis])
    if isinstance(size, int) and _are_all(places, size):
        return tensor
    if len(places) > MOST_PARTS:
        raise ValueError(f"it takes {len(places)} places of an axis, the most that lie side by side are {MOST_PARTS}")
    if isinstance(size, int) and any(not -size <= place < size for place in places):
        raise ValueError(f"it takes a place out of range for an axis of size {size}")
    if not places:
        raise ValueError("it takes nothing of an axis")
    if len(group) == 1 and group[0].name == PARTS:
        return tensor.select(axis, places)
    kind = tensor.parts[0][0]
    if kind == "input" and axis == 0 and isinstance(size, int) and len(tensor.axes) == 3:  # states of several layers
        parts = tuple(("given", tensor.parts[0][1], size, place % size) for place in places)
        return Tensor(((Atom(PARTS, len(parts)),), *tensor.axes[1:]), parts)
    if group and group == chain.time and len(places) == 1:
        last = places[0] in ((-1,) if not isinstance(size, int) else (-1, size - 1))
        first = places[0] == 0
        front = tuple(() if k == axis else each for k, each in enumerate(tensor.axes))
        if kind == "now" and last:
            return chain.pick_last(tensor, axis)
        if kind == "y" and len(tensor.parts) == 1 and chain.lengths is None and tensor.parts[0][1] == chain.behind:
            direction = tensor.parts[0][2]
            if last if direction == 0 else first:  # the step after which the direction's state is final
                return Tensor(front, (("final", chain.nodes, 0, direction),))
    raise ValueError("it takes a part of the sequence that is not its last step")


def _are_all(places: Sequence[int], size: int) -> bool:
    """Whether places are those of a whole axis in order. A range may be longer than memory: it is not walked."""
    if isinstance(places, range):
        return places == range(size)
    return len(places) == size and list(places) == list(range(size))


def _split(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Sequence[Value]:
    value = data(inputs)
    if isinstance(value, Sizes):
        raise ValueError("it splits sizes")
    axis = place_of(attributes.get("axis", 0), len(value.sizes))
    sizes = given(attributes, "split", inputs, 1)
    size = value.sizes[axis]
    if sizes is None and isinstance(size, int):
        count = attributes["num_outputs"]
        if not 0 < count <= min(max(size, 1), MOST_PARTS):
            raise ValueError(f"it splits an axis into more parts than it has, or more than {MOST_PARTS}")
        each = -(-size // count)
        sizes = [min(each, size - k * each) for k in range(count)]
    if sizes is None or any(part < 0 for part in sizes) or sum(sizes) != size or len(sizes) > MOST_PARTS:
        raise ValueError("its parts are not those of the axis")
    ends = np.cumsum(sizes).tolist()
    return [_slice_axis(chain, value, axis, slice(end - part, end, 1)) for part, end in zip(sizes, ends, strict=True)]


def _concat(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    values = [value for value in inputs if value is not None]
    if len(values) != len(inputs) or not values or "axis" not in attributes:
        raise ValueError("it lacks an input or its axis")
    vectors = [as_sizes(value) for value in values]
    if all(vector is not None for vector in vectors) and attributes["axis"] in (0, -1):
        if sum(len(vector) for vector in vectors if vector) > MOST_PARTS:
            raise ValueError("it makes a vector of more sizes than any tensor has")
        return from_sizes([entry for vector in vectors if vector for entry in vector])
    if all(isinstance(value, Tensor) for value in values):
        return _concat_tensors([value for value in values if isinstance(value, Tensor)], attributes["axis"])
    constants = [value for value in values if isinstance(value, Constant)]
    if len(constants) != len(values):
        raise ValueError("it joins what is computed with what is constant")
    return _concat_constants(chain, constants, attributes["axis"])


def _concat_constants(chain: Chain, constants: list[Constant], axis: int) -> Constant:
    rank = len(constants[0].sizes)
    axis = place_of(axis, rank)
    lengths = [each.sizes[axis] if len(each.sizes) == rank else None for each in constants]
    if not all(isinstance(length, int) for length in lengths):
        raise ValueError("it joins tensors that do not fit together")
    if len({tuple(size for k, size in enumerate(each.sizes) if k != axis) for each in constants}) > 1:
        raise ValueError("it joins tensors that do not fit together")
    shape = [max(each.array.shape[k] for each in constants) for k in range(rank)]
    shapes = [[length if k == axis else shape[k] for k in range(rank)] for length in lengths if isinstance(length, int)]
    bounded(chain, sum(map(elements, shapes)) * 8)
    arrays = [np.broadcast_to(each.array, each_shape) for each, each_shape in zip(constants, shapes, strict=True)]
    joined = np.concatenate(arrays, axis=axis)
    return Constant(joined, tuple(joined.shape[k] if k == axis else size for k, size in enumerate(constants[0].sizes)))


def _concat_tensors(tensors: list[Tensor], axis: int) -> Tensor:
    """Put parts side by side: along an axis of their own, or along the features."""
    first = tensors[0]
    rank = len(first.axes)
    place = place_of(axis, rank)
    parts = tuple(part for each in tensors for part in each.parts)
    kinds = {part[0] for part in parts}
    fit = len(kinds) == 1 and kinds <= {"y", "final", "given"} and len(parts) <= MOST_PARTS
    for each in tensors:
        fit = fit and len(each.axes) == rank
        fit = fit and all(each.sizes[k] == first.sizes[k] for k in range(rank) if k != place)
    if not fit:
        raise ValueError("it joins what is no state and no output of a recurrent layer")
    if all(_is_parts(each.axes[place], len(each.parts)) for each in tensors):
        joined: Axis = (Atom(PARTS, len(parts)),)
    elif place == rank - 1 and all(len(each.parts) == 1 for each in tensors):
        joined = (Atom(PARTS, len(parts)), *without_units(first.axes[place]))
    else:
        raise ValueError("it joins states or outputs along an axis that is not theirs")
    return Tensor(tuple(joined if k == place else each for k, each in enumerate(first.axes)), parts)


def _is_parts(axis: Axis, count: int) -> bool:
    """Whether an axis holds the parts of a tensor; a single part may have lost its atom."""
    group = without_units(axis)
    return not group if count == 1 else len(group) == 1 and group[0].name == PARTS


SELECTING: dict[str, tuple[dict[str, Any], Operation]] = {
    "Concat": ({"axis": INT}, _concat),
    "Gather": ({"axis": INT}, _gather),
    "Slice": ({"starts": INTS, "ends": INTS, "axes": INTS, "steps": INTS}, _slice),
    "Split": ({"axis": INT, "split": INTS, "num_outputs": INT}, _split),
}
"""Operator -> its attributes, and what it does."""
