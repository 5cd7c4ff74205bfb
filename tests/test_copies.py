"""What is copied or pickled together stays together: the copy goes on exactly as the original does."""

import copy
import pickle

import numpy as np
import pytest

import rnncore
from model_case import classifier, draw, regressor, speller
from rnncore import optim
from rnncore.training import RunningMean

CLONES = {
    "deepcopy": copy.deepcopy,
    **{f"pickle {k}": lambda pair, k=k: pickle.loads(pickle.dumps(pair, k)) for k in (2, 4, 5)},
}
each_clone = pytest.mark.parametrize("clone", CLONES.values(), ids=CLONES)
OPTIMIZERS = [
    optim.SGD, lambda p: optim.SGD(p, momentum=0.9), optim.Adam, lambda p: optim.AdamW(p, amsgrad=True),
    lambda p: optim.RMSprop(p, momentum=0.5, centered=True),
]  # fmt: skip


def batch(model):
    if model.takes_labels:
        return np.random.default_rng(0).integers(0, 7, (5, 3)), draw(5, 3, 7)
    return draw(5, 3, 3), draw(5, 3, 2) if model.per_step else draw(3, 4)


def train(model, optimizer, steps=3, part=slice(None)):
    for _ in range(steps):
        _, grads = model.loss_and_grad(batch(model))
        optimizer.step(np.ascontiguousarray(grads.parameters[part]))


@each_clone
@pytest.mark.parametrize("make", [regressor, classifier, speller])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_model_and_its_optimiser_go_on_together(make, kind, clone):
    model = make()
    optimizer = kind(model.parameters)
    train(model, optimizer)
    twin, its = clone((model, optimizer))
    its_first, twin_second = clone([optimizer, model])
    thrice = clone(clone({"model": model, "optimizer": optimizer}))
    before = model.parameters.copy()
    for pair in ((twin, its), (twin_second, its_first), (thrice["model"], thrice["optimizer"])):
        assert not np.shares_memory(pair[0].parameters, model.parameters)
        np.testing.assert_array_equal(pair[0].parameters, before, strict=True)
        train(*pair)
        assert (pair[0].parameters != before).any()
    np.testing.assert_array_equal(model.parameters, before)
    train(model, optimizer)
    for pair in ((twin, its), (twin_second, its_first), (thrice["model"], thrice["optimizer"])):
        np.testing.assert_array_equal(pair[0].parameters, model.parameters)
        assert pair[1].steps == optimizer.steps


@each_clone
def test_an_optimiser_over_some_layers_stays_with_them(clone):
    """Of the head alone, of two layers, of a bias, of a layer by itself."""
    for parts in (
        lambda m: [m[4].parameters], lambda m: [m[0].parameters, m[4].parameters], lambda m: [m[4].bias],
        lambda m: [m.parameters[3:30]],
    ):  # fmt: skip
        model = regressor()
        optimizer = optim.Adam(parts(model))
        for twin, its in (clone((model, optimizer)), clone((optimizer, model))[::-1]):
            before = twin.parameters.copy()
            its.step([np.ones_like(vector) for vector in parts(twin)])
            changed = twin.parameters != before
            assert changed.sum() == sum(vector.size for vector in parts(twin))
            assert all((vector != 0).all() for vector in parts(twin))
    layer = rnncore.GRU(3, 4, seed=0)
    twin, its = clone((layer, optim.SGD(layer.parameters, lr=1.0)))
    its.step(np.ones_like(layer.parameters))
    np.testing.assert_array_equal(twin.parameters, layer.parameters - 1)


def test_an_optimiser_made_before_the_model_is_refused_rather_than_training_what_nothing_reads():
    layer = rnncore.GRU(3, 4, seed=0)
    early = optim.Adam(layer.parameters)
    early.step(np.ones_like(layer.parameters))
    model = rnncore.Sequential(layer, rnncore.Linear(4, 1, seed=0))
    before = model.parameters.copy()
    with pytest.raises(
        ValueError, match="^parameters: a model has taken their layer in and moved them; make the optim"
    ):
        early.step(np.ones_like(layer.parameters))
    np.testing.assert_array_equal(model.parameters, before)
    optim.Adam(layer.parameters).step(np.ones_like(layer.parameters))
    assert (model.parameters != before).sum() == layer.parameter_count


@each_clone
def test_a_layer_of_a_copied_model_is_part_of_it(clone):
    model = regressor()
    twin, head = clone((model, model[4]))
    assert head is twin[4]
    head.parameters[...] = 3
    assert (twin.parameters[-head.parameter_count :] == 3).all()
    alone = clone(model[4])
    rnncore.Sequential(alone)  # it belongs to no model yet
    alone.parameters[...] = 5
    assert (model[4].parameters != 5).all()


@each_clone
def test_a_running_mean_goes_on_with_its_model(clone):
    model = regressor()
    mean = RunningMean(model, updates=3)
    twin, its = clone((model, mean))
    assert its.model is twin
    fit = {"epochs": 2, "progress": False, "batch_size": 1}
    model.fit(batch(model), callbacks=[mean], **fit)
    twin.fit(batch(twin), callbacks=[its], **fit)
    np.testing.assert_array_equal(its.parameters, mean.parameters)
    with its.applied(), mean.applied():
        np.testing.assert_array_equal(twin.parameters, model.parameters)


@each_clone
def test_fit_takes_the_optimiser_of_a_copied_pair(clone):
    model = regressor()
    twin, its = clone((model, optim.Adam(model.parameters)))
    twin.fit(batch(twin), optimizer=its, progress=False)
    assert its.steps == 1
    with pytest.raises(ValueError, match="^optimizer: expected one over model.parameters, got one"):
        model.fit(batch(model), optimizer=its, progress=False)


@each_clone
def test_a_stream_of_a_copied_layer_refreshes_from_what_its_optimiser_trains(clone):
    layer, optimizer = clone((lstm := rnncore.LSTM(2, 3, seed=0), optim.SGD(lstm.parameters, lr=0.1)))
    stream = rnncore.Stream(layer)
    optimizer.step(np.ones_like(layer.parameters))
    stream.refresh()
    x = draw(4, 2, dtype="float32")
    np.testing.assert_array_equal(stream.run(x), layer(x)[0])


def test_an_optimiser_over_any_vector_is_copied_with_its_values():
    parameters = np.ones(3)
    twin = copy.deepcopy(optim.SGD(parameters, lr=1.0))
    twin.step(np.ones(3))
    assert parameters.tolist() == [1, 1, 1]
    both = copy.deepcopy((parameters, optim.SGD(parameters, lr=1.0)))
    both[1].step(np.ones(3))
    assert both[0].tolist() == [0, 0, 0]


def test_a_copied_memory_stays_aligned_and_writable():
    model = regressor("float64")
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model, 5)), copy.copy(model)):
        assert twin.parameters.ctypes.data % 64 == 0
        assert twin.parameters.flags.writeable
        assert all(np.shares_memory(twin.parameters, layer.parameters) for layer in twin if layer.parameter_count)
        assert not np.shares_memory(twin.parameters, model.parameters)
