"""What a run carries besides weights and moments: the states of its callbacks and of its schedule."""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rnncore.arguments import Array

__all__ = ["check_resumable", "drawing", "joined", "split", "stateful"]


def stateful(callbacks: Iterable[Any]) -> list[Any]:
    """Return the objects with `state_dict` and `load_state_dict` behind the callbacks, each once.

    >>> class Counter:
    ...     def state_dict(self): ...
    ...     def load_state_dict(self, state): ...
    ...     def count(self, progress): ...
    >>> counter = Counter()
    >>> stateful([print, counter.count, lambda progress: None, counter]) == [counter]
    True
    """
    owners = {id(owner): owner for owner in map(_owner, callbacks) if _has_state_dict(owner)}
    return list(owners.values())


def drawing(model: Any) -> list[tuple[str, Any]]:
    """Return the layers that draw random numbers."""
    return [(name, layer) for name, layer in model.named_layers().items() if hasattr(layer, "_keys")]


def check_resumable(callbacks: Iterable[Any], schedule: Any) -> None:
    """Raise TypeError for an object whose state no checkpoint can hold, though it seems to have one.

    It does if it has attributes: functions, and classes without attributes, need nothing. A schedule is a function of
    the numbers of epoch and update unless it observes the losses.
    """
    named = [(f"callbacks[{k}]", _owner(callback)) for k, callback in enumerate(callbacks)]
    while schedule is not None:
        named += [("schedule", schedule)] if hasattr(schedule, "observe") else []
        schedule = getattr(schedule, "then", None)
    for name, owner in named:
        if _has_attributes(owner) and not _has_state_dict(owner):
            kind = type(owner).__name__
            raise TypeError(f"{name}: to resume, a {kind} with attributes needs state_dict and load_state_dict")


def split(state: Any, name: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Split a state into its arrays and the rest, which JSON can hold.

    Raises TypeError for a state that is no mapping of names to such.

    >>> arrays, rest = split({"mean": np.ones(2), "updates": 7}, "callbacks[0]")
    >>> list(arrays), rest
    (['mean'], {'updates': 7})
    """
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise TypeError(f"{name}.state_dict() should be a mapping of names to values, got {type(state).__name__}")
    arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
    rest = {key: value for key, value in state.items() if key not in arrays}
    for key, value in rest.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            given = type(value).__name__
            raise TypeError(f"{name}.state_dict()[{key!r}] should be an array or plain values, got {given}") from None
    return arrays, rest


def joined(arrays: Mapping[str, Array], rest: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Put together the state whose arrays bear the prefix `name` and a dot."""
    return {**rest, **{key[len(name) + 1 :]: each for key, each in arrays.items() if key.startswith(f"{name}.")}}


def _owner(callback: Any) -> Any:
    """Return what a callback would change: of a method its object."""
    while isinstance(callback, functools.partial):
        callback = callback.func
    return getattr(callback, "__self__", callback)


def _has_state_dict(owner: Any) -> bool:
    return all(callable(getattr(owner, name, None)) for name in ("state_dict", "load_state_dict"))


def _has_attributes(owner: Any) -> bool:
    if isinstance(owner, (types.FunctionType, types.ModuleType, type)):
        return False
    slots = [name for kind in type(owner).__mro__ for name in getattr(kind, "__slots__", ())]
    return bool(getattr(owner, "__dict__", None)) or any(hasattr(owner, name) for name in slots)
