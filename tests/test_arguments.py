"""Reading of arguments: what is viewed, what is copied, what is refused and with which words."""

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, as_tuple, make_case
from rnncore import arguments
from variants import in_form

F32, F64 = np.dtype("float32"), np.dtype("float64")


# ---- real numbers


@pytest.mark.parametrize("dtype", [F32, F64])
def test_native_aligned_arrays_are_never_copied(dtype):
    a = np.arange(24, dtype=dtype).reshape(4, 3, 2)
    frozen = a.copy()
    frozen.flags.writeable = False
    views = (a, frozen, a[::2], a[::-1], a[:, 1:], a.swapaxes(0, 1), a[:, :, :1], np.broadcast_to(a[:1], (9, 3, 2)))
    for view in views:
        got = arguments.as_real(view, "x", dtype)
        assert np.shares_memory(got, view)
        assert got.strides == view.strides
    assert arguments.as_real(a, "x", dtype) is a


def test_subclasses_are_viewed_as_arrays(tmp_path):
    mapped = np.memmap(tmp_path / "x", dtype=F32, mode="w+", shape=(4, 2))
    got = arguments.as_real(mapped, "x", F32)
    assert type(got) is np.ndarray
    assert np.shares_memory(got, mapped)


def misaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)[1:]
    view = raw.view(a.dtype).reshape(a.shape)
    view[...] = a
    assert not view.flags.aligned
    return view


ODD = {
    "misaligned": misaligned,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "last axis strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "last axis backwards": lambda a: a[..., ::-1].copy()[..., ::-1],
    "fortran": np.asfortranarray,
    "field of a record": lambda a: np.rec.fromarrays([a, a.astype(np.int8)], names="a,b")["a"],
    "nested lists": lambda a: a.tolist(),
    "tuple of rows": tuple,
    "int8": lambda a: a.astype(np.int8),
    "uint64": lambda a: a.astype(np.uint64),
    "float16": lambda a: a.astype(np.float16),
    "longdouble": lambda a: a.astype(np.longdouble),
    "other float": lambda a: a.astype(F32 if a.dtype == F64 else F64),
    "read-only": lambda a: np.broadcast_to(a, a.shape),
    "memoryview": memoryview,
}


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("odd", ODD)
def test_other_arrays_of_real_numbers_give_the_result_of_a_plain_copy(odd, dtype):
    case = make_case("lstm", T=3, N=2, dtype=dtype)
    plain = np.arange(18, dtype=dtype).reshape(3, 2, 3)
    y, _ = case.layer(ODD[odd](plain), case.hx)
    np.testing.assert_array_equal(y, case.layer(plain, case.hx)[0], strict=True)

    states = as_tuple(case.hx)
    whole = tuple(np.arange(h.size, dtype=dtype).reshape(h.shape) for h in states)
    y, _ = case.layer(plain, tuple(ODD[odd](h) for h in whole))
    np.testing.assert_array_equal(y, case.layer(plain, whole)[0], strict=True)


def test_a_row_cut_from_a_record_array_is_an_input():
    records = np.zeros(4, dtype=[("x", "f4", (3,)), ("label", "i1")])
    one = records[:1]["x"]
    assert one.strides == (13, 4)
    y, _ = rnncore.GRU(3, 4, seed=0)(one)
    np.testing.assert_array_equal(y, rnncore.GRU(3, 4, seed=0)(one.copy())[0])


NOT_REAL = {
    "None": None,
    "bool": np.ones((3, 2, 3), bool),
    "complex": np.ones((3, 2, 3), complex),
    "str": "text",
    "array of str": np.full((3, 2, 3), "1"),
    "object": np.ones((3, 2, 3), object),
    "bytes": b"123",
    "datetime": np.zeros((3, 2, 3), "M8[s]"),
    "record": np.zeros((3, 2), "f4,f4"),
    "dict": {"a": 1.0},
    "set": {1.0},
    "generator": (x for x in [1.0]),
    "masked": np.ma.masked_array(np.ones((3, 2, 3)), mask=np.eye(2, 3) * np.ones((3, 1, 1))),
    "list of masked": [np.ma.masked_array(np.ones((2, 3)), mask=np.eye(2, 3))] * 3,
    "None inside": [[[None, 1.0, 2.0]]],
}


@pytest.mark.parametrize("name", NOT_REAL)
def test_what_holds_no_real_numbers_is_a_type_error_that_names_the_argument(name):
    case = make_case("lstm", T=3, N=2)
    value = NOT_REAL[name]
    with pytest.raises(TypeError, match=r"^x must"):
        case.layer(value)
    with pytest.raises(TypeError, match=r"^hx\[1\] must"):
        case.layer(case.x, (case.hx[0], value))
    _, _, cache = case.layer.forward(case.x, case.hx)
    if value is not None:
        with pytest.raises(TypeError, match=r"^dy must"):
            case.layer.backward(cache, value)
        with pytest.raises(TypeError, match=r"^dhx\[0\] must"):
            case.layer.backward(cache, None, (value, case.hx[1]))


