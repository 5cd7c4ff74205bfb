"""All states and gates of a call, by name: against the NumPy twin, and against the equations that bind them."""

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, as_tuple, make_case, twin_of
from rnncore.layers.cells import CELLS
from variants import in_form

each_cell = pytest.mark.parametrize("cell", LAYERS)
LENGTHS = [7, 0, 4, 6]


@each_cell
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("H", [5, 16, 19])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_step_is_that_of_the_reference(cell, dtype, H, bidirectional):
    case = make_case(cell, H=H, L=3, bidirectional=bidirectional, dtype=dtype)
    layer, rows = case.layer, np.random.default_rng(1).random((7, 4)) < 0.2
    y, _, states = layer(case.x, case.hx, lengths=LENGTHS, resets=rows, return_all_states=True, gates=True)
    network = twin_of(layer, dtype="float64")
    gates = CELLS[layer._network.cell].gates
    gates = [name for name in gates if name in CELLS[layer._network.cell].kept]  # the twin keeps them first
    out, hn = np.empty(y.shape), tuple(np.empty(h.shape) for h in as_tuple(case.hx))
    h0 = tuple(h.astype("float64") for h in as_tuple(case.hx))
    cache = network.forward(
        layer.parameters.astype("float64"), case.x.astype("float64"), h0, out, hn, np.array(LENGTHS), rows, keep=True
    )
    names = [*layer.state_names, *gates]
    assert list(states.arrays) == names
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for k, steps in enumerate(cache.steps):
        expected = {name: np.zeros((7, 4, H)) for name in names}
        for step in steps:
            for slot, name in enumerate(gates):
                expected[name][step.t, step.rows] = step.cache[slot]
        for name in gates:
            np.testing.assert_allclose(states.arrays[name][k], expected[name], rtol=0, atol=tolerance)


@each_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_states_are_those_that_shorter_calls_end_with(cell, bidirectional):
    case = make_case(cell, L=2, bidirectional=bidirectional, dtype="float32")
    y, hx, states = case.layer(case.x, case.hx, return_all_states=True)
    forward = slice(None, None, 2 if bidirectional else 1)
    np.testing.assert_array_equal(np.concatenate(states.h[2 if bidirectional else 1 :], axis=-1), y, strict=True)
    if not bidirectional:
        for t in range(7):
            _, shorter = case.layer(case.x[: t + 1], case.hx)
            for state, expected in zip(states.arrays.values(), as_tuple(shorter), strict=True):
                np.testing.assert_array_equal(state[:, t], expected, strict=True)
    for state, expected in zip(states.arrays.values(), as_tuple(hx), strict=True):
        np.testing.assert_array_equal(state[forward, -1], expected[forward], strict=True)
        if bidirectional:
            np.testing.assert_array_equal(state[1::2, 0], expected[1::2], strict=True)


def test_the_outputs_are_those_of_a_call_without_them_and_dropout_takes_no_part():
    case = make_case("gru", dropout=0.5)
    y, h, _ = case.layer.train()(case.x, case.hx, return_all_states=True)
    np.testing.assert_array_equal(y, case.infer()["y"], strict=True)
    np.testing.assert_array_equal(h, case.infer()["h0"], strict=True)


def test_time_and_rows_stand_as_in_x():
    by_time, by_row = make_case("lstm"), make_case("lstm", batch_first=True)
    by_row.layer.load_state_dict(by_time.layer.state_dict())
    *_, expected = by_time.layer(by_time.x, by_time.hx, return_all_states=True, gates=True)
    *_, turned = by_row.layer(by_time.x.swapaxes(0, 1), by_time.hx, return_all_states=True, gates=True)
    *_, alone = by_time.layer(by_time.x[:, 1], tuple(h[:, 1] for h in by_time.hx), return_all_states=True, gates=True)
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(turned.arrays[name].swapaxes(1, 2), array, strict=True)
        np.testing.assert_array_equal(alone.arrays[name], array[:, :, 1], strict=True)


def test_what_was_not_asked_for_is_refused_by_name():
    layer = rnncore.LSTM(3, 5, seed=0)
    *_, states = layer(np.ones((4, 3)), return_all_states=True)
    with pytest.raises(AttributeError, match="AllStates has no 'f'"):
        _ = states.f
    with pytest.raises(ValueError, match="expected return_all_states=True"):
        layer(np.ones((4, 3)), gates=True)
    with pytest.raises(TypeError, match="return_all_states should be of type bool"):
        layer(np.ones((4, 3)), return_all_states=1)


@each_cell
def test_states_by_layer_and_direction(cell):
    layer = LAYERS[cell](3, 4, 3, bidirectional=True, seed=0)
    _, hx = layer(np.ones((5, 2, 3)))
    for flat, by_layer in zip(as_tuple(hx), as_tuple(layer.unflatten(hx)), strict=True):
        assert by_layer.shape == (3, 2, 2, 4)
        np.testing.assert_array_equal(by_layer[2, 1], flat[5])
        assert np.shares_memory(by_layer, flat)
    for ours, theirs in zip(as_tuple(layer.flatten(layer.unflatten(hx))), as_tuple(hx), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    alone = in_form(h[:, 0] for h in as_tuple(hx))
    assert as_tuple(layer.unflatten(alone))[0].shape == (3, 2, 4)
    wrong = in_form(h[:5] for h in as_tuple(hx))
    with pytest.raises(ValueError, match=r"expected shape \(6, N, 4\), got \(5, 2, 4\)"):
        layer.unflatten(wrong)
    with pytest.raises(ValueError, match=r"expected shape \(3, 2, N, 4\), got \(6, 2, 4\)"):
        layer.flatten(hx)
