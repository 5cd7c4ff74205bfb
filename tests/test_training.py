"""Truncated backpropagation through time: carried states, cut gradients, masks, interrupts, and that it learns."""

import contextlib
import signal

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, as_tuple
from rnncore.losses import mean_squared_error
from rnncore.optim import Adam, clip_grad_norm
from rnncore.training import Progress, TruncatedBPTT

every_cell = pytest.mark.parametrize("cell", LAYERS)


def make_trainer(cell="lstm", L=2, *, dtype="float64", batch_first=False, **options):
    layer = LAYERS[cell](3, 6, L, dtype=dtype, seed=0, batch_first=batch_first)
    return TruncatedBPTT(layer, rnncore.Linear(6, 2, dtype=dtype, seed=1), **{"block_length": 5, **options})


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def parameters(trainer):
    return np.concatenate([trainer.layer.parameters, trainer.head.parameters])


def by_hand(trainer, x, target, hx=None, *, lengths=None, resets=None, mask=None, epochs=1):
    """Time-major truncated BPTT in plain words; the trainer's layer and head are trained."""
    layer, head = trainer.layer, trainer.head
    optimizer = Adam([layer.parameters, head.parameters], lr=1e-3)
    for _ in range(epochs):
        state = hx
        for start in range(0, len(x), 5):
            block = slice(start, start + 5)
            cut = None if lengths is None else np.clip(np.array(lengths) - start, 0, len(x[block]))
            reset = None if resets is None else resets[block]
            y, state, cache = layer.forward(x[block], state, lengths=cut, resets=reset)
            prediction, head_cache = head.forward(y)
            chosen = None if mask is None else mask[block]
            _, gradient = mean_squared_error(prediction, target[block], mask=chosen)
            head_grads = head.backward(head_cache, gradient)
            grads = layer.backward(cache, head_grads.x)
            gradients = [grads.parameters, head_grads.parameters]
            clip_grad_norm(gradients, 1.0)
            optimizer.step(gradients)


@every_cell
@pytest.mark.parametrize("shape", [(23,), (23, 4)])
def test_fit_is_truncated_bptt_with_a_carried_state(cell, shape):
    x, target = draw(*shape, 3), draw(*shape, 2, seed=1)
    trainer, twin = make_trainer(cell), make_trainer(cell)
    losses = trainer.fit(x, target, epochs=2)
    by_hand(twin, x, target, epochs=2)
    assert len(losses) == 2
    np.testing.assert_array_equal(parameters(trainer), parameters(twin))
    assert (parameters(trainer) != parameters(make_trainer(cell))).any()


@every_cell
@pytest.mark.parametrize("batch_first", [False, True])
def test_initial_states_lengths_resets_and_masks_reach_every_block(cell, batch_first):
    x, target = draw(23, 4, 3), draw(23, 4, 2, seed=1)
    resets, mask, lengths = draw(23, 4, seed=2) > 1.5, draw(23, 4, seed=3) > -0.5, [23, 0, 12, 5]
    trainer, twin = make_trainer(cell, batch_first=batch_first), make_trainer(cell)
    states = tuple(draw(2, 4, 6, seed=4 + k) for k in range(2 if cell == "lstm" else 1))
    hx = states if cell == "lstm" else states[0]

    valid = np.arange(23)[:, None] < np.array(lengths)
    by_hand(twin, x, target, hx, lengths=lengths, resets=resets, mask=mask & valid)
    if batch_first:
        x, target, resets, mask = (a.swapaxes(0, 1) for a in (x, target, resets, mask))
    x[~(valid.T if batch_first else valid)] = np.nan  # padding
    trainer.fit(x, target, hx=hx, lengths=lengths, resets=resets, mask=mask)
    np.testing.assert_allclose(parameters(trainer), parameters(twin), rtol=0, atol=1e-12)


def test_a_mask_may_choose_single_outputs():
    x, target, mask = draw(23, 3), draw(23, 2, seed=1), draw(23, 2, seed=2) > 0
    trainer, twin = make_trainer(), make_trainer()
    trainer.fit(x, np.where(mask, target, np.nan), mask=mask)
    by_hand(twin, x, target, mask=mask)
    np.testing.assert_array_equal(parameters(trainer), parameters(twin))


