"""One call of the engine on tensors, and its place in PyTorch's graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rnncore import _core
from rnncore.bridges.torch.fallback import transforms_active
from rnncore.network import state_shapes

Tensors = tuple[Tensor, ...]


@lru_cache(maxsize=1024)  # the engine's answers cost as much as an allocation
def _sizes(engine: _core.Network, rows: int) -> tuple[int, list[tuple[int, int, int]]]:
    """Return the width of y, and the shapes of a state."""
    shapes = state_shapes(engine, rows)
    return engine.num_directions * shapes[0][2], shapes


@lru_cache(maxsize=256)
def engine_of(
    cell: str, inputs: int, hidden: int, layers: int, bias: bool, bidirectional: bool, projection: int, dtype: Any
) -> _core.Network:
    """Return the engine's network; it has no parameters of its own, so that modules of one shape share it."""
    name: Any = str(dtype).removeprefix("torch.")
    return _core.Network(cell, inputs, hidden, layers, bias, bidirectional, name, False, projection)


@dataclass(slots=True)
class Call:
    """What a call needs beside tensors that have gradients.

    `form` says how x, y and the states come: "time" (T, N, I), "batch" (N, T, I), "single" (T, I), "cell" (N, I),
    "single cell" (I,), "packed" (all steps of all rows, I).
    """

    engine: _core.Network
    form: str
    dropout: float = 0.0
    resets: Any = None  # (T, N) bools, an array; packed: all steps of all rows
    batch_sizes: Any = None  # (T,) integers, an array
    packed: _core.Packed | None = None
    key: int = 0

    # ---- forms

    def steps_first(self, x: Tensor) -> Tensor:
        """View x, or y, as (T, N, features); what is packed stays so."""
        if self.form in ("time", "packed"):
            return x
        if self.form == "batch":
            return x.transpose(0, 1)
        if self.form == "single":
            return x.unsqueeze(1)
        if self.form == "single cell":
            return x.view(1, 1, -1)
        return x.unsqueeze(0)

    def state(self, h: Tensor) -> Tensor:
        """View a state as (L*D, N, H)."""
        if self.form == "single":
            return h.unsqueeze(1)
        if self.form == "single cell":
            return h.view(1, 1, -1)
        return h.unsqueeze(0) if self.form == "cell" else h

    def back(self, h: Tensor) -> Tensor:
        """Undo `state`."""
        if self.form == "single":
            return h.squeeze(1)
        if self.form == "single cell":
            return h.view(-1)
        return h.squeeze(0) if self.form == "cell" else h

    def size(self, values: Tensor) -> tuple[int, int]:
        """Return T and N of what `steps_first` gave."""
        if self.batch_sizes is not None:
            return len(self.batch_sizes), int(self.batch_sizes[0])
        steps, rows, _ = values.shape
        return steps, rows

    def like(self, x: Tensor, steps: int, rows: int, width: int) -> tuple[Tensor, Tensor]:
        """Allocate an array in the form of x, and view it as the engine takes it."""
        if self.form == "packed":
            y = x.new_empty((x.shape[0], width))
            return y, y
        if self.form == "batch":
            y = x.new_empty((rows, steps, width))
            return y, y.transpose(0, 1)
        whole = x.new_empty((steps, rows, width))
        if self.form == "time":
            return whole, whole
        return (whole.squeeze(1) if self.form == "single" else whole.view(*x.shape[:-1], width)), whole

    # ---- the engine

    def run(self, weights: Any, x: Tensor, h0: Tensors, keep: bool) -> tuple[Tensor, Tensors, Any, Tensor, Tensor]:
        """Return y and the final states in the caller's form, what the engine keeps, and x and y as it has seen them.

        Errors of the engine come before it has written anything.
        """
        values = _dense(self.steps_first(x))
        steps, rows = self.size(values)
        with_axes = self.form in ("time", "batch", "packed")
        initial = None
        if h0:
            initial = tuple([(h if with_axes else self.state(h)).contiguous() for h in h0])
        width, shapes = _sizes(self.engine, rows)
        y, whole = self.like(x, steps, rows, width)
        hn = tuple([x.new_empty(shape) for shape in shapes])
        kept = self.engine.forward(
            weights if self.packed is None or keep else self.packed, values, initial, whole, hn, None, self.resets,
            self.dropout, self.key, keep, 0, torch.get_num_threads(), None, None, None, self.batch_sizes,
        )  # fmt: skip
        return y, hn if with_axes else tuple([self.back(h) for h in hn]), kept, values, whole

    def through_torch(self, x: Tensor, h0: Tensors, weights: Tensors) -> Tensors:
        """Return y and the final states as PyTorch's own functions compute them, with a graph of their own."""
        engine = self.engine
        cell = engine.cell
        values = x if self.form in ("batch", "packed") else self.steps_first(x)
        rows = int(self.batch_sizes[0]) if self.form == "packed" else values.shape[0 if self.form == "batch" else 1]
        initial = tuple(self.state(h) for h in h0) or tuple(map(x.new_zeros, state_shapes(engine, rows)))
        hx: Any = initial if cell == "lstm" else initial[0]
        rest = (list(weights), engine.bias, engine.num_layers, 0.0, True, engine.bidirectional)
        function = getattr(torch._VF, cell)
        if self.form == "packed":
            y, *hn = function(values, torch.from_numpy(self.batch_sizes), hx, *rest)
        else:
            y, *hn = function(values, hx, *rest, self.form == "batch")
        if self.form == "single":
            y = y.squeeze(1)
        if self.form in ("cell", "single cell"):
            return tuple(self.back(h) for h in hn)
        return (y, *(self.back(h) for h in hn))


