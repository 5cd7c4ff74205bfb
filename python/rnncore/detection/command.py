"""`rnncore detect`: its options, and where results go."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnncore.detection import report
from rnncore.detection.detector import Detector
from rnncore.detection.faults import Fault
from rnncore.detection.follow import follow
from rnncore.detection.forecasters import FORECASTERS
from rnncore.detection.report import Job
from rnncore.detection.rows import Rows, read_rows
from rnncore.detection.seasonal import SEASONS
from rnncore.tables import InputError, load_table
from rnncore.tables.options import add_reading_options, check_outputs, reading_options
from rnncore.tables.outputs import as_json, check_figure, check_safetensors, load_kept, text_path, write_text, writing

_RATE, _RATE_OF_WEATHER = "1 per 1000 rows", "1 per year"
_DESCRIPTION = """\
Find faults in the signals of sensors: what deviates from its forecast, or leaves its usual range.

FILE is a CSV or Parquet file with a column a sensor, NaN or nothing where a value is missing. Its first half, or what
--train-until or --train-rows say, is the history that teaches what is normal; the rest is judged. Without FILE the
daily weather of New York is taken, with faults of five kinds put into its last two years by --seed.

With --follow rows are read from standard input as they come, and alarms written at once, as lines of JSON:

    tail -f pump.csv | rnncore detect --load pump.det --follow
