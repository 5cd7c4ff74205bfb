"""`rnncore contrast`: trains the nets on the tasks, prints the tables, draws the figure."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rnncore.contrast.measure import Result, measure
from rnncore.contrast.nets import NETS
from rnncore.contrast.tasks import tasks
from rnncore.tables.errors import InputError
from rnncore.tables.outputs import write_text, writing
from rnncore.text.files import check_outputs

__all__ = ["add_parser", "table"]


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to those of `rnncore`."""
    parser = commands.add_parser(
        "contrast",
        help="the same tasks by a recurrent, a feed-forward and a convolutional net",
        description=(
            "Train a recurrent net, a feed-forward net on a window and a convolutional net of about the same size on "
            "the same tasks, and print what each is worth. Needs scikit-learn and torch (rnncore[contrast])."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="holds JapaneseVowels_TRAIN.ts and _TEST.ts")
    parser.add_argument("--plot", type=Path, metavar="FIGURE.png")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--only", metavar="TEXT", help="only the tasks whose names hold this text, such as digits")
    parser.add_argument("--small", action="store_true", help="tiny tasks, to see whether all runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    try:
        import sklearn  # noqa: F401
        import torch
    except ImportError as error:
        raise InputError(f"{error}: pip install 'rnncore[contrast]'") from None
    check_outputs({"--plot": arguments.plot, "--json": arguments.json}, [])
    if arguments.data is not None and not (arguments.data / "JapaneseVowels_TRAIN.ts").exists():
        raise InputError(f"--data {arguments.data}: there is no JapaneseVowels_TRAIN.ts")
    torch.set_num_threads(1)
    results: list[Result] = []
    try:
        for task in tasks(arguments.data, small=arguments.small, seed=arguments.seed):
            if arguments.only is not None and arguments.only not in task.name:
                continue
            own = []
            for net in NETS:
                print(f"{task.name}: {net}", file=sys.stderr, flush=True)
                own.append(measure(task, net, seed=arguments.seed))
            print(table(task.name, task.simple, bool(task.classes), own), flush=True)
            results += own
    finally:  # Ctrl-C keeps what was measured
        if arguments.json is not None:
            write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n", arguments.json, "--json")
    if not results:
        raise InputError(f"--only {arguments.only}: no task has this in its name")
    if arguments.plot is not None:
        with writing("--plot", arguments.plot):
            figure(results, arguments.plot)


def table(name: str, simple: str, accuracy: bool, results: list[Result]) -> str:
    """Return one task's table, in Markdown."""
    lengths = sorted({length for result in results for length in result.longer})
    heads = ["net", "accuracy" if accuracy else "RMSE", *(f"at T = {length}" for length in lengths)]
    heads += ["parameters", "training, s of a core", "a step more, us", "kept after 10,000 steps, bytes"]
    lines = [f"\n{name} (simplest method: {simple})\n", f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for result in results:
        longer = [f"{result.longer[length]:.3f}" if length in result.longer else "cannot" for length in lengths]
        cells = [result.net, f"{result.score:.3f}", *longer, str(result.parameters), f"{result.training_seconds:.1f}"]
        cells += [f"{result.step_microseconds:.1f}", str(result.memory[10_000])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(results: list[Result], path: Path) -> None:
    """Draw the error of the adding problem by length, the time of a step by task, and memory by length."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(13, 4), layout="constrained")
    adding, steps, memory = drawn.subplots(1, 3)
    names = list(dict.fromkeys(result.task for result in results))
    for net in NETS:
        own = [result for result in results if result.net == net]
        sums = [result for result in own if result.task.startswith("adding")]
        adding.semilogy([int(r.task.rpartition(" ")[2]) for r in sums], [r.score for r in sums], "o-", label=net)
        steps.semilogy([names.index(r.task) for r in own], [r.step_microseconds for r in own], "o", label=net)
        memory.loglog(list(sums[0].memory), list(sums[0].memory.values()), "o-", label=net)
    adding.axhline(0.41, color="0.5", linestyle="--", label="always 1")
    adding.set(xlabel="steps T", ylabel="RMSE", title="the adding problem")
    steps.set_xticks(range(len(names)), names, rotation=25, ha="right", fontsize=8)
    steps.set(ylabel="microseconds", title="one more step, and its prediction")
    memory.set(xlabel="steps so far", ylabel="bytes", title="kept of a sequence to go on with it")
    for axes in (adding, steps, memory):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    drawn.savefig(path, dpi=120)
