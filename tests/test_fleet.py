"""A fleet's models have the bits that each has alone: calls, gradients, training, streams."""

import copy
import json

import numpy as np
import pytest

import rnncore
from rnncore import files
from rnncore.models import file as model_file

K, T, N = 5, 12, 3


def fleet_of(size=K, dtype="float32"):
    model = rnncore.Sequential(
        rnncore.LSTM(2, 6, num_layers=2, dropout=0.2, seed=0, dtype=dtype),
        rnncore.LayerNorm(6, dtype=dtype),
        rnncore.Linear(6, 1, activation="tanh", seed=1, dtype=dtype),
    )
    fleet = rnncore.Fleet(model, size)
    fleet.parameters[...] += np.random.default_rng(3).normal(size=fleet.parameters.shape) * 0.1
    return fleet


def data(random, *leading):
    return random.normal(size=(*leading, 2)).astype("float32"), random.normal(size=(*leading, 1)).astype("float32")


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_and_gradients(threads):
    fleet, random = fleet_of(), np.random.default_rng(0)
    x, dy = data(random, K, T, N)
    lengths = random.integers(0, T + 1, (K, N))
    resets = random.random((K, T, N)) < 0.1
    hx = [(random.normal(size=(2, N, 6)), random.normal(size=(2, N, 6))) for _ in range(K)]
    for member in fleet:
        member.eval()
    y, state, cache = fleet.forward(x, hx, lengths=lengths, resets=resets, num_threads=threads)
    assert y.shape == (K, T, N, 1)
    again, _ = fleet(x, hx, lengths=lengths, resets=resets, num_threads=threads)
    assert np.array_equal(again, y)
    grads = fleet.backward(cache, dy, hx, num_threads=threads)
    for k, model in enumerate(fleet):
        own, own_state, own_cache = model.forward(x[k], hx[k], lengths=lengths[k], resets=resets[k])
        own_grads = model.backward(own_cache, dy[k], hx[k])
        assert np.array_equal(own, y[k])
        assert all(np.array_equal(a, b) for a, b in zip(own_state, state[k], strict=True))
        assert np.array_equal(own_grads.parameters, grads.parameters[k])
        assert np.array_equal(own_grads.x, grads.x[k])
        assert all(np.array_equal(a, b) for a, b in zip(own_grads.hx, grads.hx[k], strict=True))


@pytest.mark.parametrize("options", [{"batch_size": 2}, {"k1": 5}], ids=["batches", "windows"])
@pytest.mark.parametrize("threads", [1, 2])
def test_training_on_data_of_different_sizes(options, threads):
    random = np.random.default_rng(0)
    batches = []
    for k in range(K):
        x, target = data(random, T + k, 1 + k)
        batches.append(rnncore.Batch(x, target, lengths=random.integers(1, T + k + 1, 1 + k)))
    fleet, alone = fleet_of(), fleet_of()
    options |= {"epochs": 3, "loss": "huber", "clip_norm": 0.5, "lr": 0.01, "seed": 4}
    losses = fleet.fit(batches, num_threads=threads, **options).loss
    for k, model in enumerate(alone):
        history = model.fit(batches[k], progress=False, **options)
        assert history.loss == losses[:, k].tolist()
        assert np.array_equal(model.parameters, fleet.parameters[k])
        assert np.array_equal(fleet[k].parameters, fleet.parameters[k])


def series(random):
    """Training and validation data of different lengths for each model."""
    parts = [(data(random, T + k), data(random, 5 + k)) for k in range(K)]
    return [train for train, _ in parts], [held_out for _, held_out in parts]


PLATEAU = rnncore.schedules.ReduceOnPlateau(0.5, patience=1)
SETTINGS = {"k1": 5, "lr": 0.03, "clip_norm": 1.0, "early_stopping": 2, "schedule": PLATEAU}


def test_validation_stopping_and_schedule_are_each_models_own():
    train, held_out = series(np.random.default_rng(0))
    fleet, alone = fleet_of(), fleet_of()
    history = fleet.fit(train, epochs=12, validation=held_out, **SETTINGS)
    for k, model in enumerate(alone):
        own = model.fit(train[k], epochs=12, validation=held_out[k], progress=False, **copy.deepcopy(SETTINGS))
        for name in ("loss", "val_loss", "lr"):
            assert history[k][name] == own[name], (k, name)
        assert (history[k].stopped, history[k].best_epoch) == (own.stopped, own.best_epoch)
        assert np.array_equal(model.parameters, fleet.parameters[k])
    epochs = [len(own) for own in history.models]
    assert len(set(epochs)) > 1  # some rested while others went on
    assert np.array_equal(np.isnan(history.val_loss).sum(axis=0), max(epochs) - np.array(epochs))


