"""proj_size of the LSTM: gradients against the NumPy twin and PyTorch, and the same bits however it is computed."""

import copy
import pickle

import numpy as np
import pytest

import rnncore
from layer_case import Case, Result
from rnncore import _core, reference

LENGTHS = np.array([7, 0, 4, 6])
RESETS = np.random.default_rng(3).random((7, 4)) < 0.3
# T, N, I, H, P: tiles of every remainder; the last but one has several blocks of sums, the last of steps.
SIZES = [
    (7, 4, 3, 9, 4),
    (5, 1, 1, 2, 1),
    (4, 9, 17, 33, 20),
    (9, 5, 3, 20, 16),
    (12, 20, 90, 800, 130),
    (700, 2, 3, 24, 9),
]
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_direction = pytest.mark.parametrize("bidirectional", [False, True])


def projected(T=7, N=4, I=3, H=9, P=4, L=2, *, seed=0, dtype="float64", **options) -> Case:  # noqa: E741
    rng = np.random.default_rng(seed)
    layer = rnncore.LSTM(I, H, L, proj_size=P, dtype=dtype, seed=rng, **options)
    D = 2 if layer.bidirectional else 1

    def state():
        return tuple(rng.normal(size=(L * D, N, size)).astype(dtype) for size in (P, H))

    x, dy = (rng.normal(size=(T, N, size)).astype(dtype) for size in (I, D * P))
    return Case(layer, x, state(), dy, state())


def run(network, case: Case, given=True, **rows) -> Result:
    """A call of the engine or of its twin; what is not written stays NaN."""

    def unwritten(*arrays):
        return tuple(np.full_like(array, np.nan) for array in arrays)

    (y, dx), hn, dh0 = unwritten(case.dy, case.x), unwritten(*case.hx), unwritten(*case.hx)
    parameters = case.layer.parameters
    gradient = np.zeros_like(parameters)
    cache = network.forward(parameters, case.x, case.hx if given else None, y, hn, **rows, keep=True)
    network.backward(cache, parameters, case.dy, case.dhx, dx, dh0, gradient)
    arrays = {"y": y, "dx": dx, "dparameters": gradient}
    return Result(arrays | {f"h{k}": h for k, h in enumerate(hn)} | {f"dh{k}": h for k, h in enumerate(dh0)})


def networks(layer):
    names = ("input_size", "hidden_size", "num_layers", "bias", "bidirectional", "learned_state", "proj_size")
    arguments = {name: getattr(layer, name) for name in names}
    return [kind("lstm", **arguments, dtype=layer.dtype.name) for kind in (_core.Network, reference.Network)]


# ---- the right numbers


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("lengths", ["full", "ragged"])
@pytest.mark.parametrize("bias", [True, False])
@each_direction
@pytest.mark.parametrize("L", [1, 2, 3])
def test_the_engine_equals_the_reference(L, bidirectional, bias, lengths, resets):
    for seed, (T, N, *sizes) in enumerate(SIZES[:4]):
        rng = np.random.default_rng(seed)
        case = projected(T, N, *sizes, L, seed=seed, bias=bias, bidirectional=bidirectional)
        case.layer.parameters[...] = rng.uniform(-0.5, 0.5, case.layer.parameter_count)
        rows = {"lengths": rng.integers(0, T + 1, N)} if lengths == "ragged" else {}
        rows |= {"resets": rng.random((T, N)) < 0.25} if resets else {}
        ours, theirs = (run(network, case, **rows) for network in networks(case.layer))
        ours.assert_close(theirs, 1e-12)
        case.train(**rows).assert_identical(ours)


@pytest.mark.parametrize("sizes", [*SIZES[4:], (3, 450, 5, 20, 7)])
def test_blocks_of_steps_and_of_sums_equal_the_reference(sizes):
    case = projected(*sizes, 1)
    ours, theirs = (run(network, case) for network in networks(case.layer))
    ours.assert_close(theirs, 1e-12)


def test_every_remainder_of_outputs_and_rows_equals_the_reference():
    for P in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 63):
        for N in (1, 2, 4, 6, 7, 13):
            case = projected(3, N, 2, 64, P, 1, seed=P)
            ours, theirs = (run(network, case) for network in networks(case.layer))
            ours.assert_close(theirs, 1e-12)


@each_direction
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("L", [1, 2, 3])
def test_the_reference_equals_the_complex_step(L, bias, bidirectional):
    case = projected(L=L, bias=bias, bidirectional=bidirectional)
    _, network = networks(case.layer)
    for rows in ({}, {"lengths": LENGTHS, "resets": RESETS}, {"dropout": 0.4, "key": 11}):
        error = reference.gradcheck_network(network, case.layer.parameters, case.x, case.hx, **rows, directions=3)
        assert error < 1e-12


