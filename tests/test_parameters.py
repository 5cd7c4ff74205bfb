"""The parameters of a layer: one flat vector and views on it, copies, state dicts."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, make_case
from rnncore import reference

every_cell = pytest.mark.parametrize("cell", LAYERS)


@every_cell
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_parameters_have_pytorchs_names_shapes_and_order(cell, bias, bidirectional):
    layer = LAYERS[cell](3, 5, 2, bias=bias, bidirectional=bidirectional)
    twin = reference.CELLS[layer._network.cell](**layer._network.options)
    D, rows = (2 if bidirectional else 1), 5 * len(twin.gates)
    expected = {}
    for k, suffix in itertools.product(range(2), ["", "_reverse"][:D]):
        expected[f"weight_ih_l{k}{suffix}"] = (rows, 3 if k == 0 else 5 * D)
        expected[f"weight_hh_l{k}{suffix}"] = (rows, 5)
        if bias:
            expected |= {f"bias_ih_l{k}{suffix}": (rows,), f"bias_hh_l{k}{suffix}": (rows,)}
        expected |= {f"{name}_l{k}{suffix}": (5,) for name in twin.vectors}
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
    drawn = [view.ravel() for name, view in layer.named_parameters().items() if name.startswith(("weight", "bias"))]
    parameters = np.concatenate(drawn) * math.sqrt(25)
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
