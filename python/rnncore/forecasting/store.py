"""Trained networks in a file, with all that was chosen on the way to them: a later run only forecasts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rnncore.arguments import Array
from rnncore.files import read_tensors, write_tensors
from rnncore.forecasting.baselines import Ridge
from rnncore.forecasting.design import Design
from rnncore.forecasting.errors import InputError
from rnncore.forecasting.network import Restraint
from rnncore.forecasting.settings import Settings
from rnncore.forecasting.split import Split
from rnncore.forecasting.tuning import Choice

FORMAT, VERSION = "rnncore.forecast", 1
_OF_THE_NETWORK = ("target", "horizon", "season", "cell", "hidden_size", "members", "epochs", "seed")


@dataclass(frozen=True)
class Stored:
    """What a file holds."""

    settings: dict[str, Any]
    split: Split
    held_out: Split
    choice: Choice
    training: str  # digest of what the networks were trained on
    parameters: list[Array]  # of each network

    def apply(self, settings: Settings) -> Settings:
        """Return settings whose networks are those of the file. Raises InputError for another target."""
        wanted = settings.target
        if wanted is not None and wanted != self.settings["target"]:
            raise InputError(f"--load: the networks forecast {self.settings['target']!r}, not {wanted!r}")
        return replace(settings, **self.settings)

    def check(self, design: Design) -> None:
        """Raise InputError for other data before the split than the networks were trained on."""
        if digest(design) != self.training:
            raise InputError(
                f"--load: the values before {self.split.label} are not those that the networks were trained on"
            )


def digest(design: Design) -> str:
    """SHA-256 over the training part of a design."""
    content = hashlib.sha256()
    train = design.train.any(axis=2)
    for array in (design.x[train], design.z[design.train], design.scale):
        content.update(np.ascontiguousarray(array, np.float32).data)
    return content.hexdigest()


def save(
    path: str,
    settings: Settings,
    target: str,
    split: Split,
    held_out: Split,
    choice: Choice,
    design: Design,
    parameters: list[Array],
) -> None:
    """Write a file; OSError if that fails."""
    told = {
        "settings": {name: getattr(settings, name) for name in _OF_THE_NETWORK} | {"target": target},
        "split": asdict(split),
        "held_out": asdict(held_out),
        "choice": {
            "changes": choice.changes,
            "lags": choice.ridge.lags,
            "penalty": choice.ridge.penalty,
            "restraint": asdict(choice.restraint),
            "updates": choice.updates,
            "heldout_rmse": choice.heldout_rmse,
        },
        "training": digest(design),
    }
    arrays = {f"network{k}": vector for k, vector in enumerate(parameters)} | {"edges": choice.edges}
    write_tensors(path, FORMAT, VERSION, arrays, {"forecast": json.dumps(told)})


def load(path: str) -> Stored:
    """Read a file. Raises InputError for one that is missing, damaged or holds something else."""
    try:
        arrays, metadata = read_tensors(path, FORMAT, VERSION)
    except OSError as error:
        raise InputError(f"--load: cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"--load: {error}") from None
    told = json.loads(metadata["forecast"])
    chosen = told["choice"]
    choice = Choice(
        chosen["changes"],
        Ridge(chosen["lags"], chosen["penalty"]),
        Restraint(**chosen["restraint"]),
        chosen["updates"],
        arrays.pop("edges"),
        chosen["heldout_rmse"],
    )
    parameters = [arrays[f"network{k}"] for k in range(len(arrays))]
    return Stored(
        told["settings"], Split(**told["split"]), Split(**told["held_out"]), choice, told["training"], parameters
    )
