"""The NumPy twin: lengths, resets, blocks and zero extents, each against an equivalent call."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from reference_problem import RAGGED, Problem, assert_near, each_cell, each_direction, make, random_resets
from rnncore.reference import gradcheck_network

# ---- lengths, resets, blocks


@each_cell
@each_direction
@pytest.mark.parametrize("with_resets", [False, True], ids=["whole", "reset"])
def test_ragged_rows_equal_each_row_alone_whatever_the_padding_holds(cell, bidirectional, with_resets):
    problem = make(cell, 2, bidirectional).but(lengths=RAGGED)
    dy, dhn = problem.random_dy()
    padding = np.arange(5)[:, None] >= RAGGED
    resets = random_resets(5, 4) if with_resets else np.zeros((5, 4), bool)
    problem.resets = resets | padding
    problem.x[padding] = np.nan
    dy[padding] = np.nan
    out = problem.forward()
    gradients = problem.backward(out.cache, dy, dhn)
    total = np.zeros_like(problem.parameters)
    for n, length in enumerate(RAGGED):
        valid, row = slice(length), slice(n, n + 1)
        alone = Problem(
            problem.network,
            problem.parameters,
            problem.x[valid, row],
            tuple(h[:, row] for h in problem.h0),
            resets=resets[valid, row],
        )
        result = alone.forward()
        gradient = alone.backward(result.cache, dy[valid, row], tuple(d[:, row] for d in dhn))
        assert_near(out.y[valid, row], result.y)
        assert_near(gradients.x[valid, row], gradient.x)
        for s in range(problem.network.num_states):
            assert_near(out.hn[s][:, row], result.hn[s])
            assert_near(gradients.h0[s][:, row], gradient.h0[s])
        total += gradient.parameters
    assert_array_equal(out.y[padding], 0)
    assert_array_equal(gradients.x[padding], 0)
    assert_near(gradients.parameters, total)


@each_cell
@each_direction
@pytest.mark.parametrize("first", [False, True], ids=["carried", "reset at 0"])
@pytest.mark.parametrize("length", [5, 7])
def test_segments_between_resets_equal_each_segment_alone(cell, bidirectional, first, length):
    problem = make(cell, 2, bidirectional, T=7, N=1)
    resets = np.zeros((7, 1), bool)
    resets[[2, 3, 5]] = True  # in a row of length 5, the last of these lies in the padding
    resets[0] = first
    problem = problem.but(resets=resets, lengths=np.array([length]))
    dy, dhn = problem.random_dy()
    out = problem.forward()
    gradients = problem.backward(out.cache, dy, dhn)
    bounds = [0, 2, 3, 5, 7] if length == 7 else [0, 2, 3, 5]
    D, last = problem.network.num_directions, len(bounds) - 2
    total = np.zeros_like(problem.parameters)
    for segment in range(last + 1):
        valid = slice(bounds[segment], bounds[segment + 1])
        enters = np.array([segment == 0 and not first, segment == last])[:D]  # does h0 arrive, by direction
        leaves = np.array([segment == last, segment == 0])[:D]  # is it the one to give the final state
        enters, leaves = (np.tile(flags, 2)[:, None, None] for flags in (enters, leaves))
        h0 = tuple(np.where(enters, h, 0) for h in problem.h0)
        alone = Problem(problem.network, problem.parameters, problem.x[valid], h0)
        result = alone.forward()
        gradient = alone.backward(result.cache, dy[valid], tuple(np.where(leaves, d, 0) for d in dhn))
        assert_near(out.y[valid], result.y)
        assert_near(gradients.x[valid], gradient.x)
        for s in range(problem.network.num_states):
            assert_near(np.where(leaves, out.hn[s], 0), np.where(leaves, result.hn[s], 0))
            assert_near(np.where(enters, gradients.h0[s], 0), np.where(enters, gradient.h0[s], 0))
        total += gradient.parameters
    assert_near(gradients.parameters, total)
    if first:
        assert all(np.all(d[::D] == 0) for d in gradients.h0)


@each_cell
@pytest.mark.parametrize("lengths", [None, np.array([7, 3, 0, 4])], ids=["full", "ragged"])
@pytest.mark.parametrize("at", [0, 1, 4, 7])
def test_state_carried_over_blocks_gives_the_whole_bit_for_bit(cell, lengths, at):
    problem = make(cell, 2, T=7).but(lengths=lengths, resets=random_resets(7, 4))
    dy, dhn = problem.random_dy()
    out = problem.forward()
    whole = problem.backward(out.cache, dy, dhn)
    full = np.full(4, 7) if lengths is None else lengths
    head = problem.but(x=problem.x[:at], lengths=np.minimum(full, at), resets=problem.resets[:at])
    before = head.forward()
    tail = problem.but(x=problem.x[at:], h0=before.hn, lengths=np.maximum(full - at, 0), resets=problem.resets[at:])
    after = tail.forward()
    assert_array_equal(np.concatenate([before.y, after.y]), out.y)
    for actual, expected in zip(after.hn, out.hn, strict=True):
        assert_array_equal(actual, expected)
    late = tail.backward(after.cache, dy[at:], dhn)
    early = head.backward(before.cache, dy[:at], late.h0)
    assert_near(early.parameters + late.parameters, whole.parameters)
    assert_array_equal(np.concatenate([early.x, late.x]), whole.x)
    for actual, expected in zip(early.h0, whole.h0, strict=True):
        assert_array_equal(actual, expected)


# ---- nothing to do


@each_cell
@each_direction
@pytest.mark.parametrize("T", [0, 5])
def test_rows_of_length_0_pass_the_state_and_its_gradient_through(cell, bidirectional, T):
    problem = make(cell, 2, bidirectional, T=T).but(lengths=np.zeros(4, np.int64))
    dy, dhn = problem.random_dy()
    out = problem.forward()
    gradients = problem.backward(out.cache, dy, dhn)
    assert_array_equal(out.y, 0)
    assert_array_equal(gradients.x, 0)
    assert_array_equal(gradients.parameters, 0)
    for s in range(problem.network.num_states):
        assert_array_equal(out.hn[s], problem.h0[s])
        assert_array_equal(gradients.h0[s], dhn[s])


@each_cell
@each_direction
def test_no_rows_give_empty_results(cell, bidirectional):
    problem = make(cell, 2, bidirectional, N=0).but(lengths=np.zeros(0, np.int64), resets=np.zeros((5, 0), bool))
    gradients = problem.gradients(*problem.random_dy())
    assert gradients.x.shape == (5, 0, 3)
    assert_array_equal(gradients.parameters, 0)


@each_cell
def test_no_input_features_are_an_input_that_contributes_nothing(cell):
    problem = make(cell, 2, True, I=0)
    wide = make(cell, 2, True, I=2)
    zero, all_views = wide.network.views(wide.parameters), problem.network.views(problem.parameters)
    for name, view in zero.items():
        view[...] = all_views[name] if all_views[name].size else 0
    wide = wide.but(h0=problem.h0)
    assert_near(problem.forward().y, wide.forward().y)
    error = gradcheck_network(problem.network, problem.parameters, problem.x, problem.h0, directions=2)
    assert error < 1e-12
