"""Ctrl-C between two steps: what a step changes, it changes as a whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupts:
    """While open, SIGINT inside `whole` waits for its end; outside it is raised at once, as ever.

    In other threads than the main one, and where SIGINT is ignored or not Python's, nothing is changed.

    >>> interrupts = Interrupts()
    >>> with interrupts:
    ...     with interrupts.whole():
    ...         pass
    """

    def __init__(self) -> None:
        self._previous: Any = None
        self._inside = self._pending = False
        self._may_stop: Callable[[], bool] | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):
                self._previous = previous
                signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._inside and not (self._may_stop is not None and self._may_stop()):
            self._pending = True
        else:
            self._previous(number, frame)

    def whole(self, may_stop: Callable[[], bool] | None = None) -> _Whole:
        """Open a part that is not to be split; but as long as may_stop() is true nothing has changed in it yet."""
        return _Whole(self, may_stop)

    def go_on(self) -> None:
        """Say that from here on the part that is open is not to be split, whatever may_stop() says."""
        self._may_stop = None


class _Whole:
    def __init__(self, interrupts: Interrupts, may_stop: Callable[[], bool] | None) -> None:
        self.interrupts, self.may_stop = interrupts, may_stop

    def __enter__(self) -> None:
        self.interrupts._may_stop = self.may_stop
        self.interrupts._inside = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupts = self.interrupts
        interrupts._inside = False
        interrupts._may_stop = None
        if interrupts._pending:
            interrupts._pending = False
            interrupts._previous(signal.SIGINT, None)
