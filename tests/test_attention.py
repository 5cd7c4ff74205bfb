"""Attention: the twin, the complex step, rows and padding that change no bit, bad arguments."""

import copy
import pickle

import numpy as np
import pytest

import rnncore
from rnncore.reference import attention as twin
from rnncore.reference import complex_step, relative_error


def arrays(steps: int, places: int, rows: int, features: int, dtype: str = "float64") -> list[np.ndarray]:
    generator = np.random.default_rng(steps + places)
    shapes = [(steps, rows, features), (places, rows, features), (steps, rows, features)]
    return [generator.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize(
    ("steps", "places", "rows", "features"),
    [(1, 1, 1, 1), (5, 3, 2, 4), (9, 17, 3, 33), (40, 40, 4, 64), (2, 70, 5, 7)],
)
def test_the_engine_equals_the_twin(steps: int, places: int, rows: int, features: int) -> None:
    query, keys, d = arrays(steps, places, rows, features)
    lengths = np.random.default_rng(0).integers(0, places + 1, rows)
    lengths[0] = places
    layer = rnncore.Attention(features, dtype="float64")
    context, cache = layer.forward(query, keys, lengths=lengths)
    expected, weights = twin.forward(query, keys, lengths)
    assert relative_error(context, expected) < 1e-12
    assert relative_error(cache.weights, weights) < 1e-12
    grads = layer.backward(cache, d)
    d_query, d_keys = twin.backward(query, keys, lengths, weights, d)
    assert relative_error(grads.x, d_query) < 1e-12
    assert relative_error(grads.keys, d_keys) < 1e-12


def test_the_twin_equals_the_complex_step() -> None:
    query, keys, d = arrays(3, 4, 2, 5)
    lengths = np.array([4, 2])

    def loss(flat: np.ndarray) -> complex:
        q, k = flat[: query.size].reshape(query.shape), flat[query.size :].reshape(keys.shape)
        return (twin.forward(q, k, lengths)[0] * d).sum()

    exact = complex_step(loss, np.concatenate([query.ravel(), keys.ravel()]))
    found = twin.backward(query, keys, lengths, twin.forward(query, keys, lengths)[1], d)
    assert relative_error(np.concatenate([part.ravel() for part in found]), exact) < 1e-12


def test_a_general_score_is_a_dot_of_the_projected_query() -> None:
    query, keys, d = arrays(4, 6, 3, 8)
    layer = rnncore.Attention(8, 8, "general", dtype="float64", seed=0)
    dot = rnncore.Attention(8, dtype="float64")
    context, cache = layer.forward(query, keys)
    plain, plain_cache = dot.forward(query @ layer.weight.T, keys)
    assert relative_error(context, plain) < 1e-12
    grads, plain_grads = layer.backward(cache, d), dot.backward(plain_cache, d)
    assert relative_error(grads.keys, plain_grads.keys) < 1e-12
    assert relative_error(grads.x, plain_grads.x @ layer.weight) < 1e-12
    d_weight = np.einsum("tnk,tnq->kq", plain_grads.x, query)
    assert relative_error(grads.named["weight"], d_weight) < 1e-12
    layer.parameters[...] = 0  # every key alike
    assert relative_error(layer(query, keys), np.broadcast_to(keys.mean(axis=0), query.shape)) < 1e-12


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_has_the_same_bits_alone_in_any_batch_and_on_any_number_of_threads(dtype: str) -> None:
    query, keys, d = arrays(30, 40, 64, 48, dtype)
    lengths = np.random.default_rng(1).integers(1, 41, 64)
    layer = rnncore.Attention(48, score="general", dtype=dtype, seed=0)
    context, cache = layer.forward(query, keys, lengths=lengths, num_threads=2)
    grads = layer.backward(cache, d, num_threads=2)
    serial, serial_cache = layer.forward(query, keys, lengths=lengths, num_threads=1)
    np.testing.assert_array_equal(context, serial)
    np.testing.assert_array_equal(grads.parameters, layer.backward(serial_cache, d, num_threads=1).parameters)
    for row in range(0, 64, 9):
        own = slice(row, row + 1)
        alone, own_cache = layer.forward(query[:, own], keys[: lengths[row], own])
        np.testing.assert_array_equal(context[:, own], alone)
        own_grads = layer.backward(own_cache, d[:, own])
        np.testing.assert_array_equal(grads.x[:, own], own_grads.x)
        np.testing.assert_array_equal(grads.keys[: lengths[row], own], own_grads.keys)
        assert not grads.keys[lengths[row] :, own].any()


def test_what_padding_holds_does_not_matter() -> None:
    query, keys, d = arrays(3, 5, 2, 4)
    layer = rnncore.Attention(4, dtype="float64")
    context, cache = layer.forward(query, keys, lengths=[2, 0])
    poisoned = keys.copy()
    poisoned[2:, 0] = poisoned[:, 1] = np.nan
    other, other_cache = layer.forward(query, poisoned, lengths=[2, 0])
    np.testing.assert_array_equal(context, other)
    np.testing.assert_array_equal(layer.backward(cache, d).keys, layer.backward(other_cache, d).keys)
    assert not context[:, 1].any()


def test_nan_in_a_valid_key_reaches_its_row_alone() -> None:
    query, keys, _ = arrays(3, 5, 2, 4)
    keys[1, 0, 2] = np.nan
    context = rnncore.Attention(4, dtype="float64")(query, keys)
    assert np.isnan(context[:, 0]).all()
    assert np.isfinite(context[:, 1]).all()


def test_large_scores_do_not_overflow() -> None:
    layer = rnncore.Attention(1)
    context, cache = layer.forward(np.full((1, 1, 1), 1e3), np.array([1e3, -1e3, 999.0]).reshape(3, 1, 1))
    assert context.tolist() == [[[1000.0]]]
    assert cache.weights.ravel().tolist() == [1, 0, 0]


@pytest.mark.parametrize("score", ["dot", "general"])
def test_copies_and_pickles_equal_the_layer(score: str) -> None:
    query, keys, d = arrays(3, 5, 2, 4, "float32")
    layer = rnncore.Attention(4, score=score, seed=0)  # type: ignore[arg-type]
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(other) == repr(layer)
        np.testing.assert_array_equal(other(query, keys), layer(query, keys))
        other.parameters[...] = 0
        _, cache = other.forward(query, keys)
        assert np.shares_memory(other.backward(cache, d).parameters, cache.weights) is False
    assert score == "dot" or layer.parameters.any()
    if score == "general":
        assert not other(query, keys).std(axis=0).any()  # the copy's own weights count, all keys alike


def test_bad_arguments_are_refused_by_name() -> None:
    layer = rnncore.Attention(4)
    query, keys, _ = arrays(3, 5, 2, 4, "float32")
    with pytest.raises(ValueError, match="score must be one of dot, general, got 'concat'"):
        rnncore.Attention(4, score="concat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="key_size must be query_size, 4, with score='dot', got 5"):
        rnncore.Attention(4, 5)
    with pytest.raises(ValueError, match=r"query: expected shape \(steps, rows, 4\), got \(3, 2, 3\)"):
        layer(query[..., :3], keys)
    with pytest.raises(ValueError, match="keys have 1 rows, the query has 2"):
        layer(query, keys[:, :1])
    with pytest.raises(ValueError, match="lengths"):
        layer(query, keys, lengths=[6, 1])
    _, cache = layer.forward(query, keys)
    with pytest.raises(ValueError, match=r"d_context: expected shape \(3, 2, 4\)"):
        layer.backward(cache, keys)
