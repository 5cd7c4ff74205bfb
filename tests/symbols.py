"""Reads compiled code: what an instruction set's kernels share with others, which nothing but the C library may be.

Two sources compiled with different -m flags that both contain an inline function or a template of one name leave the
linker to keep either copy. Found in two ways: in object files, before the linker chose (shared_symbols, which ctest
runs over the objects), and in a linked library, from what is left (code_outside_its_set, calls_between_sets).
"""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

SETS = ("baseline", "avx2", "avx512", "neon")
WIDE = {"avx2", "avx512"}
# Neither inline nor templates: compiled once, for every processor.
OF_ALL = {"_ZN7rnncore6cachesEv", "_ZN7rnncore9amx_tilesEv"}

# A function's name holds its set as a namespace (mangled: 4avx2, 10Eigen_avx2) or as in kernels_avx2_float.
_NAMED = re.compile("|".join(rf"(?<=\d){name}|(?<=_){name}" for name in SETS))
_FUNCTION = re.compile(r"^[0-9a-f]+ <(\S+)>:$")
# An instruction of interest: one that begins with v, or a call or jump to <a function>.
_INSTRUCTION = re.compile(r"^ +[0-9a-f]+:\t(?:(v\S+)|(?:j|call|b)\S* +[0-9a-f]+ <([^+>]+))")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def set_of(function: str) -> str | None:
    """The one instruction set that a (mangled) name belongs to."""
    names = set(_NAMED.findall(function))
    return names.pop() if len(names) == 1 else None


def shared_symbols(objects: Mapping[str, Iterable[Path]]) -> dict[str, set[str]]:
    """Symbols defined by the objects of more than one group, and by which; groups are the sets and the rest."""
    owners: dict[str, set[str]] = defaultdict(set)
    for group, files in objects.items():
        for file in files:
            for line in _run("nm", "--extern-only", "--defined-only", "--format=posix", str(file)).splitlines():
                owners[line.split()[0]].add(group)
    # The personality routine's address is data, the same in all of them.
    return {name: groups for name, groups in owners.items() if len(groups) > 1 and not name.startswith("DW.ref.")}


@cache
def _functions(library: Path) -> dict[str, tuple[bool, frozenset[str]]]:
    """Each function's (mangled) name, whether it has AVX instructions, and the functions that it calls or jumps to.

    On x86-64 AVX instructions (VEX or EVEX) are those whose mnemonic begins with a v.
    """
    vector: dict[str, bool] = defaultdict(bool)
    targets: dict[str, set[str]] = defaultdict(set)
    function = ""
    for line in _run("objdump", "--disassemble", "--no-show-raw-insn", str(library)).splitlines():
        if found := _INSTRUCTION.match(line):
            if found[1]:
                vector[function] = True
            elif found[2] and found[2] != function:
                targets[function].add(found[2])
        elif found := _FUNCTION.match(line):
            function = found[1]
            vector[function] = False
    return {name: (vector[name], frozenset(targets[name])) for name in vector}


def sets_in(library: Path) -> set[str]:
    """Instruction sets that some function of the library belongs to."""
    return {name for name in map(set_of, _functions(library)) if name}


def code_outside_its_set(library: Path) -> set[str]:
    """Functions with AVX instructions whose name does not say that they belong to a set that has them."""
    return {name for name, (vector, _) in _functions(library).items() if vector and set_of(name) not in WIDE}


def calls_between_sets(library: Path) -> set[tuple[str, str]]:
    """Calls from a set's function to anything but the same set's functions, other libraries' and those of all."""
    return {
        (name, target)
        for name, (_, targets) in _functions(library).items()
        if (caller := set_of(name))
        for target in targets
        if not target.endswith("@plt") and target not in OF_ALL and set_of(target) != caller
    }


def main(arguments: list[str]) -> int:
    """Check objects given as group=path."""
    objects: dict[str, list[Path]] = defaultdict(list)
    for argument in arguments:
        group, path = argument.split("=", 1)
        objects[group].append(Path(path))
    shared = shared_symbols(objects)
    for name, groups in sorted(shared.items()):
        print(f"{name} is defined by {', '.join(sorted(groups))}")
    print(f"{sum(map(len, objects.values()))} objects in {len(objects)} groups share {len(shared)} symbols")
    return 1 if shared or len(objects) < 2 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
