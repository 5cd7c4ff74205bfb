"""Pairs of PyTorch's modules and ours with the same weights, and what both make of one input."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

import rnncore  # noqa: E402

KINDS = {
    "rnn_tanh": ("RNN", {}),
    "rnn_relu": ("RNN", {"nonlinearity": "relu"}),
    "gru": ("GRU", {}),
    "lstm": ("LSTM", {}),
    "lstm_proj": ("LSTM", {"proj_size": 3}),
}
CELLS = {"rnn_tanh": ("RNNCell", {}), "rnn_relu": ("RNNCell", {"nonlinearity": "relu"}), "gru": ("GRUCell", {})}
CELLS["lstm"] = ("LSTMCell", {})
FORMS = ["full", "single", "packed", "packed, unsorted", "packed, equal", "strided"]
I, H, T, N = 4, 5, 7, 3  # noqa: E741


def pair(name: str, *arguments: Any, dtype: Any = None, cells: bool = False, **options: Any) -> tuple[Any, Any]:
    """PyTorch's module and ours; layers are two, unless `arguments` say otherwise."""
    kind, own = (CELLS if cells else KINDS)[name]
    arguments = arguments or ((I, H) if cells else (I, H, 2))
    dtype = dtype or torch.float64
    plain = getattr(torch.nn, kind)(*arguments, dtype=dtype, **own, **options)
    ours = getattr(rnncore.torch, kind)(*arguments, dtype=dtype, **own, **options)
    ours.load_state_dict(plain.state_dict())
    return plain, ours


def draw(form: str, batch_first: bool, dtype: Any = None) -> Any:
    """An input (T, N, I) or (N, T, I), (T, I) for a single row; a leaf that asks for gradients."""
    x = torch.randn(T, N, I, dtype=dtype or torch.float64)
    if form == "strided":
        x = torch.randn(T, N, 2 * I, dtype=dtype or torch.float64)[..., ::2]
    if batch_first:
        x = x.transpose(0, 1)
    if form == "single":
        x = x[0] if batch_first else x[:, 0]
    return x.detach().requires_grad_()


def as_input(x: Any, form: str, batch_first: bool) -> Any:
    lengths = {"packed": [7, 5, 2], "packed, unsorted": [2, 7, 5], "packed, equal": [7, 7, 7]}
    if form not in lengths:
        return x
    return torch.nn.utils.rnn.pack_padded_sequence(x, lengths[form], batch_first, enforce_sorted=False)


def draw_state(module: Any, form: str) -> Any:
    directions = 2 if module.bidirectional else 1
    rows = () if form == "single" else (N,)
    sizes = [module.proj_size or H, H] if module.mode == "LSTM" else [H]
    states = [
        torch.randn(module.num_layers * directions, *rows, size, dtype=torch.float64, requires_grad=True)
        for size in sizes
    ]
    return tuple(states) if len(states) == 2 else states[0]


def tensors_of(outputs: Any) -> list[Any]:
    """y, or its data, and the states, flat."""
    if isinstance(outputs, torch.nn.utils.rnn.PackedSequence):
        return [outputs.data]
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return list(itertools.chain.from_iterable(map(tensors_of, outputs)))


def results(module: Any, leaf: Any, call: Any, hx: Any = None) -> list[Any]:
    """Outputs of call(module), and the gradients of a sum in which every element weighs differently."""
    outputs = tensors_of(call(module))
    loss = sum((o * torch.linspace(-1, 2, o.numel(), dtype=o.dtype).view(o.shape)).sum() for o in outputs)
    leaves = [leaf, *(tensors_of(hx) if hx is not None else []), *module.parameters()]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [*(o.detach() for o in outputs), *gradients]


def assert_close(one: list[Any], other: list[Any], tolerance: float = 1e-11) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)
