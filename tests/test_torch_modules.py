"""rnncore.torch gives the results and the errors of PyTorch's modules, in every form in which they are called."""

import copy
import pickle

import pytest

from torch_case import (
    CELLS,
    FORMS,
    KINDS,
    H,
    I,
    N,
    T,
    as_input,
    assert_close,
    draw,
    draw_state,
    pair,
    results,
    tensors_of,
    torch,
)

import rnncore  # isort: skip

nn = torch.nn


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def without_fallback(call):
    before = rnncore.torch.fallbacks()
    result = call()
    assert rnncore.torch.fallbacks() == before
    return result


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", KINDS)
def test_outputs_states_and_gradients_are_pytorchs(name, form, batch_first, bidirectional, bias):
    plain, ours = pair(name, batch_first=batch_first, bidirectional=bidirectional, bias=bias)
    x, hx = draw(form, batch_first), draw_state(plain, form)
    for state in (None, hx):

        def call(module, state=state):
            return module(as_input(x, form, batch_first), state)

        expected = results(plain, x, call, state)
        assert_close(without_fallback(lambda call=call, state=state: results(ours, x, call, state)), expected)
        with torch.no_grad():
            outputs = tensors_of(call(ours))
        for one, other in zip(outputs, expected, strict=False):
            torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-11)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", KINDS)
def test_float32_is_as_near(name):
    plain, ours = pair(name, dtype=torch.float32)
    x = draw("full", False, torch.float32)
    assert_close(results(ours, x, lambda m: m(x)), results(plain, x, lambda m: m(x)), 2e-5)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_cells_are_pytorchs(name, bias, single):
    plain, ours = pair(name, cells=True, bias=bias)
    x = torch.randn(I, dtype=torch.float64) if single else torch.randn(N, I, dtype=torch.float64)
    x.requires_grad_()
    shape = (H,) if single else (N, H)
    h, c = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for hx in (None, (h, c) if name == "lstm" else h):

        def unrolled(module, hx=hx):
            for _ in range(4):
                hx = module(x, hx)
            return hx

        expected = results(plain, x, unrolled, hx)
        assert_close(without_fallback(lambda unrolled=unrolled, hx=hx: results(ours, x, unrolled, hx)), expected)


def test_outputs_keep_the_layout_of_the_batch():
    _, ours = pair("gru", batch_first=True)
    y, h = ours(torch.randn(N, T, I, dtype=torch.float64))
    assert y.shape == (N, T, H)
    assert y.is_contiguous()
    assert h.shape == (2, N, H)


def test_a_packed_sequence_comes_back_with_its_own_order():
    plain, ours = pair("lstm")
    packed = as_input(draw("packed, unsorted", False), "packed, unsorted", False)
    y, (h, c) = ours(packed)
    expected, (eh, ec) = plain(packed)
    for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        assert torch.equal(getattr(y, name), getattr(expected, name))
    torch.testing.assert_close(h, eh)
    torch.testing.assert_close(c, ec)


@pytest.mark.parametrize("name", KINDS)
def test_rows_of_a_packed_sequence_are_those_of_sequences_by_themselves(name):
    _, ours = pair(name)
    rows = [torch.randn(length, I, dtype=torch.float64) for length in (3, 7, 1)]
    y, _ = ours(nn.utils.rnn.pack_sequence(rows, enforce_sorted=False))
    padded, lengths = nn.utils.rnn.pad_packed_sequence(y)
    assert lengths.tolist() == [3, 7, 1]
    for k, row in enumerate(rows):
        assert torch.equal(padded[: len(row), k], ours(row)[0])


@pytest.mark.parametrize("name", KINDS)
def test_no_state_is_a_state_of_zeros(name):
    _, ours = pair(name)
    x = draw("full", False)
    hx = draw_state(ours, "full")
    zeros = tuple(map(torch.zeros_like, hx)) if isinstance(hx, tuple) else torch.zeros_like(hx)
    assert torch.equal(ours(x)[0], ours(x, zeros)[0])


# ---- errors


def assert_raises_alike(call, plain, ours):
    """Both calls fail, with the same words."""
    errors = []
    for module in (plain, ours):
        try:
            call(module)
        except Exception as error:
            errors.append((type(error), str(error)))
        else:
            pytest.fail("nothing was raised")
    assert errors[0] == errors[1]


WRONG_CALLS = {
    "features": lambda m: m(torch.zeros(T, N, I + 1, dtype=torch.float64)),
    "dimensions": lambda m: m(torch.zeros(1, T, N, I, dtype=torch.float64)),
    "dtype": lambda m: m(torch.zeros(T, N, I)),
    "state of other rows": lambda m: m(torch.zeros(T, N, I, dtype=torch.float64), state(m, 2, N + 1)),
    "state of other layers": lambda m: m(torch.zeros(T, N, I, dtype=torch.float64), state(m, 3, N)),
    "batched state of a single row": lambda m: m(torch.zeros(T, I, dtype=torch.float64), state(m, 2, N)),
    "no steps": lambda m: m(torch.zeros(0, N, I, dtype=torch.float64)),
    "integers": lambda m: m(torch.zeros(T, N, I, dtype=torch.int64)),
    "no tensor": lambda m: m([[1.0] * I] * T),
}


