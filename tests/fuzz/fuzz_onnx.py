"""fuzz_onnx.py <seconds> [seed]: tries the reader of ONNX files on changed ones; exit code 1 at the first fault.

A file is read, or refused by FormatError, within ten seconds and 2 GB. What is read has to compute what ONNX Runtime
computes of the same file, where that takes it too. A file at fault is left in the working folder.
"""

import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from onnx_case import ROWS, STEPS, attempt, changed_bytes, changed_graph, corpus, input_of

MEMORY = 2 << 30  # bytes beyond those in use at the start
SECONDS = 10
TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}


def theirs(content: bytes, model: object) -> np.ndarray | None:
    """Return what ONNX Runtime makes of the file and the input of `input_of`, None where it does not take them."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        feed = {}
        for value in session.get_inputs():
            if value.name == "lengths":
                feed[value.name] = np.full(ROWS, STEPS, np.int32)
            elif feed:  # a state, zero as the model's own
                feed[value.name] = np.zeros(
                    [size if isinstance(size, int) else ROWS for size in value.shape], np.float32
                )
            else:
                feed[value.name] = input_of(model).astype(TYPES[value.type])
        names = [value.name for value in session.get_outputs()]
        results = session.run(names, feed)
    except Exception:  # whatever it does not like
        return None
    return results[0]


def theirs_apart(content: bytes, model: object) -> np.ndarray | None:
    """Ask in a process of its own: a changed file may end the one that ONNX Runtime reads it in."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "wb") as answer:
            pickle.dump(theirs(content, model), answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        told = answer.read()
    return pickle.loads(told) if os.waitpid(child, 0)[1] == 0 else None


def main() -> int:
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    rng, contents, begin = np.random.default_rng(seed), corpus(), time.monotonic()
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, in_use + MEMORY))
    tried = read = compared = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        while time.monotonic() - begin < seconds:
            change = changed_graph if tried % 2 else changed_bytes
            content = change(rng, contents[int(rng.integers(len(contents)))])
            tried += 1
            signal.alarm(SECONDS)
            try:
                model = attempt(content, path)
                if model is not None:
                    read += 1
                    y, _ = model(input_of(model))
                    expected = theirs_apart(content, model) if change is changed_graph else None
                    if expected is not None and np.isfinite(expected).all():
                        np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)
                        compared += 1
            except BaseException:
                Path(f"fault-{seed}-{tried}.onnx").write_bytes(content)
                raise
            signal.alarm(0)
    print(f"{tried} files, {read} read, {compared} compared with ONNX Runtime, no fault")
    return 0


if __name__ == "__main__":
    sys.exit(main())
