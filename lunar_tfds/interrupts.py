"""Ctrl-C is one line at any time, also while a command imports or ends.

TensorFlow takes seconds to import. An exception there is a traceback of some import,
or is swallowed by compiled code; a handler that ends the process is neither.
"""

import contextlib
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

# What shells report of a program that SIGINT ended.
EXIT_INTERRUPTED = 130
MESSAGE = "Stopped by Ctrl-C. What was finished before is kept."
_CHECKOUT = pathlib.Path(__file__).resolve().parents[1]


def end_in_one_line() -> None:
    """Has Ctrl-C end this process in one line, if it is a command of this project.

    Importing the package into another program changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    is_raised = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_raised and _is_command():
        signal.signal(signal.SIGINT, _end)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Has Ctrl-C raise KeyboardInterrupt as usual, for a `with` block."""
    if signal.getsignal(signal.SIGINT) is not _end:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _end)


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Keeps Ctrl-C from processes that start in a `with` block, also as they import.

    Here a Ctrl-C that comes meanwhile is raised at the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows.
        yield
        return
    # Processes and threads begin with the mask of the thread that starts them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_command() -> bool:
    if sys.argv[:1] == ["-m"]:  # As long as Python looks for the module to run.
        return True
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return main is not None and pathlib.Path(main).resolve().parent == _CHECKOUT


def _end(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"\n{MESSAGE}\n".encode())
    os._exit(EXIT_INTERRUPTED)
