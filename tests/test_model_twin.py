"""The engine's model against its NumPy twin, in float64 to 1e-12: layers of every kind, behind each other."""

import numpy as np
import pytest

import rnncore
from rnncore.layers.linear import ACTIVATIONS
from rnncore.models.call import describe
from rnncore.reference.model import Model as Twin
from variants import LAYERS

T, N = 9, 5
D = {"dtype": "float64"}


def small(kind, *sizes, **options):
    return kind(*sizes, seed=sum(sizes), **D, **options)


MODELS = {
    "linear": lambda: [small(rnncore.Linear, 3, 4)],
    **{f"linear {f}": lambda f=f: [small(rnncore.Linear, 3, 4, activation=f)] for f in ACTIVATIONS},
    "norm": lambda: [rnncore.LayerNorm(3, **D)],
    "norm without bias": lambda: [rnncore.LayerNorm(3, bias=False, **D), small(rnncore.Linear, 3, 2)],
    "plain norm": lambda: [rnncore.LayerNorm(3, elementwise_affine=False, **D), small(rnncore.Linear, 3, 2)],
    "lstm and head": lambda: [small(rnncore.LSTM, 3, 5), small(rnncore.Linear, 5, 2, activation="tanh")],
    "projected": lambda: [small(rnncore.LSTM, 3, 5, proj_size=4, num_layers=2), small(rnncore.Linear, 4, 2)],
    **{name: lambda layer=layer: [small(layer, 3, 5), small(rnncore.Linear, 5, 2)] for name, layer in LAYERS.items()},
    "signed": lambda: [
        small(rnncore.LeakyRNN, 3, 4, num_layers=2, learned_alpha=True, dale=[1, 1, -1, 1], mask_hh=np.tri(4)),
        small(rnncore.LSTM, 4, 5, peepholes=True, proj_size=2),
    ],
    "two kinds": lambda: [
        small(rnncore.GRU, 3, 6, learned_state=True),
        rnncore.LayerNorm(6, **D),
        small(rnncore.Linear, 6, 4, activation="gelu"),
        rnncore.Dropout(0.4, **D, seed=3),
        small(rnncore.RNN, 4, 5, bidirectional=True),
        small(rnncore.Linear, 10, 2, bias=False, activation="sigmoid"),
    ],
    "last step": lambda: [
        small(rnncore.Linear, 3, 4, activation="relu"),
        small(rnncore.LSTM, 4, 5, num_layers=2, dropout=0.3),
        rnncore.LastStep(**D),
        rnncore.Dropout(0.4, **D, seed=3),
        small(rnncore.Linear, 5, 3),
    ],
    "both directions at the last step": lambda: [small(rnncore.GRU, 3, 4, bidirectional=True), rnncore.LastStep(**D)],
    "embedding": lambda: [rnncore.Embedding(3, 4, seed=0, **D), small(rnncore.GRU, 4, 5), small(rnncore.Linear, 5, 6)],
    "embedding of rare numbers": lambda: [rnncore.Embedding(40, 4, seed=0, **D), small(rnncore.GRU, 4, 5)],
    "embedding and norm": lambda: [rnncore.Embedding(3, 4, seed=0, **D), rnncore.LayerNorm(4, **D)],
}


def problem(name, ragged):
    model = rnncore.Sequential(*MODELS[name]())
    random = np.random.default_rng(1)
    model.parameters[...] = random.normal(size=model.parameters.size) * 0.4
    x = (
        random.integers(0, model.layers[0].num_embeddings, (T, N))
        if model.takes_labels
        else random.normal(size=(T, N, 3))
    )
    lengths = np.array([9, 4, 0, 7, 1]) if ragged else None
    return model, x, lengths, random


def flat(hx):
    if hx is None:
        return []
    return [array for part in hx for array in flat(part)] if isinstance(hx, tuple) else [hx]


