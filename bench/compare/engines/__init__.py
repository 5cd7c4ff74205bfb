"""One module per engine: prepare(case, threads) makes everything that a user makes once, and returns what is timed.

Alike for all: the same numbers as inputs and parameters, in the engine's own kind of array, made before; results in
new arrays that the engine allocates as it does by default, no buffers handed in; sequences begin with zero states,
steps go on from the state that the last one returned; training is one forward and backward pass from a given dy to the
gradients of x and of the parameters, without an optimiser. None where an engine has no such call.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from cases import Case


@dataclass
class Prepared:
    run: Callable[[int], None]  # so many calls, one after the other
    output: Callable[[], np.ndarray]  # of one call from zero states: y, or the gradient of x when training


def prepare(engine: str, case: Case, threads: int) -> Prepared | None:
    module = importlib.import_module(f"engines.{engine}_engine")
    return module.prepare(case, threads)


def installed(engine: str) -> bool:
    needed = {"onnxruntime": ("onnxruntime", "onnx")}.get(engine, (engine,))
    return all(importlib.util.find_spec(name) for name in needed)
