"""Numbers of threads, sizes, caches and vectors to add to: what calls take, and what they refuse with which words."""

import numpy as np
import pytest

import rnncore
from layer_case import make_case
from rnncore import bptt

F32, F64 = np.dtype("float32"), np.dtype("float64")


@pytest.mark.parametrize(("value", "error", "message"), [
    (0, ValueError, "num_threads must be at least 1, got 0"),
    (-1, ValueError, "num_threads must be at least 1, got -1"),
    (1.0, TypeError, "num_threads should be of type int, got: float"),
    (2**31, ValueError, "num_threads must be at most 2147483647, got 2147483648"),
    (2**70, ValueError, "num_threads must be at most 2147483647, got 1180591620717411303424"),
    (True, TypeError, "num_threads should be of type int, got: bool"),
    ("1", TypeError, "num_threads should be of type int, got: str"),
])  # fmt: skip
def test_wrong_numbers_of_threads(value, error, message):
    case = make_case("gru")
    _, _, cache = case.layer.forward(case.x)
    calls = (
        lambda: case.layer(case.x, num_threads=value),
        lambda: case.layer.forward(case.x, num_threads=value),
        lambda: case.layer.backward(cache, num_threads=value),
        lambda: rnncore.set_num_threads(value),
        lambda: rnncore.Stream(case.layer, num_threads=value),
        lambda: rnncore.Linear(2, 3)(np.ones((1, 2)), num_threads=value),
    )
    for call in calls:
        with pytest.raises(error, match=f"^{message}$"):
            call()


@pytest.mark.parametrize("size", [2**63, 2**70])
@pytest.mark.parametrize(("name", "call"), [
    ("input_size", lambda size: rnncore.LSTM(size, 9)),
    ("hidden_size", lambda size: rnncore.LSTM(4, size)),
    ("num_layers", lambda size: rnncore.LSTM(4, 9, size)),
    ("in_features", lambda size: rnncore.Linear(size, 9)),
    ("out_features", lambda size: rnncore.Linear(4, size)),
    ("num_embeddings", lambda size: rnncore.Embedding(size, 9)),
    ("embedding_dim", lambda size: rnncore.Embedding(4, size)),
    ("normalized_shape", rnncore.LayerNorm),
    ("input_size", lambda size: rnncore.State("gru", size, np.zeros((1, 1, 4)))),
    ("batch_size", lambda size: rnncore.Stream(rnncore.GRU(4, 9), size)),
    ("batch_size", lambda size: rnncore.Stream(rnncore.GRU(4, 9)).resize(size)),
    ("checkpoint", lambda size: rnncore.GRU(4, 9).forward(np.zeros((5, 4)), checkpoint=size)),
    ("k1", lambda size: bptt.truncated(rnncore.GRU(4, 9), np.zeros((5, 4)), None, k1=size)),
    ("k2", lambda size: bptt.truncated(rnncore.GRU(4, 9), np.zeros((5, 4)), None, k1=1, k2=size)),
    ("burn_in", lambda size: bptt.truncated(rnncore.GRU(4, 9), np.zeros((5, 4)), None, k1=1, burn_in=size)),
])  # fmt: skip
def test_sizes_that_the_engine_cannot_count(name, call, size):
    with pytest.raises(ValueError, match=f"^{name} must be at most 9223372036854775807, got {size}$"):
        call(size)


def test_sizes_that_no_memory_holds():
    for call in (
        lambda: rnncore.LSTM(2**62, 9),
        lambda: rnncore.LSTM(4, 2**62),
        lambda: rnncore.LSTM(4, 9, 2**62),
        lambda: rnncore.LSTM(4, 9, 2**54),
        lambda: rnncore.Stream(rnncore.GRU(4, 9), 2**62),
    ):
        with pytest.raises(MemoryError, match="bytes"):
            call()
    with pytest.raises(
        ValueError, match="^proj_size should be a positive integer or zero .*, got -1180591620717411303424"
    ):
        rnncore.LSTM(4, 9, proj_size=-(2**70))


def test_any_integer_type_is_a_number_of_threads():
    case = make_case("gru")
    np.testing.assert_array_equal(case.layer(case.x, num_threads=np.int8(2))[0], case.layer(case.x)[0])


def test_backward_takes_its_own_caches_only():
    case, other = make_case("lstm"), make_case("lstm")
    head = rnncore.Linear(5, 1, dtype=F64)
    _, _, cache = other.layer.forward(case.x)
    _, head_cache = head.forward(case.dy)
    for wrong, given in ((cache, "another layer's"), (head_cache, "another layer's"), (None, "NoneType"), (1, "int")):
        with pytest.raises(ValueError, match=f"^cache should come from the forward call of this layer, got {given}$"):
            case.layer.backward(wrong, case.dy)


@pytest.mark.parametrize("layer", [rnncore.GRU(2, 3), rnncore.Linear(2, 3)])
def test_add_to_is_a_writable_vector_of_the_parameters_size_and_dtype(layer):
    cache = layer.forward(np.ones((4, 2)))[-1]
    dy, size = np.ones((4, 3)), layer.parameter_count
    read_only = np.zeros(size, F32)
    read_only.flags.writeable = False
    for wrong in ([0.0] * size, np.zeros(size), np.zeros(size, int), np.zeros(2 * size, F32)[::2], read_only):
        with pytest.raises(TypeError, match=r"^add_to must be a writable contiguous array of float32, got "):
            layer.backward(cache, dy, add_to=wrong)
    with pytest.raises(ValueError, match=rf"^add_to: expected shape \({size},\), got \({size + 1},\)$"):
        layer.backward(cache, dy, add_to=np.zeros(size + 1, F32))
