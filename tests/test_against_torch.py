"""Outputs, states and all gradients against PyTorch's, with its weights: float64 to 1e-10, float32 to 2e-6 sqrt(T)."""

import numpy as np
import pytest

import rnncore
from layer_case import Result, as_tuple, make_case
from test_projection import projected
from variants import LAYERS

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

CELLS = ["rnn_tanh", "rnn_relu", "lstm", "gru"]  # those that PyTorch has a layer of
T, N, INPUTS, HIDDEN = 9, 4, 3, 5
LENGTHS = [4, 9, 1, 6]
TOLERANCE = {"float64": 1e-10, "float32": 2e-6 * np.sqrt(T)}


def torch_twin(cell, layer):
    """PyTorch's layer of the same sizes; ours takes its weights."""
    kind = torch.nn.RNN if cell.startswith("rnn") else getattr(torch.nn, cell.upper())
    options = {"nonlinearity": layer.nonlinearity} if cell.startswith("rnn") else {}
    if cell == "lstm":
        options["proj_size"] = layer.proj_size
    twin = kind(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        bias=layer.bias,
        batch_first=layer.batch_first,
        bidirectional=layer.bidirectional,
        dtype=getattr(torch, layer.dtype.name),
        **options,
    )
    layer.load_state_dict(twin.state_dict())
    return twin


def torch_train(twin, case, lengths=None) -> Result:
    x = torch.tensor(case.x, requires_grad=True)
    states = [torch.tensor(h, requires_grad=True) for h in as_tuple(case.hx)]
    hx = tuple(states) if isinstance(case.hx, tuple) else states[0]
    batch_first = case.layer.batch_first
    if lengths is None:
        y, hn = twin(x, hx)
    else:
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False)
        y, hn = twin(packed, hx)
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first, total_length=T)
    finals = as_tuple(hn)
    gradients = [torch.tensor(case.dy), *map(torch.tensor, as_tuple(case.dhx))]
    torch.autograd.backward([y, *finals], gradients)
    arrays = {"y": y, "dx": x.grad, "dparameters": torch.cat([p.grad.ravel() for p in twin.parameters()])}
    arrays |= {f"h{k}": h for k, h in enumerate(finals)}
    arrays |= {f"dh{k}": h.grad for k, h in enumerate(states)}
    return Result({name: a.detach().numpy() for name, a in arrays.items()})


# ---- every cell by its equations, which PyTorch differentiates


def chunks(x, h, count):
    return zip(x.chunk(count, dim=-1), h.chunk(count, dim=-1), strict=True)


def lstm_step(x, h, state, own, _options):
    peepholes = [own.get(f"peephole_{gate}", torch.zeros(())) for gate in "iof"]
    i, f, g, o = (from_x + from_h for from_x, from_h in chunks(x, h, 4))
    memory = torch.sigmoid(f + peepholes[2] * state[1]) * state[1]
    memory = memory + torch.sigmoid(i + peepholes[0] * state[1]) * torch.tanh(g)
    return torch.sigmoid(o + peepholes[1] * memory) * torch.tanh(memory), memory


def gru_step(x, h, state, _own, _options):
    r, z, n = chunks(x, h, 3)
    new = torch.tanh(n[0] + torch.sigmoid(sum(r)) * n[1])
    return (new + torch.sigmoid(sum(z)) * (state[0] - new),)


def mgu_step(x, h, state, _own, _options):
    f, n = chunks(x, h, 2)
    gate = torch.sigmoid(sum(f))
    return (state[0] + gate * (torch.tanh(n[0] + gate * n[1]) - state[0]),)


def leaky_step(x, h, state, own, options):
    alpha = torch.sigmoid(own["alpha_logit"]) if options["learned_alpha"] else options["alpha"]
    new = torch.relu(x + h) if options["relu"] else torch.tanh(x + h)
    return ((1 - alpha) * state[0] + alpha * new,)


EQUATIONS = {
    "rnn_tanh": lambda x, h, *_: (torch.tanh(x + h),),
    "rnn_relu": lambda x, h, *_: (torch.relu(x + h),),
    "lstm": lstm_step,
    "lstm_peephole": lstm_step,
    "gru": gru_step,
    "mgu": mgu_step,
    "leaky": leaky_step,
}


def test_every_cell_is_written_out():
    assert set(EQUATIONS) == set(rnncore._core.cells())


