"""Full, truncated and checkpointed backpropagation through time: one loop, and what each may cut."""

import numpy as np
import pytest

import rnncore
from bptt_case import LENGTHS, RESETS, H, N, T, by_hand, each_cell, same_states, setting
from rnncore import bptt


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


def test_the_module_is_loaded_at_first_use():
    assert "bptt" in dir(rnncore)
