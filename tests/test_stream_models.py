"""Streams of models with heads, and blocks on several threads: the bits of the model's own call."""

import sys
import threading

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, as_tuple
from rnncore import Dropout, LayerNorm, Linear, Sequential, Stream
from stream_case import identical, make

each_cell = pytest.mark.parametrize("cell", LAYERS)


def model_of(cell="lstm", rows=3, heads=(7, 2), dtype="float32", **options):
    layer, x = make(cell, rows, dtype=dtype, **options)
    widths = [layer.hidden_size, *heads]
    linear = [Linear(a, b, bias=k != 1, dtype=dtype, seed=k) for k, (a, b) in enumerate(zip(widths, heads))]  # noqa: B905
    return Sequential(layer, Dropout(0.5, dtype=dtype), *linear), x


@each_cell
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 3, 33])
@pytest.mark.parametrize("heads", [(1,), (7, 2), (3, 9, 4)])
def test_steps_and_blocks_are_those_of_the_model(cell, dtype, rows, heads):
    model, x = model_of(cell, rows, heads, dtype, H=17)
    y, hx = model.train()(x)
    by_step, by_block = Stream(model, rows), Stream(model, rows, num_threads=2)
    identical(np.stack([by_step.step(frame) for frame in x]), y)
    identical(np.concatenate([by_block.run(x[:4]), by_block.run(x[4:])]), y)
    out = np.empty((rows, heads[-1]), dtype)
    by_block.reset()
    for frame, expected in zip(x, y, strict=True):
        assert by_block.step(frame, out=out) is out
        identical(out, expected)
    assert by_step.state == by_block.state
    by_step.state = hx
    assert by_step.state == by_block.state


def test_weights_are_refreshed_with_their_heads():
    model, x = model_of()
    stream = Stream(model, 3)
    fork = stream.fork()
    before = fork.run(x)
    model.parameters *= -0.5
    identical(stream.run(x), before)
    stream.reset()
    stream.refresh()
    identical(stream.run(x), model(x)[0])
    fork.resize(5)
    assert fork.step(np.zeros((5, 4))).shape == (5, 2)
    assert stream.layer is model
    assert repr(stream).startswith("Stream(Sequential(")


def test_one_sequence_and_batch_first():
    model, x = model_of(rows=1)
    y, _ = model(x[:, 0])
    stream = Stream(model)
    identical(np.stack([stream.step(frame) for frame in x[:4, 0]]), y[:4])
    identical(stream.run(x[4:, 0]), y[4:])
    model, x = model_of(batch_first=True)
    by_row = x.swapaxes(0, 1)
    identical(Stream(model, 3).run(by_row), model(by_row)[0])


@each_cell
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_threads_of_a_block_change_no_bit(cell, threads):
    layer, x = make(cell, 40, I=24, H=64, steps=30)
    stream = Stream(layer, 40, num_threads=threads)
    y, _ = layer(x, num_threads=1)
    identical(np.concatenate([stream.run(x[:13]), stream.run(x[13:])]), y)
    identical(stream.fork().step(x[0]), stream.step(x[0]))


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([rnncore.Embedding(3, 4), Linear(4, 4)], ValueError, "got Embedding, Linear"),
        ([rnncore.Embedding(3, 4)], ValueError, "got Embedding"),
        ([Linear(3, 4)], ValueError, "a model that streams has a recurrent layer; got Linear"),
        ([rnncore.GRU(3, 4), LayerNorm(4), rnncore.GRU(4, 4, bidirectional=True)], ValueError, "it reads the future"),
        ([rnncore.GRU(3, 4, bidirectional=True), Linear(8, 2)], ValueError, "it reads the future"),
    ],
)
def test_models_that_cannot_stream_say_so(layers, error, message):
    with pytest.raises(error, match=message):
        Stream(Sequential(*layers))


