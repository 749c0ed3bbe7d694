"""Records kept on disk until all are there, so that a large job takes little memory."""

import array
import json
import tempfile
from collections.abc import Iterator
from typing import Any


class Spool:
    """A list of JSON values in a temporary file, which goes with it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()
        self._starts = array.array("Q")  # Where each value begins, bytes.

    def __len__(self) -> int:
        return len(self._starts)

    def append(self, value: Any) -> None:
        """Adds what JSON can hold; OSError where the disk is full."""
        self._starts.append(self._file.seek(0, 2))
        self._file.write(json.dumps(value, allow_nan=False).encode() + b"\n")

    def lines(self, start: int = 0, stop: int | None = None) -> Iterator[str]:
        """Yields the values from `start` on and before `stop`, each a line of JSON."""
        for index in range(*slice(start, stop).indices(len(self))):
            if index == start:
                self._file.seek(self._starts[start])
            yield self._file.readline().decode().rstrip("\n")

    def values(self, start: int = 0, stop: int | None = None) -> Iterator[Any]:
        """Yields the values from `start` on and before `stop`."""
        return map(json.loads, self.lines(start, stop))
