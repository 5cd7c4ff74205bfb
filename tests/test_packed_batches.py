"""A packed batch gives the bits of the same rows with lengths, in every call of a network."""

import numpy as np
import pytest

import rnncore
from layer_case import make_case
from network_case import LENGTHS, SIZES, arrays, assert_same, of, packed_case
from variants import LAYERS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("variant", LAYERS)
def test_a_packed_batch_gives_the_bits_of_lengths(variant, bidirectional, dtype):
    case, network, parameters, valid, resets = packed_case(variant, LENGTHS, SIZES, dtype, bidirectional=bidirectional)
    for reset in (None, resets):
        own = None if reset is None else reset[valid]
        y, hn, cache = network.forward(parameters, case.x, case.hx, lengths=LENGTHS, resets=reset)
        grads = network.backward(cache, parameters, case.dy, case.dhx)
        packed_y, packed_hn, packed = network.forward(parameters, case.x[valid], case.hx, batch_sizes=SIZES, resets=own)
        found = network.backward(packed, parameters, case.dy[valid], case.dhx)
        np.testing.assert_array_equal(packed_y, y[valid])
        np.testing.assert_array_equal(found.x, grads.x[valid])
        assert_same(packed_hn, hn)
        assert_same(found.hx, grads.hx)
        assert_same(tuple(found.parameters), tuple(grads.parameters))
        for weights in (parameters, network.pack(parameters)):  # nothing is kept: other blocks of steps
            inferred = network(weights, case.x[valid], case.hx, batch_sizes=SIZES, resets=own)
            np.testing.assert_array_equal(inferred[0], y[valid])
            assert_same(inferred[1], hn)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("variant", "options"), [("lstm", {"H": 33}), ("gru", {"H": 16, "L": 1}), ("rnn_tanh", {})])
def test_a_packed_batch_of_many_rows_gives_the_bits_of_lengths(variant, options, threads, bidirectional):
    lengths = np.sort(np.random.default_rng(2).integers(1, 12, 150))[::-1]
    lengths[0] = 40  # the longest row goes on by itself
    sizes = np.count_nonzero(np.arange(40)[:, None] < lengths, axis=1)
    case, network, parameters, valid, _ = packed_case(
        variant, lengths, sizes, "float32", bidirectional=bidirectional, **options
    )
    y, hn, cache = network.forward(parameters, case.x, case.hx, lengths=lengths, dropout=0.3, key=5)
    grads = network.backward(cache, parameters, case.dy, case.dhx)
    x = np.zeros((len(case.x[valid]), 7), "float32")[:, 1:4]  # rows at a distance of their own
    x[...] = case.x[valid]
    packed_y, packed_hn, packed = network.forward(
        parameters, x, case.hx, batch_sizes=sizes, dropout=0.3, key=5, num_threads=threads
    )
    found = network.backward(packed, parameters, case.dy[valid], case.dhx, num_threads=threads)
    np.testing.assert_array_equal(packed_y, y[valid])
    np.testing.assert_array_equal(found.x, grads.x[valid])
    assert_same(packed_hn, hn)
    assert_same(found.hx, grads.hx)
    assert_same(tuple(found.parameters), tuple(grads.parameters))
    inferred = network(parameters, x, case.hx, batch_sizes=sizes, num_threads=threads)
    assert_same(inferred[1], network(parameters, case.x, case.hx, lengths=lengths)[1])


def test_a_packed_batch_may_be_checkpointed_and_projected():
    case = make_case("lstm", proj_size=3)
    network, parameters = of(case, "lstm"), arrays(case.layer)
    valid = np.arange(4) < SIZES[:, None]
    dy = case.dy[..., :3][valid]
    grads = []
    for every in (None, 2):
        _, _, cache = network.forward(parameters, case.x[valid], batch_sizes=SIZES, checkpoint=every)
        grads.append(network.backward(cache, parameters, dy))
    padded, _, cache = network.forward(parameters, case.x, lengths=LENGTHS)
    grads.append(network.backward(cache, parameters, case.dy[..., :3].copy()))
    np.testing.assert_array_equal(network(parameters, case.x[valid], batch_sizes=SIZES)[0], padded[valid])
    for found in grads[:2]:
        np.testing.assert_array_equal(found.x, grads[2].x[valid])
        assert_same(tuple(found.parameters), tuple(grads[2].parameters))