def test_what_is_no_model_and_no_number_of_threads():
    for wrong in (Linear(3, 4), None, rnncore.State("gru", 3, np.zeros((1, 1, 4)))):
        with pytest.raises(TypeError, match="layer should be a recurrent layer, or a model of layers, got"):
            Stream(wrong)
    with pytest.raises(ValueError, match="num_threads must be at least 1, got 0"):
        Stream(rnncore.GRU(3, 4), num_threads=0)
    model, _ = model_of()
    stream = Stream(model, 3)
    with pytest.raises(ValueError, match=r"out: expected shape \(3, 2\), got \(3, 5\)"):
        stream.step(np.zeros((3, 4)), out=np.empty((3, 5), "float32"))


def test_a_model_with_a_projected_lstm_streams_with_its_bits():
    model = rnncore.Sequential(rnncore.LSTM(3, 9, proj_size=4, seed=0), rnncore.Linear(4, 2, seed=1))
    x = np.random.default_rng(0).normal(size=(6, 2, 3)).astype(np.float32)
    stream = rnncore.Stream(model, batch_size=2)
    steps = np.stack([stream.step(row) for row in x])
    np.testing.assert_array_equal(steps, model(x)[0], strict=True)
    stream.reset()
    np.testing.assert_array_equal(stream.run(x), steps, strict=True)


# ---- labels


@each_cell
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("batch_first", [False, True])
def test_labels_are_looked_up_with_the_bits_of_the_model(cell, rows, batch_first):
    layer, _ = make(cell, rows, batch_first=batch_first)
    embedding = rnncore.Embedding(11, 4, seed=3)
    model = Sequential(embedding, Dropout(0.5), layer, Linear(5, 11, seed=4))
    labels = np.random.default_rng(0).integers(0, 11, (9, rows))
    y, hx = model(labels.T if batch_first else labels)
    by_time = y.swapaxes(0, 1) if batch_first else y
    by_step, by_block = Stream(model, rows), Stream(model, rows, num_threads=2)
    identical(np.stack([by_step.step(numbers.astype("uint8")) for numbers in labels]), by_time)
    blocks = [by_block.run(part.T if batch_first else part) for part in (labels[:4], labels[4:])]
    identical(np.concatenate(blocks, axis=1 if batch_first else 0), y)
    assert by_step.state == by_block.state
    for ours, theirs in zip(as_tuple(by_step.state.hx), as_tuple(hx), strict=True):
        identical(ours, theirs)
    out, fork = np.empty((rows, 11), "float32"), by_step.fork()
    assert by_step.step(labels[0], out=out) is out
    identical(out, fork.step(labels[0].tolist()))


def test_one_sequence_of_labels_and_its_refresh():
    model = Sequential(rnncore.Embedding(11, 4, seed=3), rnncore.GRU(4, 5, seed=0), Linear(5, 11, seed=4))
    labels = np.random.default_rng(0).integers(0, 11, 9)
    y, _ = model(labels)
    stream = Stream(model)
    identical(np.stack([stream.step(int(k)) for k in labels[:4]]), y[:4])
    identical(stream.run(labels[4:]), y[4:])
    model.parameters *= 0.5
    stream.reset()
    identical(stream.fork().run(labels), y)
    stream.refresh()
    identical(stream.run(labels), model(labels)[0])