def written_out(case, lengths):
    """Forward and backward of a case that is time-major, step by step from the equations."""
    layer, network = case.layer, case.layer._network
    named = {name: torch.tensor(view, requires_grad=True) for name, view in layer.named_parameters().items()}
    x = torch.tensor(case.x, requires_grad=True)
    start = [torch.tensor(h, requires_grad=True) for h in as_tuple(case.hx)]
    ends = torch.tensor([len(x)] * x.shape[1] if lengths is None else lengths)[:, None]
    finals = [[] for _ in start]
    values = x
    for number in range(layer.num_layers):
        sides = []
        for direction, ending in enumerate(("", "_reverse")[: network.num_directions]):
            suffix = f"_l{number}{ending}"
            own = {name.removesuffix(suffix): value for name, value in named.items() if name.endswith(suffix)}
            state, outputs = tuple(h[len(finals[0])] for h in start), [None] * len(x)
            for t in range(len(x))[:: -1 if direction else 1]:
                from_x = values[t] @ own["weight_ih"].T + own.get("bias_ih", 0)
                from_h = state[0] @ own["weight_hh"].T + own.get("bias_hh", 0)
                new = EQUATIONS[network.cell](from_x, from_h, state, own, network.options)
                state = tuple(torch.where(t < ends, after, before) for after, before in zip(new, state, strict=True))
                outputs[t] = torch.where(t < ends, state[0], 0.0)
            sides.append(torch.stack(outputs))
            for final, h in zip(finals, state, strict=True):
                final.append(h)
        values = torch.cat(sides, dim=-1)
    y, finals = values, [torch.stack(final) for final in finals]
    torch.autograd.backward([y, *finals], [torch.tensor(case.dy), *map(torch.tensor, as_tuple(case.dhx))])
    arrays = {"y": y, "dx": x.grad, "dparameters": torch.cat([p.grad.ravel() for p in named.values()])}
    arrays |= {f"h{k}": h for k, h in enumerate(finals)} | {f"dh{k}": h.grad for k, h in enumerate(start)}
    return Result({name: a.detach().numpy() for name, a in arrays.items()})


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("variant", LAYERS)
def test_every_variant_equals_its_equations_under_autograd(variant, lengths, bidirectional, bias):
    case = make_case(variant, T, N, INPUTS, HIDDEN, 2, bidirectional=bidirectional, bias=bias)
    case.train(lengths=lengths).assert_close(written_out(case, lengths), TOLERANCE["float64"])


# ---- PyTorch's own layers


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("L", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_equals_torch(cell, L, bidirectional, bias, batch_first, dtype, lengths):
    options = {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
    case = make_case(cell, T, N, INPUTS, HIDDEN, L, dtype=dtype, **options)
    twin = torch_twin(cell, case.layer)
    case.train(lengths=lengths).assert_close(torch_train(twin, case, lengths), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("inputs", "hidden"), [(1, 1), (40, 37), (16, 64)])
def test_equals_torch_at_other_sizes(cell, inputs, hidden, dtype):
    case = make_case(cell, T, N, inputs, hidden, 2, dtype=dtype, bidirectional=True)
    twin = torch_twin(cell, case.layer)
    case.train().assert_close(torch_train(twin, case), TOLERANCE[dtype])


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("L", [1, 2, 3])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_a_projection_equals_torchs(L, bidirectional, bias, dtype, lengths):
    case = projected(T, N, INPUTS, 37, 19, L, bias=bias, bidirectional=bidirectional, dtype=dtype)
    twin = torch_twin("lstm", case.layer)
    assert list(case.layer.state_dict()) == list(twin.state_dict())
    case.train(lengths=lengths).assert_close(torch_train(twin, case, lengths), TOLERANCE[dtype])
    assert repr(case.layer).removesuffix(", dtype=float64)").rstrip(")") == repr(twin).rstrip(")")


@pytest.mark.parametrize("cell", CELLS)
def test_equals_torch_without_a_batch_axis(cell):
    case = make_case(cell, T, 1, INPUTS, HIDDEN, bidirectional=True)

    def squeeze(hx):
        return tuple(h[:, 0] for h in hx) if isinstance(hx, tuple) else hx[:, 0]

    alone = case.but(x=case.x[:, 0], hx=squeeze(case.hx), dy=case.dy[:, 0], dhx=squeeze(case.dhx))
    twin = torch_twin(cell, case.layer)
    alone.train().assert_close(torch_train(twin, alone), TOLERANCE["float64"])


@pytest.mark.parametrize("cell", CELLS)
def test_state_dicts_go_both_ways(cell):
    layer = make_case(cell, L=2, bidirectional=True).layer
    twin = torch_twin(cell, layer)
    assert list(layer.state_dict()) == list(twin.state_dict())
    layer.parameters[...] = np.arange(layer.parameter_count)
    twin.load_state_dict({name: torch.tensor(value) for name, value in layer.state_dict().items()})
    np.testing.assert_array_equal(torch.cat([p.ravel() for p in twin.parameters()]).detach(), layer.parameters)


def test_a_tensor_is_an_input():
    case = make_case("gru")
    y, _ = case.layer(torch.tensor(case.x), torch.tensor(case.hx))
    np.testing.assert_array_equal(y, case.infer()["y"])


@pytest.mark.parametrize("cell", CELLS)
def test_text_is_torchs(cell):
    options = {"bias": False, "batch_first": True, "bidirectional": True}
    for layer in (make_case(cell, dtype="float32").layer, make_case(cell, dtype="float32", **options).layer):
        ours, theirs = repr(layer), repr(torch_twin(cell, layer))
        assert ours.replace(", nonlinearity=relu", "") == theirs
