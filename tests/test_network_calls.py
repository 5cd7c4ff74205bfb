"""A network that owns no parameters gives a layer's bits, in every form in which parameters and batches come."""

import gc
import weakref

import numpy as np
import pytest

import rnncore
from layer_case import as_tuple, make_case, twin_of
from rnncore.reference import calls
from variants import LAYERS, engine_arguments

LENGTHS = np.array([7, 7, 5, 2])
SIZES = np.array([4, 4, 3, 3, 3, 2, 2])  # of rows of these lengths


def of(case, variant):
    layer, engine = case.layer, engine_arguments(variant)
    names = ("input_size", "hidden_size", "num_layers", "bias", "bidirectional", "proj_size")
    options = {name: getattr(layer, name) for name in names}
    return rnncore.Network(engine["cell"], **options, dtype=layer.dtype, cell_options=engine["options"])


def arrays(layer):
    return [array.copy() for array in layer.named_parameters().values()]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("variant", LAYERS)
def test_a_list_of_arrays_gives_the_bits_of_the_flat_vector(variant, bidirectional):
    case = make_case(variant, bidirectional=bidirectional)
    layer, network = case.layer, of(case, variant)
    resets = np.random.default_rng(1).random(case.x.shape[:2]) < 0.3
    y, hn, cache = layer.forward(case.x, case.hx, resets=resets)
    grads = layer.backward(cache, case.dy, case.dhx)
    for parameters in (layer.parameters.copy(), arrays(layer)):
        own_y, own_hn, own = network.forward(parameters, case.x, case.hx, resets=resets)
        found = network.backward(own, parameters, case.dy, case.dhx)
        np.testing.assert_array_equal(own_y, y)
        for one, other in zip(as_tuple(own_hn), as_tuple(hn), strict=True):
            np.testing.assert_array_equal(one, other)
        for one, other in zip(as_tuple(found.hx), as_tuple(grads.hx), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(found.x, grads.x)
        flat = (
            found.parameters
            if isinstance(parameters, np.ndarray)
            else np.concatenate([array.ravel() for array in found.parameters])
        )
        np.testing.assert_array_equal(flat, grads.parameters)


@pytest.mark.parametrize("options", [{}, {"proj_size": 3}, {"bias": False}], ids=str)
def test_what_is_frozen_is_left_out_and_the_rest_keeps_its_bits(options):
    case = make_case("lstm", **options)
    if "proj_size" in options:
        case = case.but(dy=case.dy[..., :3].copy(), hx=(case.hx[0][..., :3].copy(), case.hx[1]), dhx=None)
    network, parameters = of(case, "lstm"), arrays(case.layer)
    _, _, cache = network.forward(parameters, case.x, case.hx)
    whole = network.backward(cache, parameters, case.dy, case.dhx)
    assert network.backward(cache, parameters, case.dy, case.dhx, parameter_gradient=False).parameters is None
    for frozen in range(len(parameters)):
        wanted = [k != frozen for k in range(len(parameters))]
        part = network.backward(cache, parameters, case.dy, case.dhx, parameter_gradient=wanted)
        np.testing.assert_array_equal(part.x, whole.x)
        assert part.parameters[frozen] is None
        for k in np.flatnonzero(wanted):
            np.testing.assert_array_equal(part.parameters[k], whole.parameters[k])


def test_gradients_are_added_to_what_the_caller_holds():
    case = make_case("gru")
    network, parameters = of(case, "gru"), arrays(case.layer)
    _, _, cache = network.forward(parameters, case.x)
    once = network.backward(cache, parameters, case.dy).parameters
    total = [array.copy() for array in once]
    assert network.backward(cache, parameters, case.dy, add_to=total).parameters is total
    for one, two in zip(once, total, strict=True):
        np.testing.assert_allclose(two, 2 * one, rtol=1e-12, atol=1e-13)


def packed_case(variant, lengths, sizes, dtype="float64", **options):
    """A case, its network and parameters, where a row has a step, resets, and the form in which calls are compared."""
    case = make_case(variant, T=len(sizes), N=len(lengths), dtype=dtype, **options)
    valid = np.arange(len(lengths)) < sizes[:, None]
    assert np.count_nonzero(valid, axis=0).tolist() == lengths.tolist()
    resets = np.random.default_rng(1).random(valid.shape) < 0.3
    return case, of(case, variant), arrays(case.layer), valid, resets


def assert_same(one, other):
    for a, b in zip(as_tuple(one), as_tuple(other), strict=True):
        np.testing.assert_array_equal(a, b)


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


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("variant", LAYERS)
def test_calls_over_arrays_equal_their_twin(variant, packed, bidirectional):
    case, network, parameters, valid, resets = packed_case(variant, LENGTHS, SIZES, bidirectional=bidirectional)
    twin, h0, dhn = twin_of(case.layer), as_tuple(case.hx), as_tuple(case.dhx)
    x, dy, resets = (part[valid] if packed else part for part in (case.x, case.dy, resets))
    sizes = SIZES if packed else None
    y, hn, cache = network.forward(parameters, x, case.hx, batch_sizes=sizes, resets=resets)
    expected_y, expected_hn, call = calls.forward(twin, parameters, x, h0, sizes, resets)
    totals = [[np.full(p.shape, 0.5) if k != 2 else None for k, p in enumerate(parameters)] for _ in range(2)]
    found = network.backward(cache, parameters, dy, case.dhx, add_to=totals[0])
    dx, dh0 = calls.backward(twin, call, parameters, dy, dhn, totals[1])
    pairs = [(y, expected_y), (found.x, dx)]
    pairs += [*zip(as_tuple(hn), expected_hn, strict=True), *zip(as_tuple(found.hx), dh0, strict=True)]
    pairs += [pair for k, pair in enumerate(zip(*totals, strict=True)) if k != 2]
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_packed_weights_give_the_same_bits_until_they_are_packed_anew():
    case = make_case("lstm", bidirectional=True)
    network, parameters = of(case, "lstm"), arrays(case.layer)
    packed = network.pack(parameters)
    y, _ = network(parameters, case.x, case.hx)
    np.testing.assert_array_equal(network(packed, case.x, case.hx)[0], y)
    parameters[0] *= 2
    np.testing.assert_array_equal(network(packed, case.x, case.hx)[0], y)
    assert (network(network.pack(parameters), case.x, case.hx)[0] != y).any()


@pytest.mark.parametrize("variant", LAYERS)
def test_a_layer_takes_its_own_packed_weights_with_the_same_bits(variant):
    case = make_case(variant, bidirectional=True)
    packed = case.layer.pack()
    y, hn = case.layer(case.x, case.hx)
    case.layer.parameters[...] *= 2
    kept, kept_hn = case.layer(case.x, case.hx, packed=packed)
    np.testing.assert_array_equal(kept, y)
    assert_same(kept_hn, hn)
    assert (case.layer(case.x, case.hx)[0] != y).any()


def test_packed_weights_serve_a_call_that_keeps_a_cache():
    case = make_case("gru")
    network, parameters = of(case, "gru"), arrays(case.layer)
    _, _, cache = network.forward(network.pack(parameters), case.x)
    _, _, other = network.forward(parameters, case.x)
    for one, two in zip(
        network.backward(cache, parameters, case.dy).parameters,
        network.backward(other, parameters, case.dy).parameters,
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_y_goes_where_the_caller_says():
    case = make_case("lstm")
    network, parameters = of(case, "lstm"), arrays(case.layer)
    y, _ = network(parameters, case.x)
    out = np.zeros((9, *y.shape[1:]))[1:-1]
    assert network(parameters, case.x, out=out)[0] is out
    np.testing.assert_array_equal(out, y)


@pytest.mark.parametrize(
    ("out", "error", "text"),
    [
        (lambda _: [[0.0]], TypeError, "out should be a NumPy array, got list"),
        (lambda _: np.zeros((7, 4, 5), "float32"), ValueError, "out has dtype float32, expected float64"),
        (lambda _: np.zeros((7, 5, 4)).swapaxes(1, 2), ValueError, "out: expected .* with contiguous rows"),
        (lambda _: np.broadcast_to(np.zeros(5), (7, 4, 5)), ValueError, "out: expected a writable array "),
        (lambda x: x.base[..., 1:6], ValueError, "out overlaps x"),
    ],
    ids=["a list", "its dtype", "its rows", "not to be written", "over x"],
)
def test_an_array_for_y_that_does_not_fit_is_refused_by_name_and_kept(out, error, text):
    case = make_case("lstm")
    network, x = of(case, "lstm"), np.zeros((7, 4, 8))[..., :3]
    given = out(x)
    with pytest.raises(error, match=f"^{text}"):
        network(arrays(case.layer), x, out=given)
    assert not np.any(given)


def test_the_key_decides_the_mask_of_dropout():
    case = make_case("gru")
    network, parameters = of(case, "gru"), arrays(case.layer)
    first, again, other = (network.forward(parameters, case.x, dropout=0.5, key=key)[0] for key in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_cache_lives_in_memory_of_the_callers():
    case = make_case("lstm")
    network, parameters = of(case, "lstm"), arrays(case.layer)
    size = network.memory_size(7, 4, lengths=LENGTHS)
    assert size < network.memory_size(7, 4) < network.memory_size(7, 4, dropout=0.5)
    memory = np.full(size, np.nan)
    _, _, cache = network.forward(parameters, case.x, lengths=LENGTHS, memory=memory)
    _, _, own = network.forward(parameters, case.x, lengths=LENGTHS)
    assert np.isfinite(memory).any()
    assert own.nbytes >= memory.nbytes
    expected = network.backward(own, parameters, case.dy)
    np.testing.assert_array_equal(network.backward(cache, parameters, case.dy).x, expected.x)
    memory[...] = np.nan
    assert np.isnan(network.backward(cache, parameters, case.dy).x).any()
    with pytest.raises(ValueError, match="the call needs"):
        network.forward(parameters, case.x, memory=memory)


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


def test_a_released_cache_keeps_nothing_and_says_so():
    case = make_case("gru")
    x = case.x.copy()
    network, parameters = of(case, "gru"), arrays(case.layer)
    y, _, cache = network.forward(parameters, x)
    assert cache.nbytes >= 7 * 4 * 2 * 4 * 5 * 8  # steps, rows, layers, numbers of a unit, units, bytes
    died = weakref.ref(y)
    cache.release()
    cache.release()
    del y
    gc.collect()
    assert died() is None
    assert cache.nbytes == 0
    with pytest.raises(ValueError, match="the cache was released"):
        network.backward(cache, parameters, case.dy)


def test_a_checkpointed_call_keeps_less():
    case = make_case("gru", T=40)
    network, parameters = of(case, "gru"), arrays(case.layer)
    _, _, all_kept = network.forward(parameters, case.x)
    _, _, cache = network.forward(parameters, case.x, checkpoint=5)
    assert cache.nbytes < all_kept.nbytes / 2
    one, two = (network.backward(each, parameters, case.dy) for each in (cache, all_kept))
    np.testing.assert_array_equal(one.x, two.x)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda p: p[:-1], ValueError, "parameters has 7 arrays, expected 8, from weight_ih_l0 to bias_hh_l1"),
        (lambda p: [p[0].T.copy(), *p[1:]], ValueError, r"weight_ih_l0 has shape \(3, 20\), expected \(20, 3\)"),
        (lambda p: [p[0].astype("float32"), *p[1:]], ValueError, "weight_ih_l0 has dtype float32, expected float64"),
        (lambda p: [np.asfortranarray(p[0]), *p[1:]], ValueError, "weight_ih_l0 is not C-contiguous"),
        (lambda p: [None, *p[1:]], TypeError, "weight_ih_l0 must be a NumPy array, got NoneType"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_name(change, error, text):
    case = make_case("lstm")
    with pytest.raises(error, match=text):
        of(case, "lstm")(change(arrays(case.layer)), case.x)


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


def test_packed_weights_of_another_network_are_refused():
    case, other = make_case("lstm"), make_case("lstm", H=6)
    packed = of(other, "lstm").pack(arrays(other.layer))
    with pytest.raises(ValueError, match=r"the packed weights are of lstm\(3, 6"):
        of(case, "lstm")(packed, case.x)