def test_one_block_is_full_bptt():
    """With the whole series in a block, the first step goes along the gradient of the whole loss."""
    x, target = draw(23, 3), draw(23, 2, seed=1)
    trainer = make_trainer(block_length=1000)
    before = parameters(trainer)
    layer, head = trainer.layer, trainer.head

    def loss():
        return mean_squared_error(head(layer(x)[0]), target)[0]

    steps = []
    for vector in (layer.parameters, head.parameters):
        for k in range(vector.size):
            value = vector[k]
            vector[k] = value + 1e-6
            up = loss()
            vector[k] = value - 1e-6
            steps.append(up - loss())
            vector[k] = value
    trainer.fit(x, target)
    moved = parameters(trainer) - before
    steps = np.array(steps)
    large = np.abs(steps) > 1e-12  # rounding leaves 1e-16
    assert large.mean() > 0.95
    assert (np.sign(moved) == -np.sign(steps))[large].all()  # Adam's first step is lr * sign(gradient)


@every_cell
@pytest.mark.parametrize("block_length", [1, 4, 64])
def test_losses_do_not_depend_on_the_block_length(cell, block_length):
    x, target = draw(23, 4, 3), draw(23, 4, 2, seed=1)
    lengths, mask = [23, 0, 12, 5], draw(23, 4, seed=3) > 0
    trainer = make_trainer(cell, block_length=block_length, optimizer=None, lr=0.0)
    valid = mask & (np.arange(23)[:, None] < np.array(lengths))
    y, _ = trainer.layer(x, lengths=lengths)
    expected = ((trainer.head(y) - target)[valid] ** 2).mean()
    arguments = {"lengths": lengths, "mask": mask}
    assert trainer.evaluate(x, target, **arguments) == pytest.approx(expected, rel=1e-12)
    assert trainer.fit(x, target, **arguments) == [pytest.approx(expected, rel=1e-12)]  # lr = 0


