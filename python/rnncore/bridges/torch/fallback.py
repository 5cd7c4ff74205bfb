"""When a call is PyTorch's own: what the engine does not do, and the record of it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch.utils._device import DeviceContext

OnFallback = Literal["torch", "warn", "raise"]
ARGUMENTS = "arguments that the engine does not take"  # the reason where PyTorch has the words for the error

_PLAIN = frozenset({torch.Tensor, torch.nn.Parameter})  # a subclass may hold its numbers anywhere
_counts: Counter[str] = Counter()


class FallbackWarning(UserWarning):
    """A call ran in PyTorch itself, where `accelerate` was told on_fallback="warn"."""


class NotOurs(Exception):  # noqa: N818  never seen by a caller
    """The call is PyTorch's."""


def fallbacks() -> dict[str, int]:
    """Return how many calls ran in PyTorch itself, by reason, since the process began.

    >>> import torch, rnncore
    >>> gru = rnncore.torch.GRU(3, 4, dtype=torch.bfloat16)
    >>> before = rnncore.torch.fallbacks().get("dtype bfloat16", 0)
    >>> y, h = gru(torch.ones(5, 2, 3, dtype=torch.bfloat16))
    >>> rnncore.torch.fallbacks()["dtype bfloat16"] - before
    1
    """
    return dict(_counts)


def record(module: Any, reason: str, on_fallback: str, resets: Any) -> None:
    """Count a call that is PyTorch's; raise where the caller asked for that, or where PyTorch cannot do it."""
    _counts[reason] += 1
    name = type(module).__name__
    if resets is not None:
        raise RuntimeError(f"{name}: PyTorch itself has no resets, and this call cannot run in the engine: {reason}")
    if on_fallback == "raise":
        raise RuntimeError(f"{name}: this call cannot run in the engine: {reason}")
    if on_fallback == "warn":
        warnings.warn(f"{name} ran in PyTorch itself: {reason}", FallbackWarning, stacklevel=4)


def check_mode() -> None:
    """Raise NotOurs where PyTorch does something to calls that it has to see."""
    if torch._C._is_any_autocast_enabled():
        raise NotOurs("autocast")
    if transforms_active():
        raise NotOurs("a transform of torch.func")
    if torch._C._get_tracing_state() is not None:
        raise NotOurs("tracing")
    if torch._C._len_torch_dispatch_stack():
        raise NotOurs("a dispatch mode")
    if torch._C._len_torch_function_stack() and _function_modes():
        raise NotOurs("a function mode")
    if torch.autograd.forward_ad._current_level >= 0:
        raise NotOurs("forward-mode differentiation")


def transforms_active() -> bool:
    """Tell whether a transform of torch.func, such as vmap, is at work."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def _function_modes() -> bool:
    stack = (torch._C._get_function_stack_at(k) for k in range(torch._C._len_torch_function_stack()))
    return any(type(mode) is not DeviceContext for mode in stack)


def check_tensors(first: Any, others: Iterable[Any]) -> None:
    """Raise NotOurs unless all are plain tensors on the processor, and of the dtype of the first."""
    dtype, strided = getattr(first, "dtype", None), torch.strided
    if dtype not in (torch.float32, torch.float64):
        raise NotOurs(f"dtype {str(dtype).removeprefix('torch.')}")
    for tensor in (first, *others):
        if type(tensor) not in _PLAIN:
            raise NotOurs(f"a {type(tensor).__name__}")
        if tensor.dtype is not dtype:
            raise NotOurs("tensors of several dtypes")
        if not tensor.is_cpu or tensor.layout is not strided:
            raise NotOurs(f"{tensor.layout} on {tensor.device.type}".replace("torch.strided on ", "device "))
        if tensor.is_neg():
            raise NotOurs("a negated view")
