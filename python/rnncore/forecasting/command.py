"""`rnncore forecast`: its options, its progress, and where results go."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnncore import datasets
from rnncore.forecasting import loaded, outputs, report
from rnncore.forecasting.run import Result, forecast
from rnncore.forecasting.settings import Settings
from rnncore.layers import CELL_KINDS
from rnncore.tables import InputError, read_table
from rnncore.tables.options import add_reading_options, check_outputs, reading_options
from rnncore.tables.outputs import as_csv, as_json, check_safetensors, text_path, words_stream, write_text
from rnncore.tables.wide import LAYOUTS, SERIES, VALUE

_UNITS = {"precipitation": "mm", "temp_max": "°C", "temp_min": "°C", "wind": "m/s"}  # of the data set that comes along
_DESCRIPTION = """\
Forecast a time series one to H steps ahead: a weighted mean of exponential smoothing, ridge regression and two kinds of
recurrent networks, with bands, where that is worth more than repeating the last value.

FILE is a CSV or Parquet file ("-" for standard input) with a column of time stamps and a numeric column to forecast;
other columns serve as covariates, known up to the step from which the forecast is made, or ahead where rows behind the
last value hold them. Without FILE the daily weather of New York is taken, 2012 to 2015. The end of the series is held
out, and the forecast is compared on it with repeating the last value, each season and what is usual for the time, and
with ridge regression. Nothing behind the split is used for fitting; then all is fitted again to everything.
"""


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the command to the command line, and return its parser."""
    parser = commands.add_parser(
        "forecast",
        help="forecast a time series from a CSV file",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="CSV or Parquet file, packed or not, - for standard input; default: daily weather of New York",
    )
    _add_data(parser.add_argument_group("data"))
    _add_model(parser.add_argument_group("model"))
    output = parser.add_argument_group("output")
    output.add_argument(
        "--plot", metavar="OUT.png", type=Path, help=f"figure (png, pdf or svg; default: {outputs.FIGURE})"
    )
    output.add_argument("--no-plot", action="store_true", help="draw no figure")
    output.add_argument("--json", metavar="OUT", help="write everything to this file, or to standard output for -")
    output.add_argument("--csv", metavar="OUT", help="write the forecasts past the end, - for standard output")
    output.add_argument("--scores", metavar="OUT", help="write errors by series, horizon and method as CSV, or -")
    output.add_argument("--quiet", action="store_true", help="show no progress")
    return parser  # type: ignore[no-any-return]


def _add_data(data: argparse._ArgumentGroup) -> None:
    data.add_argument("--target", metavar="COLUMN", help="what to forecast")
    add_reading_options(data)
    data.add_argument("--future", metavar="FILE", help="covariates of the steps ahead, in the columns of FILE")
    data.add_argument("--wide", choices=LAYOUTS, help="each numeric column, or each row, is a series of its own")
    data.add_argument("--season", metavar="STEPS", type=whole(2), help="length of the season; default: found")
    data.add_argument("--unit", metavar="UNIT", help="of the target, for the labels")
    data.add_argument("--test-from", metavar="TIME", help="score from here on; default: last full year or last quarter")
    data.add_argument("--cv", metavar="N", type=whole(1), help="score N windows of H steps at the end instead")


def _add_model(model: argparse._ArgumentGroup) -> None:
    defaults = Settings()
    model.add_argument("--horizon", metavar="H", type=whole(1), help=f"steps ahead (default: {defaults.horizon})")
    model.add_argument(
        "--level", metavar="PERCENT", type=_percent, action="append", help="of a band, may be repeated (80 and 95)"
    )
    model.add_argument("--cell", choices=sorted(CELL_KINDS), help=f"of the networks (default: {defaults.cell})")
    model.add_argument(
        "--hidden",
        metavar="UNITS",
        type=whole(1),
        help=f"of the network that carries its state (default: {defaults.hidden_size})",
    )
    model.add_argument(
        "--members",
        metavar="N",
        type=whole(0),
        help=f"networks of each kind whose forecasts are averaged (default: {defaults.members})",
    )
    model.add_argument("--epochs", metavar="N", type=whole(1), help=f"at most (default: {defaults.epochs})")
    model.add_argument("--seed", metavar="N", type=whole(0), help=f"default: {defaults.seed}")
    model.add_argument("--threads", metavar="N", type=whole(1), help=f"default: {defaults.num_threads}")
    model.add_argument(
        "--keep-scored", action="store_true", help="forecast with what was scored, do not fit again to everything"
    )
    model.add_argument("--save", metavar="FILE", type=Path, help="keep the fitted forecaster (a safetensors file)")
    model.add_argument("--load", metavar="FILE", type=Path, help="forecast from the end of FILE's rows with a kept one")


