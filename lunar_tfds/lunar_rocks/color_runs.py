"""Stretches of pixels over which the label images of a frame keep their colours.

A label image has a few thousand of them and 345,600 pixels: what is asked of colours
is asked once a run.
"""

import dataclasses
import functools

import numpy as np

from lunar_tfds import palette
from lunar_tfds.palette import NUM_CLASSES


@dataclasses.dataclass(frozen=True)
class Labels:
    """The classes of a frame in both label images, run by run.

    Attributes:
        rock_threshold: intensity from which green and blue count.
        shape: (height, width) of the images, px.
        pairs: uint8 [runs], class in ground times NUM_CLASSES plus class in clean.
        lengths: int64 [runs], px; a run may go on in the next row.
    """

    rock_threshold: int
    shape: tuple
    pairs: np.ndarray
    lengths: np.ndarray

    @functools.cached_property
    def ground(self):
        """Class ids of the ground image, uint8 [height, width]."""
        return self._spread(self.pairs // NUM_CLASSES)

    @functools.cached_property
    def clean(self):
        """Class ids of the clean image, uint8 [height, width]."""
        return self._spread(self.pairs % NUM_CLASSES)

    @functools.cached_property
    def table(self):
        """Pixels of each class in ground (rows) that are each in clean (columns)."""
        table = count_pixels(self.pairs, self.lengths, NUM_CLASSES**2)
        return table.reshape(NUM_CLASSES, NUM_CLASSES)

    def _spread(self, ids):
        return np.repeat(ids, self.lengths).reshape(self.shape)


@dataclasses.dataclass(frozen=True)
class Runs:
    """The runs of two label images of one size, in reading order.

    Attributes:
        shape: (height, width) of the images, px.
        starts: int64 [runs + 1], the first pixel of each and the end of the last; a run
            may go on in the next row.
        ground: uint8 [runs, 3], RGB of the raw label image, each channel contiguous.
        clean: the same of the cleaned one.
    """

    shape: tuple
    starts: np.ndarray
    ground: np.ndarray
    clean: np.ndarray

    @functools.cached_property
    def lengths(self):
        """Pixels of each run, int64 [runs]."""
        return np.diff(self.starts)

    def labels(self, rock_threshold=palette.ROCK_THRESHOLD):
        """Returns the Labels that the colours mean.

        Args:
            rock_threshold: intensity from which green and blue count, 1 to 255.
        """
        pairs = palette.class_ids(self.ground, rock_threshold) * NUM_CLASSES
        pairs += palette.class_ids(self.clean, rock_threshold)
        # Neighbours of one pair become one run: far fewer are left.
        changes = np.flatnonzero(pairs[1:] != pairs[:-1]) + 1
        first = np.concatenate([[0], changes])
        lengths = np.diff(self.starts.take(first), append=self.starts[-1])
        return Labels(rock_threshold, self.shape, pairs.take(first), lengths)


def find(ground, clean):
    """Returns the Runs of two label images.

    Args:
        ground: uint8 [height, width, 4], RGB and a fourth byte that is the same
            everywhere, contiguous.
        clean: the same of the other image, or the same array.
    """
    images = [ground] if clean is ground else [ground, clean]
    pixels = [image.view(np.uint32).ravel() for image in images]
    changes = np.zeros(pixels[0].size + 1, bool)
    changes[0] = changes[-1] = True
    for image in pixels:
        changes[1:-1] |= image[1:] != image[:-1]
    starts = np.flatnonzero(changes)
    colors = [_colors(image.take(starts[:-1])) for image in pixels]
    return Runs(ground.shape[:2], starts, colors[0], colors[-1])


def count_pixels(values, lengths, size=NUM_CLASSES):
    """Returns the pixels of each value below `size`, exact up to 2**53.

    Args:
        values: unsigned integer [runs].
        lengths: int64 [runs], px.
        size: length of the result, more than any value.
    """
    return np.bincount(values, lengths, size).astype(np.int64)


def _colors(pixels):
    # Numpy compares contiguous bytes ten times as fast as every fourth.
    return np.asfortranarray(pixels.view(np.uint8).reshape(-1, 4)[:, :3])