def close(got, expected):
    assert got.shape == expected.shape
    scale = max(float(np.abs(expected).max(initial=0)), 1.0)
    assert np.abs(got - expected).max(initial=0) <= 1e-12 * scale


@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_gradients_are_the_twin_s(name, ragged):
    model, x, lengths, random = problem(name, ragged)
    keys = [7, 11, 13, 17, 19, 23][: len(model.layers)]
    model._dropout_keys = lambda: np.array(keys, np.uint64)
    resets = random.random((T, N)) < 0.2
    y, final, cache = model.forward(x, lengths=lengths, resets=resets)
    twin = Twin(describe(model.named_layers()))
    y_twin, final_twin, kept = twin.forward(model.parameters, x, None, lengths, resets, keys)
    close(y, y_twin)
    for got, expected in zip(flat(final), [array for states in final_twin for array in states], strict=True):
        close(got, expected)

    dy = random.normal(size=y.shape)
    d_final = [tuple(random.normal(size=array.shape) for array in states) for states in final_twin]
    dhx = tuple(states if len(states) > 1 else states[0] for states in d_final)
    grads = model.backward(cache, dy, (dhx[0] if len(dhx) == 1 else dhx) if dhx else None)
    dx, d_initial, total = twin.backward(kept, model.parameters, dy, d_final or None)
    close(grads.parameters, total)
    for got, expected in zip(flat(grads.hx), [array for states in d_initial for array in states], strict=True):
        close(got, expected)
    if not model.takes_labels:
        close(grads.x, dx)


@pytest.mark.parametrize("name", MODELS)
def test_bits_depend_neither_on_the_batch_nor_on_threads(name):
    model, x, lengths, random = problem(name, True)
    model.eval()
    y, final, cache = model.forward(x, lengths=lengths, num_threads=1)
    grads = model.backward(cache, random.normal(size=y.shape), num_threads=1)
    wide = np.concatenate([x[:, ::-1], x], axis=1)
    more = np.concatenate([lengths[::-1], lengths])
    again, end, _ = model.forward(wide, lengths=more, num_threads=2)
    half = (slice(None), slice(N, None)) if model.per_step else slice(N, None)
    assert np.array_equal(again[half], y)
    for got, expected in zip(flat(end), flat(final), strict=True):
        assert np.array_equal(got[:, N:], expected)
    random = np.random.default_rng(1)
    _, _, other = model.forward(x, lengths=lengths, num_threads=2)
    dy = random.normal(size=y.shape)
    one = model.backward(other, dy, num_threads=1).parameters
    assert np.array_equal(one, model.backward(other, dy, num_threads=2).parameters)
    assert np.isfinite(grads.parameters).all()


@pytest.mark.parametrize("name", [name for name in MODELS if "directions" not in name and name != "two kinds"])
def test_a_stream_has_the_bits_of_the_model(name):
    model, x, _, _ = problem(name, False)
    if not model._recurrent:
        with pytest.raises(ValueError, match="a model that streams has a recurrent layer; got"):
            rnncore.Stream(model)
        return
    y, hx = model(x)
    stream = rnncore.Stream(model, batch_size=N)
    steps = np.stack([stream.step(x[t]) for t in range(T)])
    blocks = rnncore.Stream(model, batch_size=N, num_threads=2)
    assert np.array_equal(np.concatenate([blocks.run(x[:4]), blocks.run(x[4:])]), steps)
    assert np.array_equal(steps if model.per_step else steps[-1], y)
    states = stream.state if isinstance(stream.state, tuple) else (stream.state,)
    own = flat(tuple(state.hx for state in states))
    for got, expected in zip(own, flat(hx), strict=True):
        assert np.array_equal(got, expected)
    blocks.reset()
    blocks.state = stream.state
    assert all(np.array_equal(a, b) for a, b in zip(flat(hx), own, strict=True))
    assert np.array_equal(blocks.step(x[0]), stream.step(x[0]))
