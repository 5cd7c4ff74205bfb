"""The RNN, LSTM and GRU operators, each in a session, with the state as input and output. No training, no float64."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from cases import GATES, Case

from engines import Prepared

ORDER = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}  # ONNX: z r n and i o f g; PyTorch: r z n and i f g o


def model(case: Case, data: dict[str, np.ndarray]) -> onnx.ModelProto:
    def ordered(array: np.ndarray) -> np.ndarray:
        gates = array.reshape(GATES[case.cell], case.H, *array.shape[1:])
        return gates[ORDER[case.cell]].reshape(array.shape)

    weights = {
        "W": ordered(data["weight_ih"])[None],
        "R": ordered(data["weight_hh"])[None],
        "B": np.concatenate([ordered(data["bias_ih"]), ordered(data["bias_hh"])])[None],
    }
    states = ["h", "c"] if case.cell == "lstm" else ["h"]
    node = onnx.helper.make_node(
        case.cell.upper(),
        ["x", "W", "R", "B", "lengths" if case.ragged else "", *states],
        ["y", *(f"{name}_n" for name in states)],
        hidden_size=case.H,
        **({"linear_before_reset": 1} if case.cell == "gru" else {}),
    )

    def value(name: str, *shape: int, kind: int = onnx.TensorProto.FLOAT) -> Any:
        return onnx.helper.make_tensor_value_info(name, kind, shape)

    inputs = [value("x", case.T, case.N, case.I), *(value(name, 1, case.N, case.H) for name in states)]
    if case.ragged:
        inputs.append(value("lengths", case.N, kind=onnx.TensorProto.INT32))
    graph = onnx.helper.make_graph(
        [node],
        "cell",
        inputs,
        [value("y", case.T, 1, case.N, case.H), *(value(f"{name}_n", 1, case.N, case.H) for name in states)],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def quantised(graph: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(graph, before)
        quantize_dynamic(before, after, weight_type=QuantType.QInt8, per_channel=True)
        return onnx.load(after)


def prepare(case: Case, threads: int) -> Prepared | None:
    if case.mode == "train" or case.dtype != "float32":
        return None
    data = case.draw()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if case.weights and case.cell != "lstm":
        return None  # its dynamic quantisation knows the LSTM alone
    graph = quantised(model(case, data)) if case.weights else model(case, data)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    zero = np.zeros((1, case.N, case.H), np.float32)
    feed = {"x": data["x"], "h": zero} | ({"c": zero} if case.cell == "lstm" else {})
    if case.ragged:
        feed["lengths"] = case.lengths().astype(np.int32)

    def run_infer(calls: int) -> None:
        for _ in range(calls):
            session.run(None, feed)

    def run_steps(calls: int) -> None:
        now = dict(feed)
        for _ in range(calls):
            now["h"], *rest = session.run(None, now)[1:]
            if rest:
                now["c"] = rest[0]

    return Prepared(run_steps if case.mode == "step" else run_infer, lambda: session.run(None, feed)[0][:, 0])