def test_single_precision_equals_double():
    single = projected(25, 6, 7, 64, 24, dtype="float32")
    double = projected(25, 6, 7, 64, 24)
    double.layer.parameters[...] = single.layer.parameters
    arrays = {name: array.astype("float64") for name, array in single.train().arrays.items()}
    Result(arrays).assert_close(double.train(), 50 * np.finfo(np.float32).eps * np.sqrt(25 * 64))


@pytest.mark.parametrize("given", [False, True])
@each_direction
def test_learned_states_have_both_widths(given, bidirectional):
    case = projected(learned_state=True, bidirectional=bidirectional)
    case.layer.parameters[...] = np.random.default_rng(1).normal(size=case.layer.parameter_count) * 0.5
    shapes = {name: view.shape for name, view in case.layer.named_parameters().items() if name[1:3] == "0_"}
    assert list(shapes.items())[:2] == [("h0_l0", (4,)), ("c0_l0", (9,))]
    for rows in ({}, {"lengths": LENGTHS, "resets": RESETS}):
        ours, theirs = (run(network, case, given, **rows) for network in networks(case.layer))
        ours.assert_close(theirs, 1e-12)
        (case if given else case.but(hx=None)).train(**rows).assert_identical(ours)
    zeros = np.zeros_like(case.layer.parameters)
    if not given:
        gradient = ours["dparameters"]
        learned = sum(np.prod(shape) for shape in shapes.values())
        assert (gradient[-learned:] != zeros[-learned:]).all()


def test_gradcheck_takes_it():
    case = projected(H=5, P=2, bidirectional=True)
    assert reference.gradcheck(case.layer, case.x, lengths=LENGTHS, resets=RESETS) < 1e-7


# ---- the same bits


@each_dtype
@each_direction
@pytest.mark.parametrize("sizes", [(3, 9, 4), (1, 2, 1), (19, 40, 17)])
def test_a_row_alone_equals_the_row_in_a_batch(sizes, bidirectional, dtype):
    case = projected(7, 11, *sizes, bidirectional=bidirectional, dtype=dtype)
    whole = case.train()
    for row in range(11):
        alone = case.rows([row]).train()
        del alone.arrays["dparameters"]
        part = {name: whole[name][:, row : row + 1] for name in alone.arrays}
        Result(part).assert_identical(alone)


@each_dtype
@each_direction
@pytest.mark.parametrize("sizes", [(20, 33, 24, 64, 40), (6, 2, 24, 200, 30), (3, 7, 5, 9, 4)])
def test_one_thread_equals_two(sizes, bidirectional, dtype):
    case = projected(*sizes, bidirectional=bidirectional, dtype=dtype)
    for rows in ({}, {"lengths": np.random.default_rng(2).integers(0, sizes[0] + 1, sizes[1])}):
        case.train(num_threads=1, **rows).assert_identical(case.train(num_threads=2, **rows))


@each_dtype
@pytest.mark.parametrize("L", [1, 2, 3])
def test_checkpoints_give_the_bits_of_the_full_one(L, dtype):
    case = projected(17, 4, L=L, dtype=dtype, learned_state=True)
    rows = {"lengths": LENGTHS * 2, "resets": np.random.default_rng(1).random((17, 4)) < 0.15}
    full = case.train(**rows)
    for checkpoint in (1, 4, 16, "auto"):
        full.assert_identical(case.train(checkpoint=checkpoint, **rows))


