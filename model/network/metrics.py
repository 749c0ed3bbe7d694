"""Exact segmentation scores: integer confusion counts first, ratios at the end.

A mean of batch scores is another number (0.129 against 0.1345 in one test) and depends
on batch size and replicas; counts over the whole split do not.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

# Classes whose union is "rock" in rock_iou and rock_dice.
ROCK_CLASSES = ("small_rock", "large_rock")


def confusion_matrix(
    mask: ArrayLike | tf.Tensor,
    predicted_mask: ArrayLike | tf.Tensor,
    sample_weight: ArrayLike | tf.Tensor | None = None,
    *,
    num_classes: int,
) -> tf.Tensor:
    """Returns how many pixels of each true class were given each class.

    Each example is counted by a product of one-hot matrices in float32, exact to 2^24
    pixels an image, and the examples are summed in int64: it compiles under XLA, for
    TPUs too, without a scatter. Counts in int32 would overflow at 8,192 images of
    512x512 in one class.

    Args:
        mask: int [batch, height, width], ids in [0, num_classes). A pixel of any
            other id is not counted.
        predicted_mask: int [batch, height, width], ids in [0, num_classes).
        sample_weight: [batch]; an example counts once where it is above 0, and not
            at all where it is 0. None counts all.
        num_classes: C.

    Returns:
        int64 [C, C], rows are the truth.
    """
    pixels = [tf.shape(mask)[0], -1]
    truth = tf.one_hot(tf.reshape(mask, pixels), num_classes, axis=1)
    prediction = tf.one_hot(tf.reshape(predicted_mask, pixels), num_classes, axis=1)
    counts = tf.cast(tf.matmul(truth, prediction, transpose_b=True), tf.int64)
    if sample_weight is not None:
        counted = tf.reshape(tf.cast(sample_weight, tf.float32), [-1, 1, 1]) > 0
        counts = tf.where(counted, counts, tf.zeros_like(counts))
    return tf.reduce_sum(counts, axis=0)


def scores_from_confusion(
    matrix: ArrayLike | tf.Tensor, class_names: Sequence[str], prefix: str = ""
) -> dict[str, float]:
    """Returns every score that the counts of a split give.

    IoU is TP / (TP + FP + FN) and Dice 2 TP / (2 TP + FP + FN). A class that occurs
    neither in truth nor in prediction has no score: nan, and it is left out of
    `mean_iou` and `mean_dice`. Rock is small and large rock as one class: taking one
    for the other is no error there.

    Args:
        matrix: int [C, C], rows the truth.
        class_names: C names.
        prefix: put before each key, for example 'val_'.

    Returns:
        dict[str, float] with mean_iou, mean_dice, iou_<class>, dice_<class>,
        rock_iou, rock_dice (both only if class_names has the rocks) and
        pixel_accuracy; values in [0, 1] or nan.

    Raises:
        ValueError: the matrix is not C by C.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.shape != (len(class_names),) * 2:
        raise ValueError(
            f"the confusion matrix of {len(class_names)} classes must be "
            f"{len(class_names)} by {len(class_names)}: got {matrix.shape}."
        )
    true_positives = matrix.diagonal()
    sizes = matrix.sum(axis=0) + matrix.sum(axis=1)
    iou, dice = _iou_and_dice(true_positives, sizes)
    scores = {"mean_iou": _mean_of_known(iou), "mean_dice": _mean_of_known(dice)}
    for index, name in enumerate(class_names):
        scores[f"iou_{name}"], scores[f"dice_{name}"] = iou[index], dice[index]
    rocks = [index for index, name in enumerate(class_names) if name in ROCK_CLASSES]
    if rocks:
        scores["rock_iou"], scores["rock_dice"] = _iou_and_dice(
            matrix[np.ix_(rocks, rocks)].sum(), sizes[rocks].sum()
        )
    scores["pixel_accuracy"] = _ratio(true_positives.sum(), matrix.sum())
    return {prefix + key: float(value) for key, value in scores.items()}


def _iou_and_dice(true_positives, sizes):
    """Returns both from TP and |truth| + |prediction|."""
    iou = _ratio(true_positives, sizes - true_positives)
    return iou, _ratio(2 * true_positives, sizes)


def _ratio(part, whole):
    """Returns part / whole, nan where both are 0."""
    with np.errstate(invalid="ignore"):
        return part / whole


def _mean_of_known(values):
    """Returns the mean of the values that are not nan, nan if there are none."""
    known = values[~np.isnan(values)]
    return known.mean() if known.size else np.nan
