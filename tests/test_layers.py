"""The face of RNN, LSTM and GRU: constructors, call forms, parameters, modes, copies and state dicts."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, Result, as_tuple, make_case
from rnncore.reference import Network

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
every_cell = pytest.mark.parametrize("cell", LAYERS)


def reference(case, lengths=None, resets=None, dropout=0.0, key=0) -> Result:
    """What the NumPy twin makes of a case that is time-major."""
    layer = case.layer
    kind = type(layer).__name__.lower()
    cell = f"rnn_{layer.nonlinearity}" if kind == "rnn" else kind
    network = Network(
        cell, layer.input_size, layer.hidden_size, layer.num_layers, layer.bias, layer.bidirectional, layer.dtype.name
    )
    y, hn = np.empty_like(case.dy), tuple(map(np.empty_like, as_tuple(case.hx)))
    h0, dhn = as_tuple(case.hx), as_tuple(case.dhx)
    lengths = None if lengths is None else np.array(lengths)
    cache = network.forward(layer.parameters, case.x, h0, y, hn, lengths, resets, dropout, key, True)
    dx, dh0, dparameters = np.empty_like(case.x), tuple(map(np.empty_like, h0)), np.zeros_like(layer.parameters)
    network.backward(cache, layer.parameters, case.dy, dhn, dx, dh0, dparameters)
    arrays = {"y": y, "dx": dx, "dparameters": dparameters}
    return Result(arrays | {f"h{k}": h for k, h in enumerate(hn)} | {f"dh{k}": h for k, h in enumerate(dh0)})


@every_cell
@pytest.mark.parametrize("L", [1, 2, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_equals_the_reference(cell, L, bias, bidirectional):
    case = make_case(cell, 9, 5, 3, 7, L, bias=bias, bidirectional=bidirectional)
    lengths, resets = [9, 0, 4, 8, 1], np.random.default_rng(1).random((9, 5)) < 0.2
    case.train().assert_close(reference(case), 1e-12)
    case.train(lengths=lengths, resets=resets).assert_close(reference(case, lengths, resets), 1e-12)


# ---- constructors


def test_arguments_stand_in_pytorchs_order():
    rnn = rnncore.RNN(3, 4, 2, "relu", False, True, 0.5, True)
    lstm, gru = rnncore.LSTM(3, 4, 2, False, True, 0.5, True), rnncore.GRU(3, 4, 2, False, True, 0.5, True)
    assert rnn.nonlinearity == "relu"
    for layer in (rnn, lstm, gru):
        sizes = layer.input_size, layer.hidden_size, layer.num_layers
        assert (*sizes, layer.bias, layer.batch_first, layer.dropout, layer.bidirectional) == (
            3, 4, 2, False, True, 0.5, True,
        )  # fmt: skip


@every_cell
def test_defaults(cell):
    layer = LAYERS[cell](3, 4)
    assert layer.dtype == np.float32
    assert layer.training
    assert (layer.num_layers, layer.bias, layer.batch_first, layer.dropout, layer.bidirectional) == (
        1, True, False, 0.0, False,
    )  # fmt: skip


@every_cell
@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"hidden_size": 0}, ValueError, "hidden_size must be at least 1, got 0"),
    ({"hidden_size": -3}, ValueError, "hidden_size must be at least 1, got -3"),
    ({"hidden_size": 4.0}, TypeError, "hidden_size should be of type int, got: float"),
    ({"hidden_size": None}, TypeError, "hidden_size should be of type int, got: NoneType"),
    ({"input_size": -1}, ValueError, "input_size must be at least 0, got -1"),
    ({"input_size": "3"}, TypeError, "input_size should be of type int, got: str"),
    ({"input_size": True}, TypeError, "input_size should be of type int, got: bool"),
    ({"num_layers": 0}, ValueError, "num_layers must be at least 1, got 0"),
    ({"bias": 1}, TypeError, "bias should be of type bool, got: int"),
    ({"batch_first": None}, TypeError, "batch_first should be of type bool, got: NoneType"),
    ({"bidirectional": "yes"}, TypeError, "bidirectional should be of type bool, got: str"),
    ({"dropout": 1.5}, ValueError, r"dropout should be a number in range \[0, 1\] .*, got 1.5"),
    ({"dropout": -0.1}, ValueError, r"dropout should be a number in range \[0, 1\] .*, got -0.1"),
    ({"dropout": math.nan}, ValueError, r"dropout should be a number in range \[0, 1\] .*, got nan"),
    ({"dropout": True}, ValueError, r"dropout should be a number in range \[0, 1\] .*, got True"),
    ({"dropout": "0.5"}, ValueError, r"dropout should be a number in range \[0, 1\] .*, got '0.5'"),
    ({"dtype": "float16"}, ValueError, "dtype should be float32 or float64 in native byte order, got 'float16'"),
    ({"dtype": ">f4"}, ValueError, "dtype should be float32 or float64 in native byte order, got '>f4'"),
    ({"dtype": None}, ValueError, "dtype should be float32 or float64 in native byte order, got None"),
    ({"dtype": "what"}, ValueError, "dtype should be float32 or float64 in native byte order, got 'what'"),
    ({"dtype": int}, ValueError, "dtype should be float32 or float64 .*"),
    ({"proj_size": 2}, TypeError, ".*unexpected keyword argument 'proj_size'"),
])  # fmt: skip
def test_wrong_arguments_of_a_constructor(cell, arguments, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        LAYERS[cell](**{"input_size": 3, "hidden_size": 4, "num_layers": 2, **arguments})


def test_an_unknown_nonlinearity_is_refused():
    with pytest.raises(ValueError, match=r"^Unknown nonlinearity 'sin'. Select from 'tanh' or 'relu'.$"):
        rnncore.RNN(3, 4, nonlinearity="sin")


def test_dropout_over_a_single_layer_warns():
    with pytest.warns(UserWarning, match="dropout=0.5 and num_layers=1") as caught:
        rnncore.LSTM(3, 4, dropout=0.5)
    assert caught[0].filename == __file__


@every_cell
def test_numpy_numbers_are_sizes(cell):
    layer = LAYERS[cell](np.int64(3), np.uint8(4), np.int16(2), bias=np.True_)
    assert type(layer.hidden_size) is int
    assert type(layer.bias) is bool
    assert "(3, 4, num_layers=2" in repr(layer)


def test_texts():
    assert repr(rnncore.LSTM(3, 4, 2, bidirectional=True)) == "LSTM(3, 4, num_layers=2, bidirectional=True)"
    text = "GRU(3, 4, num_layers=2, bias=False, batch_first=True, dropout=0.25)"
    assert repr(rnncore.GRU(3, 4, 2, False, True, 0.25)) == text
    assert (
        repr(rnncore.RNN(3, 4, nonlinearity="relu", dtype="float64")) == "RNN(3, 4, nonlinearity=relu, dtype=float64)"
    )


def test_arguments_of_the_constructor_are_fixed():
    layer = rnncore.RNN(3, 4)
    for name in ("input_size", "hidden_size", "bidirectional", "batch_first", "dropout", "dtype", "nonlinearity"):
        with pytest.raises(AttributeError, match=f"^{name} is fixed when the layer is constructed$"):
            setattr(layer, name, getattr(layer, name))


# ---- parameters


@every_cell
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_parameters_have_pytorchs_names_shapes_and_order(cell, bias, bidirectional):
    layer = LAYERS[cell](3, 5, 2, bias=bias, bidirectional=bidirectional)
    D, rows = (2 if bidirectional else 1), 5 * GATES[cell]
    expected = {}
    for k, suffix in itertools.product(range(2), ["", "_reverse"][:D]):
        expected[f"weight_ih_l{k}{suffix}"] = (rows, 3 if k == 0 else 5 * D)
        expected[f"weight_hh_l{k}{suffix}"] = (rows, 5)
        if bias:
            expected |= {f"bias_ih_l{k}{suffix}": (rows,), f"bias_hh_l{k}{suffix}": (rows,)}
    named = layer.named_parameters()
    assert [(name, view.shape) for name, view in named.items()] == list(expected.items())
    assert layer.parameter_count == layer.parameters.size == sum(map(math.prod, expected.values()))
    np.testing.assert_array_equal(np.concatenate([view.ravel() for view in named.values()]), layer.parameters)


@every_cell
def test_named_parameters_are_views(cell):
    layer = LAYERS[cell](3, 5, 2, bidirectional=True)
    for name, view in layer.named_parameters().items():
        assert getattr(layer, name) is view
        assert name in dir(layer)
        view[...] = 7
    assert (layer.parameters == 7).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_are_aligned_to_a_cache_line(dtype):
    for layer in (rnncore.LSTM(3, 5, dtype=dtype), rnncore.Linear(3, 5, dtype=dtype)):
        for twin in (layer, pickle.loads(pickle.dumps(layer))):
            assert twin.parameters.ctypes.data % 64 == 0
            assert twin.parameters.flags.c_contiguous
            assert twin.parameters.flags.writeable


def test_parameters_are_one_object_for_life():
    layer = rnncore.LSTM(3, 5)
    vector, weight = layer.parameters, layer.weight_ih_l0
    layer.parameters -= 1
    layer.weight_ih_l0 *= 2
    layer.load_state_dict(layer.state_dict())
    assert layer.parameters is vector
    assert layer.weight_ih_l0 is weight
    assert np.shares_memory(vector, weight)
    with pytest.raises(AttributeError, match=r"^parameters is one vector for life"):
        layer.parameters = vector.copy()
    with pytest.raises(AttributeError, match=r"^weight_ih_l0 is a view on parameters: assign in place"):
        layer.weight_ih_l0 = weight.copy()
    with pytest.raises(AttributeError, match="weight_ih_l1"):
        layer.weight_ih_l1  # noqa: B018


@every_cell
def test_parameters_begin_uniform_in_one_over_the_root_of_hidden_size(cell):
    layer = LAYERS[cell](30, 25, 2, dtype="float64", seed=1)
    parameters = layer.parameters * math.sqrt(25)
    assert 0.99 < np.abs(parameters).max() <= 1
    assert abs(parameters.mean()) < 0.05
    assert abs(parameters.var() - 1 / 3) < 0.02


@every_cell
def test_a_seed_gives_the_same_parameters_in_both_dtypes(cell):
    one, two, other = (LAYERS[cell](3, 5, dtype="float64", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.parameters, two.parameters)
    assert (one.parameters != other.parameters).any()
    np.testing.assert_array_equal(LAYERS[cell](3, 5, seed=1).parameters, one.parameters.astype(np.float32))
    assert (LAYERS[cell](3, 5).parameters != LAYERS[cell](3, 5).parameters).any()


def test_layers_that_share_a_generator_differ():
    generator = np.random.default_rng(0)
    assert (rnncore.GRU(3, 5, seed=generator).parameters != rnncore.GRU(3, 5, seed=generator).parameters).any()


# ---- call forms


@every_cell
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_shapes_of_results(cell, batch_first, bidirectional):
    case = make_case(cell, 7, 4, 3, 5, 2, batch_first=batch_first, bidirectional=bidirectional)
    D = 2 if bidirectional else 1
    y, hx, cache = case.layer.forward(case.x)
    grads = case.layer.backward(cache, y)
    assert y.shape == (4, 7, 5 * D) if batch_first else (7, 4, 5 * D)
    assert isinstance(hx, tuple) == isinstance(grads.hx, tuple) == (cell == "lstm")
    assert [h.shape for h in as_tuple(hx) + as_tuple(grads.hx)] == [(2 * D, 4, 5)] * 2 * len(as_tuple(hx))
    assert grads.x.shape == case.x.shape
    assert all(a.dtype == np.float64 for a in (y, grads.x, grads.parameters, *as_tuple(hx), *as_tuple(grads.hx)))


@every_cell
def test_no_initial_state_is_a_zero_state(cell):
    case = make_case(cell)
    zeros = tuple(map(np.zeros_like, as_tuple(case.hx)))
    zeros = zeros if cell == "lstm" else zeros[0]
    case.but(hx=None).train().assert_identical(case.but(hx=zeros).train())


@every_cell
def test_no_gradient_is_a_zero_gradient(cell):
    case = make_case(cell)
    _, _, cache = case.layer.forward(case.x, case.hx)
    zero_states = tuple(map(np.zeros_like, as_tuple(case.dhx)))
    zero_states = zero_states if cell == "lstm" else zero_states[0]
    pairs = [
        (case.layer.backward(cache, case.dy), case.layer.backward(cache, case.dy, zero_states)),
        (case.layer.backward(cache, dhx=case.dhx), case.layer.backward(cache, np.zeros_like(case.dy), case.dhx)),
    ]
    for ours, theirs in pairs:
        assert ours.parameters.any()
        np.testing.assert_array_equal(ours.parameters, theirs.parameters)
        np.testing.assert_array_equal(ours.x, theirs.x)
    assert not case.layer.backward(cache).parameters.any()


def test_half_of_an_lstms_state_gradient_may_be_missing():
    case = make_case("lstm")
    _, _, cache = case.layer.forward(case.x, case.hx)
    dh, dc = case.dhx
    for half, whole in (((dh, None), (dh, 0 * dc)), ((None, dc), (0 * dh, dc))):
        np.testing.assert_array_equal(
            case.layer.backward(cache, None, half).parameters, case.layer.backward(cache, None, whole).parameters
        )
    with pytest.raises(TypeError, match=r"^hx\[1\] must hold real numbers, got NoneType"):
        case.layer(case.x, (case.hx[0], None))


@every_cell
def test_results_are_new_arrays(cell):
    case = make_case(cell)
    first, second = case.train(), case.train()
    for name, array in first.arrays.items():
        for other in (second[name], case.x, case.dy, *as_tuple(case.hx), case.layer.parameters):
            assert not np.shares_memory(array, other)


@every_cell
def test_named_gradients_are_views_on_the_flat_one(cell):
    case = make_case(cell, bidirectional=True)
    _, _, cache = case.layer.forward(case.x, case.hx)
    grads = case.layer.backward(cache, case.dy)
    assert list(grads.named) == list(case.layer.named_parameters())
    np.testing.assert_array_equal(np.concatenate([a.ravel() for a in grads.named.values()]), grads.parameters)
    assert all(np.shares_memory(a, grads.parameters) for a in grads.named.values())


@every_cell
def test_add_to_adds(cell):
    case = make_case(cell)
    _, _, cache = case.layer.forward(case.x, case.hx)
    plain = case.layer.backward(cache, case.dy)
    total = np.full(case.layer.parameter_count, 3.0)
    grads = case.layer.backward(cache, case.dy, add_to=total)
    assert grads.parameters is total
    np.testing.assert_allclose(total, 3 + plain.parameters, rtol=1e-12, atol=1e-12)


@every_cell
def test_the_gradient_of_x_may_be_left_out(cell):
    case = make_case(cell)
    _, _, cache = case.layer.forward(case.x, case.hx)
    with_x, without = case.layer.backward(cache, case.dy), case.layer.backward(cache, case.dy, input_gradient=False)
    np.testing.assert_array_equal(without.parameters, with_x.parameters)
    with pytest.raises(AttributeError, match=r"^the gradient of x was not computed"):
        without.x  # noqa: B018


def test_y_of_the_training_call_is_read_only():
    for options in ({}, {"batch_first": True}):
        case = make_case("lstm", **options)
        y, _, _ = case.layer.forward(case.x)
        with pytest.raises(ValueError, match="read-only"):
            y[0] = 1
        assert case.layer(case.x)[0].flags.writeable


# ---- dropout


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_dropout_equals_the_reference_under_its_key(cell, bidirectional, monkeypatch):
    case = make_case(cell, L=3, dropout=0.4, bidirectional=bidirectional)
    monkeypatch.setattr(case.layer._keys, "next", lambda: 12345)
    lengths = [7, 2, 0, 5]
    case.train(lengths=lengths).assert_close(reference(case, lengths, dropout=0.4, key=12345), 1e-12)


@every_cell
def test_dropout_is_for_training_only(cell):
    case = make_case(cell, L=2, dropout=0.5)
    plain = make_case(cell, L=2)
    plain.layer.load_state_dict(case.layer.state_dict())
    case.infer().assert_identical(plain.but(x=case.x, hx=case.hx).infer())
    trained = case.layer.forward(case.x, case.hx)[0]
    assert not np.array_equal(trained, case.infer()["y"])
    assert case.layer.eval() is case.layer
    assert not case.layer.training
    np.testing.assert_array_equal(case.layer.forward(case.x, case.hx)[0], case.infer()["y"])
    case.layer.train()
    assert not np.array_equal(case.layer.forward(case.x, case.hx)[0], case.infer()["y"])


def test_dropout_differs_from_call_to_call_and_repeats_with_the_seed():
    def outputs(seed):
        layer = rnncore.GRU(3, 5, 2, dropout=0.5, seed=seed)
        return [layer.forward(np.ones((4, 2, 3)))[0] for _ in range(3)]

    one, two = outputs(7), outputs(7)
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(one[1], one[2])


def test_a_refused_call_uses_no_dropout_key():
    one, two = (rnncore.GRU(3, 5, 2, dropout=0.5, seed=7) for _ in range(2))
    with pytest.raises(ValueError, match="features"):
        one.forward(np.ones((4, 2, 2)))
    with pytest.raises(ValueError, match="lengths"):
        one.forward(np.ones((4, 2, 3)), lengths=[9, 9])
    np.testing.assert_array_equal(one.forward(np.ones((4, 2, 3)))[0], two.forward(np.ones((4, 2, 3)))[0])


def test_dropout_keys_are_spread():
    layer = rnncore.GRU(3, 5, seed=7)
    keys = [layer._keys.next() for _ in range(1000)]
    assert len(set(keys)) == 1000
    assert all(0 <= key < 1 << 64 for key in keys)
    bits = np.array([[key >> bit & 1 for bit in range(64)] for key in keys])
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.1  # 6 standard deviations


# ---- copies


def round_trip(layer):
    return pickle.loads(pickle.dumps(layer))


@every_cell
@pytest.mark.parametrize("clone", [round_trip, copy.deepcopy, copy.copy])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_copies_are_equal_and_apart(cell, clone, dtype):
    case = make_case(cell, dtype=dtype, bidirectional=True, batch_first=True, bias=False, dropout=0.5)
    case.layer.eval()
    twin = clone(case.layer)
    assert repr(twin) == repr(case.layer)
    assert twin.training is False
    case.train().assert_identical(case.but(layer=twin).train())
    assert twin.named_parameters().keys() == case.layer.named_parameters().keys()
    before = case.layer.parameters.copy()
    for view in twin.named_parameters().values():
        view[...] = 1
    assert (twin.parameters == 1).all()
    assert twin.weight_hh_l0[0, 0] == 1
    np.testing.assert_array_equal(case.layer.parameters, before)


@pytest.mark.parametrize("clone", [round_trip, copy.deepcopy])
def test_a_copy_goes_on_with_the_same_dropout(clone):
    layer = rnncore.LSTM(3, 5, 2, dropout=0.5, seed=1)
    x = np.ones((4, 2, 3))
    layer.forward(x)
    twin = clone(layer)
    np.testing.assert_array_equal(layer.forward(x)[0], twin.forward(x)[0])


class Tagged(rnncore.LSTM):
    pass


def test_attributes_of_a_subclass_are_copied():
    layer = Tagged(3, 4)
    layer.scale = 2.5
    for twin in (round_trip(layer), copy.deepcopy(layer)):
        assert type(twin) is Tagged
        assert twin.scale == 2.5


# ---- state dicts


@every_cell
def test_state_dict_copies(cell):
    layer = LAYERS[cell](3, 5, 2, bidirectional=True, seed=0)
    state = layer.state_dict()
    assert list(state) == list(layer.named_parameters())
    before = layer.parameters.copy()
    for array in state.values():
        array[...] = 0
    np.testing.assert_array_equal(layer.parameters, before)


def test_load_state_dict_casts_and_takes_any_order():
    source, target = rnncore.LSTM(3, 5, 2, dtype="float64", seed=0), rnncore.LSTM(3, 5, 2, seed=1)
    target.load_state_dict(dict(reversed([(name, a.tolist()) for name, a in source.state_dict().items()])))
    np.testing.assert_array_equal(target.parameters, source.parameters.astype(np.float32))


def test_views_of_the_layer_itself_may_be_loaded():
    layer = rnncore.RNN(4, 4, seed=0)
    before = layer.state_dict()
    views = layer.named_parameters()
    views["weight_ih_l0"], views["weight_hh_l0"] = views["weight_hh_l0"], views["weight_ih_l0"]
    layer.load_state_dict(views)
    np.testing.assert_array_equal(layer.weight_ih_l0, before["weight_hh_l0"])
    np.testing.assert_array_equal(layer.weight_hh_l0, before["weight_ih_l0"])


def test_load_state_dict_reports_all_that_is_wrong_and_changes_nothing():
    layer = rnncore.LSTM(3, 5, seed=0)
    before = layer.parameters.copy()
    state = {name: np.zeros_like(a) for name, a in layer.state_dict().items()}
    del state["bias_ih_l0"], state["bias_hh_l0"]
    state |= {"weight_ih_l1": np.ones(2), "what": np.ones(2), "weight_hh_l0": np.zeros((20, 4))}
    with pytest.raises(ValueError, match="state_dict for LSTM") as caught:
        layer.load_state_dict(state)
    header, missing, unexpected, mismatch = str(caught.value).splitlines()
    assert header == "Error(s) in loading state_dict for LSTM:"
    assert missing == '\tMissing key(s) in state_dict: "bias_ih_l0", "bias_hh_l0".'
    assert unexpected == '\tUnexpected key(s) in state_dict: "weight_ih_l1", "what".'
    assert mismatch == (
        "\tsize mismatch for weight_hh_l0: copying a param with shape (20, 4) from checkpoint, "
        "the shape in current model is (20, 5)."
    )
    np.testing.assert_array_equal(layer.parameters, before)


@pytest.mark.parametrize("value", ["text", None, np.zeros((5, 5), complex), np.ma.masked_all((5, 5))])
def test_load_state_dict_refuses_what_is_no_array_of_numbers(value):
    layer = rnncore.RNN(3, 5, seed=0)
    before = layer.parameters.copy()
    state = {name: np.zeros_like(a) for name, a in layer.state_dict().items()} | {"weight_hh_l0": value}
    with pytest.raises(TypeError, match=r"^weight_hh_l0 must hold"):
        layer.load_state_dict(state)
    with pytest.raises(TypeError, match=r"^Expected state_dict to be dict-like, got <class 'list'>.$"):
        layer.load_state_dict(list(state.items()))
    np.testing.assert_array_equal(layer.parameters, before)


# ---- the package


def test_the_configuration_is_printed_or_returned(capsys):
    config = rnncore.show_config(mode="dicts")
    assert rnncore.show_config() is None
    printed = capsys.readouterr().out
    assert all(f"{name}: " in printed for name in config)
    assert config["isa"] in printed
    assert config["threads"] == rnncore.get_num_threads() >= 1
    with pytest.raises(ValueError, match=r"^mode should be 'stdout' or 'dicts', got 'yaml'$"):
        rnncore.show_config(mode="yaml")


def test_threads_are_set_and_read():
    before = rnncore.get_num_threads()
    try:
        rnncore.set_num_threads(3)
        assert rnncore.get_num_threads() == 3
    finally:
        rnncore.set_num_threads(before)


def test_the_package_lists_what_it_has():
    assert set(rnncore.__all__) <= set(dir(rnncore))
    assert all(getattr(rnncore, name) for name in rnncore.__all__)
    assert rnncore.__version__.count(".") == 2
    with pytest.raises(AttributeError, match=r"^module 'rnncore' has no attribute 'nothing'$"):
        rnncore.nothing  # noqa: B018