def run(arguments: argparse.Namespace) -> None:
    """Do the job with one file. Raises InputError for what the user can mend."""
    arguments.file = arguments.files[0] if arguments.files else None
    figure, no_figure = outputs.drawn_where(arguments)
    if arguments.save or arguments.load:
        check_safetensors("--save and --load")
    written = {
        "--plot": arguments.plot,
        "--json": text_path(arguments.json),
        "--save": arguments.save,
        "--csv": text_path(arguments.csv),
        "--scores": text_path(arguments.scores),
    }
    out = words_stream(json=arguments.json, csv=arguments.csv, scores=arguments.scores)
    check_outputs([arguments.file, arguments.future, arguments.load], written)
    if arguments.load is not None:
        loaded.run(arguments, figure, out)
        return
    settings = settings_of(arguments)
    table = read_table(datasets.weather() if arguments.file is None else arguments.file, arguments.decimal)
    result = forecast(table, settings, _progress(arguments), arguments.future)
    print("\n".join([*report.whole(result), ""]), file=out)
    if figure is not None:
        outputs.draw(result, figure)
        print(f"figure: {figure}", file=out)
    elif not arguments.no_plot:
        print(f"no figure: {no_figure}", file=out)
    _write(result, arguments, out)
    print(f"done in {result.seconds:.1f} s", file=out)


def _write(result: Result, arguments: argparse.Namespace, out: Any) -> None:
    texts: dict[str, tuple[str, Callable[[], str]]] = {
        "json": ("json", lambda: as_json(report.as_json(result))),
        "csv": ("forecasts", lambda: as_csv(report.forecast_rows(result))),
        "scores": ("scores", lambda: as_csv(report.score_rows(result))),
    }
    for option, (what, text) in texts.items():
        given = getattr(arguments, option)
        if given is not None:
            write_text(text(), text_path(given), f"--{option}")
            if given != "-":
                print(f"{what}: {given}", file=out)


def _progress(arguments: argparse.Namespace) -> Any:
    began = time.perf_counter()

    def tell(text: str) -> None:
        if not arguments.quiet:
            print(f"[{time.perf_counter() - began:5.1f} s] {text}", file=sys.stderr, flush=True)

    return tell


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return the settings, with what is known of the data set that comes along."""
    embedded = arguments.file is None
    target, unit, reading = arguments.target, arguments.unit, reading_options(arguments)
    if embedded:
        target = target or "temp_max"
        reading["group"] = reading["group"] or ["location"]
        reading["only"] = reading["only"] or (["New York"] if reading["group"] == ["location"] else [])
        unit = unit or _UNITS.get(target)
    if arguments.wide and (target or reading["group"]):
        raise InputError("--wide: every column or row is a series, so --target and --group have no meaning")
    if arguments.wide:
        target, reading["group"] = VALUE, [SERIES]
    if arguments.cv and arguments.test_from:
        raise InputError("--cv and --test-from exclude each other")
    told = {
        "horizon": arguments.horizon,
        "level": None if arguments.level is None else tuple(arguments.level),
        "cell": arguments.cell,
        "hidden_size": arguments.hidden,
        "members": arguments.members,
        "epochs": arguments.epochs,
        "seed": arguments.seed,
        "num_threads": arguments.threads,
    }
    return Settings(
        **reading,
        target=target,
        decimal=arguments.decimal,
        wide=arguments.wide,
        test_from=arguments.test_from,
        cv=arguments.cv,
        season=arguments.season,
        keep_scored=arguments.keep_scored,
        unit=unit or "",
        save=None if arguments.save is None else str(arguments.save),
        **{name: value for name, value in told.items() if value is not None},
    )


def whole(least: int) -> Callable[[str], int]:
    """Return what reads a whole number, at least so much."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number, at least {least}, got {text!r}")
        return value

    return read


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"expected percents above 0 and below 100, got {text!r}")
    return value