def _dense(x: Tensor) -> Tensor:
    """Return x with contiguous rows."""
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


class Recurrence(torch.autograd.Function):
    """The call as a node of the graph. Its memory belongs to saved tensors: it goes when they do."""

    @staticmethod
    def forward(ctx: Any, call: Call, states: int, x: Tensor, *tensors: Tensor) -> Any:
        """Run the call, and keep for backward what it needs."""
        h0, weights = tensors[:states], tensors[states:]
        y, hn, kept, values, whole = call.run(weights, x, h0, True)
        memory = torch.from_numpy(kept.detach())
        cell = call.form in ("cell", "single cell")
        own_x = None if values is x or values.data_ptr() == x.data_ptr() else values
        own_y = whole if cell else None
        ctx.save_for_backward(x, y if own_y is None else None, own_x, own_y, memory, *tensors)
        ctx.call, ctx.states, ctx.kept = call, states, kept
        ctx.set_materialize_grads(False)
        return hn if cell else (y, *hn)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        """Return the gradients by x, the initial states and the weights that want one."""
        call: Call = ctx.call
        count: int = ctx.states
        x, y, own_x, own_y, memory, *tensors = ctx.saved_tensors
        h0, weights = tuple(tensors[:count]), tuple(tensors[count:])
        if torch.is_grad_enabled() or transforms_active() or _any_batched(gradients):
            return (None, None, *_torch_gradients(ctx, call, x, h0, weights, gradients))
        wanted: tuple[bool, ...] = ctx.needs_input_grad
        trained = wanted[3 + count :]
        dy, dhn = (gradients[0], gradients[1:]) if own_y is None else (None, gradients)
        values = own_x if own_x is not None else _dense(call.steps_first(x))
        whole = own_y if own_y is not None else call.steps_first(y)
        steps, rows = call.size(values)
        dx, whole_dx = call.like(x, steps, rows, x.shape[-1]) if wanted[2] else (None, None)
        d_weights = [torch.zeros_like(w) if need else None for w, need in zip(weights, trained, strict=True)]
        initial = dh0 = None
        if h0:
            initial = tuple([call.state(h).contiguous() for h in h0])
            dh0 = tuple([torch.empty_like(h) for h in initial])
        d_final = _final_gradients(call, x, rows, dhn)
        d_outputs = None if dy is None else _dense(call.steps_first(dy))
        call.engine.backward(
            ctx.kept, weights, d_outputs, d_final, whole_dx, dh0, d_weights if True in trained else None,
            torch.get_num_threads(), (memory, values, whole, initial),
        )  # fmt: skip
        if dh0 is None:
            return (None, None, dx, *d_weights)
        d_initial = [call.back(d) if need else None for d, need in zip(dh0, wanted[3 : 3 + count], strict=True)]
        return (None, None, dx, *d_initial, *d_weights)


