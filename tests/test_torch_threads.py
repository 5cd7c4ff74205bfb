"""PyTorch's number of threads holds for the engine too; modules are shared by threads, and processes fork."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from torch_case import draw, pair, torch

import rnncore  # isort: skip
from rnncore import _core  # isort: skip


def numbers_printed_by(code, environment):
    options = {"check": True, "capture_output": True, "text": True, "timeout": 300}
    return list(map(int, subprocess.run([sys.executable, "-c", code], env=environment, **options).stdout.split()))


def test_pytorchs_number_of_threads_holds():
    code = """
import os, torch, rnncore
before = len(os.listdir("/proc/self/task"))
torch.set_num_threads(1)
lstm = rnncore.torch.LSTM(128, 256)
lstm(torch.zeros(50, 32, 128))
print(len(os.listdir("/proc/self/task")) - before)
"""
    environment = {"RNNCORE_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "PATH": ""}
    assert numbers_printed_by(code, environment) == [0]


@pytest.fixture(scope="module")
def with_own_runtime(tmp_path_factory):
    """A copy of the package that brings a libgomp of its own under a name of its own, as a repaired wheel does."""
    root = tmp_path_factory.mktemp("wheel")
    module = Path(_core.__file__)
    shutil.copytree(Path(rnncore.__file__).parent, root / "rnncore", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(module, root / "rnncore")
    shutil.copytree(module.parent / "lib", root / "rnncore" / "lib", dirs_exist_ok=True)
    loaded = Path("/proc/self/maps").read_text().split()
    runtime = Path(next(path for path in loaded if "/libgomp" in path)).read_bytes()
    kernels = next((root / "rnncore" / "lib").glob("librnncore.so.*"))
    # Names of one length, so that nothing in the files moves.
    kernels.write_bytes(kernels.read_bytes().replace(b"libgomp.so.1\0", b"libgomq.so.1\0"))
    (kernels.parent / "libgomq.so.1").write_bytes(runtime.replace(b"libgomp.so.1\0", b"libgomq.so.1\0"))
    return root


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("first", ["torch", "rnncore"])
def test_two_runtimes_of_openmp_are_two_threads_each_at_most_and_survive_a_fork(first, own, request):
    second = {"torch": "rnncore", "rnncore": "torch"}[first]
    place = f"""
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "Editable" not in type(finder).__name__]
sys.path.insert(0, {str(request.getfixturevalue("with_own_runtime"))!r})
"""
    code = f"""{place if own else ""}
import os, {first}, {second}
import torch, rnncore
torch.set_num_threads(2)
lstm = rnncore.torch.LSTM(128, 256)
x = torch.ones(50, 32, 128)
y = lstm(x)[0].detach()
torch.mm(torch.ones(512, 512), torch.ones(512, 512))
print(len(os.listdir("/proc/self/task")))
child = os.fork()
if child == 0:
    same = bool((lstm(x)[0].detach().numpy() == y.numpy()).all())  # PyTorch's own threads are gone
    os._exit(0 if same else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(int("libgomq" in open("/proc/self/maps").read()))
"""
    environment = {"OMP_NUM_THREADS": "2", "PATH": ""}
    if own:  # the wheel's library finds it beside itself
        environment["LD_LIBRARY_PATH"] = str(request.getfixturevalue("with_own_runtime") / "rnncore" / "lib")
    bare = "import os, torch; torch.set_num_threads(2); torch.mm(torch.ones(512, 512), torch.ones(512, 512)); "
    bare += "print(len(os.listdir('/proc/self/task')))"

    tasks, status, two = numbers_printed_by(code, environment)
    assert status == 0
    assert two == own
    assert tasks <= numbers_printed_by(bare, environment)[0] + 2  # the engine's worker, and that of PyTorch's backward


def test_threads_may_share_a_module():
    _, ours = pair("lstm")
    x = draw("full", False)
    expected = ours(x)[0]
    wrong = []

    def work():
        for _ in range(20):
            y, _ = ours(x)
            y.sum().backward(inputs=[x])
            if not torch.equal(y, expected):
                wrong.append(y)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
