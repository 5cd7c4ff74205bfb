"""Threads of NumPy's matrix products: they busy-wait, which on a machine with other work costs more than it gains."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """Let NumPy's BLAS use so many threads for a while; nothing changes where threadpoolctl is not installed."""
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        yield
        return
    with threadpoolctl.threadpool_limits(count, user_api="blas"):
        yield
