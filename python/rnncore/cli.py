"""The command line: `rnncore COMMAND`, also `python -m rnncore COMMAND`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import rnncore
from rnncore.bridges import command as bridges
from rnncore.contrast import command as contrast
from rnncore.detection import command as detection
from rnncore.distributed import command as distributed
from rnncore.forecasting import command as forecasting
from rnncore.tables import InputError
from rnncore.text import command as translation
from rnncore.text import language_command as language_model

FAILED = 1  # what no check foresees: no memory, numbers that overflow
USAGE = 2  # exit code: the input is to blame
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; each command sets `run`, which takes the parsed arguments."""
    parser = _Parser(prog="rnncore", description="Recurrent networks on CPUs.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"rnncore {rnncore.__version__}")
    parser.add_argument("--config", action="store_true", help="show how the engine was built, and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    bridges.add_parser(commands)
    contrast.add_parser(commands)
    detection.add_parser(commands)
    distributed.extend(forecasting.add_parser(commands))
    language_model.add_parser(commands)
    translation.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code: 0, or 2 for bad input and 130 for Ctrl-C, with one line on stderr."""
    try:
        parser = build_parser()
        arguments = parser.parse_args(argv)
        if arguments.config:
            rnncore.show_config()
            return 0
        if not hasattr(arguments, "run"):
            parser.print_help()
            return USAGE
        arguments.run(arguments)
        sys.stdout.flush()
    except InputError as error:
        print(f"rnncore: {' '.join(str(error).split())}", file=sys.stderr)
        return USAGE
    except (FloatingPointError, MemoryError) as error:
        print(f"rnncore: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nrnncore: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
