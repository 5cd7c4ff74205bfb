"""Streams of models with heads, and blocks on several threads: the bits of the model's own call."""

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS
from rnncore import Dropout, LastStep, LayerNorm, Linear, Sequential, Stream
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
        ([Linear(3, 4)], ValueError, "one RNN, LSTM or GRU, then Linear layers; got Linear"),
        ([rnncore.GRU(3, 4), LayerNorm(4)], ValueError, "got GRU, LayerNorm"),
        ([rnncore.GRU(3, 4), rnncore.GRU(4, 4)], ValueError, "got GRU, GRU"),
        ([rnncore.GRU(3, 4), LastStep(), Linear(4, 2)], ValueError, "got GRU, LastStep, Linear"),
        ([rnncore.GRU(3, 4, bidirectional=True), Linear(8, 2)], ValueError, "it reads the future"),
    ],
)
def test_models_that_cannot_stream_say_so(layers, error, message):
    with pytest.raises(error, match=message):
        Stream(Sequential(*layers))


def test_what_is_no_model_and_no_number_of_threads():
    for wrong in (Linear(3, 4), None, rnncore.State("gru", 3, np.zeros((1, 1, 4)))):
        with pytest.raises(TypeError, match="layer should be an RNN, LSTM or GRU, or a model of layers, got"):
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
