"""A network that owns no parameters gives a layer's bits, in every form in which parameters and batches come."""

import gc
import weakref

import numpy as np
import pytest

import rnncore
from layer_case import as_tuple, make_case
from rnncore.packed_batch import lengths_of
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


@pytest.mark.parametrize("variant", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_packed_batch_gives_the_bits_of_lengths(variant, bidirectional):
    case = make_case(variant, bidirectional=bidirectional)
    network, parameters = of(case, variant), arrays(case.layer)
    valid = np.arange(4) < SIZES[:, None]
    resets = np.random.default_rng(1).random(valid.shape) < 0.3
    y, hn, cache = network.forward(parameters, case.x, case.hx, lengths=LENGTHS, resets=resets)
    grads = network.backward(cache, parameters, case.dy, case.dhx)
    packed_y, packed_hn, packed = network.forward(
        parameters, case.x[valid], case.hx, batch_sizes=SIZES, resets=resets[valid]
    )
    found = network.backward(packed, parameters, case.dy[valid], case.dhx)
    np.testing.assert_array_equal(packed_y, y[valid])
    np.testing.assert_array_equal(found.x, grads.x[valid])
    for one, other in zip(as_tuple(packed_hn), as_tuple(hn), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(found.parameters, grads.parameters, strict=True):
        np.testing.assert_array_equal(one, other)
    assert lengths_of(SIZES).tolist() == LENGTHS.tolist()


def test_packed_weights_give_the_same_bits_until_they_are_packed_anew():
    case = make_case("lstm", bidirectional=True)
    network, parameters = of(case, "lstm"), arrays(case.layer)
    packed = network.pack(parameters)
    y, _ = network(parameters, case.x, case.hx)
    np.testing.assert_array_equal(network(packed, case.x, case.hx)[0], y)
    parameters[0] *= 2
    np.testing.assert_array_equal(network(packed, case.x, case.hx)[0], y)
    assert (network(network.pack(parameters), case.x, case.hx)[0] != y).any()


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
    ],
)
def test_batch_sizes_that_cannot_be_are_refused(sizes, text):
    case = make_case("gru")
    with pytest.raises(ValueError, match=text):
        of(case, "gru")(arrays(case.layer), np.zeros((21, 3)), batch_sizes=sizes)


def test_packed_weights_of_another_network_are_refused():
    case, other = make_case("lstm"), make_case("lstm", H=6)
    packed = of(other, "lstm").pack(arrays(other.layer))
    with pytest.raises(ValueError, match=r"the packed weights are of lstm\(3, 6"):
        of(case, "lstm")(packed, case.x)
