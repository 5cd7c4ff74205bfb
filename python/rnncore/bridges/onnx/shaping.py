"""Nodes that move numbers around without computing any: they change the axes of a tensor, or reckon with sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from rnncore.bridges.onnx.attributes import FLOAT, INT, INTS, TENSOR
from rnncore.bridges.onnx.chain import Chain
from rnncore.bridges.onnx.files import tensor_array
from rnncore.bridges.onnx.values import (
    PARTS,
    Atom,
    Axis,
    Constant,
    Size,
    Sizes,
    Tensor,
    Value,
    as_sizes,
    axis_size,
    elements,
    from_sizes,
    product,
    regroup,
    without_units,
)

__all__ = ["SHAPING", "Inputs", "Operation", "Result", "bounded"]

Inputs: TypeAlias = Sequence[Value | None]
Result: TypeAlias = Value | Sequence[Value]
Operation: TypeAlias = Callable[[Chain, dict[str, Any], Inputs], Result]
_END = (1 << 31) - 1  # an end of a slice past all axes
_MOST_AXES = 8
MOST_MADE = 1 << 28  # bytes of constants that nodes make of others


def _place(place: int, count: int) -> int:
    if not -count <= place < count:
        raise ValueError(f"its axis or index {place} is out of range: there are {count}")
    return place % count


def _integers(value: Value | None, what: str) -> list[int]:
    """Return known integers."""
    entries = None if value is None else as_sizes(value)
    if entries is None or not all(isinstance(entry, int) for entry in entries):
        raise ValueError(f"its {what} should be constant integers")
    return [entry for entry in entries if isinstance(entry, int)]


def _given(attributes: dict[str, Any], name: str, inputs: Inputs, place: int) -> list[int] | None:
    """Return integers that are an attribute in older operator sets and an input in newer ones."""
    if name in attributes:
        return list(attributes[name])
    return _integers(inputs[place], name) if len(inputs) > place and inputs[place] is not None else None


def _data(inputs: Inputs) -> Value:
    if not inputs or inputs[0] is None:
        raise ValueError("it has no input")
    return inputs[0]


def _whole(value: Value) -> Any:
    """Return the array of a constant that is all there."""
    if not isinstance(value, Constant) or not value.whole:
        raise ValueError("it works on sizes or states in a way that no model of layers needs")
    return value.array


def _constant(_chain: Chain, attributes: dict[str, Any], _inputs: Inputs) -> Value:
    if len(attributes) != 1:
        raise ValueError("it should have one value")
    (value,) = attributes.values()
    if isinstance(value, (int, float)):
        return Constant.of(np.array(value, np.int64 if isinstance(value, int) else np.float32))
    if isinstance(value, list):
        return Constant.of(np.array(value, np.int64))
    return Constant.of(tensor_array(value, "its tensor"))


def _identity(_chain: Chain, _attributes: dict[str, Any], inputs: Inputs) -> Value:
    return _data(inputs)


def _dropout(_chain: Chain, _attributes: dict[str, Any], inputs: Inputs) -> Value:
    if len(inputs) > 2 and inputs[2] is not None and bool(np.any(_whole(inputs[2]))):
        raise ValueError("it is in training mode")
    return _data(inputs)


def _shape(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value = _data(inputs)
    sizes = (len(value.entries),) if isinstance(value, Sizes) else value.sizes
    return from_sizes(sizes[attributes.get("start", 0) : attributes.get("end", len(sizes))])


def _transpose(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value = _data(inputs)
    if isinstance(value, Sizes):
        return value
    rank = len(value.sizes)
    order = attributes.get("perm", list(range(rank))[::-1])
    if sorted(order) != list(range(rank)):
        raise ValueError(f"its perm {order[:9]} is no order of {rank} axes")
    if isinstance(value, Tensor):
        return value.with_axes(value.axes[axis] for axis in order)
    return Constant(value.array.transpose(order), tuple(value.sizes[axis] for axis in order))


def _reshape(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value = _data(inputs)
    target = as_sizes(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else attributes.get("shape")
    if target is None or len(target) > _MOST_AXES:
        raise ValueError("its shape is not known")
    if isinstance(value, Tensor):
        axes = regroup(value.axes, target, bool(attributes.get("allowzero", 0)))
        if axes is None:
            raise ValueError(f"it cuts up or joins axes: {_text(value.sizes)} to {_text(target)}")
        return value.with_axes(axes)
    if isinstance(value, Sizes):
        if target not in ([-1], [1], [len(value.entries)]):
            raise ValueError("it reshapes sizes into more than a vector")
        return Sizes(value.entries)
    return Constant.of(_whole(value).reshape(_integers(from_sizes(target), "shape")))


def _text(sizes: Sequence[Size]) -> str:
    return f"({', '.join(str(size) if isinstance(size, int) else '*'.join(size.names) for size in sizes)})"


def _flatten(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value, axis = _data(inputs), attributes.get("axis", 1)
    if not isinstance(value, Tensor) or not -len(value.axes) <= axis <= len(value.axes):
        raise ValueError("it flattens no tensor of a sequence, or along no axis of it")
    axis += len(value.axes) if axis < 0 else 0
    joined = [tuple(atom for axis in part for atom in axis) for part in (value.axes[:axis], value.axes[axis:])]
    return value.with_axes(joined)


def _squeeze(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value, axes = _data(inputs), _given(attributes, "axes", inputs, 1)
    if isinstance(value, Sizes):
        if len(value.entries) != 1:
            raise ValueError("it squeezes a vector of several sizes")
        return Sizes(value.entries, scalar=True)
    rank = len(value.sizes)
    known = [k for k, size in enumerate(value.sizes) if size == 1] if axes is None else axes
    out = {_place(axis, rank) for axis in known}
    if any(value.sizes[axis] != 1 for axis in out):
        raise ValueError("it squeezes an axis whose size is not 1")
    kept = [axis for axis in range(rank) if axis not in out]
    if isinstance(value, Tensor):
        return value.with_axes(value.axes[axis] for axis in kept)
    if value.whole:
        return Constant.of(value.array.reshape([value.array.shape[axis] for axis in kept]))
    return Constant(value.array.reshape([value.array.shape[k] for k in kept]), tuple(value.sizes[k] for k in kept))


def _unsqueeze(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value, axes = _data(inputs), _given(attributes, "axes", inputs, 1)
    if axes is None or len(axes) > _MOST_AXES:
        raise ValueError("it names no axes")
    if isinstance(value, Sizes):
        if not value.scalar or axes not in ([0], [-1]):
            raise ValueError("it makes more than a vector of sizes")
        return Sizes(value.entries)
    rank = len(value.sizes) + len(axes)
    new = {_place(axis, rank) for axis in axes}
    if len(new) < len(axes) or rank > _MOST_AXES:
        raise ValueError("its axes are no places for new ones")
    if isinstance(value, Tensor):
        old = iter(value.axes)
        return value.with_axes(() if k in new else next(old) for k in range(rank))
    old_shape, old_sizes = iter(value.array.shape), iter(value.sizes)
    shape = [1 if k in new else next(old_shape) for k in range(rank)]
    return Constant(value.array.reshape(shape), tuple(1 if k in new else next(old_sizes) for k in range(rank)))


def _gather(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    """Take entries of sizes, or one part or step of a tensor; rows of a table by labels are an Embedding's."""
    value = _data(inputs)
    index = inputs[1] if len(inputs) > 1 else None
    entries = as_sizes(value)
    places = _integers(index, "indices")
    scalar = isinstance(index, Constant) and index.array.ndim == 0
    if entries is not None and attributes.get("axis", 0) in (0, -1):
        taken = [entries[_place(place, len(entries))] for place in places]
        return from_sizes(taken, scalar)
    if isinstance(value, Tensor):
        axis = _place(attributes.get("axis", 0), len(value.axes))
        taken_tensor = _select(chain, value, axis, places)
        if not scalar:
            return taken_tensor
        return taken_tensor.with_axes(each for k, each in enumerate(taken_tensor.axes) if k != axis)
    array = _whole(value)
    axis = _place(attributes.get("axis", 0), array.ndim)
    bounded(chain, array.nbytes * len(places))
    places = [_place(place, array.shape[axis]) for place in places]
    return Constant.of(np.take(array, places[0] if scalar else places, axis=axis))


