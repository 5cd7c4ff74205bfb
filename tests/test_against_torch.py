"""Outputs, states and all gradients against PyTorch's, with its weights: float64 to 1e-10, float32 to 2e-6 sqrt(T)."""

import numpy as np
import pytest

from layer_case import Result, as_tuple, make_case
from test_projection import projected

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

CELLS = ["rnn_tanh", "rnn_relu", "lstm", "gru"]  # those that PyTorch has
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
