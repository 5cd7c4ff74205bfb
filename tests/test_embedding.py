"""Programs in other languages, built against the installed library: the bits of Python's stream in each."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnncore

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
INCLUDE, LIBRARY = Path(rnncore.get_include()), Path(rnncore.get_library())
LINK = [f"-I{INCLUDE}", str(LIBRARY), f"-Wl,-rpath,{LIBRARY.parent}"]


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, **options).stdout


def compiler(name):
    found = shutil.which(name)
    assert found, f"these tests need {name}"
    return found


def trained(features, outputs, path, rows=1):
    """A model that has learned something in a few steps, and saved it."""
    model = rnncore.Sequential(
        rnncore.LSTM(features, 24, seed=0),
        rnncore.LayerNorm(24),
        rnncore.Linear(24, outputs, activation="tanh", seed=0),
    )
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 4, features))
    history = model.fit((x, np.tanh(x.mean(axis=2, keepdims=True)).repeat(outputs, 2)), epochs=3, progress=False)
    assert history.loss[-1] < history.loss[0]
    model.save(path)
    return model


# ---- the library itself


def declared():
    text = (INCLUDE / "rnncore" / "rnncore.h").read_text()
    return set(re.findall(r"^RNNCORE_API [^;]*?\b(rnncore_\w+)\(", text, re.MULTILINE))


def test_the_face_in_c_is_all_that_can_be_seen():
    lines = run("nm", "-D", "--defined-only", LIBRARY).decode().splitlines()
    seen = {line.split()[-1].partition("@")[0] for line in lines if line.split()[-2] != "A"}
    assert len(declared()) > 30
    assert seen == declared()
    dynamic = run("readelf", "-d", LIBRARY).decode()
    version = ".".join(rnncore.__version__.split(".")[:2])
    assert f"Library soname: [librnncore.so.{version}]" in dynamic
    assert LIBRARY.name == f"librnncore.so.{version}"
    assert "python" not in dynamic.lower()


def test_the_module_has_no_kernels_of_its_own():
    """They are in the shared library, once."""
    core = Path(rnncore._core.__file__)
    assert b"librnncore.so" in run("readelf", "-d", core)
    assert core.stat().st_size < LIBRARY.stat().st_size


def test_the_header_is_c99_and_cplusplus_and_says_who_may_call_what(tmp_path):
    for name, standard in (("cc", "c99"), ("c++", "c++11")):
        source = tmp_path / f"header.{name}"
        source.write_text('#include "rnncore/rnncore.h"\n#include "rnncore/rnncore.h"\nint one = RNNCORE_FLOAT32;\n')
        language = "c" if name == "cc" else "c++"
        run(
            compiler(name),
            f"-std={standard}",
            "-pedantic",
            "-Wall",
            "-Wextra",
            "-Werror",
            f"-I{INCLUDE}",
            "-x",
            language,
            "-c",
            source,
            "-o",
            tmp_path / "header.o",
        )


# ---- the examples


def numbers(array):
    return "".join(" ".join(f"{value:.9g}" for value in row) + "\n" for row in array).encode()


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """A model of three features, its inputs, and what Python's stream makes of them."""
    path = tmp_path_factory.mktemp("steps") / "model.safetensors"
    model = trained(3, 2, path)
    x = np.random.default_rng(1).normal(size=(50, 3)).astype("float32")
    stream = rnncore.Stream(model)
    return path, x, np.stack([stream.step(row) for row in x])


def test_c(steps, tmp_path):
    path, x, y = steps
    program = tmp_path / "run_steps"
    run(
        compiler("cc"),
        "-std=c99",
        "-pedantic",
        "-Wall",
        "-Wextra",
        "-Werror",
        EXAMPLES / "c" / "run_steps.c",
        *LINK,
        "-o",
        program,
    )
    assert run(program, path, input=numbers(x)) == numbers(y)
    refused = subprocess.run([program, tmp_path / "none"], capture_output=True, text=True, input="")
    assert refused.returncode == 1
    assert refused.stderr == f"cannot load: {tmp_path}/none: No such file or directory\n"
    check_lines(program, path)


