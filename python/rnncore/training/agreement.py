"""What all ranks of a run have to have in common, and the run that they agree on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from rnncore.training.collective import Alone, Collective
from rnncore.training.ranks import Ranks, digest
from rnncore.training.sources import Sequences, Source, Whole
from rnncore.training.stateful import drawing

__all__ = ["agree", "as_ranks", "fingerprint"]

_MEMBERS = ("rank", "size", "allreduce_sum", "broadcast", "barrier", "close")


def as_ranks(collective: Any, deterministic: bool) -> Ranks | None:
    """Read the collective of `fit`; None for a run of one process by itself."""
    missing = [] if collective is None else [name for name in _MEMBERS if not hasattr(collective, name)]
    if missing:
        given = type(collective).__name__
        raise TypeError(f"collective should have {', '.join(_MEMBERS)}; {given} has no {missing[0]}")
    chosen: Collective | None = Alone() if collective is None and deterministic else collective
    return None if chosen is None else Ranks(chosen, deterministic)


def agree(ranks: Ranks, model: Any, source: Source, chosen: Any, settings: dict[str, Any]) -> None:
    """Check that all ranks were given the same, and begin with the weights of rank 0.

    Raises ValueError for what differs, which it names, and for fewer series side by side than ranks.
    """
    told = {
        "model": f"{' '.join(repr(model).split())} of {model.dtype}",
        "data": fingerprint(source),
        "optimizer": f"{chosen!r} with moments {digest(*chosen.state_dict().values())[:12]}",
    }
    ranks.agree(told | {name: _text(value) for name, value in settings.items() if name not in told})
    if settings["k1"] is not None and isinstance(source, Whole):
        series = source.batch.x.shape[0 if model.batch_first else 1]
        if series < ranks.size:
            raise ValueError(
                f"data: {series} series side by side, expected one for each of {ranks.size} ranks at least"
            )
    ranks.begin(model.parameters, [layer._keys for _, layer in drawing(model)])


def _text(value: Any) -> str:
    """Say what a setting is, and of a file what it holds."""
    if isinstance(value, Path):
        content = hashlib.sha256(value.read_bytes()).hexdigest()[:12] if value.exists() else "no file"
        return f"{value} ({content})"
    return str(value)


def fingerprint(source: Source | None) -> str:
    """Describe data: their kind, shape and a digest. Of an iterable only the number of batches is known.

    >>> fingerprint(None)
    'None'
    """
    if source is None:
        return "None"
    kind = type(source).__name__
    if isinstance(source, Sequences):
        parts = [part for each in source.sequences for part in (each.x, each.target, each.mask, each.weights)]
        return f"{kind} of {len(source.sequences)}, digest {digest(*parts)[:12]}"
    batch = getattr(source, "batch", None)
    if batch is None:
        return f"{kind} of {source.count} batches"
    parts = [getattr(batch, name) for name in ("x", "target", "lengths", "resets", "mask", "weights", "static")]
    return f"{kind} of shape {batch.x.shape}, digest {digest(*parts)[:12]}"
