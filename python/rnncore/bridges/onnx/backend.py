"""ONNX's backend interface for graphs of RNN, GRU and LSTM nodes, with all of their attributes.

What the engine's cells compute runs on the engine: the default activations (or Relu of an RNN), peepholes, a GRU with
linear_before_reset=1, each direction. The rest, clip, input_forget, other activations and the GRU with its reset before
the product, runs in NumPy over the loop of `rnncore.reference`, in float64: slowly and right.

>>> import numpy as np, onnx
>>> node = onnx.helper.make_node("GRU", ["X", "W", "R"], ["Y", "Y_h"], hidden_size=4, linear_before_reset=1)
>>> arrays = [np.ones(shape, np.float32) for shape in ((5, 2, 3), (1, 12, 3), (1, 12, 4))]
>>> y, h = run_node(node, arrays)
>>> y.shape, h.shape
((5, 1, 2, 4), (1, 2, 4))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from rnncore.arguments import Array
from rnncore.bridges.onnx import twin
from rnncore.bridges.onnx.attributes import named
from rnncore.bridges.onnx.files import Graph, check
from rnncore.bridges.onnx.recurrent import Recurrent, Weights
from rnncore.files import FormatError
from rnncore.layers.gru import GRU
from rnncore.layers.lstm import LSTM
from rnncore.layers.rnn import RNN

__all__ = ["PreparedModel", "is_compatible", "prepare", "run_model", "run_node", "supports_device"]

_LAYERS: dict[str, Any] = {"GRU": GRU, "LSTM": LSTM, "RNN": RNN}


def supports_device(device: str) -> bool:
    """Return whether it is "CPU", with or without a number."""
    return device.partition(":")[0].upper() == "CPU"


def is_compatible(model: onnx.ModelProto, device: str = "CPU", **_: Any) -> bool:
    """Return whether `prepare` takes a model: a flat graph of recurrent nodes alone."""
    try:
        prepare(model, device)
    except ValueError:
        return False
    return True


def prepare(model: onnx.ModelProto, device: str = "CPU", **_: Any) -> PreparedModel:
    """Read a model of recurrent nodes. Raises FormatError, a ValueError, which names the node that it does not take."""
    if not supports_device(device):
        raise ValueError(f"device should be 'CPU', got {device!r}")
    return PreparedModel(check(model))


def run_model(model: onnx.ModelProto, inputs: Any, device: str = "CPU", **_: Any) -> tuple[Array, ...]:
    """Run a model once: `prepare(model).run(inputs)`."""
    return prepare(model, device).run(inputs)


def run_node(
    node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **_: Any
) -> tuple[Array, ...]:
    """Run one node on arrays in the order of its inputs, those that it leaves out apart; return its outputs."""
    del outputs_info  # a part of the interface: shapes follow from the inputs
    if not supports_device(device):
        raise ValueError(f"device should be 'CPU', got {device!r}")
    recurrent = Recurrent.read(node)
    names = [name for name in node.input if name]
    values = _by_name(names, inputs)
    arrays = {own: values[name] for own, name in recurrent.inputs().items()}
    results = _run(recurrent, recurrent.weights(arrays), None, arrays)
    return tuple(result for name, result in zip(node.output, results, strict=False) if name)


class PreparedModel:
    """A model that `prepare` has read; weights that are constants are in the engine already."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes = []
        for node in graph.nodes:
            recurrent = Recurrent.read(node)
            given = recurrent.inputs()
            arrays = {own: graph.constants[name] for own, name in given.items() if name in graph.constants}
            fixed = all(own in arrays for own in ("W", "R", "B", "P") if own in given)
            weights = recurrent.weights(arrays) if fixed else None
            layer = None if weights is None else _layer(recurrent, weights)
            self._nodes.append((recurrent, weights, layer))

    def run(self, inputs: Any, **_: Any) -> tuple[Array, ...]:
        """Return the outputs of the graph.

        inputs are arrays in the order of the graph's inputs, or a mapping of their names. Raises ValueError, which
        names the node, for arrays that do not fit.
        """
        values = {**self._graph.constants, **_by_name([each.name for each in self._graph.inputs], inputs)}
        for recurrent, weights, layer in self._nodes:
            arrays = {own: values[name] for own, name in recurrent.inputs().items()}
            results = _run(recurrent, weights or recurrent.weights(arrays), layer, arrays)
            values.update({name: each for name, each in zip(recurrent.node.output, results, strict=False) if name})
        return tuple(values[each.name] for each in self._graph.outputs)


