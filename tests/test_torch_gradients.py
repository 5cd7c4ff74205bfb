"""Gradients of rnncore.torch: checked by differences, through resets, again by PyTorch, and what they keep alive."""

import gc
import weakref

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


def small(form, module):
    """An input of few numbers, since differences take a call for each of them."""
    shape = (3, module.input_size) if form == "single" else (3, 2, module.input_size)
    x = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    return x if form == "single" or not module.batch_first else x.detach().transpose(0, 1).requires_grad_()


def in_form(x, form, batch_first):
    if not form.startswith("packed"):
        return x
    return nn.utils.rnn.pack_padded_sequence(x, [2, 3], batch_first, enforce_sorted=False)


FORMS_OF_DIFFERENCES = ["full", "single", "packed"]
LARGE = [(4, 2, True, form, with_resets) for form in FORMS_OF_DIFFERENCES for with_resets in (False, True)]
SMALL = [(2, 1, False, form, True) for form in FORMS_OF_DIFFERENCES]


@pytest.mark.parametrize(("hidden", "layers", "fast", "form", "with_resets"), LARGE + SMALL)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_the_limits_of_differences(name, bidirectional, hidden, layers, fast, form, with_resets):
    """Each element of the Jacobian of a small module; of a larger one its product with random vectors."""
    batch_first = form == "full" and bidirectional
    kind, options = KINDS[name]
    if "proj_size" in options:
        options = {"proj_size": hidden - 1}
    ours = getattr(rnncore.torch, kind)(
        2 if layers == 1 else I,
        hidden,
        layers,
        bidirectional=bidirectional,
        batch_first=batch_first,
        dtype=torch.float64,
        **options,
    )
    x = small(form, ours)
    width = ours.proj_size or hidden
    rows = () if form == "single" else (2,)
    axis = layers * (1 + bidirectional)
    sizes = [width, hidden] if kind == "LSTM" else [hidden]
    h0 = [torch.randn(axis, *rows, size, dtype=torch.float64, requires_grad=True) for size in sizes]
    flags = torch.tensor([[0, 0], [1, 0], [0, 1]])
    resets = flags[:, 0] if form == "single" else flags.T if batch_first else flags
    resets = in_form(resets, form, batch_first) if with_resets else None
    names = list(dict(ours.named_parameters()))

    def call(x, *others):
        states, weights = others[: len(h0)], others[len(h0) :]
        hx = tuple(states) if kind == "LSTM" else states[0]
        values = in_form(x, form, batch_first)
        outputs = torch.func.functional_call(
            ours, dict(zip(names, weights, strict=True)), (values, hx), {"resets": resets} if with_resets else {}
        )
        return tuple(tensors_of(outputs))

    weights = [p.detach().requires_grad_() for p in ours.parameters()]
    before = rnncore.torch.fallbacks()
    assert torch.autograd.gradcheck(call, (x, *h0, *weights), fast_mode=fast)
    assert rnncore.torch.fallbacks() == before


@pytest.mark.parametrize("name", CELLS)
def test_gradients_of_cells_are_the_limits_of_differences(name):
    _, ours = pair(name, cells=True)
    x, h, c = (torch.randn(N, size, dtype=torch.float64, requires_grad=True) for size in (I, H, H))

    def call(x, h, c):
        return ours(x, (h, c) if name == "lstm" else h)

    assert torch.autograd.gradcheck(call, (x, h, c) if name == "lstm" else (x, h, c.detach()))


# ---- resets


@pytest.mark.parametrize("form", ["time", "batch", "single", "packed"])
@pytest.mark.parametrize("name", KINDS)
def test_resets_begin_sequences_anew(name, form):
    _, ours = pair(name, batch_first=form == "batch")
    x = torch.randn(T, N, I, dtype=torch.float64, requires_grad=True)
    resets = torch.zeros(T, N, dtype=torch.bool)
    resets[3] = True
    parts = [x[:3], x[3:]]
    if form == "batch":
        y = ours(x.transpose(0, 1), resets=resets.T)[0].transpose(0, 1)
    elif form == "single":
        y = torch.stack([ours(x[:, n], resets=resets[:, n])[0] for n in range(N)], 1)
    elif form == "packed":
        pack = nn.utils.rnn.pack_padded_sequence
        lengths = [T, T, 5]
        y = nn.utils.rnn.pad_packed_sequence(ours(pack(x, lengths), resets=pack(resets, lengths))[0])[0]
    else:
        y = ours(x, resets=resets)[0]
    ours.batch_first = False
    expected = torch.cat([ours(part)[0] for part in parts])
    if form == "packed":
        expected[5:, 2] = 0
    assert torch.equal(y, expected)
    (crossed,) = torch.autograd.grad(y[3:].sum(), x)
    assert not crossed[:3].any()
    assert crossed[3:5].all()


@pytest.mark.parametrize(
    ("resets", "text"),
    [
        (torch.zeros(N, T), r"resets: expected shape \(7, 3\), got \(3, 7\)"),
        (torch.full((T, N), 2), "resets: expected bools, or numbers 0 and 1"),
    ],
)
def test_resets_that_do_not_fit_are_refused(resets, text):
    _, ours = pair("gru")
    with pytest.raises(ValueError, match=text):
        ours(torch.zeros(T, N, I, dtype=torch.float64), resets=resets)
    with pytest.raises(ValueError, match="expected a PackedSequence with the batch_sizes of the input"):
        ours(as_input(draw("packed", False), "packed", False), resets=resets)