def state(module, layers, rows):
    h = torch.zeros(layers, rows, H, dtype=torch.float64)
    return (h, h) if module.mode == "LSTM" else h


@pytest.mark.parametrize("name", ["rnn_tanh", "gru", "lstm"])
@pytest.mark.parametrize("wrong", WRONG_CALLS)
def test_errors_are_pytorchs(name, wrong):
    plain, ours = pair(name)
    assert_raises_alike(WRONG_CALLS[wrong], plain, ours)


@pytest.mark.parametrize("name", CELLS)
def test_errors_of_cells_are_pytorchs(name):
    plain, ours = pair(name, cells=True)
    x = torch.zeros(N, I, dtype=torch.float64)
    h = torch.zeros(1, H, dtype=torch.float64)  # is not spread over the rows
    for call in (
        lambda m: m(torch.zeros(N, I + 1, dtype=torch.float64)),
        lambda m: m(x, (h, h) if name == "lstm" else h),
        lambda m: m(x[None]),
    ):
        assert_raises_alike(call, plain, ours)


def test_constructors_refuse_what_pytorchs_refuse():
    for kind, arguments, options in [
        ("GRU", (0, 3), {}),
        ("LSTM", (3, 3), {"proj_size": 3}),
        ("GRU", (3, 3), {"proj_size": 1}),
        ("RNN", (3, 3), {"nonlinearity": "garbage"}),
        ("LSTM", (3, 3), {"dropout": 1.5}),
    ]:
        assert_raises_alike(
            lambda module, k=kind, a=arguments, o=options: getattr(module, k)(*a, **o), nn, rnncore.torch
        )


# ---- dropout


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_dropout_zeroes_as_many_outputs_between_layers_as_it_says(p):
    layer = rnncore.torch.RNN(1, 1000, 2, bias=False, dropout=p, nonlinearity="relu")
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
        layer.weight_ih_l0.fill_(1)
        layer.weight_ih_l1.copy_(torch.eye(1000))
    y, _ = layer(torch.ones(1, 1, 1))
    kept = y[y > 0]
    if p < 1:
        torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)))
    assert abs(1 - kept.numel() / 1000 - p) < 0.06
    assert torch.equal(layer.eval()(torch.ones(1, 1, 1))[0], torch.ones(1, 1, 1000))


def test_pytorchs_generator_decides_the_mask():
    layer = rnncore.torch.LSTM(I, H, 3, dropout=0.5)
    x = torch.randn(T, N, I)
    before = torch.get_rng_state()
    first, second = layer(x)[0], layer(x)[0]
    torch.set_rng_state(before)
    again = layer(x)[0]
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(layer.eval()(x)[0], layer(x)[0])
    layer.train().dropout = 0.0
    assert torch.equal(layer(x)[0], layer(x)[0])


def test_backward_uses_the_mask_of_its_forward_call():
    torch.manual_seed(3)
    layer = rnncore.torch.GRU(I, H, 2, dropout=0.5, dtype=torch.float64)
    x = torch.randn(T, N, I, dtype=torch.float64, requires_grad=True)

    def masked(x):
        torch.manual_seed(5)
        return layer(x)[0]

    assert torch.autograd.gradcheck(masked, (x,))


# ---- copies and files


@pytest.mark.parametrize("name", KINDS)
def test_copies_and_pickles_stay_ours_and_state_dicts_are_pytorchs(name, tmp_path):
    plain, ours = pair(name)
    x = draw("full", False).detach()
    y = ours(x)[0]
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(twin) is type(ours)
        assert torch.equal(twin(x)[0], y)
        with torch.no_grad():
            twin.weight_ih_l0.zero_()
        assert torch.equal(ours(x)[0], y)
    torch.save(ours.state_dict(), tmp_path / "weights.pt")
    plain.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    torch.testing.assert_close(plain(x)[0], y)
    assert repr(ours) == repr(plain)
    assert list(ours.state_dict()) == list(plain.state_dict())


def test_weights_that_are_replaced_are_seen():
    plain, ours = pair("lstm")
    x = draw("full", False).detach()
    for module in (plain, ours):
        module.weight_hh_l0 = nn.Parameter(torch.full_like(module.weight_hh_l0, 0.1))
        module._parameters["weight_ih_l1"] = nn.Parameter(torch.full_like(module.weight_ih_l1, 0.2))
        module.bias_ih_l0.data = torch.full_like(module.bias_ih_l0, 0.3)
    torch.testing.assert_close(ours(x)[0], plain(x)[0])
    torch.testing.assert_close(ours.float()(x.float())[0], plain.float()(x.float())[0])


def test_weight_norm_and_functional_call_give_pytorchs_results():
    plain, ours = pair("gru")
    x = draw("full", False)
    weights = {name: torch.randn_like(p) * 0.3 for name, p in plain.named_parameters()}
    expected, found = (torch.func.functional_call(m, weights, (x,))[0] for m in (plain, ours))
    torch.testing.assert_close(found, expected)
    plain, ours = (nn.utils.parametrizations.weight_norm(m, "weight_hh_l0") for m in (plain, ours))
    assert_close(results(ours, x, lambda m: m(x)), results(plain, x, lambda m: m(x)))
