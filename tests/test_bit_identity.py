"""A row's result depends on the row alone: never on its batch, blocks, threads or strides. Exact equality."""

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, Result, as_tuple, make_case
from rnncore import _core

pytestmark = [
    pytest.mark.parametrize("cell", LAYERS),
    pytest.mark.parametrize("dtype", ["float32", "float64"]),
]

# 1, 5, 20 and 37 leave every kind of remainder in tiles of 4, 8 or 16 units.
sizes = pytest.mark.parametrize(("I", "H"), [(1, 1), (3, 5), (1, 20), (19, 16), (40, 37)])
LENGTHS = [7, 0, 3, 7, 1, 5, 2, 7, 6, 4, 7]
N = len(LENGTHS)


def row_results(result: Result, row: int) -> Result:
    """The parts of a result that belong to a row, as a batch of one."""
    return Result({name: a[:, row : row + 1] for name, a in result.arrays.items() if name != "dparameters"})


def without_parameters(result: Result) -> Result:
    return Result({name: a for name, a in result.arrays.items() if name != "dparameters"})


@sizes
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_row_alone_equals_the_row_in_a_batch(cell, dtype, I, H, bidirectional):  # noqa: E741
    case = make_case(cell, 7, N, I, H, bidirectional=bidirectional, dtype=dtype)
    whole = case.train()
    for row in range(N):
        row_results(whole, row).assert_identical(without_parameters(case.rows([row]).train()))


# The units fill one tile or a few, of each instruction set: alone, the row's state may stay in registers.
@pytest.mark.parametrize("H", [4, 8, 12, 24, 32, 48, 64, 128])
def test_a_row_whose_units_fill_a_tile_equals_itself_in_a_batch(cell, dtype, H):
    lengths = [9, 5, 9]
    case = make_case(cell, 9, 3, 6, H, dtype=dtype)
    resets = np.zeros((9, 3), bool)
    resets[4, 0] = True
    for keywords in ({}, {"lengths": lengths}, {"resets": resets}):
        whole = case.train(**keywords)
        for row in range(3):
            own = {
                name: value[row : row + 1] if name == "lengths" else value[:, row : row + 1]
                for name, value in keywords.items()
            }
            row_results(whole, row).assert_identical(without_parameters(case.rows([row]).train(**own)))


