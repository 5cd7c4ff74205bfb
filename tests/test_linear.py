"""The linear layer: values, gradients, bits, initialisation, errors."""

import copy
import pickle

import numpy as np
import pytest

import rnncore
from rnncore.reference import linear as reference

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def draw(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@DTYPES
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (7, 4, 3), (2, 1, 4, 3), (0, 4, 3)])
def test_values_are_those_of_the_formula(shape, bias, dtype):
    head, x = rnncore.Linear(3, 2, bias=bias, dtype=dtype, seed=0), draw(*shape, dtype=dtype)
    y = head(x)
    expected = sum(x[..., i, None] * head.weight[:, i] for i in range(3)) + (head.bias if bias else 0)
    assert y.shape == (*shape[:-1], 2)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6 if dtype == "float32" else 1e-14)
    np.testing.assert_array_equal(head.forward(x)[0], y)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (7, 4, 3)])
def test_gradients_equal_differences(shape, bias):
    head, x = rnncore.Linear(3, 2, bias=bias, dtype="float64", seed=0), draw(*shape)
    y, cache = head.forward(x)
    dy = draw(*y.shape, seed=1)
    grads = head.backward(cache, dy)
    assert grads.x.shape == x.shape

    def difference(array, k):  # the map is affine: a whole step is exact
        array.flat[k] += 1
        up = (head(x) * dy).sum()
        array.flat[k] -= 1
        return up - (head(x) * dy).sum()

    for array, gradient in ((x, grads.x), (head.parameters, grads.parameters)):
        expected = [difference(array, k) for k in range(array.size)]
        np.testing.assert_allclose(gradient.ravel(), expected, rtol=1e-12, atol=1e-12)


SIZES = [(1, 1), (3, 2), (8, 8), (17, 5), (33, 65), (300, 9), (16, 1), (25, 1), (64, 1), (700, 1), (0, 3)]


@DTYPES
@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_the_engine_equals_its_twin(inputs, outputs, rows, dtype):
    head = rnncore.Linear(inputs, outputs, dtype=dtype, seed=0)
    x, dy = draw(rows, inputs, dtype=dtype), draw(rows, outputs, dtype=dtype, seed=1)
    y, cache = head.forward(x)
    grads = head.backward(cache, dy)
    wide = [array.astype(np.float64) for array in (x, head.weight, head.bias, dy)]
    expected = [reference.forward(*wide[:3]), *reference.backward(wide[0], wide[1], wide[3])]
    tolerance = 1e-12 if dtype == "float64" else 50 * np.finfo(np.float32).eps * np.sqrt(max(rows, inputs, outputs))
    for got, exact in zip([y, grads.x, grads.named["weight"], grads.named["bias"]], expected, strict=True):
        assert got.dtype == dtype
        assert got.shape == exact.shape
        np.testing.assert_allclose(got, exact, rtol=0, atol=tolerance * max(1, np.abs(exact).max(initial=0)))


@DTYPES
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_the_bits_of_a_row_depend_on_that_row_alone(inputs, outputs, dtype):
    head = rnncore.Linear(inputs, outputs, dtype=dtype, seed=0)
    x, dy = draw(300, inputs, dtype=dtype), draw(300, outputs, dtype=dtype, seed=1)
    y, cache = head.forward(x)
    dx = head.backward(cache, dy).x
    for rows in ([0], [299], [5, 7, 200], list(range(13)), list(range(300))[::-1]):
        part, cache = head.forward(x[rows])
        np.testing.assert_array_equal(part, y[rows], strict=True)
        np.testing.assert_array_equal(head.backward(cache, dy[rows]).x, dx[rows], strict=True)


@DTYPES
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(900, 100, 70), (9000, 300, 1)])  # so that threads are used
def test_the_bits_do_not_depend_on_the_number_of_threads(rows, inputs, outputs, dtype):
    head = rnncore.Linear(inputs, outputs, dtype=dtype, seed=0)
    x, dy = draw(rows, inputs, dtype=dtype), draw(rows, outputs, dtype=dtype, seed=1)

    def results(threads):
        y, cache = head.forward(x, num_threads=threads)
        grads = head.backward(cache, dy, num_threads=threads)
        return [y, head(x, num_threads=threads), grads.x, grads.parameters]

    one = results(1)
    for threads in (2, 3, 8):
        for got, expected in zip(results(threads), one, strict=True):
            np.testing.assert_array_equal(got, expected, strict=True)


@pytest.mark.parametrize("outputs", [1, 6])
def test_gradients_continue_where_the_rows_before_ended(outputs):
    head, x = rnncore.Linear(20, outputs, seed=0), draw(500, 20, dtype="float32")
    dy = draw(500, outputs, dtype="float32", seed=1)
    whole = head.backward(head.forward(x)[1], dy).parameters
    total = np.zeros_like(whole)
    for rows in (slice(0, 130), slice(130, 131), slice(131, 500)):
        head.backward(head.forward(x[rows])[1], dy[rows], add_to=total)
    np.testing.assert_array_equal(total, whole)


@pytest.mark.parametrize("outputs", [1, 9])
def test_nan_stays_in_its_row(outputs):
    head, x = rnncore.Linear(20, outputs, seed=0), draw(50, 20, dtype="float32")
    clean = head(x)
    x[7, 3] = np.nan
    y = head(x)
    assert np.isnan(y[7]).all()
    np.testing.assert_array_equal(np.delete(y, 7, 0), np.delete(clean, 7, 0))


