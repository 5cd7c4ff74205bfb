"""The C face gives the bits of Python: batches, streams, states."""

import numpy as np
import pytest

import rnncore
from c_face import CModel, ask
from rnncore import GRU, LSTM, RNN, Dropout, Embedding, LastStep, LayerNorm, LeakyRNN, Linear, Sequential
from variants import LAYERS, engine_arguments

STEPS, ROWS = 7, 3


def models(dtype):
    """Every kind of layer and option that a model may have in C."""

    def new(kind, *sizes, **options):
        return kind(*sizes, dtype=dtype, **({} if kind in (LayerNorm, LastStep) else {"seed": 5}), **options)

    made = {name: Sequential(new(layer, 3, 5, num_layers=2), new(Linear, 5, 2)) for name, layer in LAYERS.items()}
    made |= {
        "signed": Sequential(
            new(LeakyRNN, 3, 6, 2, learned_alpha=True, dale=[1, 1, 1, 1, -1, -1], mask_hh=1 - np.eye(6))
        ),
        "masked": Sequential(new(LeakyRNN, 3, 4, mask_hh=np.tri(4), nonlinearity="relu"), new(GRU, 4, 2)),
    }
    made |= {
        "plain": Sequential(new(RNN, 3, 5, nonlinearity="relu", bias=False), new(Linear, 5, 2)),
        "two_layers": Sequential(new(LSTM, 3, 12, num_layers=2, dropout=0.5), new(Linear, 12, 2, bias=False)),
        "projected": Sequential(new(LSTM, 3, 9, proj_size=4, peepholes=True, learned_state=True)),
        "batch_first": Sequential(new(GRU, 3, 8, batch_first=True, learned_state=True), new(LayerNorm, 8)),
        "deep": Sequential(
            new(LayerNorm, 3, elementwise_affine=False), new(GRU, 3, 16), new(Dropout, 0.5),
            new(LayerNorm, 16, bias=False), new(LSTM, 16, 6), new(RNN, 6, 4), new(Linear, 4, 5), new(Linear, 5, 1),
        ),
        "speller": Sequential(new(Embedding, 6, 3), new(LSTM, 3, 32), new(Linear, 32, 6)),
        "last": Sequential(new(GRU, 3, 7), new(LastStep), new(Linear, 7, 2)),
        "both_ways": Sequential(new(LSTM, 3, 5, bidirectional=True), new(LastStep), new(Linear, 10, 2)),
    }  # fmt: skip
    for activation in ("relu", "tanh", "sigmoid", "gelu"):
        made[activation] = Sequential(new(LSTM, 3, 8), new(Linear, 8, 2, activation=activation))
    random = np.random.default_rng(1)
    for model in made.values():
        model.parameters[...] = random.normal(scale=0.5, size=model.parameters.size)
    return made


NAMES = list(models("float32"))
FORWARD = [name for name in NAMES if name != "both_ways"]


@pytest.fixture(scope="module", params=["float32", "float64"])
def pairs(request, tmp_path_factory):
    """Name -> a model in Python and in C."""
    folder = tmp_path_factory.mktemp("models")
    made = models(request.param)
    for name, model in made.items():
        model.save(folder / f"{name}.safetensors")
    return {name: (model, CModel(folder / f"{name}.safetensors")) for name, model in made.items()}


def test_every_cell_of_the_engine_is_among_them():
    assert {engine_arguments(name)["cell"] for name in LAYERS} == set(rnncore._core.cells())


def inputs(model, steps=STEPS, rows=ROWS):
    random = np.random.default_rng(2)
    if model.takes_labels:
        return random.integers(0, 6, (steps, rows))
    return random.normal(size=(steps, rows, 3)).astype(model.dtype)


def flat(state):
    """The arrays of a state one behind the other, as C has them."""
    if state is None:
        return np.zeros(0)
    return np.concatenate([flat(part) for part in state]) if isinstance(state, tuple) else np.ravel(state)


def in_python(model, x, hx=None, lengths=None, resets=None):
    """Call it with time first, whatever batch_first says."""
    turned = model.batch_first
    y, state = model(
        x.swapaxes(0, 1) if turned else x,
        hx,
        lengths=lengths,
        resets=None if resets is None else resets.T if turned else resets,
    )
    return (y.swapaxes(0, 1) if turned and model.per_step else y), state


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_has_the_bits_of_python(name, pairs):
    model, twin = pairs[name]
    x = inputs(model)
    lengths, resets = np.array([7, 0, 4]), np.arange(STEPS * ROWS).reshape(STEPS, ROWS) % 5 == 1
    for options in ({}, {"lengths": lengths}, {"resets": resets}, {"lengths": lengths, "resets": resets}):
        y, hx = in_python(model, x, **options)
        np.testing.assert_array_equal(twin.forward(x, **options), y, strict=True)
        state = twin.initial_state(ROWS)
        np.testing.assert_array_equal(twin.forward(x, state=state, threads=2, **options), y, strict=True)
        np.testing.assert_array_equal(state, flat(hx))
        y, more = in_python(model, x, hx, **options)
        np.testing.assert_array_equal(twin.forward(x, state=state, **options), y, strict=True)
        np.testing.assert_array_equal(state, flat(more))