# Many rows are taken in slabs, many units save their sums before the cells and between blocks of k, and every product
# is cut into pieces, between which a call looks at Ctrl-C: otherwise only those of 500 million multiply-adds are.
@pytest.mark.parametrize(("N", "H"), [(300, 200), (4, 96), (5, 130), (7, 300), (9, 100), (10, 300), (17, 530)])
def test_a_row_equals_itself_in_a_batch_that_is_cut(cell, dtype, N, H):
    case = make_case(cell, 2, N, 3, H, dtype=dtype)
    usual = _core.set_piece(50_000)
    try:
        whole = case.train()
    finally:
        _core.set_piece(usual)
    whole.assert_identical(case.train())
    for row in (0, N // 2, N - 1):
        row_results(whole, row).assert_identical(without_parameters(case.rows([row]).train()))


@sizes
def test_the_order_of_rows_does_not_matter(cell, dtype, I, H):  # noqa: E741
    case = make_case(cell, 7, N, I, H, dtype=dtype)
    order = np.random.default_rng(1).permutation(N)
    whole, permuted = case.train(lengths=LENGTHS), case.rows(order).train(lengths=np.array(LENGTHS)[order])
    for row in range(N):
        row_results(whole, order[row]).assert_identical(row_results(permuted, row))


@sizes
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_ragged_row_equals_the_row_cut_at_its_length(cell, dtype, I, H, bidirectional):  # noqa: E741
    case = make_case(cell, 7, N, I, H, bidirectional=bidirectional, dtype=dtype)
    whole = case.train(lengths=LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = case.rows([row])
        alone = alone.but(x=alone.x[:length], dy=alone.dy[:length]).train()
        ragged = row_results(whole, row)
        assert not ragged["y"][length:].any()
        assert not ragged["dx"][length:].any()
        arrays = {name: a[:length] if name in ("y", "dx") else a for name, a in ragged.arrays.items()}
        Result(arrays).assert_identical(without_parameters(alone))


# Of 1 to 4 rows of all steps no weights are packed; up to 32, large ones of x are multiplied as soon as they are.
@pytest.mark.parametrize(("I", "H"), [(1, 1), (3, 5), (1, 20), (19, 16), (40, 37), (520, 257)])
def test_blocks_with_carried_state_equal_the_whole(cell, dtype, I, H):  # noqa: E741
    case = make_case(cell, 12, 4, I, H, dtype=dtype)
    whole = case.infer()
    for cuts in ([5], [1, 2, 11], list(range(1, 12))):  # the last streams step by step
        outputs, hx = [], case.hx
        for block in np.split(case.x, cuts):
            y, hx = case.layer(block, hx)
            outputs.append(y)
        states = {f"h{k}": h for k, h in enumerate(as_tuple(hx))}
        whole.assert_identical(Result({"y": np.concatenate(outputs), **states}))


@sizes
def test_a_segment_equals_a_call_of_its_own(cell, dtype, I, H):  # noqa: E741
    case = make_case(cell, 12, 4, I, H, dtype=dtype)
    resets = np.zeros((12, 4), bool)
    resets[5] = True
    y, hx = case.layer(case.x, case.hx, resets=resets)
    first, _ = case.layer(case.x[:5], case.hx)
    second, last = case.layer(case.x[5:])
    np.testing.assert_array_equal(y, np.concatenate([first, second]), strict=True)
    for ours, theirs in zip(as_tuple(hx), as_tuple(last), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize(("T", "N", "H"), [(20, 33, 64), (6, 2, 200), (3, 7, 5), (3, 450, 20), (500, 4, 16)])
def test_one_thread_equals_two(cell, dtype, bidirectional, lengths, T, N, H):
    case = make_case(cell, T, N, 24, H, bidirectional=bidirectional, dtype=dtype)
    keywords = {"lengths": np.random.default_rng(2).integers(0, T + 1, N)} if lengths else {}
    case.train(num_threads=1, **keywords).assert_identical(case.train(num_threads=2, **keywords))
    case.infer(num_threads=1, **keywords).assert_identical(case.infer(num_threads=2, **keywords))


# One row cannot be shared, and its units are: each step is long enough to wait for one another.
@pytest.mark.parametrize(("bidirectional", "num_layers"), [(False, 1), (False, 3), (True, 2)])
@pytest.mark.parametrize(("N", "H", "threads"), [(1, 193, 2), (2, 200, 3), (3, 130, 5)])
def test_one_thread_equals_several_that_share_units(cell, dtype, bidirectional, num_layers, N, H, threads):
    T = 9
    case = make_case(cell, T, N, 140, H, num_layers, bidirectional=bidirectional, dtype=dtype)
    resets = np.random.default_rng(2).random((T, N)) < 0.2
    for keywords in ({}, {"lengths": [T, 4, 7][:N]}, {"resets": resets}):
        case.train(num_threads=1, **keywords).assert_identical(case.train(num_threads=threads, **keywords))
        case.infer(num_threads=1, **keywords).assert_identical(case.infer(num_threads=threads, **keywords))


def test_the_setting_of_threads_does_not_change_a_result(cell, dtype):
    case = make_case(cell, 20, 33, 24, 64, dtype=dtype)
    before = rnncore.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            rnncore.set_num_threads(threads)
            results.append(case.train())
    finally:
        rnncore.set_num_threads(before)
    results[0].assert_identical(results[1])
    results[0].assert_identical(results[2])


@sizes
def test_inference_equals_the_forward_of_training(cell, dtype, I, H):  # noqa: E741
    case = make_case(cell, 7, N, I, H, dtype=dtype)
    training = case.train(lengths=LENGTHS)
    inference = case.infer(lengths=LENGTHS)
    inference.assert_identical(Result({name: training[name] for name in inference.arrays}))


def strided_twins(a: np.ndarray):
    """Equal arrays of other strides, the last axis contiguous or not."""
    spaced = np.full((2 * a.shape[0], a.shape[1] + 3, a.shape[2]), np.nan, a.dtype)
    spaced[::2, 3:] = a
    yield spaced[::2, 3:]
    backwards = a[::-1].copy()
    yield backwards[::-1]
    yield np.asfortranarray(a)
    wide = np.full((*a.shape[:2], 2 * a.shape[2]), np.nan, a.dtype)
    wide[..., ::2] = a
    yield wide[..., ::2]
    yield a.swapaxes(0, 1).copy().swapaxes(0, 1)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_strided_arrays_equal_contiguous_ones(cell, dtype, bidirectional):
    case = make_case(cell, 7, N, 6, 20, bidirectional=bidirectional, dtype=dtype)
    contiguous = case.train(lengths=LENGTHS)
    for x, dy in zip(strided_twins(case.x), strided_twins(case.dy), strict=True):
        assert not x.flags.c_contiguous
        assert not dy.flags.c_contiguous
        contiguous.assert_identical(case.but(x=x, dy=dy).train(lengths=LENGTHS))


def test_one_row_for_all_equals_copies_of_it(cell, dtype):
    case = make_case(cell, 7, 1, 6, 20, dtype=dtype)
    shared = np.broadcast_to(case.x, (7, N, 6))
    assert shared.strides[1] == 0
    y, _ = case.layer(shared)
    np.testing.assert_array_equal(y, case.layer(shared.copy())[0], strict=True)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("H", [5, 20])
def test_batch_first_equals_time_major(cell, dtype, bidirectional, H):
    time_major = make_case(cell, 7, N, 6, H, bidirectional=bidirectional, dtype=dtype)
    batch_first = make_case(cell, 7, N, 6, H, bidirectional=bidirectional, dtype=dtype, batch_first=True)
    batch_first.layer.load_state_dict(time_major.layer.state_dict())
    resets = np.random.default_rng(3).random((7, N)) < 0.2
    turned = time_major.but(layer=batch_first.layer, x=time_major.x.swapaxes(0, 1), dy=time_major.dy.swapaxes(0, 1))
    for case in (turned, turned.but(x=turned.x.copy(), dy=turned.dy.copy())):
        got = case.train(lengths=LENGTHS, resets=resets.T)
        assert got["y"].flags.c_contiguous
        arrays = {name: a.swapaxes(0, 1) if name in ("y", "dx") else a for name, a in got.arrays.items()}
        time_major.train(lengths=LENGTHS, resets=resets).assert_identical(Result(arrays))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_sequence_without_a_batch_axis_equals_a_batch_of_one(cell, dtype, bidirectional):
    case = make_case(cell, 7, 1, 6, 20, bidirectional=bidirectional, dtype=dtype)

    def squeeze(hx):
        return tuple(h[:, 0] for h in hx) if isinstance(hx, tuple) else hx[:, 0]

    alone = case.but(x=case.x[:, 0], hx=squeeze(case.hx), dy=case.dy[:, 0], dhx=squeeze(case.dhx))
    resets = np.arange(7) == 3
    got = alone.train(lengths=5, resets=resets)
    assert got["y"].ndim == got["h0"].ndim == got["dx"].ndim == got["dh0"].ndim == 2
    arrays = {name: a if name == "dparameters" else a[:, None] for name, a in got.arrays.items()}
    case.train(lengths=[5], resets=resets[:, None]).assert_identical(Result(arrays))