def check_lines(*command):
    """Lines of too few numbers, of too many, and of something else are not taken for steps."""
    for lines in ("1 2 3\n4 5\n6 7 8\n", "1 2 3\n4 5 6 7\n", "1 2 3\n4 5 x\n", "1 2 3\n4 5"):
        refused = subprocess.run([str(part) for part in command], capture_output=True, text=True, input=lines)
        assert refused.returncode == 1
        assert refused.stderr == "line 2: expected 3 numbers\n"
        assert len(refused.stdout.splitlines()) == 1


def test_ctypes(steps):
    path, x, y = steps
    # -S: without the packages that are installed, NumPy among them
    assert run(sys.executable, "-S", EXAMPLES / "ctypes" / "run_steps.py", LIBRARY, path, input=numbers(x)) == numbers(
        y
    )
    check_lines(sys.executable, "-S", EXAMPLES / "ctypes" / "run_steps.py", LIBRARY, path)


def test_cplusplus_audio_effect(tmp_path):
    model = trained(1, 1, tmp_path / "model.safetensors")
    x = np.sin(np.arange(1000, dtype="float32") / 7)[:, None]
    program = tmp_path / "audio_effect"
    run(
        compiler("c++"),
        "-std=c++17",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        EXAMPLES / "cpp" / "audio_effect.cpp",
        *LINK,
        "-o",
        program,
    )
    done = subprocess.run([program, tmp_path / "model.safetensors"], input=x.tobytes(), capture_output=True, check=True)
    assert done.stdout == rnncore.Stream(model).run(x).tobytes()
    assert done.stderr == b"0 allocations in the callback\n"


def test_fortran_basins_go_on_from_a_saved_state(tmp_path):
    rows, days = 10_000, 3
    model = trained(2, 1, tmp_path / "model.safetensors")
    stream = rnncore.Stream(model, batch_size=rows)
    random = np.random.default_rng(2)
    stream.run(random.normal(size=(2, rows, 2)))  # spin-up in Python
    np.concatenate([array.ravel() for array in flat(stream.state)]).tofile(tmp_path / "state.f32")
    x = random.normal(size=(days, rows, 2)).astype("float32")
    x.tofile(tmp_path / "forcing.f32")
    source = EXAMPLES / "fortran"
    program = tmp_path / "basins"
    run(
        compiler("gfortran"),
        "-std=f2008",
        "-Wall",
        "-Werror",
        source / "rnncore.f90",
        source / "basins.f90",
        *LINK,
        "-o",
        program,
        cwd=tmp_path,
    )
    run(program, *("model.safetensors", rows, days, "state.f32", "forcing.f32", "discharge.f32"), cwd=tmp_path)
    y = np.fromfile(tmp_path / "discharge.f32", "float32").reshape(days, rows, 1)
    np.testing.assert_array_equal(y, stream.run(x))
    after = np.fromfile(tmp_path / "state.f32", "float32")
    np.testing.assert_array_equal(after, np.concatenate([array.ravel() for array in flat(stream.state)]))
    # the state of another number of basins: nothing is written
    other = ("model.safetensors", rows - 1, days, "state.f32", "forcing.f32", "none.f32")
    refused = subprocess.run([program, *map(str, other)], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 1
    assert f"the state has bytes: {after.nbytes}, expected: {after.nbytes // rows * (rows - 1)}\n" in refused.stderr
    assert (tmp_path / "state.f32").read_bytes() == after.tobytes()
    assert not (tmp_path / "none.f32").exists()


def flat(state):
    if isinstance(state, tuple):
        return [array for part in state for array in flat(part)]
    return list(state.arrays.values()) if isinstance(state, rnncore.State) else [state]
