"""Threads and the build: what the engine runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rnncore import _core
from rnncore.arguments import MOST_THREADS, check_size


def set_num_threads(num_threads: int) -> None:
    """Let every later call use at most so many threads, unless the call itself says otherwise.

    Results do not depend on it. Raises ValueError below 1.

    >>> import rnncore
    >>> before = rnncore.get_num_threads()
    >>> rnncore.set_num_threads(1)
    >>> rnncore.get_num_threads()
    1
    >>> rnncore.set_num_threads(before)
    """
    _core.set_num_threads(check_size("num_threads", num_threads, 1, MOST_THREADS))


def get_num_threads() -> int:
    """Return the number of threads that a call may use; at first that of the processors this process may run on.

    >>> import rnncore
    >>> rnncore.get_num_threads() >= 1
    True
    """
    return _core.get_num_threads()


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Print the build and the instruction set in use, or return both as a dict for mode="dicts".

    The environment variable RNNCORE_ISA, read at import, chooses another of the available instruction sets. ``caches``
    are the sizes in bytes of the processor's first, second and third cache, by which the engine chooses its blocks;
    RNNCORE_CACHES=48,2048,32768 (in KB, read at import) says otherwise, and changes no result. ``amx`` tells whether
    layers in precision "bf16" multiply on the tiles of AMX: the processor has them, the system lets this process use
    them, the instruction set in use is avx512, and RNNCORE_AMX is not 0.

    >>> import rnncore
    >>> "isa" in rnncore.show_config(mode="dicts")
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"mode should be 'stdout' or 'dicts', got {mode!r}")
    config = _core.config()
    if mode == "dicts":
        return config
    for name, value in config.items():
        print(f"{name}: {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}")
    return None


def get_include() -> str:
    """Return the folder of the C header: compile with -I and this, and include "rnncore/rnncore.h".

    >>> import os, rnncore
    >>> os.path.isfile(os.path.join(rnncore.get_include(), "rnncore", "rnncore.h"))
    True
    """
    return str(Path(_core.__file__).parent / "include")


def get_library() -> str:
    """Return the file of the shared C library, which links against nothing of Python: name it to the linker.

    ``cc main.c -I"$include" "$library" -Wl,-rpath,"$(dirname "$library")"``; docs/embedding.md has the rest.

    >>> import ctypes, rnncore
    >>> library = ctypes.CDLL(rnncore.get_library())
    >>> library.rnncore_version.restype = ctypes.c_char_p
    >>> library.rnncore_version().decode() == rnncore.__version__
    True
    """
    return str(next((Path(_core.__file__).parent / "lib").glob("librnncore.*")))
