"""`rnncore translate`: trains on two files of parallel lines, or translates the lines of standard input."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnncore.arguments import check_positive
from rnncore.text import examples
from rnncore.text.errors import InputError
from rnncore.text.files import check_outputs, input_errors, read_lines, typed_lines
from rnncore.text.network import CELLS
from rnncore.text.translator import Translator
from rnncore.text.vocabulary import split_words

__all__ = ["add_parser", "bleu"]

Pairs = list[tuple[str, str]]


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to those of `rnncore`."""
    parser = commands.add_parser(
        "translate",
        help="translate sentences: train on two files of parallel lines, or use what was trained",
        description=(
            "Train an encoder-decoder with attention on two files of parallel lines, and print its BLEU on lines held "
            "out. Without files it learns to write numbers and dates from words. With --load, translate standard input."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("source", nargs="?", type=Path, metavar="SOURCE.txt", help="a sentence a line, UTF-8")
    parser.add_argument("target", nargs="?", type=Path, metavar="TARGET.txt", help="its translation, line for line")
    parser.add_argument("--save", type=Path, metavar="MODEL", help="write the translator to this file")
    parser.add_argument("--load", type=Path, metavar="MODEL", help="translate standard input with this one")
    parser.add_argument("--cell", choices=list(CELLS), default="lstm")
    parser.add_argument("--hidden", type=int, default=256, metavar="H", help="units of the decoder (256)")
    parser.add_argument("--embedding", type=int, default=128, metavar="E", help="features of a word (128)")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--least", type=int, default=2, help="words that come fewer times are unknown (2)")
    parser.add_argument("--subwords", type=int, metavar="N", help="N kinds of pieces of words instead of words")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--minutes", type=float, help="train no longer than this")
    parser.add_argument("--beam", type=int, default=1, help="beginnings that are kept; 1, the default: greedy")
    parser.add_argument("--copy-unknown", action="store_true", help="copy the source word in place of an unknown one")
    parser.add_argument("--held-out", type=int, metavar="N", help="lines held out (a tenth, at most 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    for name in ("beam", "epochs", "held_out"):
        given = getattr(arguments, name)
        if given is not None and given < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 1, got {given}")
    with input_errors():
        if arguments.load is not None:
            if arguments.source is not None or arguments.save is not None:
                raise InputError("--load translates standard input: expected neither files nor --save with it")
            _translate(arguments)
        else:
            _train(arguments, _pairs(arguments))


def _pairs(arguments: argparse.Namespace) -> Pairs:
    if (arguments.source is None) != (arguments.target is None):
        raise InputError("expected two files, SOURCE.txt and TARGET.txt, or none")
    check_outputs({"--save": arguments.save}, [arguments.source, arguments.target])
    if arguments.source is None:
        print("no files given: numbers in words to digits, dates to ISO dates, made by a seed", file=sys.stderr)
        return examples.numbers_and_dates(20_000, seed=arguments.seed)
    sides = [read_lines(path) for path in (arguments.source, arguments.target)]
    counts = [len(side) for side in sides]
    if counts[0] != counts[1]:
        raise InputError(
            f"{arguments.source} has {counts[0]} lines and {arguments.target} {counts[1]}: expected as many"
        )
    return list(zip(*sides, strict=True))


def _train(arguments: argparse.Namespace, pairs: Pairs) -> None:
    held = arguments.held_out or min(1000, len(pairs) // 10)
    if not 0 < held < len(pairs):
        raise InputError(f"expected more lines than the {max(held, 1)} that are held out, got {len(pairs)}")
    training, held_out = _apart(pairs, held)
    translator = Translator(
        cell=arguments.cell,
        hidden_size=arguments.hidden,
        embedding_size=arguments.embedding,
        layers=arguments.layers,
        least=arguments.least,
        subwords=arguments.subwords,
        seed=arguments.seed,
    )
    seconds = None if arguments.minutes is None else 60 * check_positive("--minutes", arguments.minutes)
    history = translator.fit(training, held_out, epochs=arguments.epochs, seconds=seconds)
    if history.stopped == "interrupt":
        print("interrupted: the weights so far are used", file=sys.stderr)
    print(f"{len(training)} pairs, {translator.parameter_count} parameters, {len(history)} epochs")
    if arguments.save is not None:
        translator.save(arguments.save)
        print(f"wrote {arguments.save}")
    sources, references = (list(side) for side in zip(*held_out, strict=True))
    found = translator.translate(sources, beam=arguments.beam, copy_unknown=arguments.copy_unknown)
    alike = [split_words(one) == split_words(other) for one, other in zip(found, references, strict=True)]
    print(f"held out: {held} pairs, {100 * sum(alike) / held:.1f} % exact{_scores(found, references, sources)}")
    for source, target, translation in list(zip(sources, references, found, strict=True))[:5]:
        print(f"  {source}\n    expected {target}\n    got      {translation}")


def _scores(found: list[str], references: list[str], sources: list[str]) -> str:
    try:
        score = bleu()
    except ImportError:
        return " (BLEU needs the package sacrebleu: pip install 'rnncore[text]')"
    return f", BLEU {score(found, references):.1f} (copying the source: {score(sources, references):.1f})"


def bleu() -> Callable[[list[str], list[str]], float]:
    """Return corpus BLEU by sacrebleu, in lower case. Raises ImportError without that package."""
    import sacrebleu

    return lambda found, references: float(sacrebleu.corpus_bleu(found, [references], lowercase=True).score)


def _apart(pairs: Pairs, held: int) -> tuple[Pairs, Pairs]:
    """Hold lines out evenly over the file; a source that is held out is not trained on."""
    places = {round(k * (len(pairs) - 1) / held) for k in range(held)}
    held_out = [pairs[k] for k in sorted(places)]
    known = {source for source, _ in held_out}
    training = [pair for k, pair in enumerate(pairs) if k not in places and pair[0] not in known]
    if not training:
        raise InputError("every source line is held out too: expected different lines")
    return training, held_out


def _translate(arguments: argparse.Namespace) -> None:
    translator = Translator.load(arguments.load)
    at_once = 1 if sys.stdin.isatty() else 256
    waiting: list[str] = []
    for line in typed_lines(sys.stdin):
        waiting.append(line)
        if len(waiting) == at_once:
            _write(translator, waiting, arguments)
    _write(translator, waiting, arguments)


def _write(translator: Translator, lines: list[str], arguments: argparse.Namespace) -> None:
    for translation in translator.translate(lines, beam=arguments.beam, copy_unknown=arguments.copy_unknown):
        print(translation)
    sys.stdout.flush()
    lines.clear()
