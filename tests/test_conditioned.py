"""Inputs of whole sequences: they give the initial state, with gradients, training, copies and files."""

import copy
import json
import pickle

import numpy as np
import pytest

import rnncore
from rnncore.files import FormatError, write_tensors
from rnncore.models import file

RANDOM = np.random.default_rng(0)
LAYERS = {
    "gru": lambda dtype: [rnncore.GRU(3, 5, num_layers=2, seed=0, dtype=dtype)],
    "lstm both ways": lambda dtype: [rnncore.LSTM(3, 4, bidirectional=True, seed=0, dtype=dtype)],
    "two layers": lambda dtype: [rnncore.LSTM(3, 4, seed=0, dtype=dtype), rnncore.GRU(4, 6, seed=0, dtype=dtype)],
}
X, S = RANDOM.normal(size=(6, 7, 3)), RANDOM.normal(size=(7, 2))
each_model = pytest.mark.parametrize("kind", LAYERS)


def conditioned(kind="gru", dtype="float64", last=True):
    layers = LAYERS[kind](dtype)
    width = layers[-1]._width
    head = [rnncore.LastStep(dtype=dtype)] if last else []
    net = rnncore.Sequential(*layers, *head, rnncore.Linear(width, 2, seed=1, dtype=dtype))
    return rnncore.Conditioned(net, 2, seed=3)


@each_model
def test_the_inputs_give_the_initial_state(kind):
    model = conditioned(kind)
    y, state = model(X, static=S)
    again, _ = model.model(X, model.first_state(S))
    np.testing.assert_array_equal(y, again)
    assert np.abs(model(X, static=S + 1)[0] - y).max() > 1e-3
    alone, _ = model(X[:, 2], static=S[2])
    np.testing.assert_array_equal(alone, y[2])
    np.testing.assert_array_equal(model(X[:3], state)[0], model.model(X[:3], state)[0])  # carried on


@each_model
@pytest.mark.parametrize("last", [True, False])
def test_the_gradient_is_the_slope_of_the_loss(kind, last):
    model = conditioned(kind, last=last)
    lengths = [6, 3, 6, 1, 5, 6, 2]
    target = RANDOM.normal(size=(7, 2) if last else (6, 7, 2))
    batch = rnncore.Batch(X, target, lengths=lengths, static=S)
    _, grads = model.loss_and_grad(batch, input_gradient=True)

    def slope(array, place):
        values = []
        for sign in (1, -1):
            array[place] += sign * 1e-6
            values.append(model.loss_and_grad(batch)[0])
            array[place] -= sign * 1e-6
        return (values[0] - values[1]) / 2e-6

    places = RANDOM.choice(model.parameter_count, 12, replace=False)
    places[:3] = model.parameter_count - 1 - np.arange(3)  # of the start
    for place in places:
        assert grads.parameters[place] == pytest.approx(slope(model.parameters, place), abs=1e-8)
    assert grads.static.shape == S.shape
    assert grads.static[4, 1] == pytest.approx(slope(S, (4, 1)), abs=1e-8)
    assert grads.x[1, 4, 2] == pytest.approx(slope(X, (1, 4, 2)), abs=1e-8)


def test_fit_learns_what_only_the_inputs_of_the_sequence_tell():
    target = S[:, :1] + np.zeros((7, 2))
    model, without = conditioned(), conditioned().model
    history = model.fit(rnncore.Batch(X, target, static=S), epochs=150, lr=0.02, progress=False)
    assert history.loss[-1] < 0.01 * history.loss[0]
    assert model.evaluate(rnncore.Batch(X, target, static=S))["loss"] == pytest.approx(history.loss[-1], rel=0.5)
    assert type(without) is rnncore.Sequential


def test_lists_of_sequences_bring_one_each():
    parts = [X[:k, n] for n, k in enumerate((6, 3, 5))]
    model = conditioned()
    listed = model.evaluate(rnncore.Batch(parts, [np.zeros(2)] * 3, static=list(S[:3])))
    padded, lengths = rnncore.pad(parts)
    assert listed["loss"] == pytest.approx(
        model.evaluate(rnncore.Batch(padded, np.zeros((3, 2)), lengths=lengths, static=S[:3]))["loss"]
    )
    model.fit(rnncore.Batch(parts, [np.zeros(2)] * 3, static=list(S[:3])), batch_size=2, progress=False)


def test_batches_take_the_rows_of_the_inputs_with_those_of_x():
    target = S[:, :1] + np.zeros((7, 2))
    one, two = conditioned(), conditioned()
    order = np.random.default_rng([5, 0]).permutation(7)
    batches = [rnncore.Batch(X[:, own], target[own], static=S[own]) for own in (order[:4], order[4:])]
    one.fit(rnncore.Batch(X, target, static=S), batch_size=4, seed=5, progress=False)
    two.fit(batches, progress=False)
    np.testing.assert_array_equal(one.parameters, two.parameters)


@each_model
def test_copies_and_files_are_the_same_model(kind, tmp_path):
    model = conditioned(kind, "float32")
    model.save(tmp_path / "model.safetensors")
    twins = (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        rnncore.Conditioned.load(tmp_path / "model.safetensors"),
    )
    for twin in twins:
        np.testing.assert_array_equal(twin(X, static=S)[0], model(X, static=S)[0])
        twin.parameters[...] = 0
        assert not twin.model.parameters.any()
        assert not twin.start.weight.any()
        assert model.parameters.any()
    assert repr(twins[0]) == repr(model)


@pytest.mark.parametrize("size", ["1", "3", "1000000000000"])
def test_a_file_of_another_width_is_refused_before_anything_is_allocated(size, tmp_path):
    model = conditioned()
    told = {"architecture": json.dumps(file.architecture(model.model)), "static_size": size}
    write_tensors(tmp_path / "model.safetensors", "rnncore.conditioned", 1, model.named_parameters(), told)
    with pytest.raises(FormatError, match=rf"start.weight has shape \(\d+, 2\), expected \(\d+, {size}\)"):
        rnncore.Conditioned.load(tmp_path / "model.safetensors")


REFUSED = {
    "no recurrent layer": (lambda m: rnncore.Conditioned(rnncore.Sequential(rnncore.Linear(2, 2)), 2),
                           "a recurrent layer"),
    "a model inside another": (lambda m: rnncore.Conditioned(m.model, 2), "part of another"),
    "another width": (lambda m: m(X, static=S[:, :1]), r"static: expected shape \(7, 2\), got \(7, 1\)"),
    "other rows": (lambda m: m(X, static=S[:3]), r"static: expected shape \(7, 2\), got \(3, 2\)"),
    "none": (lambda m: m(X), "expected either"),
    "a state too": (lambda m: m(X, m.first_state(S), static=S), "expected either"),
    "a batch without": (lambda m: m.fit((X, np.zeros((7, 2)))), r"static: expected shape \(7, 2\), got None"),
    "not finite": (lambda m: m.fit(rnncore.Batch(X, np.zeros((7, 2)), static=S * np.nan)), r"static\[0, 0\] is nan"),
    "a model that takes none": (lambda m: copy.deepcopy(m.model).fit(rnncore.Batch(X, np.zeros((7, 2)), static=S)),
                                "takes no inputs of whole sequences"),
    "a checkpoint": (lambda m: m.fit(rnncore.Batch(X, np.zeros((7, 2)), static=S), checkpoint="a.safetensors"),
                     "checkpoint: expected None"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call(conditioned())
