"""Single rocks of a mask: connected regions and their sizes."""

import numpy as np
import scipy.ndimage

from lunar_tfds.palette import CLASS_NAMES
from model.network.metrics import ROCK_CLASSES

ROCK_IDS = tuple(CLASS_NAMES.index(name) for name in ROCK_CLASSES)


def is_rock(mask: np.ndarray) -> np.ndarray:
    """Returns bool [height, width]: where class ids, int [height, width], are rock."""
    return np.isin(mask, ROCK_IDS)


def connected_regions(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (labels, areas) of the 8-connected regions of a mask.

    Args:
        mask: bool [height, width].

    Returns:
        labels: int32 [height, width], 0 outside, regions from 1 in reading order.
        areas: int64 [number of regions], px.
    """
    labels, count = scipy.ndimage.label(mask, np.ones((3, 3)))
    return labels, np.bincount(labels.ravel(), minlength=count + 1)[1:]
