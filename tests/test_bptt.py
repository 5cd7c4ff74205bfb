"""Full, truncated and checkpointed backpropagation through time: one loop, and what each may cut."""

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, as_tuple, make_case
from rnncore import bptt

each_cell = pytest.mark.parametrize("cell", LAYERS)
T, N, H = 23, 4, 5
LENGTHS = [23, 0, 14, 9]
RESETS = np.random.default_rng(5).random((T, N)) < 0.1


def setting(cell="lstm", **options):
    """A layer, x, hx, and a loss that reads every step: sum of w y + y^2 / 2 over it."""
    case = make_case(cell, T, N, 3, H, 2, **options)

    def loss(y, steps):
        w = case.dy[:, steps] if case.layer.batch_first else case.dy[steps]
        return float((w * y + y * y / 2).sum()), w + y

    return case.layer, case.x, case.hx, loss


def by_hand(layer, x, hx, loss, begin, end, first, **rows):
    """The gradient of the loss of the steps first..end, from the state hx before step `begin`."""
    y, _, cache = layer.forward(x[begin:end], hx, **rows)
    dy = np.zeros_like(y)
    value, dy[first - begin :] = loss(y[first - begin :], slice(first, end))
    return value, layer.backward(cache, dy)


def same_states(ours, theirs):
    for one, other in zip(as_tuple(ours), as_tuple(theirs), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@each_cell
@pytest.mark.parametrize("rows", [{}, {"lengths": LENGTHS, "resets": RESETS}])
def test_full_is_forward_and_backward(cell, rows):
    layer, x, hx, loss = setting(cell)
    result = bptt.full(layer, x, loss, hx, **rows)
    value, grads = by_hand(layer, x, hx, loss, 0, T, 0, **rows)
    assert result.loss == value
    np.testing.assert_array_equal(result.parameters, grads.parameters, strict=True)
    np.testing.assert_array_equal(result.x, grads.x, strict=True)
    same_states(result.initial_gradient, grads.hx)
    same_states(result.hx, layer(x, hx, **rows)[1])


@each_cell
@pytest.mark.parametrize("rows", [{}, {"lengths": LENGTHS, "resets": RESETS}])
def test_checkpointed_has_the_bits_of_full(cell, rows):
    layer, x, hx, loss = setting(cell, dtype="float32")
    full = bptt.full(layer, x, loss, hx, **rows)
    for checkpoint in (1, 6, 100, "auto"):
        result = bptt.checkpointed(layer, x, loss, hx, checkpoint=checkpoint, **rows)
        assert result.loss == full.loss
        np.testing.assert_array_equal(result.parameters, full.parameters, strict=True)
        np.testing.assert_array_equal(result.x, full.x, strict=True)
        same_states(result.initial_gradient, full.initial_gradient)


@each_cell
@pytest.mark.parametrize("rows", [{}, {"lengths": LENGTHS, "resets": RESETS}])
@pytest.mark.parametrize(("k1", "k2"), [(T, T), (T, T + 9), (5, T), (1, 2 * T), (T + 4, None)])
def test_truncation_behind_the_beginning_has_the_bits_of_full(cell, rows, k1, k2):
    layer, x, hx, loss = setting(cell, dtype="float32")
    full = bptt.full(layer, x, loss, hx, **rows)
    result = bptt.truncated(layer, x, loss, hx, k1=k1, k2=k2, **rows)
    np.testing.assert_array_equal(result.parameters, full.parameters, strict=True)
    np.testing.assert_allclose(result.loss, full.loss, rtol=1e-5)
    same_states(result.hx, full.hx)


@each_cell
@pytest.mark.parametrize(("k1", "k2", "burn_in"), [(5, 5, 0), (5, 5, 7), (5, 8, 0), (5, 13, 2), (1, 6, 3), (4, 30, 5)])
def test_a_window_has_the_gradient_of_its_steps_from_the_kept_state(cell, k1, k2, burn_in):
    layer, x, hx, loss = setting(cell)
    rows = {"lengths": LENGTHS, "resets": RESETS}

    def cut(begin, end):
        return {"lengths": np.clip(np.array(LENGTHS) - begin, 0, end - begin), "resets": RESETS[begin:end]}

    windows = []
    result = bptt.truncated(layer, x, loss, hx, k1=k1, k2=k2, burn_in=burn_in, update=windows.append, **rows)
    total, losses = 0, 0
    for k, window in enumerate(windows):
        first = burn_in + k * k1
        end = min(first + k1, T)
        start = max(burn_in, first + k1 - k2)
        _, state = layer(x[:start], hx, **cut(0, start))
        value, grads = by_hand(layer, x, state, loss, start, end, first, **cut(start, end))
        assert window.steps == slice(first, end)
        np.testing.assert_allclose(window.loss, value, rtol=1e-14)
        np.testing.assert_array_equal(window.parameters, grads.parameters, strict=True)
        same_states(window.hx, layer(x[:end], hx, **cut(0, end))[1])
        total, losses = total + grads.parameters, losses + value
    assert windows[-1].steps.stop == T
    np.testing.assert_allclose(result.parameters, total, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.loss, losses, rtol=1e-12)
    summed = bptt.truncated(layer, x, loss, hx, k1=k1, k2=k2, burn_in=burn_in, **rows)
    np.testing.assert_allclose(summed.parameters, total, rtol=1e-12, atol=1e-12)


def test_the_gradient_of_a_window_is_the_references_with_the_state_detached():
    from rnncore.reference import Network

    layer, x, hx, loss = setting("gru")
    windows = []
    bptt.truncated(layer, x, loss, hx, k1=9, update=windows.append)
    network = Network("gru", 3, H, 2, dtype="float64")
    state = (hx,)
    for window in windows:
        part = x[window.steps]
        y, hn = np.empty((*part.shape[:2], H)), (np.empty_like(hx),)
        cache = network.forward(layer.parameters, part, state, y, hn, keep=True)
        gradient, dh0 = np.zeros_like(layer.parameters), (np.empty_like(hx),)
        network.backward(cache, layer.parameters, loss(y, window.steps)[1], None, None, dh0, gradient)
        assert np.abs(window.parameters - gradient).max() <= 1e-12 * np.abs(gradient).max()
        state = hn


def test_updates_are_seen_by_the_windows_behind_them():
    layer, x, hx, loss = setting()
    begun = layer.parameters.copy()

    def update(window):
        layer.parameters -= 0.01 * window.parameters

    result = bptt.truncated(layer, x, loss, hx, k1=6, k2=10, update=update)
    after = layer.parameters.copy()

    layer.parameters[...] = begun
    states = {0: hx}
    for first in range(0, T, 6):
        end, start = min(first + 6, T), max(0, first + 6 - 10)
        following = max(start, end + 6 - 10)
        _, states[following] = layer(x[start:following], states[start])
        _, last = layer(x[following:end], states[following])
        _, grads = by_hand(layer, x, states[start], loss, start, end, first)
        layer.parameters -= 0.01 * grads.parameters
    np.testing.assert_allclose(after, layer.parameters, rtol=1e-13, atol=1e-13)
    same_states(result.hx, last)


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
@pytest.mark.parametrize(("value", "given"), [(7, 7), (-1, -1), (300, 300)])
def test_labels_out_of_range_are_refused_before_the_first_update(batch_first, value, given):
    gru = rnncore.GRU(3, H, batch_first=batch_first, seed=1)
    model = rnncore.Sequential(rnncore.Embedding(7, 3, seed=0), gru, rnncore.Linear(H, 7, seed=2))
    labels = np.random.default_rng(2).integers(0, 7, (T, N)).astype("int16")
    labels[20, 1] = labels[22, 3] = value
    x = labels.T if batch_first else labels
    place = "1, 20" if batch_first else "20, 1"
    weights = model.parameters.copy()
    message = rf"^x\[{place}\] is {given}, expected 0 to 6$"
    options = {"k1": 4, "k2": 6, "burn_in": 2, "update": pytest.fail}
    for lengths in (None, [T, 21, 0, 9]):
        with pytest.raises(ValueError, match=message):
            bptt.truncated(model, x, pytest.fail, lengths=lengths, **options)
        with pytest.raises(ValueError, match=message):
            model.fit((x, x), loss="cross_entropy", k1=4, progress=False)
    with pytest.raises(ValueError, match=rf"^x\[20\] is {given}, expected 0 to 6$"):
        bptt.truncated(model, labels[:, 1], pytest.fail, **options)
    with pytest.raises(TypeError, match="^x must hold integers, got dtype float64$"):
        bptt.truncated(model, x.astype(float), pytest.fail, **options)
    assert (model.parameters == weights).all()
    past_their_ends = bptt.truncated(model, x, lambda y, steps: (0.0, y), k1=4, lengths=[T, 20, 0, 9])
    assert np.isfinite(past_their_ends.parameters).all()


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_loss_of_the_last_step_is_one_of_all_steps(batch_first):
    gru = rnncore.GRU(3, H, batch_first=batch_first, dtype="float64", seed=1)
    model = rnncore.Sequential(gru, rnncore.LastStep(dtype="float64"), rnncore.Linear(H, 2, dtype="float64", seed=2))
    x = np.random.default_rng(0).normal(size=(2 * N, 3, 3) if batch_first else (3, 2 * N, 3))  # more rows than steps
    steps_seen = []

    def loss(y, steps):
        steps_seen.append((y.shape, steps))
        return float((y * y).sum()), 2 * y

    y, _, cache = model.forward(x)
    by_hand = model.backward(cache, 2 * y)
    for result in (bptt.full(model, x, loss), bptt.checkpointed(model, x, loss, checkpoint=2)):
        np.testing.assert_array_equal(result.parameters, by_hand.parameters, strict=True)
        np.testing.assert_array_equal(result.x, by_hand.x, strict=True)
    alone = x[0] if batch_first else x[:, 0]
    assert np.isfinite(bptt.full(model, alone, loss).parameters).all()
    assert steps_seen == [((2 * N, 2), slice(0, 3))] * 2 + [((2,), slice(0, 3))]
    with pytest.raises(ValueError, match="^the gradient of the loss: expected shape"):
        bptt.full(model, x, lambda y, steps: (0.0, y[:3]))
    for k2 in (1, 2):
        with pytest.raises(ValueError, match="^network: expected no LastStep to go window by window"):
            bptt.truncated(model, x, loss, k1=1, k2=k2)
        with pytest.raises(ValueError, match="^k1: expected None for a model with a LastStep"):
            model.fit((x, x), k1=1, k2=k2, progress=False)


def test_input_gradients_that_are_cut_off_say_so():
    layer, x, hx, loss = setting()
    for result in (
        bptt.truncated(layer, x, loss, hx, k1=5),
        bptt.full(layer, x, loss, hx, input_gradient=False),
        bptt.checkpointed(layer, x, loss, hx, input_gradient=False),
    ):
        with pytest.raises(AttributeError, match="the gradient of x was not computed"):
            _ = result.x
    assert bptt.truncated(layer, x, loss, hx, k1=5).initial_gradient is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"k1": 0}, ValueError, "k1 must be at least 1, got 0"),
        ({"k1": 5, "k2": 4}, ValueError, "k2 must be at least k1 = 5, got 4: no step may go without its gradient"),
        ({"k1": 5.0}, TypeError, "k1 should be of type int, got: float"),
        ({"burn_in": -1}, ValueError, "burn_in must be at least 0, got -1"),
        ({"burn_in": T}, ValueError, "x has 23 steps, expected more than the burn_in of 23"),
        ({"x": np.zeros((0, N, 3))}, ValueError, "x has 0 steps, expected more than the burn_in of 0"),
        ({"x": iter([])}, ValueError, "x has 0 steps, expected more than the burn_in of 0"),
        ({"x": np.zeros(5)}, ValueError, "x: expected input to be 2D or 3D, got 1D instead"),
        ({"x": iter([np.zeros((2, N, 3)), np.zeros((2, N + 1, 3))])}, ValueError, "x: a block of shape .2, 5, 3. does"),
        ({"x": np.zeros((T, N, 4))}, ValueError, "x has 4 features, the layer expects 3"),
        ({"lengths": [T, T, T, T + 1]}, ValueError, "lengths.3. is 24, expected 0 to 23"),
        ({"lengths": [1, 2]}, ValueError, "lengths: expected shape"),
        ({"lengths": [T, -1, T, T]}, ValueError, "lengths.1. is -1, expected 0 to 23"),
        ({"lengths": [1.0] * N}, TypeError, "lengths must hold integers"),
        ({"resets": np.zeros(T, bool)}, ValueError, "resets: expected shape .23, 4., got .23,."),
        ({"resets": np.zeros((T - 1, N), bool)}, ValueError, "resets: expected shape .23, 4., got .22, 4."),
        ({"resets": np.zeros((T + 1, N), bool)}, ValueError, "resets: expected shape .23, 4., got .24, 4."),
        ({"resets": np.zeros((T, N + 1), bool)}, ValueError, "resets: expected shape"),
        ({"loss": lambda y, s: (0.0, y[:1])}, ValueError, "the gradient of the loss: expected shape"),
        ({"loss": lambda y, s: 0.0}, TypeError, "loss should return .value, dy., dy its gradient by y; got float"),
        ({"hx": np.zeros((2, N, H))}, TypeError, "hx should be a tuple"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(change, error, message):
    layer, x, hx, loss = setting()
    before = layer.parameters.copy()
    arguments = {"x": x, "loss": loss, "hx": hx, "k1": 5} | change
    with pytest.raises(error, match=message):
        bptt.truncated(layer, update=pytest.fail, **arguments)
    np.testing.assert_array_equal(layer.parameters, before)


@pytest.mark.parametrize("call", [bptt.full, bptt.checkpointed])
@pytest.mark.parametrize("steps", [T - 1, T + 1])
def test_resets_of_another_length_are_refused(call, steps):
    layer, x, hx, loss = setting()
    resets = np.zeros((steps, N), bool)
    with pytest.raises(ValueError, match=f"resets: expected shape .23, 4., got .{steps}, 4."):
        call(layer, x, loss, hx, resets=resets)
    with pytest.raises(ValueError, match=f"resets: expected (one for each step, got 22|shape .23, 4., got .{steps}, )"):
        bptt.truncated(layer, iter(np.split(x, [5, 19])), loss, hx, k1=3, resets=resets, update=id)
    turned = setting(batch_first=True)[0]
    with pytest.raises(ValueError, match=f"resets: expected shape .4, 23., got .4, {steps}."):
        bptt.truncated(turned, x.swapaxes(0, 1), loss, hx, k1=3, resets=resets.T, update=pytest.fail)
    alone = tuple(h[:, 0] for h in hx)
    with pytest.raises(ValueError, match=f"resets: expected shape .23,., got .{steps},."):
        bptt.truncated(layer, x[:, 0], loss, alone, k1=3, resets=resets[:, 0], update=pytest.fail)


def test_a_bidirectional_layer_is_fine_in_full_and_refused_with_checkpoints():
    layer, x, hx, loss = setting("gru", bidirectional=True)
    assert np.isfinite(bptt.full(layer, x, loss, hx).loss)
    with pytest.raises(ValueError, match="checkpoint: expected None for a bidirectional layer"):
        bptt.checkpointed(layer, x, loss, hx)


@each_cell
@pytest.mark.parametrize("options", [{"k1": 5}, {"k1": T, "k2": T}, {"k1": 5, "burn_in": 3}])
def test_a_bidirectional_network_has_no_windows(cell, options):
    layer, x, _, loss = setting(cell, bidirectional=True)
    model = rnncore.Sequential(LAYERS[cell](3, H), rnncore.Dropout(0.1), LAYERS[cell](H, H, bidirectional=True))

    def never():
        raise AssertionError("x was read")
        yield

    for network in (layer, model):
        before = network.parameters.copy()
        for source in (x, never()):
            with pytest.raises(ValueError, match="network: expected bidirectional=False .* it reads the future"):
                bptt.truncated(network, source, loss, update=pytest.fail, **options)
        np.testing.assert_array_equal(network.parameters, before, strict=True)


def test_the_module_is_loaded_at_first_use():
    assert "bptt" in dir(rnncore)
