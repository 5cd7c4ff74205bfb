"""PyTorch's number of threads holds for the engine too; modules are shared by threads, and processes fork."""

import subprocess
import sys
import threading

import pytest

from torch_case import draw, pair, torch


def numbers_printed_by(code, environment):
    options = {"check": True, "capture_output": True, "text": True, "timeout": 120}
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


@pytest.mark.parametrize("first", ["torch", "rnncore"])
def test_two_runtimes_of_openmp_are_two_threads_each_at_most_and_survive_a_fork(first):
    second = {"torch": "rnncore", "rnncore": "torch"}[first]
    code = f"""
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
"""
    environment = {"OMP_NUM_THREADS": "2", "PATH": ""}
    bare = "import os, torch; torch.set_num_threads(2); torch.mm(torch.ones(512, 512), torch.ones(512, 512)); "
    bare += "print(len(os.listdir('/proc/self/task')))"

    tasks, status = numbers_printed_by(code, environment)
    assert status == 0
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
