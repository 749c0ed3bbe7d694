"""Step 5 of a frame: colours of its label images become classes."""

import numpy as np

from lunar_tfds import palette


def classify(
    masks: dict[str, np.ndarray], rock_threshold: int
) -> dict[str, np.ndarray]:
    """Returns the class ids of each label image, uint8 [height, width] by kind.

    Args:
        masks: uint8 [height, width, 3] by kind; the one of a photo stands for each.
        rock_threshold: intensity from which a rock counts in a `ground` file.
    """
    return {kind: palette.class_ids(rgb, rock_threshold) for kind, rgb in masks.items()}