def _final_gradients(call: Call, x: Tensor, rows: int, dhn: tuple[Tensor | None, ...]) -> Tensors | None:
    """Return the gradients by the final states as the engine takes them, None for zeros."""
    for d in dhn:
        if d is not None:
            break
    else:
        return None
    return tuple(
        [
            torch.zeros(shape, dtype=x.dtype, device="cpu") if d is None else call.state(d).contiguous()
            for d, shape in zip(dhn, _sizes(call.engine, rows)[1], strict=True)
        ]
    )


# `torch.autograd.Function.apply` looks for transforms of torch.func first, as `check_mode` has done already.
_apply: Any = super(torch.autograd.Function, Recurrence).apply


def _any_batched(gradients: Iterable[Tensor | None]) -> bool:
    """Tell whether is_grads_batched=True of `torch.autograd.grad` has made several gradients one."""
    for gradient in gradients:  # noqa: SIM110  as in _any_requires_grad
        if gradient is not None and torch._C._functorch.is_legacy_batchedtensor(gradient):
            return True
    return False


def _torch_gradients(
    ctx: Any, call: Call, x: Tensor, h0: Tensors, weights: Tensors, gradients: tuple[Tensor | None, ...]
) -> list[Tensor | None]:
    """Return the gradients as PyTorch computes them, where they are to be differentiated again, or transformed."""
    if call.resets is not None or call.dropout > 0:
        what = "resets" if call.resets is not None else "dropout"
        raise RuntimeError(f"a second derivative goes through PyTorch itself, which cannot repeat a call with {what}")
    inputs = (x, *h0, *weights)
    wanted = [k for k, need in enumerate(ctx.needs_input_grad[2:]) if need]
    with torch.enable_grad():
        outputs = call.through_torch(x, h0, weights)
        pairs = [(output, d) for output, d in zip(outputs, gradients, strict=True) if d is not None]
        found = torch.autograd.grad(
            [output for output, _ in pairs],
            [inputs[k] for k in wanted],
            [d for _, d in pairs],
            create_graph=True,
            allow_unused=True,
        )
    result: list[Tensor | None] = [None] * len(inputs)
    for k, gradient in zip(wanted, found, strict=True):
        result[k] = gradient
    return result


def _any_requires_grad(tensors: Iterable[Tensor]) -> bool:
    for tensor in tensors:  # noqa: SIM110  any() of a generator takes three times as long
        if tensor.requires_grad:
            return True
    return False


def apply(call: Call, x: Tensor, h0: Tensors, weights: Any) -> tuple[Any, Tensors]:
    """Run a call, as a node of the graph if any gradient is wanted; return y and the final states.

    y is None for a cell. With dropout, PyTorch's generator gives the key.
    """
    if call.dropout > 0:
        call.key = int(torch.empty((), dtype=torch.int64, device="cpu").random_())
    if torch.is_grad_enabled() and (x.requires_grad or _any_requires_grad(h0) or _any_requires_grad(weights)):
        outputs: Any = _apply(call, len(h0), x, *h0, *weights)
        if call.form in ("cell", "single cell"):
            return None, outputs
        return outputs[0], outputs[1:]
    y, hn, *_ = call.run(weights, x, h0, False)
    return y, hn
