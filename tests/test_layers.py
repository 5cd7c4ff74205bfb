"""The face of RNN, LSTM and GRU: constructors, call forms, and that both engines agree."""

import math

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, as_tuple, make_case, reference
from variants import in_form

every_cell = pytest.mark.parametrize("cell", LAYERS)


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
    ({"device": "cpu"}, TypeError, ".*unexpected keyword argument 'device'"),
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
    assert isinstance(hx, tuple) == isinstance(grads.hx, tuple) == (len(case.layer.state_names) > 1)
    assert [h.shape for h in as_tuple(hx) + as_tuple(grads.hx)] == [(2 * D, 4, 5)] * 2 * len(as_tuple(hx))
    assert grads.x.shape == case.x.shape
    assert all(a.dtype == np.float64 for a in (y, grads.x, grads.parameters, *as_tuple(hx), *as_tuple(grads.hx)))


@every_cell
def test_no_initial_state_is_a_zero_state(cell):
    case = make_case(cell)
    zeros = in_form(map(np.zeros_like, as_tuple(case.hx)))
    case.but(hx=None).train().assert_identical(case.but(hx=zeros).train())


@every_cell
def test_no_gradient_is_a_zero_gradient(cell):
    case = make_case(cell)
    _, _, cache = case.layer.forward(case.x, case.hx)
    zero_states = in_form(map(np.zeros_like, as_tuple(case.dhx)))
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
