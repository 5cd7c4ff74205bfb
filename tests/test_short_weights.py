"""Weights in fewer bits: what they are rounded to, and that nothing else of a row's bits depends on how it is run."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from threading import Barrier

import numpy as np
import pytest

import rnncore
from c_face import CModel
from layer_case import as_tuple, twin_of
from rnncore.layers import RNN
from rnncore.reference import short_weights as twin

FORMATS = ("bf16", "int8")
LAYERS = [
    (kind, options)
    for kind in (rnncore.RNN, rnncore.LSTM, rnncore.GRU, rnncore.MGU, rnncore.LeakyRNN)
    for options in kind.variants.values()
] + [(rnncore.LSTM, {"proj_size": 300}), (rnncore.GRU, {"num_layers": 2})]
IDS = [f"{kind.__name__}{''.join(f'-{k}={v}' for k, v in options.items())}" for kind, options in LAYERS]


def units(kind):
    """So many that the kernels read fewer bits."""
    gates = len(kind(1, 2).weight_hh_l0) // 2
    return {1: 680, 2: 480, 3: 392, 4: 340}[gates]


def bits(array):
    return np.ascontiguousarray(array).view(np.uint32)


def same(a, b):
    return a.shape == b.shape and (bits(a) == bits(b)).all()


def widened(layer):
    """Return a layer of float32 weights of the same values."""
    kind = type(layer)
    twin_layer = kind(**layer._options())
    twin_layer.load_state_dict(layer.state_dict())
    return twin_layer


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(9, 7, 5)).astype("float32")


@pytest.mark.parametrize("weights", FORMATS)
def test_rounding_equals_its_twin_and_twice_is_once(weights):
    layer = rnncore.LSTM(33, 130, seed=0)
    layer.weight_hh_l0[5] = 0
    layer.weight_hh_l0[6] *= 1e-35
    layer.weight_hh_l0[7, :4] = [-0.0, 1.0, 1 + 2**-8, 1 + 3 * 2**-8]
    short = rnncore.quantize(layer, weights)
    for name, matrix in layer.named_parameters().items():
        expected = twin.rounded(matrix, weights) if matrix.ndim == 2 else matrix
        assert np.array_equal(short.named_parameters()[name], expected)
    again = widened(short)
    assert np.array_equal(rnncore.quantize(again, weights).parameters, short.parameters)


def test_bf16_rounds_ties_to_even_and_int8_keeps_zero():
    halves = np.array([[1.0, 1 + 2**-8, 1 + 3 * 2**-8, -0.0, 0.3]], np.float32)
    assert twin.rounded(halves, "bf16")[0, :4].tolist() == [1.0, 1.0, 1 + 2**-6, 0.0]
    error = np.abs(twin.rounded(halves, "bf16") - halves)
    assert (error <= 2.0**-8 * np.abs(halves)).all()
    q, scale = twin.int8(np.array([[0.0, 127.0, -63.5, 62.5]], np.float32))
    assert q.tolist() == [[0, 127, -64, 62]]
    assert scale[0] == 1


@pytest.mark.parametrize("weights", FORMATS)
@pytest.mark.parametrize(("kind", "options"), LAYERS, ids=IDS)
@pytest.mark.parametrize("large", [True, False])
def test_stream_block_batch_threads_and_packing_give_the_same_bits(kind, options, large, weights, x):
    options = options if large or "proj_size" not in options else {"proj_size": 40}
    layer = kind(5, units(kind) if large else 48, seed=3, **options)
    short = rnncore.quantize(layer, weights)
    lengths = [9, 4, 0, 9, 1, 7, 2]
    y, state = short(x)
    for row in range(7):  # batch
        assert same(short(x[:, row : row + 1])[0][:, 0], y[:, row])
    ragged = short(x, lengths=lengths, num_threads=3)[0]  # lengths and threads
    for row, length in enumerate(lengths):
        assert same(ragged[:length, row], y[:length, row])
    alone, batch = rnncore.Stream(layer, weights=weights), rnncore.Stream(short, batch_size=7, num_threads=2)
    steps = np.stack([alone.step(x[t, 0]) for t in range(9)])
    assert same(steps, y[:, 0])
    assert same(np.concatenate([batch.run(x[:4]), batch.step(x[4])[None], batch.run(x[5:])]), y)
    packed = layer.pack(weights)
    assert packed.weights == weights
    again, hn = layer(x, packed=packed)
    assert same(again, y)
    pairs = zip(hn, state, strict=True) if isinstance(hn, tuple) else [(hn, state)]
    assert all(same(a, b) for a, b in pairs)


@pytest.mark.parametrize("weights", FORMATS)
@pytest.mark.parametrize(("kind", "options"), LAYERS, ids=IDS)
def test_a_row_of_many_for_which_weights_are_widened_once_equals_itself_alone(kind, options, weights):
    layer = kind(150, units(kind), seed=3, **options)
    x = np.random.default_rng(1).normal(size=(2, 131, 150)).astype("float32")
    packed = layer.pack(weights)
    for rows in (131, 13):
        y, _ = layer(x[:, :rows], packed=packed)
        for row in (0, 12, rows - 1):
            assert same(layer(x[:, row : row + 1], packed=packed)[0][:, 0], y[:, row])


@pytest.mark.parametrize("weights", FORMATS)
@pytest.mark.parametrize(
    ("kind", "inputs", "hidden"),
    [
        (rnncore.RNN, 150, units(rnncore.RNN)),
        (rnncore.LSTM, 150, units(rnncore.LSTM)),
        (rnncore.GRU, 150, units(rnncore.GRU)),
        (rnncore.LSTM, 340, 210),  # recurrent weights that a cache may hold, and more than are read in all bits
    ],
)
def test_rows_and_steps_for_which_weights_are_widened_change_no_bit(kind, inputs, hidden, weights):
    layer = kind(inputs, hidden, seed=3)
    x = np.random.default_rng(1).normal(size=(20, 9, inputs)).astype("float32")
    stream = rnncore.Stream(layer, weights=weights)
    alone = np.stack([stream.step(frame) for frame in x[:, 0]])
    for rows in (1, 2, 4, 5, 9):
        assert same(layer(x[:, :rows], packed=layer.pack(weights))[0][:, 0], alone)
        batch = rnncore.Stream(layer, weights=weights, batch_size=rows)
        assert same(np.concatenate([batch.step(x[0, :rows])[None], batch.run(x[1:, :rows])])[:, 0], alone)
    assert same(rnncore.quantize(layer, weights)(x)[0][:, 0], alone)
    lengths = [20, 3, 2, 5, 1, 4, 7, 15, 12]  # rows become few
    assert same(layer(x, lengths=lengths, packed=layer.pack(weights))[0][:, 0], alone)


@pytest.mark.parametrize("weights", FORMATS)
def test_threads_that_meet_at_weights_to_be_widened_find_the_same(weights):
    layer = rnncore.LSTM(150, units(rnncore.LSTM), seed=3)
    x = np.random.default_rng(1).normal(size=(2, 9, 150)).astype("float32")
    expected = layer(x, packed=layer.pack(weights))[0]
    for _ in range(3):
        packed, together = layer.pack(weights), Barrier(4)

        def call(_, packed=packed, together=together):
            together.wait()
            return layer(x, packed=packed, num_threads=1)[0]

        with ThreadPoolExecutor(4) as pool:
            assert all(same(y, expected) for y in pool.map(call, range(4)))


@pytest.mark.parametrize(("kind", "options"), LAYERS, ids=IDS)
def test_bf16_has_the_bits_of_float32_kernels_on_the_rounded_weights(kind, options, x):
    layer = kind(5, units(kind), seed=3, **options)
    stream, expected = rnncore.Stream(layer, weights="bf16"), widened(rnncore.quantize(layer, "bf16"))
    assert same(np.stack([stream.step(x[t, 0]) for t in range(9)]), expected(x)[0][:, 0])
    assert same(layer(x, packed=layer.pack("bf16"))[0], expected(x)[0])


@pytest.mark.parametrize(("kind", "options"), LAYERS, ids=IDS)
def test_int8_is_near_float32_kernels_on_the_rounded_weights(kind, options, x):
    layer = kind(5, units(kind), seed=3, **options)
    short = rnncore.quantize(layer, "int8")
    y, expected = short(x)[0], widened(short)(x)[0]
    assert np.abs(y - expected).max() < 2e-6
    assert not same(y, expected)  # or the kernels of float32 have run
    assert not same(y, layer(x)[0])


@pytest.mark.parametrize("weights", FORMATS)
@pytest.mark.parametrize(("kind", "options"), LAYERS, ids=IDS)
@pytest.mark.parametrize("large", [True, False])
def test_a_quantized_layer_is_the_twin_of_rounded_matrices(kind, options, large, weights, x):
    """To the rounding of its sums in float32: a chain of K additions errs by K 2^-24 of its largest part, here 2."""
    options = options if large or "proj_size" not in options else {"proj_size": 40}
    hidden = units(kind) if large else 48
    layer = kind(5, hidden, seed=3, **options)
    network = twin_of(layer, dtype="float64", weights=weights)
    sizes = [(network.num_layers, 7, size) for size in network.state_sizes]
    y, hn = np.empty((9, 7, network.state_sizes[0])), tuple(map(np.empty, sizes))
    lengths = np.array([9, 4, 0, 9, 1, 7, 2])
    network.forward(layer.parameters.astype(float), x.astype(float), None, y, hn, lengths)
    short, state = rnncore.quantize(layer, weights)(x, lengths=lengths)
    tolerance = 2 * (hidden + 5) * 2.0**-24
    for found, expected in zip((short, *as_tuple(state)), (y, *hn), strict=True):
        assert np.abs(found - expected).max() < tolerance
    assert np.abs(layer(x, lengths=lengths)[0] - y).max() > tolerance  # or nothing is rounded
    with pytest.raises(ValueError, match="inference"):
        network.forward(layer.parameters.astype(float), x.astype(float), None, y, hn, lengths, keep=True)


@pytest.mark.parametrize("weights", FORMATS)
@pytest.mark.parametrize(("inputs", "hidden"), [(5, 690), (6, 700)])
def test_sums_are_added_up_as_the_twin_says(inputs, hidden, weights):
    """A unit of relu passes its sum on: its bits are those of the chain."""
    layer = RNN(inputs, hidden, nonlinearity="relu", seed=4)
    generator = np.random.default_rng(5)
    x, h = (np.abs(generator.normal(size=(3, n))).astype("float32") for n in (inputs, hidden))
    one = np.ones(hidden, np.float32)
    sums = np.broadcast_to(layer.bias_ih_l0 + layer.bias_hh_l0, (3, hidden))
    sums = twin.add_product(sums, x, layer.weight_ih_l0, weights, one)
    expected = np.maximum(twin.add_product(sums, h, layer.weight_hh_l0, weights, one), 0)
    y = layer(x[None], h[None], packed=layer.pack(weights))[0][0]
    assert np.abs(y - expected).max() <= 1e-6 * np.abs(expected).max()


def model_of_text():
    return rnncore.Sequential(
        rnncore.Embedding(40, 24, seed=0), rnncore.LSTM(24, 340, seed=1), rnncore.LayerNorm(340),
        rnncore.GRU(340, 40, seed=2), rnncore.Linear(40, 40, seed=3),
    )  # fmt: skip


@pytest.mark.parametrize("weights", FORMATS)
def test_a_models_streams_calls_copies_and_files_agree(weights, tmp_path):
    model = model_of_text()
    short = rnncore.quantize(model, weights)
    labels = np.random.default_rng(0).integers(40, size=(60, 3))  # some so often that they are multiplied once
    y, _ = short(labels)
    assert short.weights == weights
    assert model.weights is None
    assert short[1].weights == weights
    for streaming in (rnncore.Stream(model, 3, weights=weights), rnncore.Stream(short, 3)):
        assert same(np.concatenate([streaming.step(labels[t])[None] for t in range(60)]), y)
    assert same(rnncore.Stream(short, 3).run(labels), y)
    assert same(deepcopy(short)(labels)[0], y)
    assert deepcopy(short).weights == weights
    model.save(tmp_path / "long")
    short.save(tmp_path / "short")
    loaded = rnncore.load(tmp_path / "short")
    assert loaded.weights == weights
    assert np.array_equal(loaded.parameters, short.parameters)
    assert same(loaded(labels)[0], y)
    sizes = [(tmp_path / name).stat().st_size for name in ("long", "short")]
    assert sizes[1] / sizes[0] < {"bf16": 0.53, "int8": 0.29}[weights]
    loaded.save(tmp_path / "again")
    assert np.array_equal(rnncore.load(tmp_path / "again").parameters, short.parameters)


@pytest.mark.parametrize("weights", FORMATS)
def test_c_reads_runs_and_writes_such_a_model(weights, tmp_path):
    layers = rnncore.LSTM(5, 340, seed=1), rnncore.Linear(340, 3, seed=2)
    short = rnncore.quantize(rnncore.Sequential(*layers), weights)
    short.save(tmp_path / "short")
    x = np.random.default_rng(2).normal(size=(6, 1, 5)).astype("float32")
    y = short(x)[0]
    model = CModel(tmp_path / "short")
    stream = model.stream()
    assert same(np.stack([np.asarray(stream.step(frame)) for frame in x]).reshape(y.shape), y)
    assert same(model.forward(x), y)
    model.save(tmp_path / "again")
    again = rnncore.load(tmp_path / "again")
    assert again.weights == weights
    assert np.array_equal(again.parameters, short.parameters)
    assert (tmp_path / "again").stat().st_size < 1.05 * (tmp_path / "short").stat().st_size


@pytest.mark.parametrize("weights", FORMATS)
def test_training_on_fewer_bits_is_refused(weights, x):
    model = rnncore.quantize(rnncore.Sequential(rnncore.GRU(5, 130, seed=0), rnncore.Linear(130, 1, seed=0)), weights)
    before = model.parameters.copy()
    target = np.zeros((9, 7, 1), "float32")
    for call in (
        lambda: model.forward(x),
        lambda: model[0].forward(x),
        lambda: model.fit((x, target), epochs=1, progress=False),
        lambda: model.loss_and_grad((x, target), "mse"),
    ):
        with pytest.raises(ValueError, match=r"inference|read-only"):
            call()
    with pytest.raises(ValueError, match="read-only"):
        model.parameters[...] = 0
    assert np.array_equal(model.parameters, before)


def test_what_cannot_be_is_refused_by_name():
    layer = rnncore.LSTM(3, 8, seed=0)
    with pytest.raises(ValueError, match="weights should be 'bf16', 'int8' or None, got 'int4'"):
        rnncore.quantize(layer, "int4")
    with pytest.raises(ValueError, match="weights in int8 need dtype float32, got float64"):
        rnncore.quantize(rnncore.LSTM(3, 8, dtype="float64"), "int8")
    with pytest.raises(ValueError, match="float32"):
        rnncore.Stream(rnncore.LSTM(3, 8, dtype="float64"), weights="int8")
    with pytest.raises(ValueError, match="already"):
        rnncore.Stream(rnncore.quantize(layer, "int8"), weights="bf16")
    with pytest.raises(ValueError, match="already"):
        rnncore.quantize(rnncore.quantize(layer, "int8"), "int8")
    with pytest.raises(TypeError, match="model should be a Sequential or a recurrent layer, got Linear"):
        rnncore.quantize(rnncore.Linear(2, 2), "int8")
    for call in (lambda w: layer.pack(w), lambda w: rnncore.Stream(layer, weights=w)):
        with pytest.raises(TypeError, match="weights should be 'bf16', 'int8' or None, got 8"):
            call(8)
    with pytest.raises(TypeError, match="weights should be 'bf16' or 'int8', got None"):
        rnncore.quantize(layer, None)
    with pytest.raises(TypeError, match=r"packed should be what pack\(\) returns, got ndarray"):
        layer(np.zeros((1, 1, 3)), packed=layer.parameters)
    layer.weight_hh_l0[0, 0] = np.inf
    with pytest.raises(ValueError, match=r"must be finite, .*weight_hh_l0 is not"):
        rnncore.quantize(layer, "bf16")
    with pytest.raises(ValueError, match=r"must be finite, .*weight_hh_l0 is not"):
        layer.pack("int8")


def test_a_stream_keeps_its_format_when_it_takes_over_new_weights(x):
    layer = rnncore.GRU(5, 400, seed=0)
    stream = rnncore.Stream(layer, weights="int8")
    layer.parameters[...] *= 0.5
    stream.refresh()
    assert same(stream.step(x[0, 0]), rnncore.quantize(layer, "int8")(x[:1, :1])[0][0, 0])
