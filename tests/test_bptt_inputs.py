"""Backpropagation through time over arrays, iterators, memory maps and labels, with and without a batch axis."""

import numpy as np
import pytest

import rnncore
from bptt_case import LENGTHS, RESETS, H, N, T, same_states, setting
from rnncore import bptt


@pytest.mark.parametrize(("k1", "k2", "burn_in"), [(5, 5, 0), (5, 13, 6), (T, T, 0)])
@pytest.mark.parametrize("sizes", [[1] * T, [7, 0, 15, 1], [T]])
def test_an_iterator_of_blocks_gives_the_bits_of_the_array(k1, k2, burn_in, sizes):
    layer, x, hx, loss = setting(dtype="float32")
    options = {"k1": k1, "k2": k2, "burn_in": burn_in, "lengths": LENGTHS, "resets": RESETS}
    whole = bptt.truncated(layer, x, loss, hx, **options)
    pieces = np.split(x, np.cumsum(sizes)[:-1])
    for source in (iter(pieces), (piece.astype("float64") for piece in pieces)):
        result = bptt.truncated(layer, source, loss, hx, **options)
        np.testing.assert_array_equal(result.parameters, whole.parameters, strict=True)
        assert result.loss == whole.loss
        same_states(result.hx, whole.hx)
    full = bptt.full(layer, iter(pieces), loss, hx)
    np.testing.assert_array_equal(full.parameters, bptt.full(layer, x, loss, hx).parameters)


@pytest.mark.parametrize(("k1", "k2", "burn_in"), [(5, 5, 0), (5, 13, 6), (1, 3, 0), (4, 9, 2), (T, T, 0)])
@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize("batch_first", [False, True])
def test_an_iterator_may_fill_one_buffer_again_and_again(k1, k2, burn_in, size, batch_first):
    layer, x, hx, loss = setting(dtype="float32", batch_first=batch_first)
    axis = 1 if batch_first else 0

    def blocks():
        buffer = np.empty_like(x.take(range(size), axis))
        for t in range(0, T, size):
            part = x.take(range(t, min(t + size, T)), axis)
            block = buffer[:, : part.shape[1]] if batch_first else buffer[: len(part)]
            block[...] = part
            yield block
            buffer.fill(np.nan)

    for update in (None, lambda window: None):
        options = {"k1": k1, "k2": k2, "burn_in": burn_in, "update": update}
        whole = bptt.truncated(layer, x, loss, hx, **options)
        result = bptt.truncated(layer, blocks(), loss, hx, **options)
        np.testing.assert_array_equal(result.parameters, whole.parameters, strict=True)
        assert result.loss == whole.loss
    for call in (bptt.full, bptt.checkpointed):
        whole, result = call(layer, x, loss, hx), call(layer, blocks(), loss, hx)
        np.testing.assert_array_equal(result.parameters, whole.parameters, strict=True)
        np.testing.assert_array_equal(result.x, whole.x, strict=True)


def test_a_memory_map_is_read_in_place(tmp_path):
    layer, x, hx, loss = setting(dtype="float32")
    x.tofile(tmp_path / "x.bin")
    mapped = np.memmap(tmp_path / "x.bin", np.float32, "r", shape=x.shape)
    whole, result = (bptt.truncated(layer, source, loss, hx, k1=4, k2=9) for source in (x, mapped))
    np.testing.assert_array_equal(result.parameters, whole.parameters, strict=True)


def test_batch_first_and_a_single_sequence():
    layer, x, hx, loss = setting(batch_first=True)
    twin = setting()[0]
    resets = RESETS.T
    for k1, k2 in ((5, 5), (5, 8), (T, T)):
        ours = bptt.truncated(layer, x, loss, hx, k1=k1, k2=k2, resets=resets)
        turned = {"resets": RESETS}
        twin.load_state_dict(layer.state_dict())
        theirs = bptt.truncated(
            twin,
            x.swapaxes(0, 1),
            lambda y, steps: (float(loss(y.swapaxes(0, 1), steps)[0]), loss(y.swapaxes(0, 1), steps)[1].swapaxes(0, 1)),
            hx, k1=k1, k2=k2, **turned,
        )  # fmt: skip
        np.testing.assert_array_equal(ours.parameters, theirs.parameters, strict=True)
    alone = tuple(h[:, 0] for h in hx)
    result = bptt.truncated(
        twin, x[0], lambda y, s: (float(y.sum()), np.ones_like(y)), alone, k1=4, k2=6, lengths=20, resets=RESETS[:, 0]
    )
    batch = bptt.truncated(
        twin, x[:1].swapaxes(0, 1), lambda y, s: (float(y.sum()), np.ones_like(y)), tuple(h[:, :1] for h in hx),
        k1=4, k2=6, lengths=[20], resets=RESETS[:, :1],
    )  # fmt: skip
    np.testing.assert_array_equal(result.parameters, batch.parameters, strict=True)