"""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "detect",
        help="find faults in the signals of sensors",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("file", metavar="FILE", nargs="?", help="CSV or Parquet file; default: daily weather with faults put into it")
    add_reading_options(parser.add_argument_group("data"))
    add("--channels", metavar="COLUMN", action="append", help="watch this column (repeat it); default: all numbers")
    history = parser.add_mutually_exclusive_group()
    history.add_argument("--train-until", metavar="TIME", help="rows before it are the history")
    history.add_argument("--train-rows", metavar="N", type=int, help="so many rows are; default: half of them")
    add("--false-alarms", metavar="RATE", help=f"'1 per week', '2 per day' ...; default: {_RATE}")
    add("--forecaster", choices=tuple(FORECASTERS), default="network", help="default: %(default)s")
    add("--season", choices=tuple(SEASONS), help="what a row was so long before is one more forecast; default: none")
    add("--adapt", action="store_true", help="go on learning what is normal, slowly")
    add("--label", metavar="COLUMN", help="1 where there is a fault: alarms are scored against it")
    add("--seed", metavar="N", type=int, default=0, help="of networks and faults (default: %(default)s)")
    add("--follow", action="store_true", help="read rows from standard input, write alarms as they come")
    add("--state", metavar="FILE", type=Path, help="with --follow: where to go on after a restart")
    add("--every", metavar="N", type=int, default=100, help="rows between two savings of --state (default: 100)")
    add("--save", metavar="FILE", type=Path, help="keep the detector, as it stands behind the history")
    add("--load", metavar="FILE", type=Path, help="judge all rows with a kept detector")
    add("--plot", metavar="OUT.png", type=Path, help="figure (png, pdf or svg)")
    add("--json", metavar="OUT", help="write alarms and scores to this file, or to standard output for -")
    add("--csv", metavar="OUT", type=Path, help="write a row for each row: score, expected values, bands")


def run(arguments: argparse.Namespace) -> None:
    """Do the job. Raises InputError for what the user can mend."""
    _check(arguments)
    if arguments.follow:
        detector = _fit_for_following(arguments)
        follow(detector, sys.stdin, sys.stdout, sys.stderr, arguments.state, arguments.every)
        return
    job = _judge(arguments)
    out = sys.stderr if arguments.json == "-" else sys.stdout
    print("\n".join(report.lines(job)), file=out)
    if arguments.plot is not None:
        from rnncore.detection import figure

        with writing("--plot", arguments.plot):
            figure.draw(job, arguments.plot)
    if arguments.csv is not None:
        with writing("--csv", arguments.csv):
            report.write_csv(job, arguments.csv)
    if arguments.json is not None:
        write_text(as_json(report.as_json(job)), text_path(arguments.json), "--json")


def _check(arguments: argparse.Namespace) -> None:
    if arguments.save or arguments.load or arguments.state:
        check_safetensors("--save, --load and --state")
    if arguments.plot is not None:
        check_figure(arguments.plot)
    if arguments.follow and not (arguments.load or arguments.file or (arguments.state and arguments.state.exists())):
        raise InputError("--follow needs a detector: --load, a FILE to learn from, or a --state that is there")
    if arguments.state is not None and not arguments.follow:
        raise InputError("--state is for --follow")
    if arguments.every < 1:
        raise InputError(f"--every: expected at least 1, got {arguments.every}")
    outputs = {
        "--plot": arguments.plot,
        "--json": text_path(arguments.json),
        "--csv": arguments.csv,
        "--save": arguments.save,
    }
    check_outputs([arguments.file, arguments.load, arguments.state], outputs)


def _fit_for_following(arguments: argparse.Namespace) -> Detector:
    if arguments.state is not None and arguments.state.exists():
        return load_kept(Detector.load, arguments.state, "--state")
    if arguments.load is not None:
        return load_kept(Detector.load, arguments.load, "--load")
    rows, _ = _read(arguments)
    detector = _fit(arguments, rows, len(rows))
    if arguments.save is not None:
        with writing("--save", arguments.save):
            detector.save(arguments.save)
    return detector


def _read(arguments: argparse.Namespace) -> tuple[Rows, Any]:
    """Return the rows, and the labels where a column holds them."""
    table, reading = load_table(arguments.file, arguments.decimal), reading_options(arguments)
    label, channels = arguments.label, arguments.channels
    if label is None:
        return read_rows(table, channels=channels, **reading), None
    table.column(label, "--label")
    notes: tuple[str, ...] = ()
    if channels is None:
        every = read_rows(table, **reading)
        channels, notes = [name for name in every.names if name != label], every.notes
    rows = read_rows(table, channels=[*channels, label], **reading)
    labels = np.nan_to_num(rows.values[:, -1]) > 0
    values, told = np.ascontiguousarray(rows.values[:, :-1]), dict.fromkeys((*notes, *rows.notes))
    return replace(rows, values=values, names=rows.names[:-1], notes=tuple(told)), labels


def _fit(arguments: argparse.Namespace, rows: Rows, count: int) -> Detector:
    rate = arguments.false_alarms or (_RATE if arguments.file else _RATE_OF_WEATHER)
    options = {name: getattr(arguments, name) for name in ("forecaster", "season", "adapt", "seed")}
    return Detector(rate, **options).fit(rows.take(0, count))


def _judge(arguments: argparse.Namespace) -> Job:
    faults: list[Fault] = []
    if arguments.file is None:
        rows, faults = report.weather(arguments.seed)
        labels = None
    else:
        rows, labels = _read(arguments)
    if arguments.load is not None:
        detector, count = load_kept(Detector.load, arguments.load, "--load"), 0
        if rows.names != detector.channels_:
            table = load_table(arguments.file, arguments.decimal)
            rows = read_rows(table, channels=detector.channels_, **reading_options(arguments))
    else:
        count = _history(arguments, rows)
        detector = _fit(arguments, rows, count)
    if arguments.save is not None:
        with writing("--save", arguments.save):
            detector.save(arguments.save)
    if count >= len(rows):
        raise InputError(f"there is nothing left to judge: the history takes all {len(rows)} rows")
    scores = detector.score(rows.take(count, len(rows)))
    truth = [(asdict(fault) | {"channel": rows.names[fault.channel]}) for fault in faults]
    return Job(detector, rows, count, scores, truth, None if labels is None else labels[count:])


def _history(arguments: argparse.Namespace, rows: Rows) -> int:
    """Return how many rows are the history."""
    if arguments.train_rows is not None:
        if not 0 < arguments.train_rows < len(rows):
            raise InputError(f"--train-rows: expected 1 to {len(rows) - 1}, got {arguments.train_rows}")
        return int(arguments.train_rows)
    if arguments.train_until is not None:
        if rows.step is None:
            raise InputError("--train-until needs times, and the rows have none: say --train-rows")
        try:
            until = float(np.datetime64(arguments.train_until, "ns").astype(np.int64)) / 1e9
        except ValueError:
            raise InputError(f"--train-until: cannot read the time {arguments.train_until!r}") from None
        return int(np.searchsorted(rows.seconds, until))
    return len(rows) // 2
