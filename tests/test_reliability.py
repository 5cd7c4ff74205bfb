"""What users may rely on: no input ends the process, a failed call changes nothing, nothing is silently wrong."""

import contextlib

import numpy as np
import pytest

import rnncore
import rnncore.arguments
from layer_case import LAYERS, Result, as_tuple, make_case
from variants import in_form

every_cell = pytest.mark.parametrize("cell", LAYERS)
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
directions = pytest.mark.parametrize("bidirectional", [False, True])

RAGGED = [7, 0, 3, 1, 6]


# ---- NaN and infinity


@every_cell
@both_dtypes
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_in_gives_nan_out_in_that_row_from_that_step_on(cell, dtype, bad):
    case = make_case(cell, 9, 5, 3, 20, 2, dtype=dtype)
    clean = case.infer()
    poisoned_x = case.x.copy()
    poisoned_x[4, 2, 1] = bad
    poisoned = case.but(x=poisoned_x).infer()
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(poisoned["y"][:, others], clean["y"][:, others])
    np.testing.assert_array_equal(poisoned["h0"][:, others], clean["h0"][:, others])
    np.testing.assert_array_equal(poisoned["y"][:4, 2], clean["y"][:4, 2])
    if np.isnan(bad):
        assert np.isnan(poisoned["y"][4:, 2]).all()
        assert np.isnan(poisoned["h0"][:, 2]).all()
    elif "relu" not in cell:  # an infinite pre-activation saturates a gate, exactly as in the limit
        large = poisoned_x.copy()
        large[4, 2, 1] = np.copysign(1e30, bad)
        np.testing.assert_array_equal(poisoned["y"][:, 2], case.but(x=large).infer()["y"][:, 2])
    else:
        assert not np.isfinite(poisoned["y"][4:, 2]).all()


@every_cell
@both_dtypes
def test_nan_in_a_state_or_a_weight_is_not_swallowed(cell, dtype):
    case = make_case(cell, 5, 4, 3, 20, 1, dtype=dtype)
    states = tuple(h.copy() for h in as_tuple(case.hx))
    states[-1][0, 2] = np.nan
    y, _ = case.layer(case.x, in_form(states))
    assert np.isnan(y[:, 2]).all()
    assert np.isfinite(y[:, [0, 1, 3]]).all()
    case.layer.weight_ih_l0[:, 1] = np.nan
    assert np.isnan(case.infer()["y"]).all()


@every_cell
@both_dtypes
def test_nan_in_dy_stays_in_its_row_and_reaches_back_to_the_beginning(cell, dtype):
    case = make_case(cell, 9, 5, 3, 20, 1, dtype=dtype)
    clean = case.train()
    dy = case.dy.copy()
    dy[4, 2] = np.nan
    poisoned = case.but(dy=dy).train()
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(poisoned["dx"][:, others], clean["dx"][:, others])
    np.testing.assert_array_equal(poisoned["dx"][5:, 2], clean["dx"][5:, 2])
    assert np.isnan(poisoned["dx"][:5, 2]).any(axis=1).all()
    assert np.isnan(poisoned["dparameters"]).any()


# ---- zero extents


@every_cell
@directions
@pytest.mark.parametrize(("T", "N", "I"), [(0, 4, 3), (7, 0, 3), (7, 4, 0), (0, 0, 3), (0, 4, 0), (0, 0, 0)])
@pytest.mark.parametrize("batch_first", [False, True])
def test_zero_extents_have_a_defined_result(cell, bidirectional, T, N, I, batch_first):  # noqa: E741
    case = make_case(cell, T, N, I, 5, 2, bidirectional=bidirectional, batch_first=batch_first)
    result = case.train(lengths=np.full(N, T), resets=np.zeros(case.x.shape[:2], bool))
    width = 10 if bidirectional else 5
    assert result["y"].shape == ((N, T, width) if batch_first else (T, N, width))
    assert result["dx"].shape == case.x.shape
    if T == 0:
        for k, (h, dh) in enumerate(zip(as_tuple(case.hx), as_tuple(case.dhx), strict=True)):
            np.testing.assert_array_equal(result[f"h{k}"], h)
            np.testing.assert_array_equal(result[f"dh{k}"], dh)
    if T == 0 or N == 0:
        assert not result["dparameters"].any()
    else:  # no features: as if x contributed nothing
        one = make_case(cell, T, N, 1, 5, 2, bidirectional=bidirectional, batch_first=batch_first)
        named = one.layer.named_parameters()
        for name, view in case.layer.named_parameters().items():
            named[name][...] = view if view.size else 0
        np.testing.assert_array_equal(result["y"], one.but(hx=case.hx).infer()["y"])


