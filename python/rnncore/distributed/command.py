"""`rnncore forecast` with many files: each is forecast by itself, by the workers of an engine."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnncore.distributed.engines import ENGINES
from rnncore.distributed.mapping import map_partitions
from rnncore.distributed.partitions import predict_partition
from rnncore.forecasting import command
from rnncore.forecasting.run import fit
from rnncore.forecasting.settings import Settings
from rnncore.tables import InputError
from rnncore.tables.options import check_outputs
from rnncore.tables.outputs import as_csv, text_path, write_text

_OF_ONE = ("plot", "json", "scores", "future", "cv", "test_from", "save")


def extend(parser: argparse.ArgumentParser) -> None:
    """Add to the command what many files ask for."""
    parser.set_defaults(run=run)
    many = parser.add_argument_group(
        "many files",
        "Several FILEs, or a folder of CSV or Parquet files: forecasts without scores, each file by itself",
    )
    many.add_argument("--engine", choices=tuple(ENGINES), help="what workers run on (default: joblib)")
    many.add_argument("--workers", metavar="N", type=command.whole(1), help="processes (default: one for each core)")
    many.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler that is there")
    many.add_argument("--output", metavar="FOLDER", type=Path, help="write a Parquet file for each FILE")


def run(arguments: argparse.Namespace) -> None:
    """Forecast one file with all that belongs to it, or many. Raises InputError for what the user can mend."""
    files: list[str] = arguments.files
    if arguments.engine is None and len(files) < 2 and not any(Path(name).is_dir() for name in files):
        for option in ("workers", "cluster", "output"):
            if getattr(arguments, option) is not None:
                raise InputError(f"--{option} is for many files: say --engine, or several FILEs")
        command.run(arguments)
        return
    _check(arguments)
    work: Any = functools.partial(forecast_file, settings=command.settings_of(_with_file(arguments)))
    if arguments.load is not None:
        work = functools.partial(predict_file, model=arguments.load, h=arguments.horizon, level=arguments.level)
    options = {"workers": arguments.workers, "cluster": arguments.cluster, "output": arguments.output, "retries": 0}
    try:
        found = map_partitions(files, work, arguments.engine or "joblib", **options)
    except ImportError as error:
        raise InputError(str(error)) from None
    if arguments.output is not None:
        print(f"forecasts: {len(found)} files in {arguments.output}")
        return
    rows = [list(found.columns), *found.astype(object).to_numpy().tolist()]
    write_text(as_csv(rows), text_path(arguments.csv), "--csv")
    if text_path(arguments.csv) is not None:
        print(f"forecasts: {arguments.csv}")
    elif not arguments.quiet:
        print(f"{found['file'].nunique()} files, {len(found)} forecasts", file=sys.stderr)


def forecast_file(path: str, settings: Settings) -> Any:
    """Fit to a file, and forecast what comes behind it: a frame with the file's name."""
    with _named(path):
        frame = fit(path, settings).predict(level=settings.level)
    frame.insert(0, "file", Path(path).name)
    return frame


def predict_file(path: str, model: Path, **options: Any) -> Any:
    """Forecast what comes behind a file with a kept forecaster: a frame with the file's name."""
    with _named(path):
        frame = predict_partition(path, model, **{name: value for name, value in options.items() if value is not None})
    frame.insert(0, "file", Path(path).name)
    return frame


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Let an error say in which file it is."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _check(arguments: argparse.Namespace) -> None:
    for option in _OF_ONE:
        if getattr(arguments, option) not in (None, False):
            raise InputError(f"--{option.replace('_', '-')} is for one FILE, got {len(arguments.files)} and an engine")
    if not arguments.files or "-" in arguments.files:
        raise InputError("--engine needs FILEs, or a folder of them")
    if arguments.csv is not None and arguments.output is not None:
        raise InputError("--csv and --output exclude each other")
    if arguments.cluster is not None and arguments.engine != "dask":
        raise InputError("--cluster is for --engine dask")
    inside = [str(each) for name in arguments.files if Path(name).is_dir() for each in Path(name).iterdir()]
    if arguments.load is not None and not arguments.load.is_file():
        raise InputError(f"--load: cannot read {arguments.load}: there is no such file")
    check_outputs([*arguments.files, *inside, arguments.load], {"--csv": text_path(arguments.csv)})
    if arguments.output is not None and any(
        Path(name).resolve() == arguments.output.resolve() for name in arguments.files
    ):
        raise InputError(f"--output: {arguments.output} is an input, which is never overwritten")
    if arguments.output is not None and arguments.output.is_file():
        raise InputError(f"--output: {arguments.output} is a file, expected a folder")


def _with_file(arguments: argparse.Namespace) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(arguments), "file": arguments.files[0]})
