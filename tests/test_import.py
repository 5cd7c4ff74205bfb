"""What `import rnncore` costs and changes: a few milliseconds, no module but NumPy's, no floating-point mode."""

import platform
import subprocess
import sys
from collections.abc import Callable
from textwrap import dedent

import pytest


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", dedent(code)], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.alone
def test_the_import_takes_under_60_ms_beyond_numpy(record_testsuite_property: Callable[[str, object], None]) -> None:
    code = """
        import numpy, time
        begin, cpu = time.perf_counter(), time.process_time()
        import rnncore
        print(1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - begin))
    """
    cpu, elapsed = (
        min(times) for times in zip(*([float(ms) for ms in run(code).split()] for _ in range(9)), strict=True)
    )
    print(f"import rnncore: {elapsed:.1f} ms beyond NumPy, {cpu:.1f} ms of them computing (best of 9)")
    record_testsuite_property("import_ms", round(elapsed, 1))
    assert cpu < 60  # elapsed time depends on what else the machine does


def test_the_import_loads_no_third_party_module_but_numpy() -> None:
    code = """
        import sys, sysconfig
        from pathlib import Path
        before = set(sys.modules)
        import rnncore, numpy
        homes = [Path(module.__file__).parent for module in (rnncore, numpy)]
        site = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
        for name in sorted(set(sys.modules) - before):
            path = Path(getattr(sys.modules[name], "__file__", None) or "/")
            if any(path.is_relative_to(s) for s in site) and not any(path.is_relative_to(home) for home in homes):
                print(name, end=" ")
    """
    assert run(code) == ""


# fegetenv fills a fenv_t; its control fields, without the flags of exceptions that have happened.
CONTROL = """
import ctypes, ctypes.util, platform, struct
libm = ctypes.CDLL(ctypes.util.find_library("m"))
def control():
    state = ctypes.create_string_buffer(64)
    assert libm.fegetenv(state) == 0
    if platform.machine() in ("x86_64", "AMD64"):
        x87, mxcsr = struct.unpack_from("<H", state, 0)[0], struct.unpack_from("<I", state, 28)[0]
        return x87, mxcsr & ~0x3F
    return struct.unpack_from("<I", state, 0)
"""


@pytest.mark.parametrize("call", ["", "rnncore.LSTM(3, 8, seed=0)(x)", "g = rnncore.GRU(3, 8); g.forward(x)"])
def test_the_floating_point_control_word_is_left_alone(call: str) -> None:
    code = f"""{CONTROL}
import sys, numpy
x = numpy.full((50, 4, 3), 1e-40, dtype="float32")
before = control()
import rnncore
{call}
assert control() == before, (control(), before)
assert sys.float_info.min / 2 != 0
assert (numpy.full(8, 1e-40, dtype="float32") / 2 != 0).all()
print(*before)
"""
    words = run(code).split()
    assert len(words) == (2 if platform.machine() in ("x86_64", "AMD64") else 1)