def test_resets_are_never_dropped_on_the_way_to_pytorch():
    ours = rnncore.torch.LSTM(I, H, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError, match="PyTorch itself has no resets.*dtype bfloat16"):
        ours(torch.zeros(T, N, I, dtype=torch.bfloat16), resets=torch.zeros(T, N))


# ---- the graph


def test_only_what_wants_a_gradient_gets_one():
    plain, ours = pair("lstm")
    x = draw("full", False)
    for module in (plain, ours):
        module.weight_hh_l0.requires_grad_(False)
        module.bias_ih_l1.requires_grad_(False)
        y, (h, _) = module(x.detach())
        (y.sum() + h.sum()).backward()
    assert ours.weight_hh_l0.grad is None
    assert_close([p.grad for p in ours.parameters()], [p.grad for p in plain.parameters()])
    ours.requires_grad_(False)
    assert not ours(x.detach())[0].requires_grad
    assert ours(x)[0].requires_grad


def test_a_graph_that_is_retained_gives_the_same_gradients_again():
    _, ours = pair("gru")
    x = draw("full", False)
    y, _ = ours(x)
    first, second = (torch.autograd.grad(y.sum(), [x, *ours.parameters()], retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    y.sum().backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.sum().backward()


def test_what_is_changed_in_place_before_backward_is_noticed():
    for change in (
        lambda x, y, m: x.add_(1),
        lambda x, y, m: y.detach().add_(1),
        lambda x, y, m: m.weight_hh_l0.add_(1),
    ):
        _, ours = pair("gru")
        x = torch.randn(T, N, I, dtype=torch.float64)
        y, _ = ours(x)
        with torch.no_grad():
            change(x, y, ours)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_the_cache_goes_with_the_graph_and_not_with_the_output(monkeypatch):
    arrays, from_numpy = [], torch.from_numpy

    def seen(array):
        arrays.append(weakref.ref(array))
        return from_numpy(array)

    monkeypatch.setattr(torch, "from_numpy", seen)
    _, ours = pair("lstm")
    y, _ = ours(draw("full", False))
    (memory,) = arrays
    assert memory().size >= T * N * 2 * 6 * H
    y.sum().backward()
    assert memory() is None
    with pytest.raises(RuntimeError, match="already been freed"):
        _ = y.grad_fn.saved_tensors


def test_a_graph_that_is_dropped_is_collected_at_once():
    _, ours = pair("lstm")
    gc.disable()
    try:
        y, _ = ours(draw("full", False))
        died = weakref.ref(y)
        del y, _
        assert died() is None  # there is no circle through the node
    finally:
        gc.enable()


def test_saved_tensors_may_live_elsewhere_meanwhile():
    plain, ours = pair("lstm", bidirectional=True)
    x = draw("packed", False)

    def call(module):
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t.clone()):
            return module(as_input(x, "packed", False))

    assert_close(results(ours, x, call), results(plain, x, call))


@pytest.mark.parametrize("name", KINDS)
def test_checkpointing_of_pytorchs_gives_the_same(name):
    _, ours = pair(name)
    x = draw("full", False)

    def call(module):
        return torch.utils.checkpoint.checkpoint(module, x, use_reentrant=False)

    assert_close(results(ours, x, call), results(ours, x, lambda m: m(x)))


# ---- second derivatives


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", KINDS)
def test_second_derivatives_are_pytorchs(name, form):
    plain, ours = pair(name)
    x, hx = draw(form, False), draw_state(plain, form)

    def twice(module):
        y, *_ = tensors_of(module(as_input(x, form, False), hx))
        (slope,) = torch.autograd.grad((y**2).sum(), x, create_graph=True)
        return slope.square().sum(), slope

    assert_close(results(ours, x, twice, hx), results(plain, x, twice, hx), 1e-9)


@pytest.mark.parametrize("name", CELLS)
def test_second_derivatives_of_cells_are_pytorchs(name):
    _, ours = pair(name, cells=True)
    x = torch.randn(N, I, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: tensors_of(ours(x))[0], (x,))


def test_gradients_of_a_batch_of_directions_are_pytorchs():
    plain, ours = pair("gru")
    x = draw("full", False)
    directions = torch.eye(T * N * H, dtype=torch.float64)[:4].view(4, T, N, H)
    expected, found = (torch.autograd.grad(m(x)[0], x, directions, is_grads_batched=True)[0] for m in (plain, ours))
    torch.testing.assert_close(found, expected)


def test_a_second_derivative_that_pytorch_cannot_repeat_is_refused():
    ours = rnncore.torch.GRU(I, H, 2, dropout=0.5, dtype=torch.float64)
    x = draw("full", False)
    for call, what in ((lambda: ours(x), "dropout"), (lambda: ours.eval()(x, resets=torch.zeros(T, N)), "resets")):
        with pytest.raises(RuntimeError, match=f"cannot repeat a call with {what}"):
            torch.autograd.grad(call()[0].sum(), x, create_graph=True)