@every_cell
def test_zero_steps_without_a_batch_axis(cell):
    layer = LAYERS[cell](3, 5, seed=0)
    y, hx, cache = layer.forward(np.zeros((0, 3)))
    assert y.shape == (0, 5)
    assert not any(h.any() for h in as_tuple(hx))
    assert layer.backward(cache, np.zeros((0, 5))).x.shape == (0, 3)


# ---- backward


@every_cell
@directions
def test_backward_twice_gives_the_same_and_writes_to_no_argument(cell, bidirectional):
    case = make_case(cell, 7, 5, 3, 20, 2, bidirectional=bidirectional, dropout=0.3)
    states = as_tuple(case.hx) + as_tuple(case.dhx)
    resets = np.random.default_rng(1).random((7, 5)) < 0.2
    lengths = np.array(RAGGED)
    arguments = [case.x, case.dy, *states, case.layer.parameters, resets, lengths]
    before = [a.copy() for a in arguments]
    y, _, cache = case.layer.forward(case.x, case.hx, lengths=lengths, resets=resets)
    kept = y.copy()
    first = case.layer.backward(cache, case.dy, case.dhx)
    case.layer.backward(cache, 2 * case.dy)
    second = case.layer.backward(cache, case.dy, case.dhx)
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.parameters, second.parameters)
    for one, two in zip(as_tuple(first.hx), as_tuple(second.hx), strict=True):
        np.testing.assert_array_equal(one, two)
    for array, copy in zip([*arguments, y], [*before, kept], strict=True):
        np.testing.assert_array_equal(array, copy)


@every_cell
@directions
def test_gradients_of_the_losses_of_the_steps_add_up_to_that_of_their_sum(cell, bidirectional):
    case = make_case(cell, 7, 5, 3, 6, 2, bidirectional=bidirectional)
    _, _, cache = case.layer.forward(case.x, case.hx, lengths=RAGGED)
    whole = case.layer.backward(cache, case.dy, case.dhx)
    parts = [case.layer.backward(cache, None, case.dhx)]
    for t in range(7):
        dy = np.zeros_like(case.dy)
        dy[t] = case.dy[t]
        parts.append(case.layer.backward(cache, dy))

    def assert_sum(get):
        np.testing.assert_allclose(sum(map(get, parts)), get(whole), rtol=1e-12, atol=1e-12)

    assert_sum(lambda grads: grads.parameters)
    assert_sum(lambda grads: grads.x)
    for k in range(len(as_tuple(case.hx))):
        assert_sum(lambda grads, k=k: as_tuple(grads.hx)[k])


@every_cell
def test_gradients_of_blocks_joined_by_their_states_are_those_of_the_whole(cell):
    case = make_case(cell, 12, 5, 3, 6, 2)
    whole = case.train()
    caches, hx, total = [], case.hx, np.zeros(case.layer.parameter_count)
    blocks = [slice(0, 5), slice(5, 6), slice(6, 12)]
    for block in blocks:
        _, hx, cache = case.layer.forward(case.x[block], hx)
        caches.append(cache)
    dhx, dx = case.dhx, np.empty_like(case.x)
    for block, cache in zip(reversed(blocks), reversed(caches), strict=True):
        grads = case.layer.backward(cache, case.dy[block], dhx, add_to=total)
        dhx, dx[block] = grads.hx, grads.x
    arrays = {"y": whole["y"], "dx": dx, "dparameters": total}
    arrays |= {f"h{k}": h for k, h in enumerate(as_tuple(hx))} | {f"dh{k}": h for k, h in enumerate(as_tuple(dhx))}
    whole.assert_close(Result(arrays), 1e-12)


# ---- lengths and padding


@every_cell
@directions
@both_dtypes
def test_what_padding_holds_never_matters(cell, bidirectional, dtype):
    case = make_case(cell, 7, 5, 3, 20, 2, bidirectional=bidirectional, dtype=dtype)
    resets = np.random.default_rng(1).random((7, 5)) < 0.2
    clean = case.train(lengths=RAGGED, resets=resets)
    padding = np.arange(7)[:, None] >= np.array(RAGGED)
    x, dy = case.x.copy(), case.dy.copy()
    x[padding] = dy[padding] = np.nan
    clean.assert_identical(case.but(x=x, dy=dy).train(lengths=RAGGED, resets=resets | padding))
    assert not clean["y"][padding].any()
    assert not clean["dx"][padding].any()