@pytest.mark.parametrize("weights", ["bf16", "int8"])
def test_weights_in_fewer_bits_read_packed_batches_too(weights):
    case, network, _, valid, _ = packed_case("lstm", LENGTHS, SIZES, "float32", I=64, H=256, L=1)
    packed = network.pack(arrays(rnncore.quantize(case.layer, weights)), weights)
    y, hn = network(packed, case.x, case.hx, lengths=LENGTHS)
    found = network(packed, case.x[valid], case.hx, batch_sizes=SIZES)
    np.testing.assert_array_equal(found[0], y[valid])
    assert_same(found[1], hn)


def test_a_packed_batch_is_written_where_the_caller_says():
    case, network, parameters, valid, _ = packed_case("gru", LENGTHS, SIZES)
    y, _ = network(parameters, case.x[valid], batch_sizes=SIZES)
    out = np.full((23, 9), np.nan)
    assert network(parameters, case.x[valid], batch_sizes=SIZES, out=out[1:-1, 2:7])[0] is not None
    np.testing.assert_array_equal(out[1:-1, 2:7], y)
    assert np.isnan(out[[0, -1]]).all()
    assert np.isnan(out[:, [0, 1, 7, 8]]).all()


def test_the_memory_of_a_packed_batch_is_that_of_its_lengths():
    case, network, parameters, valid, _ = packed_case("lstm", LENGTHS, SIZES)
    size = network.memory_size(7, 4, batch_sizes=SIZES)
    assert size == network.memory_size(7, 4, lengths=LENGTHS)
    _, _, cache = network.forward(parameters, case.x[valid], batch_sizes=SIZES, memory=np.zeros(size))
    assert network.backward(cache, parameters, case.dy[valid]).x.shape == (21, 3)
    with pytest.raises(ValueError, match="lengths: expected None with batch_sizes"):
        network.memory_size(7, 4, batch_sizes=SIZES, lengths=LENGTHS)
    with pytest.raises(ValueError, match="batch_sizes are of 7 steps and 4 rows, expected 6 and 4"):
        network.memory_size(6, 4, batch_sizes=SIZES)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ([4, 4, 4], "batch_sizes add up to 12, x has 21 rows"),
        ([4, 5, 12], "none greater than the one before"),
        ([21, 0], "expected positive integers"),
        ([], "expected positive integers"),
    ],
)
def test_batch_sizes_that_cannot_be_are_refused(sizes, text):
    case = make_case("gru")
    with pytest.raises(ValueError, match=text):
        of(case, "gru")(arrays(case.layer), np.zeros((21, 3)), batch_sizes=sizes)


def test_arguments_that_do_not_fit_a_packed_batch_are_refused():
    case, network, parameters, valid, resets = packed_case("gru", LENGTHS, SIZES)
    x = case.x[valid]
    with pytest.raises(ValueError, match=r"x: expected shape \(steps of all rows, 3\), got \(7, 4, 3\)"):
        network(parameters, case.x, batch_sizes=[7])
    with pytest.raises(ValueError, match="lengths: expected None with batch_sizes"):
        network(parameters, x, batch_sizes=SIZES, lengths=LENGTHS)
    with pytest.raises(ValueError, match=r"resets: expected shape \(21,\), got \(7, 4\)"):
        network(parameters, x, batch_sizes=SIZES, resets=resets)
    with pytest.raises(ValueError, match=r"out: expected shape \(21, 5\), got \(7, 4, 5\)"):
        network(parameters, x, batch_sizes=SIZES, out=np.zeros((7, 4, 5)))
    _, _, cache = network.forward(parameters, x, batch_sizes=SIZES)
    with pytest.raises(ValueError, match=r"dy: expected shape \(21, 5\), got \(7, 4, 5\)"):
        network.backward(cache, parameters, case.dy)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ([4, 4, 4], "batch_sizes must add up to the 21 rows of x"),
        ([4, 5, 12], "batch_sizes must be positive, none greater than the one before"),
        ([21, 0], "batch_sizes must be positive"),
        ([2**62, 2**62, 2**62, 2**62], "batch_sizes must add up to the 21 rows of x"),
        ([], "batch_sizes must have a step"),
        ([[21]], "batch_sizes must be a NumPy array of 1 dimensions"),
    ],
)
def test_the_engine_itself_refuses_batch_sizes_that_cannot_be(sizes, text):
    network = make_case("gru", L=1).layer._network
    y, hn = np.zeros((21, 5)), (np.zeros((1, 4, 5)),)
    parameters = np.zeros(network.parameter_count)
    with pytest.raises(ValueError, match=text):
        network.forward(parameters, np.zeros((21, 3)), None, y, hn, batch_sizes=np.array(sizes, np.int64))
