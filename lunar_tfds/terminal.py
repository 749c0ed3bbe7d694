"""Ends in one line on Ctrl-C, and keeps running after stdout closes.

TensorFlow takes seconds to import. A KeyboardInterrupt raised there ends in a traceback
of some import, or is swallowed by compiled code; a handler that ends the process avoids
both. `train.py | head -1` closes stdout after a line, and a terminal may go away: then
further lines are lost, and the work goes on.
"""

import contextlib
import io
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

# Exit status that shells report of a program ended by SIGINT.
EXIT_INTERRUPTED = 130
MESSAGE = "Stopped by Ctrl-C. What was finished before is kept."
_CHECKOUT = pathlib.Path(__file__).resolve().parents[1]


def end_on_interrupt() -> None:
    """Let Ctrl-C end this process in one line, if it is a command of this project.

    Importing the package into another program changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    is_raised = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_raised and is_command():
        signal.signal(signal.SIGINT, _end)


@contextlib.contextmanager
def interrupts_raised() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, as is usual, in a `with` block."""
    if signal.getsignal(signal.SIGINT) is not _end:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _end)


@contextlib.contextmanager
def interrupts_kept_from_children() -> Iterator[None]:
    """Hide Ctrl-C from processes started in a `with` block, even while they import.

    In this process, a Ctrl-C during the block is raised at its end.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows.
        yield
        return
    # Processes and threads inherit the mask of the thread that starts them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_command() -> bool:
    """Return whether this process was started as a command of this project."""
    if sys.argv[:1] == ["-m"]:  # While Python looks for the module to run.
        return True
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return main is not None and pathlib.Path(main).resolve().parent == _CHECKOUT


def _end(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"\n{MESSAGE}\n".encode())
    os._exit(EXIT_INTERRUPTED)


class _LossyFile(io.FileIO):
    """A file that drops what cannot be written."""

    def write(self, data: Any) -> Any:
        """Write bytes; return how many, None where the file would block."""
        try:
            return super().write(data)
        except BrokenPipeError:
            # Let compiled code and child processes write to nowhere as well.
            with contextlib.suppress(OSError):
                devnull = os.open(os.devnull, os.O_WRONLY)
                os.dup2(devnull, self.fileno())
                os.close(devnull)
        except OSError:  # The terminal is gone, or the disk of a log file is full.
            pass
        return memoryview(data).nbytes


def keep_running_after_stdout_closes() -> None:
    """Make stdout and stderr drop what cannot be written.

    Streams that a test or a notebook has put in their place stay.
    """
    from absl import logging  # Slow to import, unlike the rest of this module.

    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
            setattr(sys, name, lossy(stream))
            if name == "stderr":
                logging.get_absl_handler().python_handler.setStream(sys.stderr)


def lossy(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a text stream to the same file that drops what cannot be written."""
    return io.TextIOWrapper(
        io.BufferedWriter(_LossyFile(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
