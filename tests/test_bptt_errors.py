"""What backpropagation through time refuses, before the first update."""

import numpy as np
import pytest

import rnncore
from bptt_case import H, N, T, each_cell, setting
from layer_case import LAYERS
from rnncore import bptt


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
