"""Counts the instructions of named kernels with Callgrind and prints them as a table.

    python bench/instructions.py build/bench/bench/rnncore_instructions >bench/instructions.md

The counts repeat exactly, so a regression shows as a difference of that file. They are those of the AVX2 kernels, since
Callgrind does not know AVX-512, and of the compiler named in the table.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HEADER = """# Instructions of the kernels

Counted by Callgrind; `python bench/instructions.py` writes this file. Instruction set avx2, float32, {compiler}.
They say nothing of latency and memory, but repeat exactly: a change of the kernels shows here.

| kernel | instructions | per | each |
| --- | ---: | --- | ---: |"""


def count(program: str, kernel: str) -> tuple[int, float, str]:
    """Instructions in measured(), how many things it did, and of what kind."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", "--toggle-collect=measured", f"--callgrind-out-file={out}"]
        environment = os.environ | {"RNNCORE_ISA": "avx2"}
        printed = subprocess.run(
            [*command, program, kernel], check=True, capture_output=True, text=True, env=environment
        ).stdout
        totals = re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)
    assert totals, "Callgrind has counted nothing"
    number, unit = printed.strip().split(" ", 1)
    return int(totals[1]), float(number), unit


def compiler(program: str) -> str:
    """The compiler and its version, as the program's .comment section has them."""
    comment = subprocess.run(
        ["readelf", "--string-dump=.comment", program], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"(GCC): .*?([0-9.]+)$|(clang) version ([0-9.]+)", comment, re.MULTILINE)
    return " ".join(part for part in found.groups() if part) if found else "an unknown compiler"


def main() -> None:
    program = sys.argv[1]
    kernels = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    print(HEADER.format(compiler=compiler(program)))
    for kernel in kernels:
        instructions, number, unit = count(program, kernel)
        print(f"| {kernel} | {instructions} | {unit} | {instructions / number:.4g} |", flush=True)


if __name__ == "__main__":
    main()
