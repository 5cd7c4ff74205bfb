"""A learned state: where sequences start and what they begin from after a reset, with gradients."""

import copy
import pickle

import numpy as np
import pytest

import rnncore
from layer_case import LAYERS, Case, Result, as_tuple, make_case, twin_of
from rnncore import _core, reference

each_cell = pytest.mark.parametrize("cell", LAYERS)
LENGTHS = np.array([7, 0, 4, 6])
RESETS = np.random.default_rng(3).random((7, 4)) < 0.3


def learned_case(cell, **options) -> Case:
    """With learned states that are not zero."""
    case = make_case(cell, learned_state=True, **options)
    values = np.random.default_rng(8).normal(size=case.layer.parameters.size)
    for name, view in case.layer.named_parameters().items():
        if name[:2] in ("h0", "c0"):
            view[...] = values[: view.size] * (1 + len(name))
    return case


def twin(case, given, lengths, resets, network_class):
    layer = case.layer
    network = twin_of(layer, network_class)
    y, hn = np.full_like(case.dy, np.nan), tuple(np.full_like(h, np.nan) for h in as_tuple(case.hx))
    h0 = as_tuple(case.hx) if given else None
    cache = network.forward(layer.parameters, case.x, h0, y, hn, lengths, resets, keep=True)
    dx, dh0, gradient = np.full_like(case.x, np.nan), tuple(map(np.empty_like, hn)), np.zeros_like(layer.parameters)
    network.backward(cache, layer.parameters, case.dy, as_tuple(case.dhx), dx, dh0, gradient)
    arrays = {"y": y, "dx": dx, "dparameters": gradient}
    return Result(arrays | {f"h{k}": h for k, h in enumerate(hn)} | {f"dh{k}": h for k, h in enumerate(dh0)})


@each_cell
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("resets", [None, RESETS])
def test_the_engine_equals_the_reference(cell, bidirectional, given, lengths, resets):
    case = learned_case(cell, bidirectional=bidirectional)
    networks = (_core.Network, reference.Network)
    ours, theirs = (twin(case, given, lengths, resets, network) for network in networks)
    ours.assert_close(theirs, 1e-12)
    (case if given else case.but(hx=None)).train(lengths=lengths, resets=resets).assert_identical(ours)


@each_cell
def test_the_gradient_is_the_slope_of_the_loss(cell):
    case = learned_case(cell, L=2, bidirectional=True).but(hx=None)
    keywords = {"lengths": LENGTHS, "resets": RESETS}
    gradient = case.train(**keywords)["dparameters"]

    def loss():
        result = case.infer(**keywords)
        states = zip((result[f"h{k}"] for k in range(len(as_tuple(case.dhx)))), as_tuple(case.dhx), strict=True)
        return float((result["y"] * case.dy).sum() + sum((h * dh).sum() for h, dh in states))

    learned = [view for name, view in case.layer.named_parameters().items() if name[:2] in ("h0", "c0")]
    at = case.layer.parameters.size - sum(view.size for view in learned)
    for view in learned:
        for j in range(view.size):
            value = view[j]
            view[j] = value + 1e-6
            above = loss()
            view[j] = value - 1e-6
            below = loss()
            view[j] = value
            assert abs((above - below) / 2e-6 - gradient[at]) <= 1e-7 * max(1, abs(gradient[at])), at
            at += 1


@each_cell
def test_zero_learned_states_are_no_learned_states(cell):
    plain, learned = make_case(cell), make_case(cell, learned_state=True)
    for name, view in plain.layer.named_parameters().items():
        np.testing.assert_array_equal(learned.layer.named_parameters()[name], view, strict=True)  # the same draws
    keywords = {"lengths": LENGTHS, "resets": RESETS}
    ours, theirs = learned.but(hx=None).train(**keywords), plain.but(hx=None).train(**keywords)
    P = plain.layer.parameter_count
    assert ours["dparameters"][P:].any()
    ours.arrays["dparameters"] = ours["dparameters"][:P]
    ours.assert_identical(theirs)


@each_cell
@pytest.mark.parametrize("keywords", [{}, {"lengths": LENGTHS, "resets": RESETS}])
def test_checkpoints_and_threads_change_no_bit(cell, keywords):
    case = learned_case(cell, dtype="float32").but(hx=None)
    full = case.train(**keywords)
    for options in ({"checkpoint": 1}, {"checkpoint": 3}):
        y, _, cache = case.layer.forward(case.x, **options, **keywords)
        grads = case.layer.backward(cache, case.dy, case.dhx, num_threads=2)
        np.testing.assert_array_equal(grads.parameters, full["dparameters"], strict=True)
        np.testing.assert_array_equal(grads.x, full["dx"], strict=True)
        np.testing.assert_array_equal(y, full["y"], strict=True)


def test_the_names_stand_behind_the_others_and_are_asked_for():
    layer, plain = rnncore.LSTM(3, 5, 2, learned_state=True, seed=0), rnncore.LSTM(3, 5, 2, seed=0)
    names = list(layer.named_parameters())
    assert names == [*plain.named_parameters(), "h0_l0", "c0_l0", "h0_l1", "c0_l1"]
    assert list(rnncore.GRU(3, 5, bidirectional=True, learned_state=True).named_parameters())[-2:] == [
        "h0_l0",
        "h0_l0_reverse",
    ]
    with pytest.raises(ValueError, match='Missing key.s. in state_dict: "h0_l0", "c0_l0", "h0_l1", "c0_l1"'):
        layer.load_state_dict(plain.state_dict())
    assert repr(layer) == "LSTM(3, 5, num_layers=2, learned_state=True)"
    with pytest.raises(TypeError, match="learned_state should be of type bool"):
        rnncore.LSTM(3, 5, learned_state=1)
    with pytest.raises(AttributeError, match="learned_state is fixed"):
        layer.learned_state = False


def test_copies_keep_it():
    case = learned_case("lstm").but(hx=None)
    for copied in (copy.deepcopy(case.layer), pickle.loads(pickle.dumps(case.layer))):
        case.infer(resets=RESETS).assert_identical(case.but(layer=copied).infer(resets=RESETS))


@each_cell
def test_streams_start_from_it(cell):
    case = learned_case(cell, N=3, dtype="float32")
    layer, x = case.layer, case.x
    expected, hx = layer(x)
    stream = rnncore.Stream(layer, 3)
    np.testing.assert_array_equal(np.stack([stream.step(frame) for frame in x]), expected, strict=True)
    stream.reset(1)
    stream.resize(4)
    state = stream.state.arrays["h"]
    np.testing.assert_array_equal(state[:, 1], np.stack([layer.h0_l0, layer.h0_l1]))
    np.testing.assert_array_equal(state[:, 3], state[:, 1])
    np.testing.assert_array_equal(state[:, [0, 2]], as_tuple(hx)[0][:, [0, 2]])
    stream.reset()
    np.testing.assert_array_equal(stream.run(x[:, [0, 1, 2, 0]])[:, :3], expected, strict=True)