@every_cell
def test_evaluation_and_prediction_change_nothing(cell):
    trainer = make_trainer(cell)
    before = parameters(trainer)
    x = draw(23, 3)
    prediction, hx = trainer.predict(x)
    trainer.evaluate(x, draw(23, 2))
    np.testing.assert_array_equal(parameters(trainer), before)
    np.testing.assert_array_equal(prediction, trainer.head(trainer.layer(x)[0]))
    first, state = trainer.predict(x[:10])
    rest, last = trainer.predict(x[10:], state)
    np.testing.assert_allclose(np.concatenate([first, rest]), prediction, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(as_tuple(last), as_tuple(hx), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_block_with_nothing_to_learn_moves_the_state_only():
    x, target, mask = draw(20, 3), draw(20, 2, seed=1), np.ones(20, bool)
    mask[5:15] = False
    trainer, twin = make_trainer(), make_trainer()
    trainer.fit(x, target, mask=mask)
    assert trainer.optimizer.steps == 2
    _, state = twin.layer(x[:5])  # of the first block, from before its update
    twin.fit(x[:5], target[:5])
    _, state = twin.layer(x[5:15], state)
    twin.fit(x[15:], target[15:], hx=state)
    np.testing.assert_array_equal(parameters(trainer), parameters(twin))


@every_cell
def test_a_layer_learns_to_remember_across_blocks(cell):
    """Repeat what came 3 steps before, in blocks of 4: most of it lies in the block before."""
    values = np.random.default_rng(0).choice([-1.0, 1.0], size=(400, 8, 1))
    layer, head = LAYERS[cell](1, 16, dtype="float32", seed=0), rnncore.Linear(16, 1, seed=0)
    trainer = TruncatedBPTT(layer, head, block_length=4, lr=1e-2)
    losses = trainer.fit(values[3:], values[:-3], epochs=12)
    assert losses[0] > 0.3
    assert losses[-1] < 0.1


def test_progress_is_told_after_each_block():
    told = []
    trainer = make_trainer()
    losses = trainer.fit(draw(23, 3), draw(23, 2, seed=1), epochs=2, callback=told.append)
    assert [(p.epoch, p.block) for p in told] == [(epoch, block) for epoch in range(2) for block in range(5)]
    assert all(isinstance(p, Progress) and (p.epochs, p.blocks) == (2, 5) for p in told)
    assert [told[4].epoch_loss, told[9].epoch_loss] == losses
    assert told[0].epoch_loss == told[0].loss


def test_a_callback_may_end_training():
    trainer = make_trainer()
    losses = trainer.fit(draw(23, 3), draw(23, 2, seed=1), epochs=9, callback=lambda p: p.epoch == 1 and p.block == 2)
    assert len(losses) == 2
    assert trainer.optimizer.steps == 8


def test_an_optimizer_may_be_given_and_continued():
    x, target = draw(23, 3), draw(23, 2, seed=1)
    one = make_trainer()
    one.fit(x, target, epochs=4)
    two = make_trainer()
    two.fit(x, target, epochs=2)
    optimizer = Adam([two.layer.parameters, two.head.parameters], lr=1e-3)
    optimizer.load_state_dict(two.optimizer.state_dict())
    three = TruncatedBPTT(two.layer, two.head, block_length=5, optimizer=optimizer)
    three.fit(x, target, epochs=2)
    np.testing.assert_array_equal(parameters(one), parameters(three))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_before_the_update(bad):
    x, target = draw(23, 3), draw(23, 2, seed=1)
    target[12] = bad
    trainer, twin = make_trainer(), make_trainer()
    with pytest.raises(FloatingPointError, match="^the loss is "):
        trainer.fit(x, target)
    twin.fit(x[:10], target[:10])
    np.testing.assert_array_equal(parameters(trainer), parameters(twin))


def test_an_interrupt_leaves_the_last_finished_step():
    class InterruptError(Exception):
        pass

    def interrupt(*_):
        raise InterruptError

    x, target = draw(4000, 3), draw(4000, 2, seed=1)
    trainer, twin = make_trainer(L=1, block_length=20), make_trainer(L=1, block_length=20)
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with contextlib.suppress(InterruptError):
            signal.setitimer(signal.ITIMER_REAL, 0.03)
            trainer.fit(x, target, epochs=100)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    steps = trainer.optimizer.steps
    assert steps < 100 * 200
    twin.fit(x, target, epochs=100, callback=lambda p: twin.optimizer.steps >= steps)
    if steps:
        np.testing.assert_array_equal(parameters(trainer), parameters(twin))
    else:
        np.testing.assert_array_equal(parameters(trainer), parameters(make_trainer(L=1)))


@pytest.mark.parametrize("shape", [(0, 3), (0, 4, 3), (7, 0, 3)])
def test_an_empty_series_has_no_loss(shape):
    trainer = make_trainer()
    before = parameters(trainer)
    assert trainer.fit(np.zeros(shape), np.zeros((*shape[:-1], 2)), epochs=2) == [0.0, 0.0]
    assert trainer.evaluate(np.zeros(shape), np.zeros((*shape[:-1], 2))) == 0
    np.testing.assert_array_equal(parameters(trainer), before)


def test_arguments_that_do_not_fit():
    layer, head = rnncore.GRU(3, 6), rnncore.Linear(6, 2)
    for wrong, message in (
        ((rnncore.GRU(3, 6, bidirectional=True), head), "layer must not be bidirectional: .*"),
        ((layer, rnncore.Linear(5, 2)), "head has 5 features, the layer gives 6"),
        ((layer, rnncore.Linear(6, 2, dtype="float64")), "head is float64, the layer float32"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            TruncatedBPTT(*wrong)
    with pytest.raises(ValueError, match=r"^block_length must be at least 1, got 0$"):
        TruncatedBPTT(layer, head, block_length=0)
    x, target = np.ones((23, 4, 3)), np.ones((23, 4, 2))
    trainer = TruncatedBPTT(layer, head)
    for changed, message in (
        ({"x": np.ones((23, 4, 2))}, "x has 2 features, the layer expects 3"),
        ({"target": np.ones((23, 4))}, r"target: expected shape \(23, 4, 2\), got \(23, 4\)"),
        ({"mask": np.ones(23, bool)}, r"mask: expected shape \(23, 4\) or \(23, 4, 2\), got \(23,\)"),
        ({"resets": np.ones((4, 23), bool)}, r"resets: expected shape \(23, 4\), got \(4, 23\)"),
        ({"lengths": [1, 2, 3, 24]}, r"lengths\[3\] is 24, expected 0 to 23, the steps of x"),
        ({"hx": np.ones((1, 3, 6))}, r"hx: expected hidden size \(1, 4, 6\), got \(1, 3, 6\)"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            trainer.fit(**{"x": x, "target": target, **changed})