def _by_name(names: Sequence[str], inputs: Any) -> dict[str, Array]:
    """Name -> array, of a mapping, of arrays in the order of their names, or of one array."""
    if isinstance(inputs, np.ndarray):
        inputs = [inputs]
    if not isinstance(inputs, Mapping):
        if len(inputs) != len(names):
            raise ValueError(f"inputs: expected {len(names)} arrays ({', '.join(names)}), got {len(inputs)}")
        inputs = dict(zip(names, inputs, strict=True))
    missing = [name for name in names if name not in inputs]
    if missing or len(inputs) != len(names):
        raise ValueError(f"inputs: expected {', '.join(names)}, got {', '.join(map(str, inputs)) or 'none'}")
    return {name: np.asarray(inputs[name]) for name in names}


def _layer(recurrent: Recurrent, weights: Weights) -> Any:
    """Return a layer of the engine that computes the node, None if there is none."""
    cell = recurrent.cell(weights.P is not None)
    if cell is None:
        return None
    layer = _LAYERS[recurrent.op_type](
        weights.input_size,
        recurrent.hidden_size,
        bias=weights.B is not None,
        dtype=weights.W.dtype,
        **recurrent.layer_options(cell),
    )
    layer.load_state_dict(recurrent.parameters(weights))
    return layer


def _run(recurrent: Recurrent, weights: Weights, layer: Any, arrays: dict[str, Array]) -> tuple[Array, ...]:
    """Return Y, Y_h and, of an LSTM, Y_c."""
    x, lengths, initial = _read(recurrent, weights, arrays)
    layer = layer or _layer(recurrent, weights)
    if layer is None:
        y, states = twin.run(recurrent, weights, x, initial, lengths)
    else:
        order = _backwards(len(x), lengths) if recurrent.direction == "reverse" else None
        turned = x if order is None else np.take_along_axis(x, order, axis=0)
        flat, hx = layer(turned, initial if recurrent.state_count > 1 else initial[0], lengths=lengths)
        states = hx if recurrent.state_count > 1 else (hx,)
        flat = flat if order is None else np.take_along_axis(flat, order, axis=0)
        y = flat.reshape(*x.shape[:2], recurrent.directions, recurrent.hidden_size)
    if recurrent.batch_first:
        return y.transpose(1, 0, 2, 3), *(state.transpose(1, 0, 2) for state in states)
    return y.transpose(0, 2, 1, 3), *states


def _read(recurrent: Recurrent, weights: Weights, arrays: dict[str, Array]) -> tuple[Array, Array, tuple[Array, ...]]:
    """Check x, the lengths and the initial state; return them with the steps first."""
    x, node = arrays["X"], recurrent.node
    if x.ndim != 3 or x.shape[2] != weights.input_size or x.dtype != weights.W.dtype:
        raise FormatError(
            f"{named(node)}: X should have 3 axes, the last of size {weights.input_size}, and be "
            f"{weights.W.dtype} as W is, got {x.shape}, {x.dtype}"
        )
    x = x.swapaxes(0, 1) if recurrent.batch_first else x
    T, N = x.shape[:2]
    lengths = np.full(N, T, np.int64)
    if "sequence_lens" in arrays:
        given = arrays["sequence_lens"]
        if given.shape != (N,) or given.dtype.kind not in "iu" or (given < 0).any() or (given > T).any():
            raise FormatError(
                f"{named(node)}: sequence_lens should be {N} integers in 0..{T}, got {given[:10].tolist()}"
            )
        lengths = given.astype(np.int64)
    shape = (recurrent.directions, N, recurrent.hidden_size)
    initial = []
    for name in ("initial_h", "initial_c")[: recurrent.state_count]:
        state = arrays.get(name, np.zeros((), x.dtype))
        if name in arrays:
            recurrent.check(name, state, (N, shape[0], shape[2]) if recurrent.batch_first else shape, x.dtype)
            state = state.swapaxes(0, 1) if recurrent.batch_first else state
        initial.append(np.broadcast_to(state, shape))
    return x, lengths, tuple(initial)


def _backwards(steps: int, lengths: Array) -> Array:
    """Return (T, N, 1) places that turn each row around within its length."""
    t = np.arange(steps)[:, None]
    return np.where(t < lengths, lengths - 1 - t, t)[:, :, None]
