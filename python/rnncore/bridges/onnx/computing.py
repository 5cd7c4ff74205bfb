"""Nodes that compute: each is a layer of the chain, or a part of one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnncore.bridges.onnx.attributes import FLOAT, INT, STRING
from rnncore.bridges.onnx.chain import Chain, Spec
from rnncore.bridges.onnx.operands import Inputs, Operation, Result, bounded
from rnncore.bridges.onnx.selecting import SELECTING
from rnncore.bridges.onnx.values import (
    Atom,
    Constant,
    Product,
    Size,
    Sizes,
    Tensor,
    Value,
    as_sizes,
    from_sizes,
    product,
)

__all__ = ["COMPUTING"]


def _matrix(value: Value | None) -> Any:
    if not isinstance(value, Constant) or not value.whole or value.array.ndim != 2:
        raise ValueError("its weights should be a constant matrix")
    return value.array


def _add_linear(chain: Chain, tensor: Value | None, weight: Any) -> Tensor:
    outputs, features = weight.shape
    if not outputs:
        raise ValueError("its weights give no features")
    spec = Spec("Linear", {"in_features": features, "out_features": outputs, "bias": False}, {"weight": weight})
    return chain.add(tensor, spec, features, outputs)


def _matmul(chain: Chain, _attributes: dict[str, Any], inputs: Inputs) -> Result:
    if len(inputs) != 2:
        raise ValueError("it should have two inputs")
    return _add_linear(chain, inputs[0], _matrix(inputs[1]).T)


def _gemm(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Result:
    if attributes.get("transA", 0) or attributes.get("alpha", 1.0) != 1 or attributes.get("beta", 1.0) != 1:
        raise ValueError("its transA, alpha and beta should be 0, 1 and 1")
    if len(inputs) not in (2, 3):
        raise ValueError("it should have two or three inputs")
    weight = _matrix(inputs[1])
    y = _add_linear(chain, inputs[0], weight if attributes.get("transB", 0) else weight.T)
    return y if len(inputs) == 2 or inputs[2] is None else _add_bias(chain, y, inputs[2])


def _add_bias(chain: Chain, tensor: Tensor, bias: Value | None) -> Tensor:
    chain.read(tensor)
    spec = chain.specs[-1] if chain.specs else None
    if spec is None or spec.kind != "Linear" or spec.options["bias"] or "activation" in spec.options:
        raise ValueError("it adds to what is no product with weights: a bias stands behind a Linear layer")
    outputs = spec.options["out_features"]
    if not isinstance(bias, Constant) or not bias.whole or math.prod(bias.array.shape[:-1]) != 1:
        raise ValueError("it should add a constant vector")
    if bias.array.shape[-1:] not in ((), (1,), (outputs,)):
        raise ValueError(f"its bias has the shape {bias.array.shape}, the layer gives {outputs} features")
    chain.check_dtype(bias.array)
    spec.options["bias"] = True
    spec.parameters["bias"] = np.array(np.broadcast_to(bias.array.ravel(), outputs))
    return chain.changed(tensor)


def _activation(name: str) -> Operation:
    def operation(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Result:
        if attributes.get("approximate", "none") != "none":
            raise ValueError("it approximates; a Linear layer's gelu does not")
        if len(inputs) != 1 or not isinstance(inputs[0], Tensor):
            raise ValueError("it should have one input, the output of a layer")
        chain.read(inputs[0])
        spec = chain.specs[-1] if chain.specs else None
        if spec is None or spec.kind != "Linear" or "activation" in spec.options:
            raise ValueError("an activation stands behind a Linear layer, and is one of its options")
        spec.options["activation"] = name
        return chain.changed(inputs[0])

    return operation


def _layer_norm(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Result:
    if len(inputs) not in (2, 3) or not isinstance(inputs[0], Tensor):
        raise ValueError("it should have two or three inputs, the first the output of a layer")
    if attributes.get("axis", -1) not in (-1, len(inputs[0].axes) - 1):
        raise ValueError("it normalises over more than the features")
    arrays = []
    for value in inputs[1:]:
        if value is not None:
            if not isinstance(value, Constant) or not value.whole or value.array.ndim != 1:
                raise ValueError("its scale and bias should be constant vectors")
            arrays.append(value.array)
    if not arrays or not arrays[0].size or any(array.shape != arrays[0].shape for array in arrays):
        raise ValueError("its scale and bias should have one number for each feature")
    size = len(arrays[0])
    epsilon = attributes.get("epsilon", 1e-5)
    if epsilon < 0:
        raise ValueError("its epsilon is negative")
    # protobuf holds a float32: the shortest decimal that is this number is the one that was meant
    options = {"normalized_shape": size, "eps": float(str(np.float32(epsilon))), "bias": len(arrays) == 2}
    spec = Spec("LayerNorm", options, dict(zip(("weight", "bias"), arrays, strict=False)))
    return chain.add(inputs[0], spec, size, size)


def _gather(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Result:
    """Look up rows of a table by the input's labels; else it takes places along an axis."""
    table, labels = (*inputs, None, None)[:2]
    if not isinstance(table, Constant) or not isinstance(labels, Tensor) or attributes.get("axis", 0) != 0:
        return SELECTING["Gather"][1](chain, attributes, inputs)
    weight = _matrix(table)
    if not weight.size:
        raise ValueError("its table is empty")
    if labels.table is not None:
        rows = labels.table[: len(weight)]
        outside = (rows < -len(weight)) | (rows >= len(weight))
        if rows.dtype.kind not in "iu" or len(rows) < len(weight) or outside.any():
            raise ValueError("its indices are reckoned from the labels in a way that leaves the table")
        weight = weight[rows]
    spec = Spec("Embedding", dict(zip(("num_embeddings", "embedding_dim"), weight.shape, strict=True)))
    spec.parameters["weight"] = weight
    return chain.add(labels, spec, 0, weight.shape[1], labels=True)


