"""Stretches of pixels over which the label images of a frame keep their colours.

A label image has a few thousand of them and 345,600 pixels: what is asked of colours
is asked once a run.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Runs:
    """The runs of two label images of one size, in reading order.

    Attributes:
        shape: (height, width) of the images, px.
        lengths: int64 [runs], px; a run may go on in the next row.
        ground: uint8 [runs, 3], RGB of the raw label image.
        clean: uint8 [runs, 3], RGB of the cleaned one.
    """

    shape: tuple
    lengths: np.ndarray
    ground: np.ndarray
    clean: np.ndarray

    def spread(self, values):
        """Returns an image, [height, width], of one value a run."""
        # Numpy repeats a few long runs several times as fast as many short ones.
        starts = np.flatnonzero(values[1:] != values[:-1]) + 1
        starts = np.concatenate([[0], starts])
        lengths = np.add.reduceat(self.lengths, starts)
        return np.repeat(values[starts], lengths).reshape(self.shape)


def find(ground, clean):
    """Returns the Runs of two label images.

    Args:
        ground: uint8 [height, width, 4], RGB and a fourth byte that is the same
            everywhere, contiguous.
        clean: the same of the other image, or the same array.
    """
    shape = ground.shape[:2]
    images = [ground] if clean is ground else [ground, clean]
    images = [image.view(np.uint32).ravel() for image in images]
    changes = np.zeros(images[0].size + 1, bool)
    changes[0] = changes[-1] = True
    for image in images:
        changes[1:-1] |= image[1:] != image[:-1]
    starts = np.flatnonzero(changes)
    colors = [image[starts[:-1]].view(np.uint8).reshape(-1, 4) for image in images]
    return Runs(shape, np.diff(starts), colors[0][:, :3], colors[-1][:, :3])
