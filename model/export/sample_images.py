"""Images from which formats of low precision learn the ranges of activations."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from pipeline.resize import resize_image


def calibration_images(
    examples: tf.data.Dataset, image_size: int, count: int
) -> Iterator[np.ndarray]:
    """Yields the first images of a split as an artifact gets them.

    Args:
        examples: of dicts with `image`, uint8 [height, width, 3].
        image_size: S, px.
        count: how many at most.

    Yields:
        uint8 [S, S, 3].
    """
    for example in examples.take(count):
        image = resize_image(example["image"].numpy(), image_size)
        yield np.rint(image * 255).astype(np.uint8)
