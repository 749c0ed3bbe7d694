"""Segments many images: read, predicted and written one beside the other."""

import collections
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from absl import logging

from lunar_tfds import command_line
from model.inference.outputs import Output, Result, Source
from model.inference.predictor import Prediction, Predictor
from model.inference.reading import ROOM, ReadAhead, num_pixels
from model.inference.result_names import printable

# Pixels predicted and not yet written, from which no further image is predicted: the
# probabilities of each take 16 bytes. An image larger than that is written alone.
PREDICTED = 8_000_000
# Threads that write; Pillow and zlib let others run meanwhile.
WRITERS = min(8, os.cpu_count() or 1)
_Batch = list[tuple[Source, np.ndarray | Exception]]


def segment(
    files: Iterable[Source],
    predictor: Predictor,
    outputs: Sequence[Output],
    on_image: Callable[[], Any] = lambda: None,
) -> int:
    """Returns how many images were left out, each guarded by itself.

    Whatever goes wrong while an image is read, predicted or written is logged and told
    to the outputs, and the next image follows. Outputs are closed in every case.

    Args:
        files: what to segment; read in another thread, as they are needed.
        predictor: the network.
        outputs: what is left behind.
        on_image: called after each image, done or left out.

    Raises:
        OSError: an output cannot be finished.
    """
    try:
        with ReadAhead(files) as images, ThreadPoolExecutor(WRITERS) as pool:
            writing = _Writing(outputs, pool, images.release, on_image)
            try:
                for batch in _batches(images, predictor.batch_size):
                    _segment_batch(batch, predictor, writing)
            finally:
                writing.wait()
    finally:
        _close(outputs)
    return writing.failed


def _batches(images: ReadAhead, batch_size: int) -> Iterator[_Batch]:
    """Yields files read together: `batch_size`, or fewer where photos are large."""
    batch: _Batch = []
    pixels = 0
    for file, image in images:
        batch.append((file, image))
        pixels += 0 if isinstance(image, Exception) else num_pixels(image)
        if len(batch) == batch_size or pixels >= ROOM:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _segment_batch(batch: _Batch, predictor: Predictor, writing: "_Writing") -> None:
    """Predicts a batch and hands each image over before the next is predicted."""
    images = [image for _, image in batch if not isinstance(image, Exception)]
    predictions = _predict_each(predictor, images)
    for file, image in batch:
        if isinstance(image, Exception):
            writing.leave_out(file, message_of(image))
            continue
        # Nothing else may hold it: a large photo's probabilities take a gigabyte.
        writing.wait(PREDICTED - num_pixels(image))
        prediction = next(predictions)
        if isinstance(prediction, str):
            writing.leave_out(file, prediction, num_pixels(image))
        else:
            writing.submit(Result(file, image, prediction))
        del prediction


def _predict_each(
    predictor: Predictor, images: list[np.ndarray]
) -> Iterator[Prediction | str]:
    """Yields a prediction for each image, or why there is none.

    After an error the images that are left are tried one by one.
    """
    done = 0
    try:
        for prediction in predictor.predict_each(images):
            done += 1
            yield prediction
            del prediction
    except Exception as error:
        if len(images) - done == 1:
            yield message_of(error)
        else:
            for image in images[done:]:
                yield from _predict_each(predictor, [image])


class _Writing:
    """Results on their way into the outputs.

    Attributes:
        failed: how many images were left out.
    """

    def __init__(
        self,
        outputs: Sequence[Output],
        pool: ThreadPoolExecutor,
        release: Callable[[int], None],
        on_image: Callable[[], Any],
    ):
        self.failed = 0
        self._outputs, self._pool = outputs, pool
        self._release, self._on_image = release, on_image
        # In the order of the images, with the pixels whose probabilities are held.
        self._queue: collections.deque[tuple[Source, int, Future | str]] = (
            collections.deque()
        )
        self._pixels = 0

    def submit(self, result: Result) -> None:
        """Starts to make what the outputs need of a result."""
        pixels = num_pixels(result.image)
        self._pixels += pixels
        future = self._pool.submit(self._make, result)
        self._queue.append((result.file, pixels, future))

    def leave_out(self, file: Source, error: str, num_pixels: int = 0) -> None:
        """Takes note of an image that was not predicted."""
        self._release(num_pixels)
        self._queue.append((file, 0, error))

    def wait(self, pixels: int = 0) -> None:
        """Waits until at most so many pixels are on their way, or none."""
        while self._queue and (self._pixels > pixels or not self._is_pending()):
            self._finish(*self._queue.popleft())

    def _is_pending(self) -> bool:
        made = self._queue[0][2]
        return isinstance(made, Future) and not made.done()

    def _make(self, result: Result) -> list[Any] | str:
        try:
            return [output.make(result) for output in self._outputs]
        except Exception as error:
            return message_of(error)  # The error itself would hold the result.
        finally:
            self._release(num_pixels(result.image))

    def _finish(self, file: Source, pixels: int, made: Future | str) -> None:
        """Tells the outputs, in turn, of one image."""
        made = made.result() if isinstance(made, Future) else made
        self._pixels -= pixels
        error, parts = (made, []) if isinstance(made, str) else ("", made)
        for index, output in enumerate(self._outputs):
            try:
                if error:
                    output.fail(file, error)
                else:
                    output.add(file, parts[index])
            except Exception as raised:
                error = error or message_of(raised)
        if error:
            self.failed += 1
            logging.error("Left out %s: %s", printable(str(file)), error)
        self._on_image()


def message_of(error: Exception) -> str:
    """Returns an error in one line, with its kind where no user could mend it."""
    text = command_line.one_line(error) or f"{type(error).__name__}: {error}"
    return " ".join(printable(text).split())


def _close(outputs: Sequence[Output]) -> None:
    """Closes every output, and raises the first error of these."""
    errors = []
    for output in outputs:
        try:
            output.close()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