@pytest.mark.parametrize("name", NAMES)
def test_the_initial_state_is_zero_or_what_was_learned(name, pairs):
    model, twin = pairs[name]
    _, hx = in_python(model, inputs(model, 1), lengths=[0] * ROWS)
    np.testing.assert_array_equal(twin.initial_state(ROWS), flat(hx))
    assert twin.initial_state(ROWS).any() == (name in ("projected", "batch_first"))


@pytest.mark.parametrize("rows", [1, ROWS])
@pytest.mark.parametrize("name", FORWARD)
def test_a_stream_has_the_bits_of_a_batch_and_of_pythons_stream(name, rows, pairs):
    model, twin = pairs[name]
    x = inputs(model, rows=rows)
    stream = twin.stream(rows)
    np.testing.assert_array_equal(stream.state, twin.initial_state(rows))
    y = np.stack([stream.step(step) for step in x])
    theirs = rnncore.Stream(model, batch_size=rows)
    np.testing.assert_array_equal(y, np.stack([np.reshape(theirs.step(step), y[0].shape) for step in x]))
    np.testing.assert_array_equal(twin.stream(rows).run(x, threads=2), y)
    whole, hx = in_python(model, x)
    np.testing.assert_array_equal(y[-1] if name == "last" else y, whole)
    np.testing.assert_array_equal(stream.state, flat(hx))


@pytest.mark.parametrize("name", FORWARD)
def test_states_come_out_and_go_in_and_forks_go_their_own_ways(name, pairs):
    model, twin = pairs[name]
    x = inputs(model)
    stream = twin.stream(ROWS)
    stream.run(x[:4])
    kept = stream.state
    fork = stream.fork()
    expected = stream.run(x[4:])
    np.testing.assert_array_equal(fork.state, kept)
    np.testing.assert_array_equal(fork.run(x[4:]), expected)
    other = twin.stream(ROWS)
    other.state = kept
    np.testing.assert_array_equal(other.run(x[4:]), expected)
    assert not np.array_equal(stream.state, kept)


@pytest.mark.parametrize("name", FORWARD)
def test_rows_begin_anew_and_the_others_go_on(name, pairs):
    model, twin = pairs[name]
    x = inputs(model)
    stream = twin.stream(ROWS)
    stream.run(x[:4])
    stream.reset([2, 0])
    resets = np.zeros((STEPS, ROWS), bool)
    resets[4, [0, 2]] = True
    y, _ = in_python(model, x, resets=resets)
    rest = stream.run(x[4:])
    np.testing.assert_array_equal(rest[-1] if name == "last" else rest, y if name == "last" else y[4:])
    stream.reset()
    np.testing.assert_array_equal(stream.state, twin.initial_state(ROWS))


def test_a_stream_outlives_its_model(pairs, tmp_path):
    model, twin = pairs["deep"]
    x = inputs(model)
    expected = twin.stream(ROWS).run(x)
    twin.save(tmp_path / "model.safetensors")
    mortal = CModel(tmp_path / "model.safetensors")
    streams = [mortal.stream(ROWS) for _ in range(3)]
    streams[0].model = streams[1].model = streams[2].model = twin
    del mortal  # frees the handle
    for stream in streams:
        np.testing.assert_array_equal(stream.run(x), expected)


def test_the_library_says_what_it_is():
    assert ask("version").decode() == rnncore.__version__
    assert ask("instruction_set").decode() == rnncore.show_config(mode="dicts")["isa"]


@pytest.mark.parametrize("name", ["deep", "projected", "speller"])
def test_many_rows_are_taken_some_at_a_time_to_the_same_bits(name, pairs):
    model, twin = pairs[name]
    rows = 700
    x = inputs(model, 3, rows)
    stream = twin.stream(rows)
    y, hx = in_python(model, x)
    np.testing.assert_array_equal(np.stack([stream.step(step) for step in x]), y)
    np.testing.assert_array_equal(stream.state, flat(hx))
