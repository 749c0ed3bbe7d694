"""A standard output that nobody reads any more ends no command.

`train.py | head -1` closes the pipe after a line, and a terminal may go away: the lines
are then lost, and the work goes on.
"""

import contextlib
import io
import os
import sys
from typing import Any

from absl import logging


class _Lasting(io.FileIO):
    """A file whose failing writes are taken for done."""

    def write(self, data: Any) -> Any:
        """Writes bytes; returns how many, None where the file would block."""
        try:
            return super().write(data)
        except BrokenPipeError:
            # Nor shall what is compiled, or another program, fail at every line.
            with contextlib.suppress(OSError):
                devnull = os.open(os.devnull, os.O_WRONLY)
                os.dup2(devnull, self.fileno())
                os.close(devnull)
        except OSError:  # The terminal is gone, or the disk of a log file is full.
            pass
        return memoryview(data).nbytes


def install() -> None:
    """Makes the standard output and error of this process lasting ones.

    Those that a test or a notebook has put in their place stay.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
            setattr(sys, name, lasting(stream))
            if name == "stderr":
                logging.get_absl_handler().python_handler.setStream(sys.stderr)


def lasting(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Returns a text stream to the same file that no failing write gets out of."""
    return io.TextIOWrapper(
        io.BufferedWriter(_Lasting(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
