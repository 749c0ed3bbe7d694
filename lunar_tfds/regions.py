"""Connected regions of a mask, such as single rocks."""

import numpy as np
from scipy import ndimage

from lunar_tfds.pictures import row_strips

TOUCHING = np.ones((3, 3), int)  # Pixels that touch at a corner belong together.


def connected_regions(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (labels, areas) of the 8-connected regions of a mask.

    Args:
        mask: bool [height, width].

    Returns:
        labels: int32 [height, width], 0 outside, regions from 1 in reading order.
        areas: int64 [number of regions], px.
    """
    labels, count = ndimage.label(mask, TOUCHING)
    areas = np.zeros(count + 1, np.int64)
    for rows in row_strips(mask.shape):  # bincount makes 8 bytes of each number.
        inside = labels[rows][mask[rows]]
        if inside.size:
            counts = np.bincount(inside)
            areas[: counts.size] += counts
    return labels, areas[1:]