def test_ragged_lists_are_a_value_error_that_names_the_argument():
    with pytest.raises(ValueError, match=r"^x must be an array: "):
        rnncore.GRU(1, 2)([[[1.0]], [[1.0], [2.0]]])


# ---- shapes, one wrong at a time

X, H = (7, 4, 3), (2, 4, 5)  # of the case: T N I, L*D N H
WRONG_STATES = [
    (2, 4, 6),
    (2, 3, 5),
    (3, 4, 5),
    (2, 5),
    (2, 4, 5, 1),
    (5,),
    (),
    (2, 4, 0),
    (8, 5),
    (1, 4, 5),
    (2, 1, 5),
]


@pytest.mark.parametrize(("shape", "message"), [
    ((7, 4, 2), "x has 2 features, the layer expects 3"),
    ((7, 4, 0), "x has 0 features, the layer expects 3"),
    ((7, 2), "x has 2 features, the layer expects 3"),
    ((3,), r"x: expected input to be 2D or 3D, got 1D instead, shape \(3,\)"),
    ((), r"x: expected input to be 2D or 3D, got 0D instead, shape \(\)"),
    ((1, 7, 4, 3), r"x: expected input to be 2D or 3D, got 4D instead, shape \(1, 7, 4, 3\)"),
])  # fmt: skip
@pytest.mark.parametrize("batch_first", [False, True])
def test_x_of_a_wrong_shape(shape, message, batch_first):
    with pytest.raises(ValueError, match=f"^{message}$"):
        rnncore.LSTM(3, 5, batch_first=batch_first)(np.ones(shape, F32))


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("shape", WRONG_STATES)
def test_states_of_a_wrong_shape(cell, shape):
    case = make_case(cell)
    states = as_tuple(case.hx)
    _, _, cache = case.layer.forward(case.x, case.hx)
    for k in range(len(states)):
        wrong = [np.ones(shape) if j == k else h for j, h in enumerate(states)]
        hx, label = (in_form(wrong), rf"\[{k}\]" if len(wrong) > 1 else "")
        text = ".*expected hidden size " + str(H).replace("(", r"\(").replace(")", r"\)")
        text += ", got " + str(shape).replace("(", r"\(").replace(")", r"\)") + "$"
        with pytest.raises(ValueError, match=f"^hx{label}: {text}"):
            case.layer(case.x, hx)
        with pytest.raises(ValueError, match=f"^dhx{label}: {text}"):
            case.layer.backward(cache, case.dy, hx)


@pytest.mark.parametrize("cell", LAYERS)
def test_states_of_the_other_rank_tell_which_rank_goes_with_x(cell):
    case = make_case(cell, N=1)
    flat = in_form(h[:, 0] for h in as_tuple(case.hx))
    with pytest.raises(ValueError, match="for batched 3-D input the state should also be 3-D"):
        case.layer(case.x, flat)
    with pytest.raises(ValueError, match="for unbatched 2-D input the state should also be 2-D"):
        case.layer(case.x[:, 0], case.hx)


@pytest.mark.parametrize(("hx", "error"), [
    (np.ones((2, *H)), TypeError), (np.ones(H), TypeError), ("hc", TypeError), (3.0, TypeError),
    ((np.ones(H),), ValueError), ((np.ones(H),) * 3, ValueError), ((), ValueError),
])  # fmt: skip
def test_the_state_of_an_lstm_is_a_tuple_of_two(hx, error):
    case = make_case("lstm")
    _, _, cache = case.layer.forward(case.x, case.hx)
    with pytest.raises(error, match=r"^hx should be a tuple of two arrays, h and c, got "):
        case.layer(case.x, hx)
    with pytest.raises(error, match=r"^dhx should be a tuple of two arrays, h and c, got "):
        case.layer.backward(cache, case.dy, hx)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("shape", [(7, 4, 4), (6, 4, 5), (7, 3, 5), (7, 5), (5,), (), (7, 4, 5, 1)])
def test_dy_of_a_wrong_shape(shape, batch_first):
    case = make_case("gru", batch_first=batch_first)
    _, _, cache = case.layer.forward(case.x, case.hx)
    expected = r"\(4, 7, 5\)" if batch_first else r"\(7, 4, 5\)"
    with pytest.raises(ValueError, match=rf"^dy: expected shape {expected}, got \("):
        case.layer.backward(cache, np.ones(shape))


# ---- lengths


@pytest.mark.parametrize("lengths", [
    [7, 0, 3, 1], (7, 0, 3, 1), np.array([7, 0, 3, 1], np.uint8), np.array([7, 0, 3, 1], ">i4"),
    np.array([7, 0, 3, 1, 9])[:-1], np.array([7, 9, 0, 9, 3, 9, 1, 9], np.uint64)[::2],
])  # fmt: skip
def test_any_integers_are_lengths(lengths):
    case = make_case("gru")
    case.train(lengths=lengths).assert_identical(case.train(lengths=np.array([7, 0, 3, 1])))