@pytest.mark.parametrize("early_stopping", [None, 3])
def test_a_run_that_is_taken_up_again_ends_with_the_same_bits(early_stopping, tmp_path):
    train, held_out = series(np.random.default_rng(0))
    options = {**SETTINGS, "validation": held_out, "early_stopping": early_stopping}
    whole, parts = fleet_of(), fleet_of()
    expected = whole.fit(train, epochs=9, **options)
    path, ends = tmp_path / "fleet.safetensors", []
    stop = lambda progress: ends.append(progress.epoch) or progress.epoch == 3  # noqa: E731
    halted = parts.fit(train, epochs=9, callbacks=[stop], checkpoint=path, **options)
    assert (halted.stopped, ends) == ("callback", [0, 1, 2, 3])
    again = fleet_of()
    again.parameters[...] = 7
    history = again.fit(train, epochs=9, checkpoint=path, resume=True, **options)
    assert np.array_equal(again.parameters, whole.parameters)
    assert np.array_equal(history.loss, expected.loss, equal_nan=True)
    assert np.array_equal(rnncore.Fleet.load(path).parameters, whole.parameters)


def test_a_checkpoint_of_another_run_is_refused_before_anything_changes(tmp_path):
    train, _ = series(np.random.default_rng(0))
    fleet, path = fleet_of(), tmp_path / "fleet.safetensors"
    fleet.fit(train, k1=5, checkpoint=path)
    before = fleet.parameters.copy()
    with pytest.raises(ValueError, match="k1 was 5, expected the same as now: 4"):
        fleet.fit(train, k1=4, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="models was 5, expected the same as now: 4"):
        fleet_of(4).fit(train[:4], k1=5, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="resume needs a checkpoint"):
        fleet.fit(train, k1=5, resume=True)
    mean = rnncore.training.RunningMean(fleet[0])
    with pytest.raises(TypeError, match="they should have no state, got a RunningMean"):
        fleet.fit(train, k1=5, checkpoint=path, resume=True, callbacks=[mean])
    other = rnncore.Fleet(rnncore.Sequential(rnncore.GRU(2, 1, seed=0)), K)
    with pytest.raises(ValueError, match="holds models like"):
        other.fit(train, k1=5, checkpoint=path, resume=True)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        fleet.fit(train, k1=5, checkpoint=tmp_path / "none" / "fleet.safetensors")
    with pytest.raises(rnncore.files.FormatError):
        rnncore.load(path)
    fleet[0].save(tmp_path / "model.safetensors")
    with pytest.raises(rnncore.files.FormatError):
        rnncore.Fleet.load(tmp_path / "model.safetensors")
    assert np.array_equal(fleet.parameters, before)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_streams_have_the_bits_of_each_models_own(dtype, threads):
    fleet = fleet_of(dtype=dtype)
    x, _ = data(np.random.default_rng(0), K, T, N)
    stream = fleet.stream(batch_size=N, num_threads=threads)
    steps = np.stack([stream.step(x[:, t]) for t in range(T)], axis=1)
    y, hx = fleet(x)
    assert np.array_equal(steps, y)
    for own, state, member in zip(hx, stream.state, fleet, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(own, state, strict=True))
        assert len(member) == 3
    stream.reset([1, 3])
    assert np.array_equal(stream.step(x[:, 0])[[1, 3]], steps[[1, 3], 0])
    stream.reset()
    assert np.array_equal(stream.run(x), steps)
    stream.state = hx[::-1]
    assert np.array_equal(stream.run(x[:, :2]), fleet(x[:, :2], hx[::-1])[0])
    fleet.parameters *= 0.5
    stream.reset()
    assert np.array_equal(stream.run(x), y)
    stream.refresh()
    stream.reset()
    assert np.array_equal(stream.run(x), fleet(x)[0])


