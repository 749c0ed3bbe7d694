"""Requests to stop: SIGTERM from a scheduler, a terminal that closes, or Ctrl-C."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from absl import logging

# sysexits.h EX_TEMPFAIL: nothing is broken, start the same command again.
EXIT_STARTS_AGAIN = 75


class StopRequest:
    """Remembers SIGTERM, SIGHUP and the first SIGINT while it is entered as a context.

    Calling it returns whether one has come. A second Ctrl-C stops at once. An ignored
    SIGHUP, as under nohup, stays ignored. Python handles signals on the main thread
    only: on another thread a log line says that none is heard.
    """

    def __init__(self) -> None:
        self._requested = False
        self._earlier: dict[int, Callable | int | None] = {}

    def __call__(self) -> bool:
        """Returns True once a signal has come."""
        return self._requested

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            logging.warning(
                "Training outside the main thread: SIGTERM and Ctrl-C do not save the "
                "state. A restart continues from the last save (see --save_minutes)."
            )
            return self
        numbers = [signal.SIGTERM, signal.SIGINT]
        hangup = getattr(signal, "SIGHUP", None)  # Windows has none.
        if hangup and signal.getsignal(hangup) != signal.SIG_IGN:
            numbers.append(hangup)
        for number in numbers:
            self._earlier[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._requested = True