@DTYPES
def test_one_output_has_the_bits_of_one_among_several(dtype):
    x, dy = draw(300, 40, dtype=dtype), draw(300, 2, dtype=dtype, seed=1)
    both, one = rnncore.Linear(40, 2, dtype=dtype, seed=0), rnncore.Linear(40, 1, dtype=dtype)
    one.weight[:], one.bias[:] = both.weight[:1], both.bias[:1]
    y, cache = both.forward(x)
    mine, own = one.forward(x)
    np.testing.assert_array_equal(mine, y[:, :1])
    expected, got = both.backward(cache, dy).named, one.backward(own, dy[:, :1]).named
    np.testing.assert_array_equal(got["weight"], expected["weight"][:1])
    np.testing.assert_array_equal(got["bias"], expected["bias"][:1])


@pytest.mark.parametrize("outputs", [1, 9])
def test_strided_rows_are_read_where_they_lie(outputs):
    head, x = rnncore.Linear(20, outputs, seed=0), draw(50, 64, dtype="float32")
    view = x[::3, 5:25]
    np.testing.assert_array_equal(head(view), head(view.copy()))
    np.testing.assert_array_equal(head(view[::-1]), head(view)[::-1])


def test_backward_twice_gives_the_same_and_add_to_adds():
    head, x = rnncore.Linear(3, 2, dtype="float64", seed=0), draw(7, 4, 3)
    y, cache = head.forward(x)
    first, second = head.backward(cache, y), head.backward(cache, y)
    np.testing.assert_array_equal(first.parameters, second.parameters)
    np.testing.assert_array_equal(first.x, second.x)
    total = np.ones(8)
    third = head.backward(cache, y, input_gradient=False, add_to=total)
    assert third.parameters is total
    np.testing.assert_allclose(total, 1 + first.parameters, rtol=1e-14)
    with pytest.raises(AttributeError, match=r"^the gradient of x was not computed"):
        third.x  # noqa: B018


def test_parameters_have_pytorchs_names_and_beginnings():
    head = rnncore.Linear(400, 50, dtype="float64", seed=0)
    assert {name: view.shape for name, view in head.named_parameters().items()} == {"weight": (50, 400), "bias": (50,)}
    assert 0.99 / 20 < np.abs(head.parameters).max() <= 1 / 20  # 1 / sqrt(400)
    assert np.shares_memory(head.weight, head.parameters)
    assert np.shares_memory(head.bias, head.parameters)
    plain = rnncore.Linear(400, 50, bias=False)
    assert plain.bias is None
    assert list(plain.state_dict()) == ["weight"]
    assert repr(plain) == "Linear(in_features=400, out_features=50, bias=False)"
    assert repr(head) == "Linear(in_features=400, out_features=50, bias=True, dtype=float64)"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda head: pickle.loads(pickle.dumps(head))])
def test_copies_are_equal_and_apart(clone, bias):
    head, x = rnncore.Linear(3, 2, bias=bias, seed=0), draw(5, 3)
    twin, y = clone(head), head(x)
    np.testing.assert_array_equal(twin(x), y)
    twin.parameters[...] = 0
    assert not twin(x).any()
    np.testing.assert_array_equal(head(x), y)


def test_state_dicts_are_strict():
    head = rnncore.Linear(3, 2, seed=0)
    other = rnncore.Linear(3, 2, seed=1)
    head.load_state_dict(other.state_dict())
    np.testing.assert_array_equal(head.parameters, other.parameters)
    with pytest.raises(ValueError, match=r'for Linear:\n\tMissing key\(s\) in state_dict: "bias".'):
        head.load_state_dict({"weight": head.weight})


def test_no_features_leave_the_bias():
    head = rnncore.Linear(0, 2, seed=0)
    head.bias[...] = [1, 2]
    y, cache = head.forward(np.zeros((4, 0)))
    assert y.tolist() == [[1, 2]] * 4
    grads = head.backward(cache, np.ones((4, 2)))
    assert grads.x.shape == (4, 0)
    assert grads.parameters.tolist() == [4, 4]


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((0, 0), ValueError, "out_features must be at least 1, got 0"),
    ((-1, 2), ValueError, "in_features must be at least 0, got -1"),
    ((1.5, 2), TypeError, "in_features should be of type int, got: float"),
    ((3, 2, 1), TypeError, "bias should be of type bool, got: int"),
])  # fmt: skip
def test_wrong_arguments_of_the_constructor(arguments, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        rnncore.Linear(*arguments)


def test_wrong_arguments_of_a_call():
    head = rnncore.Linear(3, 2)
    with pytest.raises(ValueError, match=r"^x has 4 features, the layer expects 3$"):
        head(np.ones((5, 4)))
    with pytest.raises(ValueError, match=r"^x has no axis, the layer expects 3$"):
        head(1.0)
    with pytest.raises(TypeError, match=r"^x must hold real numbers, got dtype complex128$"):
        head(np.ones((5, 3), complex))
    _, cache = head.forward(np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"^dy: expected shape \(5, 2\), got \(5, 3\)$"):
        head.backward(cache, np.ones((5, 3)))
    with pytest.raises(
        ValueError, match=r"^cache should come from the forward call of this layer, got another layer's$"
    ):
        rnncore.Linear(3, 2).backward(cache, np.ones((5, 2)))
