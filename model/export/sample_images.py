"""Images from which formats of low precision learn the ranges of activations."""

import numpy as np
import tensorflow as tf

from lunar_tfds.palette import CLASS_NAMES
from pipeline.resize import resize_image

# Fewer say too little of what may come.
FEWEST_IMAGES = 8


def calibration_images(
    examples: tf.data.Dataset, image_size: int, count: int, split: str
) -> list[np.ndarray]:
    """Returns the first images of a split as an artifact gets them.

    Args:
        examples: of dicts with `image` uint8 [height, width, 3] and `mask`, class ids.
        image_size: S, px.
        count: how many at most.
        split: its name, for messages.

    Returns:
        list of uint8 [S, S, 3].

    Raises:
        ValueError: they are too few, or a class is in none of them.
    """
    images: list[np.ndarray] = []
    counts = np.zeros(len(CLASS_NAMES), np.int64)
    for example in examples.take(count).as_numpy_iterator():
        image = resize_image(example["image"], image_size)
        images.append(np.rint(image * 255).astype(np.uint8))
        counts += np.bincount(example["mask"].ravel(), minlength=len(counts))
    remedy = (
        "Pass a --calibration_split of more frames, or a --data_dir of scenes that "
        "`python -m lunar_tfds.synthetic` draws"
    )
    if len(images) < FEWEST_IMAGES:
        raise ValueError(
            f"--calibration_split={split} holds {len(images)} frames, and int8 needs "
            f"{FEWEST_IMAGES} or more to learn the range of each layer. {remedy}"
        )
    if absent := [n for n, c in zip(CLASS_NAMES, counts, strict=True) if not c]:
        raise ValueError(
            f"--calibration_split={split} shows no {' and no '.join(absent)} in its "
            f"first {len(images)} frames, and int8 would not know what that is like. "
            f"{remedy}, or raise --calibration_images"
        )
    return images