@pytest.mark.parametrize("rows", [{}, {"lengths": LENGTHS, "resets": RESETS}])
@pytest.mark.parametrize("batch_first", [False, True])
def test_labels_go_the_way_of_their_embeddings(batch_first, rows):
    def layers(**options):
        return rnncore.GRU(3, H, batch_first=batch_first, dtype="float64", seed=1, **options)

    model = rnncore.Sequential(rnncore.Embedding(7, 3, dtype="float64", seed=0), layers())
    labels, gru = np.random.default_rng(2).integers(0, 7, (T, N)), layers()
    if batch_first:
        labels, rows = labels.T, rows | ({"resets": RESETS.T} if rows else {})
    axis = 1 if batch_first else 0

    def loss(y, steps):
        return float((y * y).sum()), 2 * y

    def blocks(x):
        return iter(np.split(x, [2, 11, 12], axis))

    embedded = model[0](labels)
    own = slice(-gru.parameters.size, None)
    for call, options in (
        (bptt.full, {}),
        (bptt.checkpointed, {"checkpoint": 4}),
        (bptt.truncated, {"k1": 5}),
        (bptt.truncated, {"k1": 5, "k2": 8, "burn_in": 3, "update": lambda window: None}),
    ):
        expected = call(gru, embedded, loss, **options, **rows)
        for x in (labels, blocks(labels)):
            result = call(model, x, loss, **options, **rows)
            np.testing.assert_allclose(result.loss, expected.loss, rtol=1e-12)
            np.testing.assert_allclose(result.parameters[own], expected.parameters, rtol=1e-10, atol=1e-12)
            same_states(result.hx, expected.hx)
            with pytest.raises(AttributeError, match="the gradient of x was not computed"):
                _ = result.x
    exact = bptt.full(gru, embedded, loss, **rows)
    table = np.zeros((7, 3))
    np.add.at(table, labels, exact.x)
    found = bptt.full(model, labels, loss, **rows).parameters[: table.size]
    np.testing.assert_allclose(found, table.ravel(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
def test_labels_of_a_single_sequence(batch_first):
    gru = rnncore.GRU(3, H, batch_first=batch_first, dtype="float64", seed=1)
    model = rnncore.Sequential(rnncore.Embedding(7, 3, dtype="float64", seed=0), gru)
    labels = np.random.default_rng(2).integers(0, 7, T)
    options = {"k1": 4, "k2": 6, "update": lambda window: None}

    def loss(y, steps):
        return float(y.sum()), np.ones_like(y)

    alone = bptt.truncated(model, labels, loss, lengths=20, resets=RESETS[:, 0], **options)
    widened, resets = np.expand_dims(labels, 1 - batch_first), np.expand_dims(RESETS[:, 0], 1 - batch_first)
    batch = bptt.truncated(model, widened, loss, lengths=[20], resets=resets, **options)
    np.testing.assert_array_equal(alone.parameters, batch.parameters, strict=True)
    with pytest.raises(ValueError, match="x: expected input to be 1D or 2D, got 3D instead"):
        bptt.truncated(model, np.zeros((T, N, 1), int), loss, k1=4)
    with pytest.raises(ValueError, match="lengths.0. is 24, expected 0 to 23"):
        bptt.truncated(model, widened, loss, k1=4, lengths=[24], update=pytest.fail)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("value", [7, -1, 300])
def test_labels_out_of_range_are_refused_before_the_first_update(batch_first, value):
    gru = rnncore.GRU(3, H, batch_first=batch_first, seed=1)
    model = rnncore.Sequential(rnncore.Embedding(7, 3, seed=0), gru, rnncore.Linear(H, 7, seed=2))
    labels = np.random.default_rng(2).integers(0, 7, (T, N)).astype("int16")
    labels[20, 1] = labels[22, 3] = value
    x = labels.T if batch_first else labels
    place = "1, 20" if batch_first else "20, 1"
    weights = model.parameters.copy()
    message = rf"^x\[{place}\] is {value}, expected 0 to 6$"
    options = {"k1": 4, "k2": 6, "burn_in": 2, "update": pytest.fail}
    for lengths in (None, [T, 21, 0, 9]):
        with pytest.raises(ValueError, match=message):
            bptt.truncated(model, x, pytest.fail, lengths=lengths, **options)
        with pytest.raises(ValueError, match=message):
            model.fit((x, x), loss="cross_entropy", k1=4, progress=False)
    with pytest.raises(ValueError, match=rf"^x\[20\] is {value}, expected 0 to 6$"):
        bptt.truncated(model, labels[:, 1], pytest.fail, **options)
    with pytest.raises(TypeError, match="^x must hold integers, got dtype float64$"):
        bptt.truncated(model, x.astype(float), pytest.fail, **options)
    assert (model.parameters == weights).all()
    past_their_ends = bptt.truncated(model, x, lambda y, steps: (0.0, y), k1=4, lengths=[T, 20, 0, 9])
    assert np.isfinite(past_their_ends.parameters).all()
