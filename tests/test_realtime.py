"""A step neither allocates, locks nor calls the system; streams share their model's weights."""

import signal
import subprocess
from pathlib import Path

import pytest

from rnncore import LSTM, LayerNorm, Linear, Sequential
from test_c_calls import models
from test_embedding import LINK, compiler, run

SOURCE = Path(__file__).parent / "c" / "quiet_steps.c"


def test_the_memory_of_many_streams_is_that_of_their_states(tmp_path):
    """At most 1.1 times, and all of it comes back."""
    program = tmp_path / "many_streams"
    source = SOURCE.with_name("many_streams.c")
    run(compiler("cc"), "-std=gnu99", "-O1", "-Wall", "-Wextra", "-Werror", source, *LINK, "-o", program)
    for units, layers in ((32, 1), (256, 2)):
        model = Sequential(LSTM(8, units, layers, seed=0), LayerNorm(units), Linear(units, 4, seed=0))
        model.save(tmp_path / "model.safetensors")
        for count, rows in ((10_000, 1), (1, 10_000)):
            used, left = map(float, run(program, tmp_path / "model.safetensors", count, rows).split())
            assert 1 <= used <= 1.1, (units, count)
            assert left < 0.01, (units, count)  # the allocator keeps a few for the next call


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    program = tmp_path_factory.mktemp("realtime") / "quiet_steps"
    run(compiler("cc"), "-std=gnu99", "-O1", "-Wall", "-Wextra", "-Werror", SOURCE, *LINK, "-ldl", "-o", program)
    return program


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Every kind of model that streams."""
    folder, paths = tmp_path_factory.mktemp("models"), []
    for dtype in ("float32", "float64"):
        for name, model in models(dtype).items():
            if name != "both_ways":
                paths.append(folder / f"{name}_{dtype}.safetensors")
                model.save(paths[-1])
    return paths


def test_steps_allocate_lock_and_call_nothing(program, paths):
    done = subprocess.run([program, *paths], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == f"{2 * len(paths)} streams\n0 refused, 0 allocations, 0 locks\n"
    assert done.returncode == 0


@pytest.mark.parametrize(("option", "counted"), [
    ("--allocate", "0 refused, 2 allocations, 0 locks\n"),
    ("--lock", "0 refused, 0 allocations, 1 locks\n"),
])  # fmt: skip
def test_the_counts_count(option, counted, program, paths):
    assert run(program, option, paths[0]).decode().endswith(counted)


def test_a_system_call_ends_the_process(program, paths):
    done = subprocess.run([program, "--call", paths[0]], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "2 streams\n"
