"""Starts the programs of tests that several processes run, with a limit of time."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def run(command, seconds=240, cwd=None):
    """Run a command with one thread a process; return its exit code, output and errors, or fail after so long."""
    assert command[0], "the tests need mpiexec: pip install 'rnncore[test]'"
    quiet = {"HYDRA_LAUNCHER": "fork", "RNNCORE_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **quiet},
        cwd=cwd,
        start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, out, errors


def ranks(count, *task, seconds=240):
    """Let so many ranks do a task of ranks_program.py; return what each has to say, and the errors."""
    command = [MPIEXEC, "-n", count, sys.executable, HERE / "ranks_program.py", *task]
    code, out, errors = run(command, seconds)
    assert code == 0, errors
    return json.loads(out), errors
