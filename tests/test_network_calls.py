"""A network that owns no parameters gives a layer's bits, in every form in which parameters come."""

import gc
import weakref

import numpy as np
import pytest

from layer_case import as_tuple, make_case, twin_of
from network_case import LENGTHS, SIZES, arrays, assert_same, of, packed_case
from rnncore.reference import calls
from variants import LAYERS


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


def test_packed_weights_of_another_network_are_refused():
    case, other = make_case("lstm"), make_case("lstm", H=6)
    packed = of(other, "lstm").pack(arrays(other.layer))
    with pytest.raises(ValueError, match=r"the packed weights are of lstm\(3, 6"):
        of(case, "lstm")(packed, case.x)
