"""Images of the dataset to score by, and from which int8 learns its ranges."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from lunar_tfds import opening
from lunar_tfds.palette import CLASS_NAMES
from model.inference.predictor import Predictor
from pipeline import batching
from pipeline.resize import resize_image
from pipeline.selection import Selection

# Fewer say too little of what may come.
FEWEST_IMAGES = 8


def examples_of(
    builder: tfds.core.DatasetBuilder, predictor: Predictor, split: str
) -> tf.data.Dataset:
    """Returns the examples of a split with the labels that a predictor learned.

    Where the dataset lacks those, with others: only what an export changes is scored.
    """
    there = opening.masks(builder)
    kind = predictor.mask_kind if predictor.mask_kind in there else there[0]
    return batching.example_dataset(builder, Selection(split, kind))


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
