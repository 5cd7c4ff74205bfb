"""LSTM(peepholes=True): the LSTM where they are zero, ONNX's where they are not."""

import numpy as np
import pytest

import rnncore

T, N, I, H = 9, 4, 3, 7  # noqa: E741


def case(dtype="float64", **options):
    rng = np.random.default_rng(0)
    lstm = rnncore.LSTM(I, H, peepholes=True, dtype=dtype, seed=rng, **options)
    for name, view in lstm.named_parameters().items():
        if name.startswith("peephole"):
            view[...] = rng.normal(size=H)
    return lstm, rng.normal(size=(T, N, I)).astype(dtype)


@pytest.mark.parametrize("proj_size", [0, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_peepholes_of_zero_are_none(dtype, proj_size):
    lstm, x = case(dtype, proj_size=proj_size, num_layers=2, bidirectional=True)
    plain = rnncore.LSTM(I, H, 2, proj_size=proj_size, bidirectional=True, dtype=dtype)
    own = [name for name in lstm.named_parameters() if name.startswith("peephole")]
    assert len(own) == 12
    for name in own:
        getattr(lstm, name)[...] = 0
    plain.load_state_dict({name: view for name, view in lstm.state_dict().items() if name not in own})
    np.testing.assert_array_equal(lstm(x)[0], plain(x)[0])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_they_are_those_of_onnx(bidirectional):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    lstm, x = case("float32", bidirectional=bidirectional)
    order = [0, 3, 1, 2]  # ONNX: i o f g
    suffixes = ["_l0", "_l0_reverse"][: 2 if bidirectional else 1]

    def stacked(*names, ordered=True):
        def one(name, suffix):
            view = getattr(lstm, name + suffix)
            return view.reshape(4, H, -1)[order].reshape(view.shape) if ordered else view

        return np.stack([np.concatenate([one(name, suffix) for name in names]) for suffix in suffixes])

    weights = {
        "W": stacked("weight_ih"),
        "R": stacked("weight_hh"),
        "B": stacked("bias_ih", "bias_hh"),
        "P": stacked("peephole_i", "peephole_o", "peephole_f", ordered=False),
    }
    D = len(suffixes)
    node = onnx.helper.make_node(
        "LSTM", ["x", "W", "R", "B", "", "", "", "P"], ["y", "h", "c"],
        hidden_size=H, direction="bidirectional" if bidirectional else "forward",
    )  # fmt: skip
    real = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node], "peepholes",
        [onnx.helper.make_tensor_value_info("x", real, (T, N, I))],
        [onnx.helper.make_tensor_value_info("y", real, (T, D, N, H)),
         onnx.helper.make_tensor_value_info("c", real, (D, N, H))],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    theirs, their_c = session.run(["y", "c"], {"x": x})
    y, (_, c) = lstm(x)
    np.testing.assert_allclose(y, theirs.transpose(0, 2, 1, 3).reshape(T, N, D * H), rtol=0, atol=2e-6)
    np.testing.assert_allclose(c, their_c, rtol=0, atol=5e-6)


def test_they_are_told_and_fixed():
    lstm, _ = case()
    assert repr(lstm) == "LSTM(3, 7, peepholes=True, dtype=float64)"
    with pytest.raises(AttributeError, match="peepholes is fixed"):
        lstm.peepholes = False
    with pytest.raises(TypeError, match="peepholes should be of type bool"):
        rnncore.LSTM(3, 7, peepholes=1)
