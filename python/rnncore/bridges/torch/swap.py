"""Models whose recurrent modules are swapped in place, and swapped back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, get_args

from torch import nn
from torch.nn.modules.rnn import RNNBase, RNNCellBase

from rnncore.bridges.torch.cells import GRUCell, LSTMCell, RNNCell
from rnncore.bridges.torch.fallback import NotOurs, OnFallback, check_tensors
from rnncore.bridges.torch.layers import GRU, LSTM, RNN, Accelerated

M = TypeVar("M", bound=nn.Module)

_OURS: dict[type, type] = {kind._plain: kind for kind in (RNN, LSTM, GRU, RNNCell, LSTMCell, GRUCell)}


def accelerate(model: M, *, only: Iterable[str] | None = None, on_fallback: OnFallback = "torch") -> M:
    """Let the engine run every `nn.RNN`, `LSTM`, `GRU` and their cells in a model, in place; return the model.

    Only the class of a module changes, to one of rnncore.torch that derives from it: parameters, buffers, hooks and
    state_dict stay the same objects. Modules of other classes, those that derive from PyTorch's too, stay as they are.

    Parameters
    ----------
    model
        Any module.
    only
        Names of modules as in `named_modules`: these and what they contain. None: all.
    on_fallback
        What a call does that the engine does not take, for a dtype, a device, autocast and so on: it runs in PyTorch
        itself ("torch"), does so with a FallbackWarning ("warn"), or raises RuntimeError ("raise"). `fallbacks` counts.

    Raises ValueError for a name that the model has not, and another on_fallback; TypeError for what is no module.

    >>> import torch, rnncore
    >>> model = torch.nn.ModuleDict({"one": torch.nn.GRU(3, 4), "two": torch.nn.GRU(4, 4)})
    >>> [type(m).__module__.split(".")[0] for m in rnncore.torch.accelerate(model, only=["two"]).values()]
    ['torch', 'rnncore']
    """
    if on_fallback not in get_args(OnFallback):
        raise ValueError(f"on_fallback should be one of {', '.join(get_args(OnFallback))}, got {on_fallback!r}")
    if not hasattr(model, "named_modules"):
        raise TypeError(f"model should be a torch.nn.Module, got {type(model).__name__}")
    modules = dict(model.named_modules(remove_duplicate=False))
    names = None if only is None else ([only] if isinstance(only, str) else list(only))
    for name in names or ():
        if name not in modules:
            raise ValueError(f"only: the model has no module {name!r}")
    for name, module in modules.items():
        if names is not None and not any(part in ("", name) or name.startswith(f"{part}.") for part in names):
            continue
        if type(module) in _OURS:
            _become_ours(module)
        if isinstance(module, Accelerated):
            module.__dict__.pop("_on_fallback", None)
            if on_fallback != "torch":
                module.__dict__["_on_fallback"] = on_fallback
    return model


def restore(model: M) -> M:
    """Undo `accelerate`, in place; return the model, whose files any PyTorch can read."""
    module: Any
    for module in model.modules():
        if type(module) in _OURS.values():
            for name in ("_on_fallback", "_packed"):
                module.__dict__.pop(name, None)
            module.__class__ = module._plain
    return model


def _become_ours(module: Any) -> None:
    module.__class__ = _OURS[type(module)]


@contextmanager
def accelerated() -> Iterator[None]:
    """Accelerate every recurrent module that is made meanwhile, by whatever code: for clients that make their own.

    It holds for all threads. The modules stay accelerated behind the context.

    >>> import torch, rnncore
    >>> with rnncore.torch.accelerated():
    ...     model = torch.nn.GRU(3, 4)
    >>> type(model) is rnncore.torch.GRU
    True
    """
    bases: tuple[Any, ...] = (RNNBase, RNNCellBase)
    before = [base.__init__ for base in bases]

    def wrapped(init: Any) -> Any:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            init(self, *args, **kwargs)
            if type(self) in _OURS:
                _become_ours(self)

        return __init__

    for base, init in zip(bases, before, strict=True):
        base.__init__ = wrapped(init)
    try:
        yield
    finally:
        for base, init in zip(bases, before, strict=True):
            base.__init__ = init


@contextmanager
def packed(model: M) -> Iterator[M]:
    """Keep the weights of all accelerated modules packed meanwhile, for calls of a few steps without gradients.

    A call otherwise brings the weights into the order of the kernels first, which costs more than one step. Weights
    that change meanwhile are not seen, so do not train inside. Calls that want gradients run as ever.

    >>> import torch, rnncore
    >>> model = rnncore.torch.LSTM(3, 8)
    >>> with torch.inference_mode(), rnncore.torch.packed(model):
    ...     y, hx = model(torch.ones(1, 1, 3))
    ...     y, hx = model(torch.ones(1, 1, 3), hx)
    """
    mine = []
    for module in model.modules():
        if isinstance(module, Accelerated) and module._packed is None:
            handle = _pack(module)
            if handle is not None:
                module.__dict__["_packed"] = handle
                mine.append(module)
    try:
        yield model
    finally:
        for module in mine:
            module.__dict__.pop("_packed", None)


def _pack(module: Any) -> Any:
    """Return the packed weights of a module, None if they are not for the engine."""
    weights = module._weights()
    try:
        check_tensors(weights[0], weights[1:])
        return module._engine(weights[0].dtype).pack(weights)
    except NotOurs:
        return None
