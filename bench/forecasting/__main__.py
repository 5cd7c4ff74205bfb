"""Forecasts of rnncore and of peers on the same windows: python bench/forecasting [--sets ...] [--limit SECONDS].

Each peer runs in a process of its own with a time limit; errors, CPU seconds and memory go to results.json, which
`--write` turns into the table of docs/forecasting.md. M4 hourly and ETTh1 (--sets m4 etth1-96 ...) are scored by
their own rules.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from limits import run
from measure import measure
from peers import PEERS, applies
from protocols import PROTOCOLS, run_protocol
from sets import SETS

_NEAR = 0.06  # of the level
RESULTS = Path(__file__).with_name("results.json")
DOCUMENT = Path(__file__).parents[2] / "docs" / "forecasting.md"
BEGIN, END = "<!-- table: written by bench/forecasting -->", "<!-- end of the table -->"


def table(results: dict[str, Any]) -> list[str]:
    """Lines of Markdown: errors of every peer, the least in bold, then bands and cost, then the protocols."""
    lines = ["| RMSE (MAE) | " + " | ".join(PEERS) + " |", "| --- |" + " --- |" * len(PEERS)]
    bands = ["| bands | 80 % held, in the median series | 95 % held | interval score of 80 % | CPU s, MB |"]
    bands.append("| --- | --- | --- | --- | --- |")
    within = []
    for name in SETS:
        own = results.get(name)
        if not own:
            continue
        best = min((each["rmse"] for each in own["peers"].values() if "rmse" in each), default=0.0)
        cells = [_cell(own["peers"].get(peer, {}), best) for peer in PEERS]
        lines.append(f"| {own['title']} | {' | '.join(cells)} |")
        ours = own["peers"].get("rnncore", {})
        if "rmse" not in ours:
            continue
        within += [abs(ours["cover80"] - 0.8) <= _NEAR, abs(ours["cover95"] - 0.95) <= _NEAR]
        held = f"{ours['cover80']:.0%}, {ours['cover80_median_series']:.0%} | {ours['cover95']:.0%}"
        cost = f"{ours['seconds']:.0f}, {ours['megabytes']:.0f}"
        bands.append(f"| {own['title']} | {held} | {ours['winkler80']:.4g} | {cost} |")
    lines += ["", *bands]
    if within:
        lines += ["", f"{sum(within)} of {len(within)} bands are within {100 * _NEAR:.0f} points of their level."]
    told = {name: results[name] for name in PROTOCOLS if name in results}
    if told:
        lines += ["", "| protocol | measured |", "| --- | --- |"]
        lines += [f"| {name} | {', '.join(_measured(*item) for item in each.items())} |" for name, each in told.items()]
    return lines


def _cell(each: dict[str, Any], best: float) -> str:
    text = f"{each['rmse']:.4g} ({each['mae']:.4g})" if "rmse" in each else each.get("failed", "")
    return f"**{text}**" if each.get("rmse") == best else text


def _measured(name: str, value: Any) -> str:
    return f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=[*SETS, *PROTOCOLS])
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--limit", type=float, default=300.0, help="CPU seconds for one peer on one set")
    parser.add_argument("--before", action="store_true", help="cut the test parts off: to choose methods by")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--write", action="store_true", help="write the table into docs/forecasting.md")
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text()) if arguments.results.exists() else {}
    for name in arguments.sets:
        if name in PROTOCOLS:
            results[name] = run(run_protocol, (name,), 4 * arguments.limit)
            print(name, results[name], flush=True)
        else:
            problem = SETS[name]()
            title = f"{problem.name} ({problem.origin}), h = {problem.h}"
            own = results.setdefault(name, {"title": title, "peers": {}})
            for peer in (each for each in arguments.peers if applies(problem, each)):
                own["peers"][peer] = run(measure, (name, peer, arguments.before), arguments.limit)
                print(name, peer, own["peers"][peer], flush=True)
        arguments.results.write_text(json.dumps(results, indent=1) + "\n")
    if arguments.write:
        text = DOCUMENT.read_text()
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        DOCUMENT.write_text("\n".join([before + BEGIN, "", *table(results), "", END]) + after)


if __name__ == "__main__":
    main()
