"""python -m detection PART ... (from bench/): nab, tails, clean, faulty, peers, memory or speed; tables in Markdown."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=("nab", "tails", "clean", "faulty", "peers", "memory", "speed"))
    parser.add_argument("--nab", type=Path, help="the folder of the benchmark: data, labels, results")
    parser.add_argument("--forecaster", default="network", choices=("network", "ridge", "none"))
    parser.add_argument("--only", action="append", help="of peers, this one (repeat it)")
    parser.add_argument("--keep", type=Path, help="of peers, a folder for what each file gave: a run ended goes on")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part in ("nab", "tails", "peers") and arguments.nab is None:
            parser.error(f"{part} needs --nab")
        if part == "nab":
            from detection.nab import run

            lines = run(arguments.nab)
        elif part == "tails":
            from detection.tails import run as run_tails

            lines = run_tails(arguments.nab)
        elif part == "peers":
            from detection.peers import run as run_peers

            lines = run_peers(arguments.nab, arguments.only, arguments.keep)
        elif part == "memory":
            from detection.memory import run as run_memory

            lines = run_memory()
        elif part == "speed":
            from detection.speed import run as run_speed

            lines = run_speed()
        else:
            from detection import clean_and_faulty

            lines = getattr(clean_and_faulty, part)(arguments.forecaster, arguments.seeds)
        print(f"\n{part}\n\n" + "\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