def test_no_label_is_looked_up_in_other_weights_than_those_of_its_step():
    model = Sequential(rnncore.Embedding(11, 4, seed=3), rnncore.GRU(4, 5, seed=0), Linear(5, 11, seed=4))
    parameters = [model.parameters.copy(), -0.5 * model.parameters]
    stream, label, seen, done = Stream(model), np.array([3]), set(), threading.Event()
    expected = set()
    for each in parameters:
        model.parameters[...] = each
        expected.add(model(label)[0].tobytes())

    def refresh():
        for k in range(1000):
            model.parameters[...] = parameters[k % 2]
            stream.refresh()
        done.set()

    previous = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=refresh)
    try:
        stream.refresh()
        thread.start()
        while not done.is_set():
            stream.reset()
            seen.add(stream.step(label).tobytes())
    finally:
        thread.join()
        sys.setswitchinterval(previous)
    assert seen <= expected


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"^x\[1\] is 11, expected 0 to 10$", lambda s: s.step([0, 11, 3])),
        (ValueError, r"^x\[1, 0\] is -1, expected 0 to 10$", lambda s: s.run([[0, 1, 2], [-1, 0, 0]])),
        (ValueError, r"^x: expected shape \(3,\), got \(\)$", lambda s: s.step(1)),
        (ValueError, r"^x: expected shape \(\) or \(1,\), got \(3,\)$", lambda s: Stream(s.layer).step([1, 2, 3])),
        (ValueError, "^x: expected labels to be 1D or 2D, got 3D instead", lambda s: s.run(np.zeros((2, 3, 4), int))),
        (ValueError, r"^x has 2 rows, the stream 3, shape \(5, 2\)$", lambda s: s.run(np.zeros((5, 2), int))),
        (TypeError, "^x must hold integers, got dtype float32$", lambda s: s.step(np.zeros((3, 4), "float32"))),
        (TypeError, "^x must hold integers, got", lambda s: s.run(np.zeros((3, 4), "float32"))),
        (ValueError, r"^out: expected shape \(3, 11\), got \(3, 5\)$", lambda s: s.step([0, 1, 2], np.empty((3, 5)))),
    ],
)
def test_wrong_labels_are_named_and_change_nothing(error, message, call):
    model = Sequential(rnncore.Embedding(11, 4, seed=3), rnncore.GRU(4, 5, seed=0), Linear(5, 11, seed=4))
    stream = Stream(model, 3)
    stream.step([1, 2, 3])
    state = stream.state
    with pytest.raises(error, match=message):
        call(stream)
    assert stream.state == state


# ---- a stream's state for the layer's own call


@each_cell
@pytest.mark.parametrize("rows", [1, 3])
def test_the_state_of_a_stream_is_an_initial_state(cell, rows):
    model, x = model_of(cell, rows)
    model.train(False)
    stream = Stream(model, rows)
    stream.run(x[:4])
    state = stream.state
    expected = stream.run(x[4:])
    layer = model.layers[0]
    identical(model(x[4:], state)[0], expected)
    identical(model.forward(x[4:], hx=state)[0], model.forward(x[4:], hx=state.hx)[0])
    identical(layer(x[4:], state)[0], layer(x[4:], state.hx)[0])
    for ours, theirs in zip(as_tuple(layer.unflatten(state)), as_tuple(layer.unflatten(state.hx)), strict=True):
        identical(ours, theirs)
    if rows == 1:
        identical(model(x[4:, 0], state)[0], expected[:, 0])
        identical(layer(x[4:, 0], state)[0], layer(x[4:], state)[0][:, 0])
    with pytest.raises(ValueError, match=r"^hx(\[0\])?: expected hidden size \(2, 5, 5\), got"):
        layer(np.zeros((2, 5, 4)), state)
    with pytest.raises(ValueError, match="^hx is of .*, input_size 4, .*; the layer is of .*, input_size 3, "):
        LAYERS[cell](3, 5, 2)(np.zeros((2, rows, 3)), state)


def test_a_state_for_each_of_several_recurrent_layers():
    model = Sequential(rnncore.GRU(3, 4, seed=0), rnncore.LSTM(4, 5, seed=1))
    x = np.random.default_rng(0).normal(size=(6, 2, 3))
    _, (h, (g, c)) = model(x[:3])
    states = rnncore.State("gru", 3, h), rnncore.State("lstm", 4, g, c)
    identical(model(x[3:], states)[0], model(x)[0][3:])
    with pytest.raises(ValueError, match="^hx: expected a tuple of 2 states, .*, got State$"):
        model(x[3:], states[0])