def _slice(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value = _data(inputs)
    starts, ends = (_given(attributes, name, inputs, place) for place, name in enumerate(("starts", "ends"), 1))
    if starts is None or ends is None:
        raise ValueError("its starts and ends are not known")
    entries = as_sizes(value)
    rank = 1 if entries is not None else len(value.sizes) if not isinstance(value, Sizes) else 1
    axes = _given(attributes, "axes", inputs, 3) or list(range(len(starts)))
    steps = _given(attributes, "steps", inputs, 4) or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) <= rank or len(set(axes)) < len(axes):
        raise ValueError("its starts, ends, axes and steps do not fit together")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step == 0:
            raise ValueError("its step is 0")
        value = _slice_axis(chain, value, _place(axis, rank), slice(start, end if abs(end) < _END else None, step))
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
    if isinstance(size, int) and list(places) == list(range(size)):
        return tensor
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


def _split(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Sequence[Value]:
    value = _data(inputs)
    if isinstance(value, Sizes):
        raise ValueError("it splits sizes")
    axis = _place(attributes.get("axis", 0), len(value.sizes))
    sizes = _given(attributes, "split", inputs, 1)
    size = value.sizes[axis]
    if sizes is None and isinstance(size, int):
        count = attributes["num_outputs"]
        if not 0 < count <= max(size, 1):
            raise ValueError("it splits an axis into more parts than it has")
        each = -(-size // count)
        sizes = [min(each, size - k * each) for k in range(count)]
    if sizes is None or any(part < 0 for part in sizes) or sum(sizes) != size or len(sizes) > 1000:
        raise ValueError("its parts are not those of the axis")
    ends = np.cumsum(sizes).tolist()
    return [_slice_axis(chain, value, axis, slice(end - part, end, 1)) for part, end in zip(sizes, ends, strict=True)]


def _concat(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    values = [value for value in inputs if value is not None]
    if len(values) != len(inputs) or not values or "axis" not in attributes:
        raise ValueError("it lacks an input or its axis")
    vectors = [as_sizes(value) for value in values]
    if all(vector is not None for vector in vectors) and attributes["axis"] in (0, -1):
        if sum(len(vector) for vector in vectors if vector) > 1000:
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
    axis = _place(axis, rank)
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
    place = _place(axis, rank)
    parts = tuple(part for each in tensors for part in each.parts)
    kinds = {part[0] for part in parts}
    fit = len(kinds) == 1 and kinds <= {"y", "final", "given"} and len(parts) <= 1000
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


def bounded(chain: Chain, size: float) -> None:
    """Count the bytes of the constants that nodes make: a small file must not fill the memory."""
    chain.made += size
    if chain.made > MOST_MADE:
        raise ValueError(f"the graph makes more than {MOST_MADE} bytes of constants")


def _fill(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    """ConstantOfShape: the number is kept once, however large the shape."""
    sizes = as_sizes(_data(inputs))
    if sizes is None or len(sizes) > _MOST_AXES:
        raise ValueError("its shape is not known")
    value = tensor_array(attributes["value"], "its value") if "value" in attributes else np.zeros(1, np.float32)
    if value.size != 1:
        raise ValueError("its value should be one number")
    return Constant(value.reshape([1] * len(sizes)), tuple(sizes))


def _expand(_chain: Chain, _attributes: dict[str, Any], inputs: Inputs) -> Value:
    value, sizes = _data(inputs), as_sizes(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else None
    if not isinstance(value, Constant) or sizes is None or len(sizes) > _MOST_AXES:
        raise ValueError("it expands what is no constant")
    rank = max(len(sizes), len(value.sizes))
    old: list[Size] = [*[1] * (rank - len(value.sizes)), *value.sizes]
    new: list[Size] = [*[1] * (rank - len(sizes)), *sizes]
    result = [wanted if size == 1 else size for size, wanted in zip(old, new, strict=True)]
    if any(wanted not in (1, size) for size, wanted in zip(result, new, strict=True)):
        raise ValueError("its shapes do not fit together")
    array = value.array.reshape([1] * (rank - value.array.ndim) + list(value.array.shape))
    return Constant(array, tuple(result))


def _product(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    """ReduceProd of a vector of sizes."""
    entries = as_sizes(_data(inputs))
    if entries is None:
        raise ValueError("it multiplies what are no sizes")
    return from_sizes([product(entries)], scalar=not attributes.get("keepdims", 1))


SHAPING: dict[str, tuple[dict[str, Any], Operation]] = {
    "Concat": ({"axis": INT}, _concat),
    "Constant": (
        {"value": TENSOR, "value_int": INT, "value_ints": INTS, "value_float": FLOAT},
        _constant,
    ),
    "ConstantOfShape": ({"value": TENSOR}, _fill),
    "Dropout": ({"ratio": FLOAT, "seed": INT}, _dropout),
    "Expand": ({}, _expand),
    "Flatten": ({"axis": INT}, _flatten),
    "Gather": ({"axis": INT}, _gather),
    "Identity": ({}, _identity),
    "ReduceProd": ({"axes": INTS, "keepdims": INT, "noop_with_empty_axes": INT}, _product),
    "Reshape": ({"allowzero": INT, "shape": INTS}, _reshape),
    "Shape": ({"start": INT, "end": INT}, _shape),
    "Slice": ({"starts": INTS, "ends": INTS, "axes": INTS, "steps": INTS}, _slice),
    "Split": ({"axis": INT, "split": INTS, "num_outputs": INT}, _split),
    "Squeeze": ({"axes": INTS}, _squeeze),
    "Transpose": ({"perm": INTS}, _transpose),
    "Unsqueeze": ({"axes": INTS}, _unsqueeze),
}
"""Operator -> its attributes, and what it does."""
