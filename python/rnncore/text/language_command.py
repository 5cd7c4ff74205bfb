"""`rnncore language-model`: trains on a text, tells what it is worth beside n-grams, and writes on."""

from __future__ import annotations

import argparse
import math
import sys
import sysconfig
from pathlib import Path
from typing import Any

from rnncore.arguments import check_positive
from rnncore.text.errors import InputError
from rnncore.text.files import check_outputs, input_errors, read_text
from rnncore.text.language import LanguageModel
from rnncore.text.network import CELLS
from rnncore.text.ngram import WittenBell

__all__ = ["add_parser"]

DEFAULT_SIZE = 1_000_000  # characters of Python's own sources


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to those of `rnncore`."""
    parser = commands.add_parser(
        "language-model",
        help="learn a text character by character, or word by word, and write on",
        description=(
            "Train a language model on a text (Python's own sources by default), print its perplexity on the last "
            "tenth beside an n-gram model's, and write on from a prompt."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE.txt", help="a text, UTF-8")
    parser.add_argument("--save", type=Path, metavar="MODEL", help="write the model to this file")
    parser.add_argument("--load", type=Path, metavar="MODEL", help="write on with this model, without training")
    parser.add_argument("--words", action="store_true", help="words instead of characters")
    parser.add_argument("--cell", choices=list(CELLS), default="lstm")
    parser.add_argument("--hidden", type=int, default=256, metavar="H")
    parser.add_argument("--embedding", type=int, default=128, metavar="E")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--sample", type=int, default=200, metavar="N", help="tokens to write (200)")
    parser.add_argument("--samples", type=int, default=1, metavar="K", help="texts to write from one prompt (1)")
    parser.add_argument("--prompt", default="\n", metavar="TEXT")
    parser.add_argument("--temperature", type=float, default=0.7, metavar="T")
    parser.add_argument("--plot", type=Path, metavar="FIGURE.png", help="draw the loss over the epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    check_outputs({"--save": arguments.save, "--plot": arguments.plot}, [arguments.file])
    for name, given, least in (("sample", arguments.sample, 0), ("samples", arguments.samples, 1)):
        if given < least:
            raise InputError(f"--{name} must be at least {least}, got {given}")
    if not arguments.prompt:
        raise InputError("--prompt is empty: expected text")
    with input_errors():
        check_positive("--temperature", arguments.temperature)
        model = _trained(arguments) if arguments.load is None else _loaded(arguments)
        for text in model.sample(
            arguments.sample,
            prompt=arguments.prompt,
            samples=arguments.samples,
            temperature=arguments.temperature,
            seed=arguments.seed,
        ):
            print(text)


def _loaded(arguments: argparse.Namespace) -> LanguageModel:
    if arguments.file is not None or arguments.save is not None or arguments.plot is not None:
        raise InputError("--load writes on without training: expected neither a file, --save nor --plot with it")
    return LanguageModel.load(arguments.load)


def _trained(arguments: argparse.Namespace) -> LanguageModel:
    if arguments.file is None:
        text = python_sources(DEFAULT_SIZE)
        print(f"no file given: {len(text)} characters of Python's own sources", file=sys.stderr)
    else:
        text = read_text(arguments.file)
    model = LanguageModel(
        "words" if arguments.words else "characters",
        cell=arguments.cell,
        hidden_size=arguments.hidden,
        embedding_size=arguments.embedding,
        least=2 if arguments.words else 1,
        seed=arguments.seed,
    )
    history = model.fit(text, epochs=arguments.epochs)
    cut = len(text) * 9 // 10
    nats = model.nats(text[cut:])
    unit = "word" if arguments.words else "character"
    order = 3 if arguments.words else 5
    ngram = WittenBell(model.encode(text[:cut]).tolist(), order=order, vocabulary=len(model.tokens))
    beside = ngram.nats(model.encode(text[cut:]).tolist())
    print(f"last tenth of the text: perplexity {math.exp(nats):.2f} a {unit}, {_bits(nats, unit)}")
    print(f"{order}-grams, Witten-Bell smoothing: perplexity {math.exp(beside):.2f}, {_bits(beside, unit)}")
    if arguments.plot is not None:
        history.plot(arguments.plot)
        print(f"wrote {arguments.plot}")
    if arguments.save is not None:
        model.save(arguments.save)
        print(f"wrote {arguments.save}")
    return model


def _bits(nats: float, unit: str) -> str:
    return f"{nats:.3f} nats, {nats / math.log(2):.3f} bits a {unit}"


def python_sources(size: int) -> str:
    """Return the beginning of the standard library's modules, in alphabetical order, behind one another."""
    text = ""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text += path.read_text(encoding="utf-8", errors="ignore")
        if len(text) >= size:
            break
    return text[:size]
