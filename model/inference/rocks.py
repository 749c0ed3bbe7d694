"""Which pixels of a mask are rock."""

import numpy as np

from lunar_tfds.palette import CLASS_NAMES
from model.network.metrics import ROCK_CLASSES

ROCK_IDS = tuple(CLASS_NAMES.index(name) for name in ROCK_CLASSES)


def is_rock(mask: np.ndarray) -> np.ndarray:
    """Returns bool [height, width]: where class ids, int [height, width], are rock."""
    rock = mask == ROCK_IDS[0]
    for class_id in ROCK_IDS[1:]:
        rock |= mask == class_id
    return rock
