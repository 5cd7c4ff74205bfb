"""A fleet's models have the bits that each has alone: calls, gradients, training, streams."""

import numpy as np
import pytest

import rnncore

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
    losses = fleet.fit(batches, num_threads=threads, **options)
    for k, model in enumerate(alone):
        history = model.fit(batches[k], progress=False, **options)
        assert history.loss == losses[:, k].tolist()
        assert np.array_equal(model.parameters, fleet.parameters[k])
        assert np.array_equal(fleet[k].parameters, fleet.parameters[k])


def test_streams():
    fleet = fleet_of()
    x, _ = data(np.random.default_rng(0), K, T, N)
    stream = fleet.stream(batch_size=N)
    steps = np.stack([stream.step(x[:, t]) for t in range(T)], axis=1)
    assert np.array_equal(steps, fleet(x)[0])
    stream.reset()
    assert np.array_equal(stream.step(x[:, 0]), steps[:, 0])


def test_what_does_not_fit_is_refused_before_anything_changes():
    fleet = fleet_of()
    before = fleet.parameters.copy()
    x, target = data(np.random.default_rng(0), K, T, N)
    with pytest.raises(TypeError, match="model should be a Sequential, got GRU"):
        rnncore.Fleet(rnncore.GRU(1, 1), 2)
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        rnncore.Fleet(fleet[0], 0)
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
