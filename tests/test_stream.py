"""Streams: the bits of the layer's own call, however a sequence is cut; rows, copies and weights."""

import copy
import threading

import numpy as np
import pytest

from layer_case import as_tuple
from rnncore import State, Stream
from stream_case import CELLS, identical, make, moved
from variants import engine_arguments, state_names

# ---- the same bits


@pytest.mark.parametrize("rows", [1, 2, 7, 33])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_steps_blocks_and_the_whole_call_agree_bit_for_bit(cell: str, dtype: str, layers: int, rows: int) -> None:
    layer, x = make(cell, rows, H=17, L=layers, dtype=dtype)
    y, hx = layer(x)

    by_step = Stream(layer, rows)
    identical(np.stack([by_step.step(frame) for frame in x]), y)
    by_block = Stream(layer, rows)
    identical(np.concatenate([by_block.run(x[:4]), by_block.run(x[4:4]), by_block.run(x[4:])]), y)
    mixed, out = Stream(layer, rows), np.empty_like(y)
    for t in range(3):
        assert mixed.step(x[t], out=out[t]).base is out
    out[3:8] = mixed.run(x[3:8])
    mixed.step(x[8], out=out[8])
    identical(out, y)
    for stream in (by_step, by_block, mixed):
        for array, expected in zip(stream.state.arrays.values(), as_tuple(hx), strict=True):
            identical(array, expected)


def test_one_row_may_come_without_a_batch_axis() -> None:
    layer, x = make(rows=1)
    y, (h, c) = layer(x[:, 0])
    flat, batched = Stream(layer), Stream(layer)
    identical(np.stack([flat.step(frame) for frame in x[:4, 0]]), y[:4])
    identical(flat.run(x[4:, 0]), y[4:])
    identical(np.stack([batched.step(frame) for frame in x])[:, 0], y)
    identical(flat.state.h[:, 0], h)
    flat.state = (h, c)  # as the layer returned it
    assert flat.state == batched.state
    assert flat.run(np.zeros((0, 4), "float32")).shape == (0, 5)


def test_batch_first_layers_take_blocks_as_in_their_call() -> None:
    layer, x = make(batch_first=True)
    by_row = x.swapaxes(0, 1)
    y, _ = layer(by_row)
    stream = Stream(layer, 3)
    identical(np.concatenate([stream.run(by_row[:, :4]), stream.run(by_row[:, 4:])], axis=1), y)


def test_dropout_takes_no_part() -> None:
    layer, x = make(dropout=0.5)
    stream = Stream(layer.train(), 3)
    identical(stream.run(x), layer(x)[0])


def test_a_network_without_bias_and_one_without_input() -> None:
    layer, x = make("gru", I=0, bias=False)
    stream = Stream(layer, 3)
    stream.state = np.ones((2, 3, 5))
    identical(np.stack([stream.step(frame) for frame in x]), layer(x, np.ones((2, 3, 5)))[0])


@pytest.mark.parametrize("cell", CELLS)
def test_what_numpy_can_view_is_cast_as_by_the_layer(cell: str) -> None:
    layer, x = make(cell, rows=2, dtype="float32")
    x = np.round(8 * x).astype("float32")  # the numbers survive every cast
    expected = layer(x)[0]
    forms = [
        lambda frame: frame.tolist(),
        lambda frame: frame.astype("float64"),
        lambda frame: frame.astype("int16"),
        lambda frame: frame.astype(">f4"),
        lambda frame: np.asfortranarray(frame),
        lambda frame: np.array(frame[::-1])[::-1],
        lambda frame: np.repeat(frame, 2, axis=1)[:, ::2],
        lambda frame: np.pad(frame, ((0, 0), (3, 1)))[:, 3:7],
    ]
    for form in forms:
        stream = Stream(layer, 2)
        identical(np.stack([stream.step(form(frame), out=np.empty((2, 5), "float32")) for frame in x]), expected)
    identical(Stream(layer, 2).run(x.tolist()), expected)


def test_nan_stays_in_its_row_and_a_reset_ends_it() -> None:
    layer, x = make()
    stream, clean = Stream(layer, 3), Stream(layer, 3)
    poisoned = x.copy()
    poisoned[2, 1] = np.nan
    y, expected = stream.run(poisoned), clean.run(x)
    assert np.isnan(y[2:, 1]).all()
    identical(y[:, [0, 2]], expected[:, [0, 2]])
    stream.reset(1)
    clean.reset(1)
    assert stream.state == clean.state