@each_dtype
@pytest.mark.parametrize("L", [1, 2, 3])
def test_streams_have_the_bits_of_the_layer(L, dtype):
    case = projected(12, 3, L=L, dtype=dtype, learned_state=True)
    y, hx = case.layer(case.x)
    stream = rnncore.Stream(case.layer, 3)
    out = np.empty((3, 4), dtype)
    steps = [stream.step(x, out=out).copy() for x in case.x[:5]]
    np.testing.assert_array_equal(np.concatenate([steps, stream.run(case.x[5:])]), y, strict=True)
    for ours, theirs in zip(stream.state.hx, hx, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    stream.keep([2, 0])
    np.testing.assert_array_equal(stream.fork().step(case.x[0, :2]), stream.step(case.x[0, :2]), strict=True)


# ---- states, copies, names


def test_states_know_the_projection_and_go_through_files(tmp_path):
    pytest.importorskip("safetensors", reason="files of states need safetensors")
    stream, plain = (rnncore.Stream(rnncore.LSTM(3, 9, proj_size=P, seed=0), 2) for P in (4, 0))
    stream.step(np.ones((2, 3)))
    state = stream.state
    assert repr(state) == "State(lstm, input_size 3, hidden_size 9, proj_size 4, num_layers 1, float32; 2 rows)"
    assert (state.h.shape, state.c.shape, state.proj_size, plain.state.proj_size) == ((1, 2, 4), (1, 2, 9), 4, 0)
    state.save(tmp_path / "state")
    assert rnncore.State.load(tmp_path / "state") == state == pickle.loads(pickle.dumps(state))
    assert rnncore.State.concatenate([state.rows(1), state]).batch_size == 3
    with pytest.raises(ValueError, match="the state is of lstm, .* proj_size 4, .*; the stream is of lstm"):
        plain.state = state
    stream.state = state.hx
    with pytest.raises(ValueError, match=r"state\[0\]: expected hidden size \(1, 2, 4\), got \(1, 2, 9\)"):
        stream.state = plain.state.hx
    with pytest.raises(ValueError, match=r"c: expected \(1, 2, 9\) float32 as of h, got \(1, 2, 4\)"):
        rnncore.State("lstm", 3, state.c, state.h)


@each_direction
def test_all_states_are_those_that_shorter_calls_end_with(bidirectional):
    case = projected(bidirectional=bidirectional)
    y, hx, states = case.layer(case.x, case.hx, return_all_states=True, gates=True)
    D = 1 + bidirectional
    assert (states.h.shape, states.c.shape, states.o.shape) == ((2 * D, 7, 4, 4), *[(2 * D, 7, 4, 9)] * 2)
    np.testing.assert_array_equal(np.concatenate(states.h[D:], axis=-1), y, strict=True)
    np.testing.assert_array_equal(states.c[0, -1], hx[1][0], strict=True)
    assert repr(states) == f"AllStates(h: {states.h.shape} float64; c, i, f, g, o: {states.c.shape} float64)"
    raw = states.o[0] * np.tanh(states.c[0])
    np.testing.assert_allclose(states.h[0], raw @ case.layer.weight_hr_l0.T, rtol=0, atol=1e-13)
    by_layer = case.layer.unflatten(hx)
    assert [state.shape for state in by_layer] == [(2, D, 4, 4), (2, D, 4, 9)]
    np.testing.assert_array_equal(case.layer.flatten(by_layer)[0], hx[0])


def test_copies_keep_it_and_text_names_it():
    case = projected()
    assert repr(rnncore.LSTM(3, 9, 2, proj_size=4)) == "LSTM(3, 9, proj_size=4, num_layers=2)"
    for layer in (copy.deepcopy(case.layer), pickle.loads(pickle.dumps(case.layer))):
        case.infer().assert_identical(case.but(layer=layer).infer())
    with pytest.raises(AttributeError, match="proj_size is fixed"):
        case.layer.proj_size = 0


def test_the_norm_of_a_jacobian_is_that_of_differences():
    case = projected(3, 1, L=1)
    flow = rnncore.diagnostics.gradient_flow(case.layer, case.x, case.hx)
    _, start = case.layer(case.x[:2], case.hx)
    state = np.concatenate(start, axis=2)

    def step(shift):
        _, end = case.layer(case.x[2:], tuple(np.split(state + shift, [4], axis=2)))
        return np.concatenate(end, axis=2).ravel()

    columns = [(step(shift) - step(-shift)) / 2e-6 for shift in 1e-6 * np.eye(13)]
    assert abs(flow.jacobian[0, 0] / np.linalg.norm(np.array(columns), ord=2) - 1) < 1e-8


@pytest.mark.parametrize(
    ("proj_size", "error", "message"),
    [
        (-1, ValueError, "proj_size should be a positive integer or zero to disable projections, got -1"),
        (9, ValueError, "proj_size has to be smaller than hidden_size, got 9 and 9"),
        (4.0, TypeError, "proj_size should be of type int, got: float"),
    ],
)
def test_what_is_no_projection_is_refused(proj_size, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        rnncore.LSTM(3, 9, proj_size=proj_size)


@pytest.mark.parametrize("kind", [_core.Network, reference.Network])
def test_the_engine_refuses_it_too(kind):
    for arguments, message in [
        (("lstm", 3, 9, -1), "proj_size must be at least 0, got -1"),
        (("lstm", 3, 9, 9), "proj_size must be smaller than hidden_size 9, got 9"),
        (("gru", 3, 9, 4), "proj_size is for lstm.* only, cell is 'gru'"),
    ]:
        *sizes, proj_size = arguments
        with pytest.raises(ValueError, match=f"^{message}$"):
            kind(*sizes, proj_size=proj_size)
    for layer in (rnncore.RNN, rnncore.GRU):
        with pytest.raises(TypeError, match="proj_size"):
            layer(3, 9, proj_size=4)
