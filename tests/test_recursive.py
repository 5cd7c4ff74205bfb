"""Recursive layers: the twin, the complex step, chains that are sequences, batches that change no bit, bad trees."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import rnncore
from rnncore.reference import complex_step, relative_error, trees

LAYERS = {"lstm": rnncore.TreeLSTM, "rnn": rnncore.TreeRNN}
KINDS = ("child_sum", "binary")


def random_parents(nodes: int, generator: np.random.Generator, most: int | None = None) -> np.ndarray:
    """Random forests whose nodes stand in random order; at most `most` children each."""
    parent = np.full(nodes, -1)
    count = np.zeros(nodes, int)
    for node in range(1, nodes):
        above = [k for k in range(node) if most is None or count[k] < most]
        if generator.random() < 0.9:
            parent[node] = generator.choice(above)
            count[parent[node]] += 1
    order = generator.permutation(nodes)
    shuffled = np.full(nodes, -1)
    shuffled[order] = np.where(parent < 0, -1, order[parent])
    return shuffled


def random_tree(kind: str, nodes: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    if kind == "child_sum":
        return random_parents(nodes, generator)
    parent = random_parents(nodes, generator, 2)
    children = np.full((nodes, 2), -1)
    for node in generator.permutation(nodes):
        if parent[node] >= 0:
            free = np.flatnonzero(children[parent[node]] < 0)
            children[parent[node], generator.choice(free)] = node
    return children


def twin_nodes(kind: str, tree: np.ndarray) -> trees.Nodes:
    return trees.by_children(tree) if kind == "binary" else trees.by_parent(tree)


def weights(layer: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    bias = np.zeros(len(layer.weight_ih)) if layer.bias is None else layer.bias
    return layer.weight_ih, layer.weight_hh, bias


def states(result: Any) -> tuple[np.ndarray, ...]:
    return result if isinstance(result, tuple) else (result,)


@pytest.fixture(params=[f"{cell}-{kind}" for cell in LAYERS for kind in KINDS])
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return tuple(request.param.split("-"))


@pytest.mark.parametrize(
    ("nodes", "inputs", "hidden"), [(1, 3, 5), (2, 1, 1), (9, 4, 3), (40, 7, 8), (75, 5, 17), (30, 0, 33), (0, 3, 4)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_the_engine_equals_the_twin(case: Any, nodes: int, inputs: int, hidden: int, bias: bool) -> None:
    cell, kind = case
    layer = LAYERS[cell](inputs, hidden, kind, bias, dtype="float64", seed=1)
    generator = np.random.default_rng(nodes)
    tree = random_tree(kind, nodes, nodes)
    x, dh, dc = (generator.standard_normal((nodes, size)) for size in (inputs, hidden, hidden))
    result, cache = layer.forward(x, tree)
    d_states = (dh, dc) if cell == "lstm" else (dh,)
    grads = layer.backward(cache, *d_states)
    w, u, b = weights(layer)
    shape = twin_nodes(kind, tree)
    if cell == "lstm":
        expected = trees.lstm_forward(x, shape, kind == "binary", w, u, b)
        dx, *d_weights = trees.lstm_backward(x, shape, kind == "binary", w, u, b, *expected, dh, dc)
    else:
        expected = (trees.rnn_forward(x, shape, kind == "binary", w, u, b),)
        dx, *d_weights = trees.rnn_backward(x, shape, kind == "binary", w, u, *expected, dh)
    for actual, wanted in zip(states(result), expected, strict=True):
        assert relative_error(actual, wanted) < 1e-12
    assert relative_error(grads.x, dx) < 1e-12
    for name, wanted in zip(("weight_ih", "weight_hh", "bias"), d_weights, strict=True):
        if name in grads.named:
            assert relative_error(grads.named[name], wanted) < 1e-12, name


def test_the_twin_equals_the_complex_step(case: Any) -> None:
    cell, kind = case
    nodes, inputs, hidden = 12, 3, 4
    layer = LAYERS[cell](inputs, hidden, kind, dtype="float64", seed=2)
    generator = np.random.default_rng(3)
    shape = twin_nodes(kind, random_tree(kind, nodes, 5))
    x, dh, dc = (generator.standard_normal((nodes, size)) for size in (inputs, hidden, hidden))
    parts = [x, *weights(layer)]
    sizes = np.cumsum([part.size for part in parts])[:-1]
    binary = kind == "binary"

    def loss(flat: np.ndarray) -> Any:
        x, w, u, b = (piece.reshape(part.shape) for piece, part in zip(np.split(flat, sizes), parts, strict=True))
        if cell == "rnn":
            return (trees.rnn_forward(x, shape, binary, w, u, b) * dh).sum()
        h, c = trees.lstm_forward(x, shape, binary, w, u, b)
        return (h * dh).sum() + (c * dc).sum()

    exact = complex_step(loss, np.concatenate([part.ravel() for part in parts]))
    w, u, b = parts[1:]
    if cell == "lstm":
        found = trees.lstm_backward(x, shape, binary, w, u, b, *trees.lstm_forward(x, shape, binary, w, u, b), dh, dc)
    else:
        found = trees.rnn_backward(x, shape, binary, w, u, trees.rnn_forward(x, shape, binary, w, u, b), dh)
    assert relative_error(np.concatenate([part.ravel() for part in found]), exact) < 1e-12


@pytest.mark.parametrize("side", [None, 0, 1])
def test_a_chain_is_the_lstm(side: int | None) -> None:
    steps, hidden = 20, 6
    lstm = rnncore.LSTM(4, hidden, dtype="float64", seed=0)
    layer = rnncore.TreeLSTM(4, hidden, "child_sum" if side is None else "binary", dtype="float64", seed=1)
    layer.weight_ih[...] = lstm.weight_ih_l0
    layer.bias[...] = lstm.bias_ih_l0 + lstm.bias_hh_l0
    above = np.arange(-1, steps - 1)  # the child of each node is the one before
    if side is None:
        layer.weight_hh[...] = lstm.weight_hh_l0
        tree = np.append(np.arange(1, steps), -1)
    else:
        i, f, g, o = np.split(lstm.weight_hh_l0, 4)
        columns = slice(side * hidden, (side + 1) * hidden)
        layer.weight_hh[:, columns] = np.concatenate([i, f, f, g, o])
        tree = np.full((steps, 2), -1)
        tree[:, side] = above
    x = np.random.default_rng(0).standard_normal((steps, 4))
    y, (_, c) = lstm(x)
    h, c_tree = layer(x, tree)
    assert relative_error(h, y) < 1e-13
    assert relative_error(c_tree[-1], c[0]) < 1e-13


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_tree_has_the_same_bits_in_any_batch_and_on_any_number_of_threads(case: Any, dtype: str) -> None:
    cell, kind = case
    layer = LAYERS[cell](20, 48, kind, dtype=dtype, seed=0)
    generator = np.random.default_rng(0)
    sizes = [1, 7, 33, 64, 200, 900]
    alone = [random_tree(kind, size, size) for size in sizes]
    starts = np.cumsum([0, *sizes[:-1]])
    joined = np.concatenate([np.where(tree < 0, -1, tree + start) for tree, start in zip(alone, starts, strict=True)])
    x = generator.standard_normal((sum(sizes), 20)).astype(dtype)
    dh = generator.standard_normal((sum(sizes), 48)).astype(dtype)
    whole, cache = layer.forward(x, joined, num_threads=2)
    serial, serial_cache = layer.forward(x, joined, num_threads=1)
    grads, serial_grads = layer.backward(cache, dh, num_threads=2), layer.backward(serial_cache, dh, num_threads=1)
    for both in zip(states(whole), states(serial), strict=True):
        np.testing.assert_array_equal(*both)
    np.testing.assert_array_equal(grads.parameters, serial_grads.parameters)
    for tree, start in zip(alone, starts, strict=True):
        rows = slice(start, start + len(tree))
        own, own_cache = layer.forward(x[rows], tree)
        for state, part in zip(states(whole), states(own), strict=True):
            np.testing.assert_array_equal(state[rows], part)
        np.testing.assert_array_equal(grads.x[rows], layer.backward(own_cache, dh[rows]).x)


def test_threads_share_wide_levels() -> None:
    tree = np.append(np.full(4000, 4000), -1)
    layer = rnncore.TreeLSTM(32, 64, seed=0)
    x = np.random.default_rng(0).standard_normal((4001, 32)).astype(np.float32)
    (h, _), cache = layer.forward(x, tree, num_threads=2)
    (serial, _), serial_cache = layer.forward(x, tree, num_threads=1)
    np.testing.assert_array_equal(h, serial)
    both = [layer.backward(c, np.ones_like(h), num_threads=n).parameters for c, n in ((cache, 2), (serial_cache, 1))]
    np.testing.assert_array_equal(*both)


def test_backward_twice_gives_the_same_and_changes_no_argument(case: Any) -> None:
    cell, kind = case
    layer = LAYERS[cell](3, 5, kind, seed=0)
    tree = random_tree(kind, 20, 0)
    x = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    result, cache = layer.forward(x, tree)
    kept = [array.copy() for array in (x, tree, layer.parameters, *states(result))]
    dh = np.ones_like(states(result)[0])
    first, second = layer.backward(cache, dh), layer.backward(cache, dh)
    np.testing.assert_array_equal(first.parameters, second.parameters)
    np.testing.assert_array_equal(first.x, second.x)
    for before, now in zip(kept, (x, tree, layer.parameters, *states(result)), strict=True):
        np.testing.assert_array_equal(before, now)
    total = np.ones_like(layer.parameters)
    assert layer.backward(cache, dh, add_to=total).parameters is total
    np.testing.assert_allclose(total, first.parameters + 1, rtol=1e-6)


def test_a_chain_of_100000_nodes_is_run_without_recursion(case: Any) -> None:
    cell, kind = case
    nodes = 100_000
    layer = LAYERS[cell](1, 2, kind, seed=0)
    tree: np.ndarray = np.append(np.arange(1, nodes), -1)
    if kind == "binary":
        tree = np.stack([np.arange(-1, nodes - 1), np.full(nodes, -1)], axis=1)
    result, cache = layer.forward(np.ones((nodes, 1)), tree)
    dh = np.zeros_like(states(result)[0])
    dh[-1] = 1
    assert np.isfinite(layer.backward(cache, dh).parameters).all()


def test_nan_stays_on_its_way_to_the_root() -> None:
    layer = rnncore.TreeLSTM(1, 4, seed=0)
    x = np.zeros((5, 1), np.float32)
    x[0] = np.nan
    h, _ = layer(x, [2, 2, 4, 4, -1])
    assert np.isnan(h).all(axis=1).tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("kind", "tree", "message"),
    [
        ("child_sum", [1, 2, 0, -1], "node . is its own ancestor"),
        ("child_sum", [0], "node 0 is its own ancestor"),
        ("child_sum", [1, 2, -1, 4], r"parent of node 3 must be in -1\.\.3, got 4"),
        ("child_sum", [-2, -1], r"parent of node 0 must be in -1\.\.1, got -2"),
        ("child_sum", [[-1, -1]], r"parent: expected shape \(nodes,\), got \(1, 2\)"),
        ("binary", [-1, 0], r"children: expected shape \(nodes, 2\), got \(2,\)"),
        ("binary", [[-1, -1], [0, 0]], "node 0 is a child of node 1 and of node 1"),
        ("binary", [[-1, -1], [0, -1], [0, 1]], "node 0 is a child of node 1 and of node 2"),
        ("binary", [[-1, 7], [-1, -1]], r"children of node 0 must be in -1\.\.1, got 7"),
        ("binary", [[1, -1], [0, -1]], "node . is its own ancestor"),
    ],
)
def test_what_is_no_tree_is_refused_by_the_name_of_a_node(kind: Any, tree: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rnncore.TreeLSTM(2, 3, kind)(np.zeros((len(tree), 2)), tree)


def test_other_arguments_are_refused_by_name() -> None:
    layer = rnncore.TreeLSTM(2, 3)
    with pytest.raises(ValueError, match=r"x: expected shape \(2, 2\), got \(3, 2\)"):
        layer(np.zeros((3, 2)), [1, -1])
    with pytest.raises(ValueError, match="kind must be one of child_sum, binary, got 'nary'"):
        rnncore.TreeLSTM(2, 3, "nary")  # type: ignore[arg-type]
    _, cache = layer.forward(np.zeros((2, 2)), [1, -1])
    with pytest.raises(ValueError, match=r"dh: expected shape \(2, 3\)"):
        layer.backward(cache, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="cache should come from the forward call of this layer"):
        rnncore.TreeLSTM(2, 3).backward(cache)
    with pytest.raises(TypeError, match="parent must hold integers"):
        layer(np.zeros((2, 2)), [0.5, -1])


@pytest.mark.parametrize("bias", [True, False])
def test_copies_and_pickles_equal_the_layer(case: Any, bias: bool) -> None:
    cell, kind = case
    layer = LAYERS[cell](3, 5, kind, bias, dtype="float64", seed=4)
    tree = random_tree(kind, 9, 1)
    x = np.random.default_rng(0).standard_normal((9, 3))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(twin) == repr(layer)
        np.testing.assert_array_equal(states(twin(x, tree))[0], states(layer(x, tree))[0])
        twin.parameters[...] = 0
    assert layer.parameters.any()
