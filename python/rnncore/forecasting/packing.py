"""Fitted objects to plain trees and arrays, and back: what a file of a forecaster holds.

Only classes that are listed here are written and read; nothing in a file is ever run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.forecasting.climatology import Climatology, Cycle
from rnncore.forecasting.effects import Effects
from rnncore.forecasting.ensemble import Ensemble
from rnncore.forecasting.filters import Filter
from rnncore.forecasting.history import History
from rnncore.forecasting.inputs import Inputs
from rnncore.forecasting.intervals import Intervals
from rnncore.forecasting.lagged import Lagged
from rnncore.forecasting.live import Live
from rnncore.forecasting.options import Options
from rnncore.forecasting.periods import Periods
from rnncore.forecasting.recurrent import Recurrent
from rnncore.forecasting.ridge import Ridge
from rnncore.forecasting.segments import Segments
from rnncore.forecasting.smoothing import Smoothing
from rnncore.forecasting.widths import Widths
from rnncore.forecasting.windows import Layout, Scaling
from rnncore.tables import Grid

_CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        Climatology, Cycle, Effects, Ensemble, Filter, Grid, History, Inputs, Intervals, Lagged, Layout, Live, Options,
        Periods, Recurrent, Ridge, Scaling, Segments, Smoothing, Widths,
    )
}  # fmt: skip


def pack(thing: Any, arrays: dict[str, Array]) -> Any:
    """Return a tree that JSON can hold; arrays go into `arrays` under names that stand in the tree."""
    if isinstance(thing, np.ndarray):
        name = f"a{len(arrays)}"
        kind = thing.dtype.str
        arrays[name] = thing.view(np.uint8) if thing.dtype == np.bool_ else np.ascontiguousarray(thing)
        return {"array": name, "dtype": kind, "shape": list(thing.shape)}
    if isinstance(thing, np.generic):
        return pack(thing.item(), arrays)
    if thing is None or isinstance(thing, (bool, int, str)):
        return thing
    if isinstance(thing, float):
        return {"float": repr(thing)}
    if isinstance(thing, (list, tuple)):
        return {type(thing).__name__: [pack(each, arrays) for each in thing]}
    if isinstance(thing, dict):
        return {"dict": [[pack(key, arrays), pack(value, arrays)] for key, value in thing.items()]}
    name = type(thing).__name__
    if _CLASSES.get(name) is not type(thing):
        raise TypeError(f"cannot be kept in a file: {name}")
    return {"class": name, "of": {key: pack(value, arrays) for key, value in _parts(thing).items()}}


def unpack(tree: Any, arrays: dict[str, Array]) -> Any:
    """Return what was packed."""
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        kind, array = np.dtype(tree["dtype"]), arrays[tree["array"]]
        return (array.view(np.bool_) if kind == np.bool_ else array.astype(kind, copy=False)).reshape(tree["shape"])
    if "float" in tree:
        return float(tree["float"])
    if "dict" in tree:
        return {unpack(key, arrays): unpack(value, arrays) for key, value in tree["dict"]}
    if "class" in tree:
        thing: Any = object.__new__(_CLASSES[tree["class"]])
        for key, value in tree["of"].items():
            object.__setattr__(thing, key, unpack(value, arrays))
        return thing
    ((kind, parts),) = tree.items()
    found = [unpack(each, arrays) for each in parts]
    return tuple(found) if kind == "tuple" else found


def _parts(thing: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(thing).items() if not key.startswith("_")}
