"""Checkpoints of `fit`: one file with everything that the rest of a run depends on."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.arguments import Array, check_flag
from rnncore.files import FormatError, remove_leftovers, require_safetensors
from rnncore.models import file
from rnncore.models.model import Model
from rnncore.training.cursor import Cursor
from rnncore.training.ranks import mapped
from rnncore.training.stateful import check_resumable, joined, split, stateful
from rnncore.training.trainer import Trainer


def check_checkpoint(
    checkpoint: str | os.PathLike[str] | None, model: Any, resume: bool, callbacks: Iterable[Any], schedule: Any
) -> None:
    """Refuse what could not be written, or resumed, before an epoch is lost to it; remove what a killed run left."""
    if checkpoint is None:
        if resume:
            raise ValueError("resume needs a checkpoint, got None")
        return
    require_safetensors()
    _check_place(Path(checkpoint))
    file.architecture(model)  # raises where no file can hold the model
    remove_leftovers(checkpoint)
    if check_flag("resume", resume):
        check_resumable(callbacks, schedule)


def _check_place(path: Path) -> None:
    """Refuse a path that no checkpoint can have, before an epoch is lost to it."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"checkpoint: there is no folder {path.parent}")
    if path.is_dir():
        raise IsADirectoryError(f"checkpoint: expected a file, {path} is a folder")


class Checkpoints:
    """Writes and reads the checkpoints of a run with these settings."""

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.settings = json.loads(json.dumps(dict(settings)))  # as it will be read

    def save(self, trainer: Trainer) -> None:
        """Replace the file by the present state of a run.

        Where early stopping restores the best weights, those are the model of the file, whose metadata tell their epoch
        as `best_epoch`; the last ones lie beside them.
        """
        arrays, told = self.content(trainer)
        stopping, parameters, metadata = trainer.stopping, trainer.model.parameters, {"fit": json.dumps(told)}
        if stopping is not None and stopping.weights is not None:
            arrays["last"], parameters = parameters, stopping.weights
            metadata["best_epoch"] = str(stopping.best_epoch)
        file.save(trainer.model, self.path, parameters=parameters, arrays=arrays, metadata=metadata)

    def content(self, trainer: Trainer) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return what the run depends on besides the weights: arrays, and what JSON can hold."""
        cursor, callbacks = trainer.cursor, []
        arrays = {f"optimizer.{name}": array for name, array in trainer.optimizer.state_dict().items()}
        arrays |= {f"state.{name}": array for name, array in _flat(cursor.hx).items()}
        for k, owner in enumerate(stateful(trainer.plan.callbacks)):
            own, rest = split(owner.state_dict(), type(owner).__name__)
            arrays |= {f"callback{k}.{name}": array for name, array in own.items()}
            callbacks.append({"name": type(owner).__name__, "state": rest})
        return arrays, {
            "settings": self.settings,
            "cursor": {name: value for name, value in vars(cursor).items() if name != "hx"},
            **trainer.told(),
            "callbacks": callbacks,
            "ranks": 1 if trainer.ranks is None else trainer.ranks.size,
        }

    def resume(self, trainer: Trainer) -> None:
        """Put a run where the file says it was.

        Raises ValueError for a checkpoint of another model or of other settings, before anything has changed.
        """
        model, arrays, metadata = file.read_model(self.path, Model)
        self._check_model(model, trainer.model)
        try:
            told = json.loads(metadata["fit"])
        except KeyError:
            raise FormatError(f"{self.path} holds a model, but no checkpoint of fit") from None
        told["settings"].setdefault("deterministic", False)
        different = [name for name, value in self.settings.items() if told["settings"].get(name) != value]
        if different:
            name = different[0]
            raise ValueError(
                f"{self.path}: {name} was {told['settings'].get(name)!r}, expected the same as now: "
                f"{self.settings[name]!r}"
            )
        owners, callbacks = stateful(trainer.plan.callbacks), told.get("callbacks", [])
        before, now = [each["name"] for each in callbacks], [type(owner).__name__ for owner in owners]
        if before != now:
            raise ValueError(f"{self.path}: callbacks with a state were {before}, expected the same as now: {now}")
        best, last = (model.parameters, arrays["last"]) if "last" in arrays else (arrays.get("best"), model.parameters)
        if trainer.stopping is not None and told["stopping"] is not None:
            trainer.stopping.load_state_dict(told["stopping"], best)
        for k, (owner, each) in enumerate(zip(owners, callbacks, strict=True)):
            owner.load_state_dict(joined(arrays, each["state"], f"callback{k}"))
        part = {name.partition(".")[0] for name in arrays}
        optimizer = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith("optimizer.")}
        trainer.optimizer.load_state_dict(optimizer)
        trainer.model.parameters[...] = last
        state = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith("state.")}
        hx, ranks = _nested(state) if "state" in part else None, trainer.ranks
        if ranks is not None:
            hx = mapped(lambda array: array[:, ranks.share.rows(array.shape[1])], hx)
        self._compare_ranks(told.get("ranks", 1), 1 if ranks is None else ranks.size)
        trainer.cursor = Cursor(**told["cursor"], hx=hx)
        trainer.take_over(told)

    def _compare_ranks(self, before: int, now: int) -> None:
        """Say that sums in another order have other last bits."""
        if before != now and not self.settings["deterministic"]:
            text = (
                f"{self.path} was written by a run of {before} ranks, this one has {now}: it does not go on bit for bit"
            )
            warnings.warn(text, stacklevel=4)

    def _check_model(self, saved: Any, model: Any) -> None:
        theirs, ours = file.architecture(saved), file.architecture(model)
        if theirs["dtype"] != ours["dtype"]:
            raise ValueError(f"{self.path} holds a model of {theirs['dtype']}, expected {ours['dtype']}")
        if len(saved) != len(model):
            raise ValueError(f"{self.path} holds a model of {len(saved)} layers, expected {len(model)}")
        for k, (their, our) in enumerate(zip(theirs["layers"], ours["layers"], strict=True)):
            if their != our:
                raise ValueError(
                    f"{self.path} holds another model: layer {their['name']} is {saved[k]!r}, "
                    f"expected layer {our['name']}: {model[k]!r}"
                )


def _flat(hx: Any, name: str = "x") -> dict[str, Array]:
    """Return the arrays of a state, which may be nested, by their places in it: x, x.0, x.1, x.0.1."""
    if hx is None:
        return {}
    if not isinstance(hx, tuple):
        return {name: np.asarray(hx)}
    return {key: array for k, part in enumerate(hx) for key, array in _flat(part, f"{name}.{k}").items()}


def _nested(arrays: dict[str, Array], name: str = "x") -> Any:
    if name in arrays:
        return arrays[name]
    count = len({key[len(name) + 1 :].partition(".")[0] for key in arrays if key.startswith(f"{name}.")})
    return tuple(_nested(arrays, f"{name}.{k}") for k in range(count))