# ---- what is reckoned from labels, sizes and lengths

_MOST_LABELS = 1 << 24
_DTYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}


def _cast(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Result:
    (value,) = (*inputs, None)[:1]
    dtype = _DTYPES.get(attributes.get("to", 0))
    if value is None or dtype is None:
        raise ValueError("it casts to a type that no layer works on")
    if isinstance(value, Constant):
        bounded(chain, 8 * value.array.size)
        return Constant(value.array.astype(dtype), value.sizes)
    if isinstance(value, Tensor):
        if value.table is not None:
            return Tensor(value.axes, value.parts, value.table.astype(dtype))
        if value.parts[0][0] == "input" and np.dtype(dtype).kind in "ib":  # of labels, or of lengths
            return value if np.dtype(dtype).kind == "i" else Tensor(value.axes, value.parts, _labels(chain) != 0)
        if value.parts[0][0] == "input" and chain.labels:
            return Tensor(value.axes, value.parts, _labels(chain).astype(dtype))
        if dtype != chain.dtype:
            raise ValueError(f"it casts to {np.dtype(dtype)} what is {chain.dtype}")
    return value


def _labels(chain: Chain) -> Any:
    """Return all labels that a table of the graph could take."""
    bounded(chain, 8 * chain.labels)
    if not 0 < chain.labels <= _MOST_LABELS:
        raise ValueError("it reckons with labels of no table, or of too large a one")
    return np.arange(chain.labels)


def _elementwise(function: Any) -> Operation:
    """Functions of the labels alone are tabulated: what the graph does to them ends in other rows of the table."""

    def operation(chain: Chain, _attributes: dict[str, Any], inputs: Inputs) -> Result:
        if len(inputs) != getattr(function, "nin", 3):  # of where
            raise ValueError("it has another number of inputs than its operator")
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        if not tensors or any(each.parts != tensors[0].parts or each.parts[0][0] != "input" for each in tensors):
            raise ValueError("it works on outputs of layers in a way that no layer does")
        if any(each.axes != tensors[0].axes for each in tensors):
            raise ValueError("it works on labels of different places")
        arrays: list[Any] = []
        for value in inputs:
            if isinstance(value, Tensor):
                arrays.append(_labels(chain) if value.table is None else value.table)
            elif isinstance(value, Constant) and value.whole and value.array.size == 1:
                arrays.append(value.array.reshape(()))
            else:
                raise ValueError("it works on labels and something that is no number")
        _labels(chain)
        with np.errstate(all="ignore"):
            return Tensor(tensors[0].axes, tensors[0].parts, np.broadcast_to(function(*arrays), chain.labels))

    return operation


def _mul(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Result:
    vectors = [as_sizes(value) for value in inputs]
    if len(vectors) == 2 and vectors[0] is not None and vectors[1] is not None:
        if len(vectors[0]) != len(vectors[1]):
            raise ValueError("it multiplies vectors of sizes that do not fit together")
        scalar = all(isinstance(value, Sizes) and value.scalar for value in inputs)
        return from_sizes([product(pair) for pair in zip(*vectors, strict=True)], scalar)
    return _elementwise(np.multiply)(chain, attributes, inputs)


def _add(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Result:
    if len(inputs) != 2:
        raise ValueError("it should have two inputs")
    for tensor, other in (inputs, inputs[::-1]):
        if isinstance(tensor, Tensor) and isinstance(other, Constant) and tensor.parts[0][0] != "input":
            return _add_bias(chain, tensor, other)
    return _elementwise(np.add)(chain, attributes, inputs)


def _range(_chain: Chain, _attributes: dict[str, Any], inputs: Inputs) -> Result:
    """Count the steps, to compare them with lengths."""
    vectors = [as_sizes(value) for value in inputs]
    if len(vectors) == 3 and vectors[0] == [0] and vectors[2] == [1] and vectors[1] is not None:
        (size,) = vectors[1]
        return Tensor(((_steps_atom(size),),), (("steps",),))
    raise ValueError("it counts something other than steps")


def _steps_atom(size: Size) -> Atom:
    name = size.names[0] if isinstance(size, Product) and len(size.names) == 1 and size.factor == 1 else ""
    return Atom(name, size)


def _less(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Result:
    """Steps less than lengths are the valid ones."""
    if len(inputs) == 2 and isinstance(inputs[0], Tensor) and inputs[0].parts == (("steps",),):
        steps, lengths = inputs[0].axes, inputs[1]
        if (
            not isinstance(lengths, Tensor)
            or lengths.parts[0][0] != "input"
            or len(lengths.axes) != 1
            or len(steps) != 2
            or steps[1]
        ):
            raise ValueError("it compares steps with what are no lengths")
        return Tensor((steps[0], lengths.axes[0]), (("valid", lengths.parts[0][1]),))
    return _elementwise(np.less)(chain, attributes, inputs)


def _where(chain: Chain, attributes: dict[str, Any], inputs: Inputs) -> Result:
    """Zeros past the lengths are what a model gives anyway."""
    if len(inputs) == 3 and isinstance(inputs[0], Tensor) and inputs[0].parts[0][0] == "valid":
        valid, y, zero = inputs
        assert isinstance(valid, Tensor)
        front = chain.read(y)
        fits = isinstance(zero, Constant) and not np.any(zero.array) and len(valid.axes) == len(front) + 1
        fits = fits and not valid.axes[-1] and chain.lengths in (None, valid.parts[0][1])
        if not fits or y is None or len(front) != 2 or front != (valid.axes[0], chain.rows or front[1]):
            raise ValueError("it masks something other than the steps past the lengths")
        chain.lengths = valid.parts[0][1]
        return y
    return _elementwise(np.where)(chain, attributes, inputs)


COMPUTING: dict[str, tuple[dict[str, Any], Operation]] = {
    "Add": ({}, _add),
    "And": ({}, _elementwise(np.logical_and)),
    "Cast": ({"to": INT, "saturate": INT, "round_mode": STRING}, _cast),
    "Equal": ({}, _elementwise(np.equal)),
    "Gather": ({"axis": INT}, _gather),
    "Gelu": ({"approximate": STRING}, _activation("gelu")),
    "Gemm": ({"alpha": FLOAT, "beta": FLOAT, "transA": INT, "transB": INT}, _gemm),
    "Greater": ({}, _elementwise(np.greater)),
    "LayerNormalization": ({"axis": INT, "epsilon": FLOAT, "stash_type": INT}, _layer_norm),
    "Less": ({}, _less),
    "MatMul": ({}, _matmul),
    "Mul": ({}, _mul),
    "Not": ({}, _elementwise(np.logical_not)),
    "Or": ({}, _elementwise(np.logical_or)),
    "Range": ({}, _range),
    "Relu": ({}, _activation("relu")),
    "Sigmoid": ({}, _activation("sigmoid")),
    "Sub": ({}, _elementwise(np.subtract)),
    "Tanh": ({}, _activation("tanh")),
    "Where": ({}, _where),
}
"""Operator -> its attributes, and what it does."""