@pytest.mark.parametrize(("lengths", "error", "message"), [
    ([7, 8, 1, 1], ValueError, r"lengths\[1\] is 8, expected 0 to 7, the steps of x"),
    ([7, 7, 1, -1], ValueError, r"lengths\[3\] is -1, expected 0 to 7, the steps of x"),
    (np.array([2**64 - 1] * 4, np.uint64), ValueError, r"lengths\[0\] is 18446744073709551615, expected 0 to 7.*"),
    ([-(2**63)] * 4, ValueError, r"lengths\[0\] is -9223372036854775808, expected 0 to 7, the steps of x"),
    ([7, 7, 7], ValueError, r"lengths: expected shape \(4,\), one per row, got \(3,\)"),
    ([[7, 7, 7, 7]], ValueError, r"lengths: expected shape \(4,\), one per row, got \(1, 4\)"),
    (7, ValueError, r"lengths: expected shape \(4,\), one per row, got \(\)"),
    ([], ValueError, r"lengths: expected shape \(4,\), one per row, got \(0,\)"),
    ([1.0, 2.0, 3.0, 4.0], TypeError, "lengths must hold integers, got list .*float64.*"),
    (np.ones(4, bool), TypeError, "lengths must hold integers, got dtype bool"),
    ([2**70] * 4, TypeError, "lengths must hold integers, got list .*object.*"),
    (["1"] * 4, TypeError, "lengths must hold integers, got list .*"),
    (np.ma.masked_array([1] * 4, mask=[0, 0, 0, 1]), TypeError, "lengths must hold plain numbers, .*"),
])  # fmt: skip
def test_wrong_lengths(lengths, error, message):
    case = make_case("gru")
    with pytest.raises(error, match=f"^{message}$"):
        case.layer(case.x, lengths=lengths)


def test_lengths_without_a_batch_axis_are_one_number():
    x = np.ones((7, 3))
    gru = rnncore.GRU(3, 5, seed=0)
    for lengths in (4, [4], np.int8(4), np.array([4])):
        np.testing.assert_array_equal(gru(x, lengths=lengths)[0], gru(x[:, None], lengths=[4])[0][:, 0])
    with pytest.raises(ValueError, match=r"^lengths: expected shape \(1,\)"):
        gru(x, lengths=[4, 4])
    with pytest.raises(ValueError, match=r"^lengths\[0\] is 8, expected 0 to 7"):
        gru(x, lengths=8)


# ---- resets


@pytest.mark.parametrize("batch_first", [False, True])
def test_bools_and_zeros_and_ones_are_resets(batch_first):
    case = make_case("gru", batch_first=batch_first)
    resets = np.random.default_rng(0).random(case.x.shape[:2]) < 0.3
    assert resets.any()
    plain = case.train(resets=resets)
    assert not np.array_equal(plain["y"], case.train()["y"])
    for twin in (resets.astype(int), resets.tolist(), np.asfortranarray(resets), resets.astype(">u2")):
        plain.assert_identical(case.train(resets=twin))


@pytest.mark.parametrize(("resets", "error", "message"), [
    (np.zeros((4, 7), bool), ValueError, r"resets: expected shape \(7, 4\), got \(4, 7\)"),
    (np.zeros(7, bool), ValueError, r"resets: expected shape \(7, 4\), got \(7,\)"),
    (np.zeros((7, 4, 1), bool), ValueError, r"resets: expected shape \(7, 4\), got \(7, 4, 1\)"),
    (True, ValueError, r"resets: expected shape \(7, 4\), got \(\)"),
    (np.full((7, 4), 2), ValueError, "resets must hold bools, 0 or 1, got numbers from 2 to 2"),
    (np.full((7, 4), -1), ValueError, "resets must hold bools, 0 or 1, got numbers from -1 to -1"),
    (np.zeros((7, 4)), TypeError, "resets must hold bools, got dtype float64"),
    (np.zeros((7, 4), object), TypeError, "resets must hold bools, got dtype object"),
])  # fmt: skip
def test_wrong_resets(resets, error, message):
    case = make_case("gru")
    with pytest.raises(error, match=f"^{message}$"):
        case.layer(case.x, resets=resets)


def test_resets_without_a_batch_axis_are_one_per_step():
    case = make_case("gru", N=1)
    y, _ = case.layer(case.x[:, 0], resets=np.arange(7) == 2)
    np.testing.assert_array_equal(y, case.layer(case.x, resets=(np.arange(7) == 2)[:, None])[0][:, 0])
    with pytest.raises(ValueError, match=r"^resets: expected shape \(7,\), got \(7, 1\)"):
        case.layer(case.x[:, 0], resets=np.zeros((7, 1), bool))
