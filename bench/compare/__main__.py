"""rnncore beside its peers and beside itself: torch, ONNX Runtime and JAX, whichever is installed.

    python bench/compare [--set peers threads ragged float64 fit fleet torch few short precision]
                         [--mode infer train step]
                         [--grid smoke|small|full] [--threads 1|2] [--dtype float32|float64] [--rounds 5] [--fastest]
                         [--json OUT.jsonl]
    python bench/compare --show OUT.jsonl ... [--plot OUT.png]

One long-lived process per engine, pinned to the same cores, called in turns (A B C A B C ...), and what the machine can
do at most in the same turns, from rnncore_peak (cmake --preset bench). A sample is as many calls as last 1 ms, a turn
at least 0.1 s of samples; a row is the median over the rounds of the medians over the samples, or with --fastest the
fastest round, where a machine's other guests slow all down for minutes. Before they are timed the engines have to agree
on the result. --show prints the tables again, --plot draws the speed-ups, from runs that --json has kept.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import report
from cases import MODES, PEERS, SETS, cases, contenders, ratio

PEAK = Path(__file__).resolve().parents[2] / "build" / "bench" / "bench" / "rnncore_peak"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", choices=SETS, default=["peers"], dest="sets")
    parser.add_argument("--mode", nargs="+", choices=MODES, default=list(MODES), dest="modes")
    parser.add_argument("--grid", choices=["smoke", "small", "full"], default="small")
    parser.add_argument("--engines", nargs="*", choices=PEERS, help="peers; by default those that are installed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fastest", action="store_true", help="take each one's fastest round, not the median")
    parser.add_argument("--peak", help="path of rnncore_peak, by default that of the preset bench")
    parser.add_argument("--json", help="append one JSON object a row")
    parser.add_argument("--show", nargs="+", help="rows of earlier runs: nothing is measured")
    parser.add_argument("--plot", help="with --show: where to draw the speed-ups")
    return parser.parse_args()


def load(paths: list[str]) -> list[dict[str, Any]]:
    rows = [json.loads(text) for path in paths for text in Path(path).read_text().splitlines()]
    return [row for row in rows if "set" in row]


def machine() -> dict[str, Any]:
    """What a table has to say about where it comes from."""
    import rnncore

    info = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    versions = {}
    for package in ("rnncore", "numpy", *PEERS):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "isa": rnncore.show_config(mode="dicts")["isa"],
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions,
    }


def run(options: argparse.Namespace) -> None:
    from engines import installed
    from measure import Engine, Limits, measure

    available = sorted(os.sched_getaffinity(0))
    asked = PEERS if options.engines is None else options.engines
    peers = tuple(name for name in asked if installed(name) or options.engines is not None)
    peak = options.peak if options.peak is not None else (str(PEAK) if PEAK.is_file() else "")
    if not peak:
        print("no limits without rnncore_peak (cmake --preset bench && cmake --build --preset bench)", file=sys.stderr)
    statistic = "fastest round" if options.fastest else "median of the rounds"
    about = machine()
    print(f"{about['cpu']}, {about['isa']}, {options.threads} thread(s), {options.dtype}, {about['versions']}")
    if options.json:
        with Path(options.json).open("a") as file:
            file.write(json.dumps({**about, "threads": options.threads}) + "\n")
    os.environ["RNNCORE_ISA"] = about["isa"]  # rnncore_peak and all workers take the same
    limits = Limits(peak, options.threads, available[-options.threads :])
    engines: dict[tuple[str, int], Engine] = {}
    rows = []
    for which in options.sets:
        players = contenders(which, options.threads, options.dtype, peers)
        for key in {(player.engine, player.threads) for player in players} - engines.keys():
            engines[key] = Engine(*key, cores=available[-key[1] :])
        labels = [player.label for player in players]
        print(f"\n{report.title(which, statistic)}\n\n{report.header(labels)}", flush=True)
        before = len(rows)
        for case in cases(which, options.modes, options.grid):
            measured = measure(case, players, engines, limits, options.rounds, options.fastest)
            row = {"set": which, "threads": options.threads, "statistic": statistic, **measured}
            row["ratio"] = ratio(which, row)
            rows.append(row)
            print(report.line(row, labels), flush=True)
            if options.json:
                with Path(options.json).open("a") as file:
                    file.write(json.dumps(row) + "\n")
        print("", *report.summary(rows[before:]), sep="\n", flush=True)
    for engine in engines.values():
        engine.close()


def main() -> None:
    options = arguments()
    if options.show:
        rows = load(options.show)
        report.show(rows)
        if options.plot:
            report.plot(rows, options.plot)
        return
    run(options)


if __name__ == "__main__":
    main()