# ---- the state, rows and copies


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_is_a_copy_that_never_changes(cell: str) -> None:
    stream, x = moved(cell)
    state = stream.state
    assert tuple(state.arrays) == state_names(cell)
    assert (state.cell, state.input_size, state.num_layers, state.batch_size, state.hidden_size) == (
        engine_arguments(cell)["cell"],
        4,
        2,
        3,
        5,
    )
    assert all(not array.flags.writeable and array.any() for array in state.arrays.values())
    before = {name: array.copy() for name, array in state.arrays.items()}
    after = stream.run(x)
    assert stream.state != state
    for name, array in state.arrays.items():
        identical(array, before[name])
    stream.state = state
    identical(stream.run(x), after)
    stream.state = state.hx
    assert stream.state == state
    identical(stream.layer(x, state.hx)[0], after)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (None, [0, 1, 2, 3]),
        (2, [2]),
        (-1, [3]),
        (slice(1, 3), [1, 2]),
        ([3, 0], [3, 0]),
        (np.array([3, 0], "uint8"), [3, 0]),
        ([], []),
        ([True, False, False, True], [0, 3]),
    ],
)
def test_rows_by_number_slice_list_and_mask(rows, expected) -> None:
    stream, x = moved(rows=4)
    state = stream.state
    if rows is not None:
        identical(state.rows(rows).c, state.c[:, expected])
    stream.reset(rows)
    others = [n for n in range(4) if n not in expected]
    for name, array in stream.state.arrays.items():
        assert not array[:, expected].any()
        identical(array[:, others], state.arrays[name][:, others])
    begun = Stream(stream.layer, 4).run(x)
    identical(stream.run(x)[:, expected], begun[:, expected])


@pytest.mark.parametrize("cell", CELLS)
def test_rows_leave_and_join(cell: str) -> None:
    stream, x = moved(cell, rows=5)
    whole = stream.fork()
    stream.keep([4, 1])
    identical(stream.step(x[0, [4, 1]]), whole.step(x[0])[[4, 1]])
    stream.resize(3)
    assert stream.batch_size == 3
    assert not stream.state.h[:, 2].any()
    identical(stream.step(x[1, [4, 1, 0]])[:2], whole.step(x[1])[[4, 1]])
    stream.resize(1)
    identical(stream.step(x[2, 4]), whole.step(x[2])[4])
    joined = State.concatenate([whole.state.rows(slice(3)), whole.state.rows([3, 4])])
    assert joined == whole.state


def test_a_fork_goes_its_own_way() -> None:
    stream, x = moved()
    state, fork = stream.state, stream.fork()
    assert fork.state == state
    y = fork.run(x)
    assert stream.state == state
    identical(stream.run(x), y)
    stream.close()
    fork.step(x[0])


# ---- weights


def test_a_stream_keeps_its_weights_until_it_is_refreshed() -> None:
    stream, x = moved()
    layer, before = stream.layer, stream.fork()
    state = stream.state
    y = before.run(x)
    layer.parameters *= -0.5
    identical(stream.run(x), y)
    stream.state = state
    stream.refresh()
    assert stream.state == state
    identical(stream.run(x), layer(x, state.hx)[0])
    before.state = state
    identical(before.run(x), y)  # a fork is refreshed by itself


def test_no_step_sees_half_refreshed_weights() -> None:
    layer, x = make(rows=1, H=64)
    layers = [layer, copy.deepcopy(layer)]
    layers[1].parameters *= -0.5
    expected = {one(x[0])[0].tobytes() for one in layers}
    parameters = [one.parameters.copy() for one in layers]
    stream, seen = Stream(layer), set()
    done = threading.Event()

    def refresh() -> None:
        for k in range(400):
            layer.parameters[...] = parameters[k % 2]
            stream.refresh()
        done.set()

    thread = threading.Thread(target=refresh)
    thread.start()
    while not done.is_set():
        stream.reset()
        seen.add(stream.step(x[0]).tobytes())
    thread.join()
    assert seen <= expected
