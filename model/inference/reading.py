"""Reads images ahead of their use, in a thread, and never too many at once."""

import queue
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType

import numpy as np

from model.inference.outputs import Source

# Pixels read and not yet written, from which no further image is read.
ROOM = 32_000_000
# A file and its image, or what went wrong with it.
Read = tuple[Source, np.ndarray | Exception]


class ReadAhead:
    """Iterates over files and their images, read in a thread of its own.

    Beside what is in use, at most one more image is held once `room` pixels are: who
    takes an image calls `release` when it is done with. A file that cannot be read,
    for whatever reason, comes with its error instead of an image.

        with ReadAhead(files) as images:
            for file, image in images:
                ...
                images.release(image)

    Args:
        files: what to read; iterated in the thread.
        room: px.
    """

    def __init__(self, files: Iterable[Source], room: int = ROOM):
        self._files, self._room = files, room
        self._pixels, self._closed = 0, False
        self._changed = threading.Condition()
        self._queue: queue.SimpleQueue[Read | Exception | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "ReadAhead":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def __iter__(self) -> Iterator[Read]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Exception):  # Of the files themselves, not of one.
                raise item
            yield item

    def release(self, num_pixels: int) -> None:
        """Takes note that an image of so many pixels is no longer in use."""
        with self._changed:
            self._pixels -= num_pixels
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            for file in self._files:
                with self._changed:
                    self._changed.wait_for(
                        lambda: self._closed or self._pixels < self._room
                    )
                    if self._closed:
                        break
                self._read(file)
        except Exception as error:
            self._queue.put(error)
        self._queue.put(None)

    def _read(self, file: Source) -> None:
        try:
            image = file.read()
        except Exception as error:
            self._queue.put((file, error))
            return
        with self._changed:
            self._pixels += num_pixels(image)
        self._queue.put((file, image))


def num_pixels(image: np.ndarray) -> int:
    """Returns height times width."""
    return image.shape[0] * image.shape[1]
