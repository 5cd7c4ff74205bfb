"""A forecaster in a file: what its next forecast and the next update depend on."""

from __future__ import annotations

import json
import os
from typing import Any

from rnncore.arguments import Array
from rnncore.files import read_tensors, write_tensors
from rnncore.forecasting.packing import pack, unpack
from rnncore.tables import Schema

__all__ = ["load", "save"]

FORMAT, VERSION = "rnncore.forecaster", 2


def save(forecaster: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted forecaster to a file."""
    arrays: dict[str, Array] = {}
    tree = {
        "parameters": pack(forecaster.get_params(), arrays),
        "live": pack(forecaster.live_, arrays),
        "intervals": pack(forecaster.intervals_, arrays),
        "schema": forecaster.schema_.as_dict(),
        "names": forecaster.names_,
        "keys": pack(forecaster.keys_, arrays),
        "notes": forecaster.notes_,
    }
    write_tensors(path, FORMAT, VERSION, arrays, {"forecaster": json.dumps(tree)})


def load(cls: Any, path: str | os.PathLike[str]) -> Any:
    """Read what `save` wrote. Raises ValueError for a file that is damaged or holds something else."""
    arrays, metadata = read_tensors(path, FORMAT, VERSION)
    tree = json.loads(metadata["forecaster"])
    forecaster = cls(**unpack(tree["parameters"], arrays))
    forecaster.live_ = unpack(tree["live"], arrays)
    forecaster.ensemble_ = forecaster.live_.ensemble
    forecaster.intervals_ = unpack(tree["intervals"], arrays)
    forecaster.schema_ = Schema.from_dict(tree["schema"])
    forecaster.names_, forecaster.keys_ = tree["names"], unpack(tree["keys"], arrays)
    forecaster.notes_, forecaster._source, forecaster._history = tree["notes"], None, None
    return forecaster