@every_cell
@directions
def test_a_row_without_steps_keeps_its_state_and_has_no_gradient(cell, bidirectional):
    case = make_case(cell, 7, 5, 3, 6, 2, bidirectional=bidirectional)
    result = case.train(lengths=RAGGED)
    for k, (h, dh) in enumerate(zip(as_tuple(case.hx), as_tuple(case.dhx), strict=True)):
        np.testing.assert_array_equal(result[f"h{k}"][:, 1], h[:, 1])
        np.testing.assert_array_equal(result[f"dh{k}"][:, 1], dh[:, 1])
    assert not result["y"][:, 1].any()
    assert not result["dx"][:, 1].any()


@every_cell
@directions
@both_dtypes
def test_every_element_of_a_result_is_written(cell, bidirectional, dtype, monkeypatch):
    case = make_case(cell, 7, 5, 3, 20, 2, bidirectional=bidirectional, dtype=dtype)
    results = []
    for poison in (np.nan, 7):
        monkeypatch.setattr(
            rnncore.arguments, "empty", lambda shape, dtype, poison=poison: np.full(shape, poison, dtype)
        )
        results.append(case.train(lengths=RAGGED))
        assert all(np.isfinite(a).all() for a in results[-1].arrays.values())
    results[0].assert_identical(results[1])


def test_any_integers_as_lengths_give_a_result_or_a_value_error():
    generator = np.random.default_rng(0)
    case = make_case("lstm", 7, 5, 3, 6, 2, bidirectional=True)
    extremes = [0, 1, 6, 7, 8, -1, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1, 255, -128]
    results = 0
    for trial in range(3000):
        dtype = generator.choice(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i8", ">u2"])
        size = generator.choice([5, 5, 5, 5, 0, 1, 4, 6])
        pool = [0, 1, 5, 7] if trial % 3 == 0 else extremes
        info = np.iinfo(dtype)
        values = [v for v in pool if info.min <= v <= info.max]
        lengths = np.array([values[k] for k in generator.integers(len(values), size=size)], dtype)
        ok = size == 5 and all(0 <= v <= 7 for v in lengths.tolist())
        with contextlib.nullcontext() if ok else pytest.raises(ValueError, match=r"^lengths"):
            y, _ = case.layer(case.x, case.hx, lengths=lengths)
            results += 1
            np.testing.assert_array_equal(y.any(axis=2).sum(axis=0), lengths)
    assert 500 < results < 2500


# ---- dropout


@every_cell
@pytest.mark.parametrize("p", [0.0, 1e-9, 0.5, 1 - 2**-53, 1.0])
def test_any_probability_of_dropout_gives_finite_numbers(cell, p):
    case = make_case(cell, 7, 5, 3, 20, 3, dropout=p)
    result = case.train()
    assert all(np.isfinite(a).all() for a in result.arrays.values())
    if p == 0:
        np.testing.assert_array_equal(result["y"], case.infer()["y"])
    if p == 1:  # nothing of x comes through
        np.testing.assert_array_equal(result["y"], case.but(x=case.x + 1).train()["y"])
        assert not case.but(dhx=None).train()["dx"].any()


# ---- failed calls


@every_cell
def test_a_refused_call_changes_nothing(cell):
    case = make_case(cell, 7, 5, 3, 6, 2)
    y, _, cache = case.layer.forward(case.x, case.hx)
    total, before = np.ones(case.layer.parameter_count), case.train()
    for wrong in (
        lambda: case.layer(case.x[..., :2]),
        lambda: case.layer(case.x, lengths=[9] * 5),
        lambda: case.layer(case.x, resets=np.zeros((7, 6), bool)),
        lambda: case.layer.backward(cache, case.dy[:-1], add_to=total),
        lambda: case.layer.backward(cache, case.dy, num_threads=0, add_to=total),
    ):
        with pytest.raises(ValueError, match=r"[0-9]"):
            wrong()
    assert (total == 1).all()
    before.assert_identical(case.train())
    np.testing.assert_array_equal(y, before["y"])
