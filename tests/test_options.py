"""Every option of every layer survives all ways in which a layer, or a model of it, is copied, written and read.

Layers and options are enumerated: those of a new layer are drawn here as soon as it can be imported from `rnncore`.
"""

import copy
import inspect
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnncore
from rnncore.layers.module import Module
from rnncore.models.model import Model

KINDS = {
    name: kind
    for name, kind in ((name, getattr(rnncore, name)) for name in rnncore.__all__)
    if isinstance(kind, type) and issubclass(kind, Module) and not issubclass(kind, (Model, rnncore.Conditioned))
}
SPECIAL = {
    "p": st.sampled_from([0.0, 0.1, 0.123456789]),
    "dropout": st.sampled_from([0.0, 1 / 3]),
    "eps": st.sampled_from([1e-12, 1e-5, 1.23456789e-3]),
    "activation": st.sampled_from([None, "relu", "tanh", "sigmoid", "gelu"]),
    "alpha": st.sampled_from([0.25, 1 / 3]),
    "nonlinearity": st.sampled_from(["tanh", "relu"]),
    "proj_size": st.integers(0, 2),
    "hidden_size": st.integers(3, 4),
    "num_layers": st.integers(1, 2),
    "kind": st.sampled_from(["child_sum", "binary"]),
    "key_size": st.just(2),
    "query_size": st.just(2),
    "score": st.sampled_from(["dot", "general"]),
    "dtype": st.sampled_from(["float32", "float64"]),
    "seed": st.integers(0, 9),
}


def square(entries, size):
    row = st.lists(st.sampled_from(entries), min_size=size, max_size=size)
    return row, st.lists(row, min_size=size, max_size=size)


def values_of(parameter, drawn):
    """What to draw for an option: by its name, or by the type of its default."""
    if parameter.name == "mask_hh":
        return st.none() | square([0, 1], drawn["hidden_size"])[1]
    if parameter.name == "dale":
        return st.none() | square([-1, 1], drawn["hidden_size"])[0]
    if parameter.name == "precision":
        return st.sampled_from(["float32", "bf16"] if drawn["dtype"] == "float32" else ["float32"])
    if parameter.name in SPECIAL:
        return SPECIAL[parameter.name]
    if isinstance(parameter.default, bool):
        return st.booleans()
    if parameter.default is inspect.Parameter.empty:
        return st.integers(1, 4)  # a size
    raise AssertionError(f"say in SPECIAL what to draw for {parameter.name}, by default {parameter.default!r}")


@st.composite
def any_layer(draw, kind):
    options = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        options[name] = draw(values_of(parameter, options))
    return options, kind(**options)


def in_a_model(layer):
    """A model must have something recurrent before a LastStep."""
    before = [rnncore.GRU(1, 1, dtype=layer.dtype, seed=0)] if isinstance(layer, rnncore.LastStep) else []
    return rnncore.Sequential(*before, layer)


def loaded(layer, folder):
    model = in_a_model(layer)
    model.save(folder / "model.safetensors")
    return rnncore.load(folder / "model.safetensors")[-1]


def resumed(layer, folder):
    """A checkpoint is refused by a model that differs in any option, and loads as a model."""
    model = in_a_model(layer)
    x = np.zeros((2, 1, model.in_features or 1), model.dtype)
    x = x[..., 0].astype(int) if model.takes_labels else x
    y, _ = model(x)
    path = folder / "run.safetensors"
    path.unlink(missing_ok=True)
    for _ in range(2):
        model.fit((x, np.zeros_like(y)), lr=0.0, checkpoint=path, resume=True, progress=False)
    return rnncore.load(path)[-1]


class Words(dict):
    """Names in a layer's text stand for themselves: nonlinearity=relu."""

    def __missing__(self, name):
        return name


def from_text(layer):
    return eval(repr(layer), {}, Words(KINDS))


ROUNDS = {
    "text": lambda layer, _: from_text(layer),
    "pickle": lambda layer, _: pickle.loads(pickle.dumps(layer)),
    "deepcopy": lambda layer, _: copy.deepcopy(layer),
    "copy": lambda layer, _: copy.copy(layer),
    "model": lambda layer, _: copy.deepcopy(in_a_model(layer))[-1],
    "file": loaded,
    "checkpoint": resumed,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("options")


@pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last")
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_option_comes_back(kind, folder, data):
    options, layer = data.draw(any_layer(KINDS[kind]))
    told = {name: value for name, value in options.items() if name not in ("dtype", "seed")}
    if kind == "LayerNorm" and not told["elementwise_affine"]:
        told["bias"] = True  # there is none to have
    values = layer.parameters.copy()
    for name, go in ROUNDS.items():
        if name in ("model", "file", "checkpoint") and not layer._in_sequence:
            continue  # a layer that no model holds is in no file
        twin = go(copy.deepcopy(layer), folder)
        assert type(twin) is type(layer), name
        assert twin._options() == layer._options() == told, name
        assert twin.dtype == layer.dtype, name
        assert repr(twin) == repr(layer), name
        assert twin.named_parameters().keys() == layer.named_parameters().keys(), name
        if name != "text":
            np.testing.assert_array_equal(twin.parameters, values, strict=True)


def test_the_options_are_those_of_the_constructor():
    for kind in KINDS.values():
        assert issubclass(kind, Module)
        needed = {name: 2 for name, each in inspect.signature(kind).parameters.items() if each.default is each.empty}
        assert [*kind(**needed)._options()] == [
            name for name in inspect.signature(kind).parameters if name not in ("dtype", "seed")
        ]


def test_a_model_that_no_file_can_hold_is_refused_before_anything_is_written(tmp_path):
    class Own(rnncore.GRU):
        pass

    model, path = rnncore.Sequential(Own(1, 2, seed=0)), tmp_path / "model.safetensors"
    message = "^layer 0 is a Own: a file holds .*GRU"
    with pytest.raises(ValueError, match=message):
        model.save(path)
    before = model.parameters.copy()
    with pytest.raises(ValueError, match=message):
        model.fit((np.ones((3, 1, 1)), np.ones((3, 1, 2))), checkpoint=path, progress=False)
    np.testing.assert_array_equal(model.parameters, before)
    assert not list(tmp_path.iterdir())


def test_no_copy_warns_again_of_what_the_first_was_warned_of(tmp_path):
    with pytest.warns(UserWarning, match="dropout option adds"):
        layer = rnncore.LSTM(2, 3, dropout=0.5, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(layer))
        copy.deepcopy(layer)
