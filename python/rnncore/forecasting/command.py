"""`rnncore forecast`: its options, its progress, and where results go."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

from rnncore import datasets
from rnncore.forecasting import report
from rnncore.forecasting.errors import InputError
from rnncore.forecasting.run import Result, forecast
from rnncore.forecasting.settings import Settings
from rnncore.tables import Table, read_table
from rnncore.tables.options import add_reading_options, check_outputs, check_writable, reading_options

_FIGURE = "rnncore-forecast.png"
_FORMATS = (".pdf", ".png", ".svg")
_UNITS = {"precipitation": "mm", "temp_max": "°C", "temp_min": "°C", "wind": "m/s"}  # of the data set that comes along
_DESCRIPTION = """\
Train a recurrent network on a time series and forecast it one to H steps ahead.

FILE is a CSV file with a header, a column of time stamps and a numeric column to forecast; other columns serve as
covariates, each known up to the step from which the forecast is made. Without FILE the daily weather of New York is
taken, 2012 to 2015. The end of the series is held out, and the network is compared on it with repeating the last
value, the climatology, and ridge regression on the same inputs. Nothing behind the split is used for training.
"""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "forecast",
        help="forecast a time series from a CSV file",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    defaults = Settings()
    parser.set_defaults(run=run)
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="CSV or Parquet file, packed or not, - for standard input; default: daily weather of New York",
    )
    data = parser.add_argument_group("data")
    data.add_argument("--target", metavar="COLUMN", help="what to forecast")
    add_reading_options(data)
    data.add_argument("--season", metavar="STEPS", type=_real(4), help="length of a season that the calendar lacks")
    data.add_argument("--unit", metavar="UNIT", help="of the target, for the labels")
    data.add_argument("--test-from", metavar="TIME", help="score from here on; default: last full year or last quarter")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--horizon", metavar="H", type=_whole(1), default=defaults.horizon, help="steps ahead (default: %(default)s)"
    )
    network.add_argument("--cell", choices=("lstm", "gru", "rnn"), default=defaults.cell, help="default: %(default)s")
    network.add_argument(
        "--hidden", metavar="UNITS", type=_whole(1), default=defaults.hidden_size, help="default: %(default)s"
    )
    network.add_argument(
        "--members",
        metavar="N",
        type=_whole(1),
        default=defaults.members,
        help="networks whose forecasts are averaged (default: %(default)s)",
    )
    network.add_argument(
        "--epochs", metavar="N", type=_whole(1), default=defaults.epochs, help="at most (default: %(default)s)"
    )
    network.add_argument("--seed", metavar="N", type=_whole(0), default=defaults.seed, help="default: %(default)s")
    network.add_argument(
        "--threads", metavar="N", type=_whole(1), default=defaults.num_threads, help="default: %(default)s"
    )
    network.add_argument("--save", metavar="FILE", type=Path, help="keep the trained networks (a safetensors file)")
    network.add_argument(
        "--load", metavar="FILE", type=Path, help="forecast with kept networks, whose options are those of the file"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--plot", metavar="OUT.png", type=Path, help=f"figure (png, pdf or svg; default: {_FIGURE})")
    output.add_argument("--no-plot", action="store_true", help="draw no figure")
    output.add_argument("--json", metavar="OUT", help="write everything to this file, or to standard output for -")
    output.add_argument("--quiet", action="store_true", help="show no progress")


def run(arguments: argparse.Namespace) -> None:
    """Do the job. Raises InputError for what the user can mend."""
    figure = _figure_path(arguments)
    json_path = None if arguments.json in (None, "-") else Path(arguments.json)
    if (arguments.save or arguments.load) and importlib.util.find_spec("safetensors") is None:
        raise InputError("--save and --load need safetensors: pip install 'rnncore[io]'")
    outputs = {"--plot": arguments.plot and figure, "--json": json_path, "--save": arguments.save}
    check_outputs([arguments.file, arguments.load], outputs)
    no_figure = "matplotlib is missing (pip install 'rnncore[apps]')"
    if figure is not None and arguments.plot is None:
        try:
            check_writable(figure, "--plot")
        except InputError as error:  # nobody asked for it
            figure, no_figure = None, str(error).partition(": ")[2]
    table, settings = _input(arguments)
    out = sys.stderr if arguments.json == "-" else sys.stdout
    began = time.perf_counter()

    def tell(text: str) -> None:
        if not arguments.quiet:
            print(f"[{time.perf_counter() - began:5.1f} s] {text}", file=sys.stderr, flush=True)

    result = forecast(table, settings, tell)
    print("\n".join([*report.whole(result), ""]), file=out)
    if figure is not None:
        _draw(result, figure)
        print(f"figure: {figure}", file=out)
    elif not arguments.no_plot:
        print(f"no figure: {no_figure}", file=out)
    if arguments.json is not None:
        _write_json(result, json_path)
        if json_path is not None:
            print(f"json: {json_path}", file=out)
    print(f"done in {result.seconds:.1f} s", file=out)


def _input(arguments: argparse.Namespace) -> tuple[Table, Settings]:
    """Return the table, and the settings, with what is known of the data set that comes along."""
    embedded = arguments.file is None
    target, unit, reading = arguments.target, arguments.unit, reading_options(arguments)
    if embedded:
        target = target or "temp_max"
        reading["group"] = reading["group"] or ["location"]
        reading["only"] = reading["only"] or (["New York"] if reading["group"] == ["location"] else [])
        unit = unit or _UNITS.get(target)
    settings = Settings(
        **reading,
        target=target,
        test_from=arguments.test_from,
        horizon=arguments.horizon,
        season=arguments.season,
        cell=arguments.cell,
        hidden_size=arguments.hidden,
        members=arguments.members,
        epochs=arguments.epochs,
        seed=arguments.seed,
        num_threads=arguments.threads,
        unit=unit or "",
        save=None if arguments.save is None else str(arguments.save),
        load=None if arguments.load is None else str(arguments.load),
    )
    return read_table(datasets.weather() if embedded else arguments.file, arguments.decimal), settings


def _figure_path(arguments: argparse.Namespace) -> Path | None:
    """Return where to draw, None for nowhere. matplotlib is asked for only if the user wants a figure by name."""
    if arguments.no_plot:
        if arguments.plot is not None:
            raise InputError("--plot and --no-plot exclude each other")
        return None
    if importlib.util.find_spec("matplotlib") is None:
        if arguments.plot is not None:
            raise InputError("--plot needs matplotlib: pip install 'rnncore[apps]'")
        return None
    path = arguments.plot or Path(_FIGURE)
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"--plot: the name has to end in one of {', '.join(_FORMATS)}, got {path.name!r}")
    return Path(path)


def _draw(result: Result, path: Path) -> None:
    from rnncore.forecasting import figure

    try:
        figure.draw(result, path)
    except OSError as error:
        raise InputError(f"--plot: cannot write {path}: {error.strerror or error}") from None


def _write_json(result: Result, path: Path | None) -> None:
    text = json.dumps(report.as_json(result), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    if path is None:
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--json: cannot write {path}: {error.strerror or error}") from None


class _whole:  # noqa: N801  argparse prints the name of a type
    """A whole number, at least so much."""

    def __init__(self, least: int) -> None:
        self.least = least

    def __call__(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = self.least - 1
        if value < self.least:
            raise argparse.ArgumentTypeError(f"expected a whole number, at least {self.least}, got {text!r}")
        return value


class _real(_whole):  # noqa: N801
    """A number, at least so much."""

    def __call__(self, text: str) -> Any:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not self.least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"expected a number, at least {self.least}, got {text!r}")
        return value