def test_streams_of_many_models_are_shared_by_threads():
    """Enough work that threads take part in a step."""
    model = rnncore.Sequential(rnncore.LSTM(2, 40, seed=0), rnncore.Linear(40, 1, seed=0))
    fleet = rnncore.Fleet(model, 300)
    fleet.parameters[...] += np.random.default_rng(3).normal(size=fleet.parameters.shape) * 0.1
    x, _ = data(np.random.default_rng(0), 300, 4)
    alone, shared = fleet.stream(num_threads=1), fleet.stream(num_threads=2)
    for t in range(4):
        assert np.array_equal(shared.step(x[:, t]), alone.step(x[:, t]))
    own = rnncore.Stream(fleet[299])
    assert np.array_equal(own.run(x[299]), fleet.stream(num_threads=2).run(x)[299])


def test_streams_of_labels():
    model = rnncore.Sequential(rnncore.Embedding(7, 3, seed=0), rnncore.GRU(3, 4, seed=0))
    fleet = rnncore.Fleet(model, 3)
    fleet.parameters[...] += np.random.default_rng(3).normal(size=fleet.parameters.shape) * 0.1
    x = np.random.default_rng(0).integers(0, 7, (3, 6, 2))
    stream = fleet.stream(2)
    assert np.array_equal(np.stack([stream.step(x[:, t]) for t in range(6)], axis=1), fleet(x)[0])
    with pytest.raises(ValueError, match=r"x must be in 0\.\.6, got 7"):
        stream.step(np.full((3, 2), 7))
    with pytest.raises(TypeError, match="x"):
        stream.step(np.zeros((3, 2)))


def test_a_stream_refuses_what_does_not_fit():
    fleet = fleet_of()
    stream = fleet.stream(N)
    with pytest.raises(ValueError, match=r"x: expected shape \(5, 3, 2\), got \(5, 3, 1\)"):
        stream.step(np.zeros((5, 3, 1)))
    with pytest.raises(ValueError, match=r"x: expected shape \(5, 7, 3, 2\), got \(5, 7, 2\)"):
        stream.run(np.zeros((5, 7, 2)))
    with pytest.raises(ValueError, match="state: expected 5, one for each model, got 4"):
        stream.state = stream.state[:4]
    with pytest.raises(IndexError, match="there is no model 5"):
        stream.reset([5])
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        fleet.stream(0)
    with pytest.raises(ValueError, match="models that stream have a recurrent layer; got Linear"):
        rnncore.Fleet(rnncore.Sequential(rnncore.Linear(1, 1)), 2).stream()
    with pytest.raises(ValueError, match="bidirectional"):
        rnncore.Fleet(rnncore.Sequential(rnncore.GRU(1, 1, bidirectional=True)), 2).stream()


def test_what_does_not_fit_is_refused_before_anything_changes():
    fleet = fleet_of()
    before = fleet.parameters.copy()
    x, target = data(np.random.default_rng(0), K, T, N)
    with pytest.raises(TypeError, match="model should be a Sequential, got GRU"):
        rnncore.Fleet(rnncore.GRU(1, 1), 2)
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        rnncore.Fleet(fleet[0], 0)
    with pytest.raises(IndexError, match="there is no model 5 among 5"):
        fleet[5]
    with pytest.raises(ValueError, match="x: expected 5, one for each model, got 4"):
        fleet(x[:4])
    with pytest.raises(ValueError, match="model 0: x has 1 features, the model expects 2"):
        fleet.fit((x[..., :1], target))
    x[3, 2, 1, 0] = np.nan
    with pytest.raises(ValueError, match=r"model 3: x\[2, 1, 0\] is nan"):
        fleet.fit((x, target))
    with pytest.raises(ValueError, match="model 0: a fleet learns with the losses and optimisers of rnncore"):
        fleet.fit((target.repeat(2, axis=-1), target), loss=lambda *_, **__: None)
    assert np.array_equal(fleet.parameters, before)


def test_a_file_whose_parameters_are_of_other_models_is_refused_before_they_are_made(tmp_path):
    path, model = tmp_path / "fleet.safetensors", fleet_of()[0]
    told = model_file.architecture(model)
    for count, text in ((model.parameter_count - 1, "needs"), (model.parameter_count + 1, "expected parameters")):
        parameters = np.zeros((K, count), model.dtype)
        files.write_tensors(path, "rnncore.fleet", 1, {"parameters": parameters}, {"architecture": json.dumps(told)})
        with pytest.raises(files.FormatError, match=text):
            rnncore.Fleet.load(path)
