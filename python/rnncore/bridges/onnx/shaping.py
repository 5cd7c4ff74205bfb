"""Nodes that move numbers around without computing any: they change the axes of a tensor, or reckon with sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnncore.bridges.onnx.attributes import FLOAT, INT, INTS, TENSOR
from rnncore.bridges.onnx.chain import Chain
from rnncore.bridges.onnx.files import tensor_array
from rnncore.bridges.onnx.operands import (
    MOST_AXES,
    Inputs,
    Operation,
    data,
    given,
    integers,
    place_of,
    whole_array,
)
from rnncore.bridges.onnx.values import (
    Constant,
    Size,
    Sizes,
    Tensor,
    Value,
    as_sizes,
    from_sizes,
    product,
    regroup,
)

__all__ = ["SHAPING"]


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
    return data(inputs)


def _dropout(_chain: Chain, _attributes: dict[str, Any], inputs: Inputs) -> Value:
    if len(inputs) > 2 and inputs[2] is not None and bool(np.any(whole_array(inputs[2]))):
        raise ValueError("it is in training mode")
    return data(inputs)


def _shape(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value = data(inputs)
    sizes = (len(value.entries),) if isinstance(value, Sizes) else value.sizes
    return from_sizes(sizes[attributes.get("start", 0) : attributes.get("end", len(sizes))])


def _transpose(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value = data(inputs)
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
    value = data(inputs)
    target = as_sizes(inputs[1]) if len(inputs) > 1 else attributes.get("shape")
    if target is None or len(target) > MOST_AXES:
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
    return Constant.of(whole_array(value).reshape(integers(from_sizes(target), "shape")))


def _text(sizes: Sequence[Size]) -> str:
    return f"({', '.join(str(size) if isinstance(size, int) else '*'.join(size.names) for size in sizes)})"


def _flatten(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value, axis = data(inputs), attributes.get("axis", 1)
    if not isinstance(value, Tensor) or not -len(value.axes) <= axis <= len(value.axes):
        raise ValueError("it flattens no tensor of a sequence, or along no axis of it")
    axis += len(value.axes) if axis < 0 else 0
    joined = [tuple(atom for axis in part for atom in axis) for part in (value.axes[:axis], value.axes[axis:])]
    return value.with_axes(joined)


def _squeeze(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value, axes = data(inputs), given(attributes, "axes", inputs, 1)
    if isinstance(value, Sizes):
        if len(value.entries) != 1:
            raise ValueError("it squeezes a vector of several sizes")
        return Sizes(value.entries, scalar=True)
    rank = len(value.sizes)
    known = [k for k, size in enumerate(value.sizes) if size == 1] if axes is None else axes
    out = {place_of(axis, rank) for axis in known}
    if any(value.sizes[axis] != 1 for axis in out):
        raise ValueError("it squeezes an axis whose size is not 1")
    kept = [axis for axis in range(rank) if axis not in out]
    if isinstance(value, Tensor):
        return value.with_axes(value.axes[axis] for axis in kept)
    return Constant(value.array.reshape([value.array.shape[k] for k in kept]), tuple(value.sizes[k] for k in kept))


def _unsqueeze(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    value, axes = data(inputs), given(attributes, "axes", inputs, 1)
    if axes is None or len(axes) > MOST_AXES:
        raise ValueError("it names no axes")
    if isinstance(value, Sizes):
        if not value.scalar or axes not in ([0], [-1]):
            raise ValueError("it makes more than a vector of sizes")
        return Sizes(value.entries)
    rank = len(value.sizes) + len(axes)
    new = {place_of(axis, rank) for axis in axes}
    if len(new) < len(axes) or rank > MOST_AXES:
        raise ValueError("its axes are no places for new ones")
    if isinstance(value, Tensor):
        old = iter(value.axes)
        return value.with_axes(() if k in new else next(old) for k in range(rank))
    old_shape, old_sizes = iter(value.array.shape), iter(value.sizes)
    shape = [1 if k in new else next(old_shape) for k in range(rank)]
    return Constant(value.array.reshape(shape), tuple(1 if k in new else next(old_sizes) for k in range(rank)))


def _fill(_chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Value:
    """ConstantOfShape: the number is kept once, however large the shape."""
    sizes = as_sizes(data(inputs))
    if sizes is None or len(sizes) > MOST_AXES:
        raise ValueError("its shape is not known")
    value = tensor_array(attributes["value"], "its value") if "value" in attributes else np.zeros(1, np.float32)
    if value.size != 1:
        raise ValueError("its value should be one number")
    return Constant(value.reshape([1] * len(sizes)), tuple(sizes))


def _expand(_chain: Chain, _attributes: dict[str, Any], inputs: Inputs) -> Value:
    value, sizes = data(inputs), as_sizes(inputs[1]) if len(inputs) > 1 else None
    if not isinstance(value, Constant) or sizes is None or len(sizes) > MOST_AXES:
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
    entries = as_sizes(data(inputs))
    if entries is None:
        raise ValueError("it multiplies what are no sizes")
    return from_sizes([product(entries)], scalar=not attributes.get("keepdims", 1))


SHAPING: dict[str, tuple[dict[str, Any], Operation]] = {
    "Constant": (
        {"value": TENSOR, "value_int": INT, "value_ints": INTS, "value_float": FLOAT},
        _constant,
    ),
    "ConstantOfShape": ({"value": TENSOR}, _fill),
    "Dropout": ({"ratio": FLOAT, "seed": INT}, _dropout),
    "Expand": ({}, _expand),
    "Flatten": ({"axis": INT}, _flatten),
    "Identity": ({}, _identity),
    "ReduceProd": ({"axes": INTS, "keepdims": INT, "noop_with_empty_axes": INT}, _product),
    "Reshape": ({"allowzero": INT, "shape": INTS}, _reshape),
    "Shape": ({"start": INT, "end": INT}, _shape),
    "Squeeze": ({"axes": INTS}, _squeeze),
    "Transpose": ({"perm": INTS}, _transpose),
    "Unsqueeze": ({"axes": INTS}, _unsqueeze),
}
"""Operator -> its attributes, and what it does."""
