"""`rnncore export`: a saved model written for other runtimes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rnncore.tables import InputError
from rnncore.tables.options import check_outputs

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to those of `rnncore`."""
    parser = commands.add_parser(
        "export",
        help="write a saved model as an ONNX file",
        description="Write a model that Sequential.save has written as an ONNX file, for ONNX Runtime and others.",
        allow_abbrev=False,
    )
    parser.add_argument("model", type=Path, metavar="MODEL.safetensors")
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    parser.add_argument(
        "--no-state", action="store_true", help="sequences begin anew: no inputs and outputs of the state"
    )
    parser.add_argument("--lengths", action="store_true", help="make an input of the valid steps of each row")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from rnncore.sequential import load

    model, out = arguments.model, arguments.out
    if out.suffix != ".onnx":
        raise InputError(f"{out}: expected a name that ends in .onnx")
    check_outputs([model], {"OUT.onnx": out})
    try:
        from rnncore.bridges import onnx

        onnx.export(load(model), out, not arguments.no_state, lengths=arguments.lengths)
    except OSError as error:
        raise InputError(f"cannot read {model}: {error.strerror}") from None
    except (ImportError, ValueError) as error:
        raise InputError(f"{model}: {error}") from None
    print(f"wrote {out}")
