"""No code of one instruction set is reached from another: merged templates crash processors that lack the set."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

import rnncore
from symbols import calls_between_sets, code_outside_its_set, sets_in, shared_symbols

LIBRARY = Path(rnncore.get_library())
X86 = platform.machine() in ("x86_64", "AMD64")


def test_every_set_is_in_the_library() -> None:
    assert sets_in(LIBRARY) == ({"baseline", "avx2", "avx512"} if X86 else {"neon"})


def test_avx_code_stands_in_functions_of_its_set() -> None:
    assert code_outside_its_set(LIBRARY) == set()


def test_no_set_calls_code_of_another() -> None:
    assert calls_between_sets(LIBRARY) == set()


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Objects of two sets, and libraries of them, that share an inline function outside the sets' namespaces."""
    folder = tmp_path_factory.mktemp("merged")
    source = folder / "kernel.cpp"
    source.write_text("""
        [[gnu::noinline]] inline void add(float* a, const float* b) { for (int i = 0; i < 64; ++i) a[i] += b[i]; }
        namespace SET { [[gnu::noinline]] float run(float* a, const float* b) { add(a, b); return a[1]; } }
    """)
    compiler = shutil.which("c++")
    assert compiler, "these tests need the compiler that built the package"
    flags = {"baseline": [], "avx2": ["-mavx2"]} if X86 else {"baseline": [], "neon": []}
    objects = {}
    for name, machine in flags.items():
        objects[name] = [folder / f"{name}.o"]
        command = [compiler, "-O3", "-fPIC", "-fvisibility=hidden", *machine, f"-DSET={name}", "-c", str(source)]
        subprocess.run([*command, "-o", str(objects[name][0])], check=True)
    for first, second in (list(objects), list(objects)[::-1]):
        files = [str(objects[name][0]) for name in (first, second)]
        subprocess.run([compiler, "-shared", "-o", str(folder / f"{first}_first.so"), *files], check=True)
        objects[f"{first} first"] = [folder / f"{first}_first.so"]
    return objects


def test_a_shared_inline_function_is_found_in_objects(merged: dict[str, list[Path]]) -> None:
    objects = {name: files for name, files in merged.items() if "first" not in name}
    assert [name for name in shared_symbols(objects) if "add" in name]


def test_a_merged_inline_function_is_found_in_a_library(merged: dict[str, list[Path]]) -> None:
    for name, (library,) in merged.items():
        if "first" in name:
            assert any("add" in callee for _, callee in calls_between_sets(library)), name
    if X86:
        (library,) = merged["avx2 first"]
        assert any("add" in function for function in code_outside_its_set(library))
