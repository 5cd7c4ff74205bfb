"""A function in a process of its own, with a limit of CPU seconds."""

from __future__ import annotations

import multiprocessing
import queue
import resource
import signal
from typing import Any


def run(target: Any, arguments: tuple[Any, ...], limit: float) -> dict[str, Any]:
    """Result of a function in another process of so many CPU seconds at most, or what went wrong."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=limited, args=(target, arguments, limit, out))
    process.start()
    while True:
        try:
            found = out.get(timeout=1.0)
            break
        except queue.Empty:
            if not process.is_alive() and out.empty():
                slow = process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL)
                found = {"failed": f"over {limit:.0f} s" if slow else "error"}
                break
    process.join()
    return found


def limited(target: Any, arguments: tuple[Any, ...], limit: float, out: Any) -> None:
    """In the other process: the limit is of CPU seconds, so that a busy machine changes nothing."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
    target(*arguments, out)
