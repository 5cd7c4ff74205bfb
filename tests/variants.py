"""Every kind of arithmetic that the recurrent layers have, by name: all lists of cells in the tests come from here."""

from __future__ import annotations

from functools import partial
from typing import Any

from rnncore.layers import RECURRENT

LAYERS = {name: partial(kind, **options) for kind in RECURRENT.values() for name, options in kind.variants.items()}


def engine_arguments(variant: str) -> dict[str, Any]:
    """The cell of a variant, and its options, for a Network of the engine or its twin."""
    network = LAYERS[variant](1, 1)._network
    return {"cell": network.cell, "options": network.options}


def state_names(variant: str) -> tuple[str, ...]:
    return LAYERS[variant](1, 1).state_names


def in_form(arrays) -> Any:
    """The arrays of a state as a layer takes and gives them: one by itself, several as a tuple."""
    arrays = tuple(arrays)
    return arrays if len(arrays) > 1 else arrays[0]
