"""Exact segmentation scores: integer confusion counts first, ratios at the end.

A mean of batch scores is another number (0.129 against 0.1345 in one test) and depends
on batch size and replicas; counts over the whole split do not.
"""

import keras
import numpy as np
import tensorflow as tf

# Classes whose union is "rock" in rock_iou and rock_dice.
ROCK_CLASSES = ("small_rock", "large_rock")


def confusion_matrix(mask, predicted_mask, sample_weight=None, num_classes=4):
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


class ConfusionMatrix(keras.metrics.Metric):
    """Confusion counts of a whole split; `result()` is int64 [C, C], rows the truth.

    Replicas add their counts. In `compile`, pass it as one of `weighted_metrics` so
    that padded examples of sample weight 0 are left out.
    """

    def __init__(self, num_classes=4, name="confusion_matrix"):
        super().__init__(name=name, dtype="int64")
        self.num_classes = num_classes
        self.counts = self.add_weight(
            shape=(num_classes, num_classes),
            initializer="zeros",
            dtype="int64",
            name="counts",
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch.

        Args:
            y_true: int [batch, height, width], class ids.
            y_pred: float [batch, height, width, C], logits or probabilities.
            sample_weight: [batch] or None, see `confusion_matrix`.
        """
        self.update_counts(
            confusion_matrix(
                y_true, tf.argmax(y_pred, -1), sample_weight, self.num_classes
            )
        )

    def update_counts(self, counts):
        """Adds counts, int64 [C, C]."""
        self.counts.assign_add(counts)

    def result(self):
        """Returns the counts so far, int64 [C, C]."""
        return keras.ops.convert_to_tensor(self.counts)


class SegmentationScores(ConfusionMatrix):
    """All scores of a split as logs of plain `fit` and `evaluate`.

    `result()` is a dict of float32 scalars under the names of
    `scores_from_confusion`; Keras adds `val_` in validation.
    """

    def __init__(self, class_names, name="segmentation_scores"):
        super().__init__(num_classes=len(class_names), name=name)
        self.class_names = tuple(class_names)

    def result(self):
        """Returns dict[str, float32 scalar]."""
        scores = _scores(self.counts, self.class_names, tf.experimental.numpy)
        return {key: tf.cast(value, tf.float32) for key, value in scores.items()}


def scores_from_confusion(matrix, class_names, prefix=""):
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
    matrix = np.asarray(matrix)
    if matrix.shape != (len(class_names),) * 2:
        raise ValueError(
            f"the confusion matrix of {len(class_names)} classes must be "
            f"{len(class_names)} by {len(class_names)}: got {matrix.shape}."
        )
    scores = _scores(matrix, class_names, np)
    return {prefix + key: float(value) for key, value in scores.items()}


def _scores(matrix, class_names, xnp):
    """Returns the scores as scalars of `xnp`, numpy or tf.experimental.numpy."""
    matrix = xnp.asarray(matrix, dtype=np.float64)
    true_positives = xnp.diagonal(matrix)
    sizes = xnp.sum(matrix, axis=0) + xnp.sum(matrix, axis=1)
    iou, dice = _iou_and_dice(true_positives, sizes, xnp)
    scores = {"mean_iou": _nanmean(iou, xnp), "mean_dice": _nanmean(dice, xnp)}
    for index, name in enumerate(class_names):
        scores[f"iou_{name}"], scores[f"dice_{name}"] = iou[index], dice[index]
    rocks = np.array([float(name in ROCK_CLASSES) for name in class_names])
    if rocks.any():
        scores["rock_iou"], scores["rock_dice"] = _iou_and_dice(
            xnp.sum(matrix * rocks[:, None] * rocks), xnp.sum(sizes * rocks), xnp
        )
    scores["pixel_accuracy"] = _ratio(xnp.sum(true_positives), xnp.sum(matrix), xnp)
    return scores


def _iou_and_dice(true_positives, sizes, xnp):
    """Returns both from TP and |truth| + |prediction|."""
    iou = _ratio(true_positives, sizes - true_positives, xnp)
    return iou, _ratio(2 * true_positives, sizes, xnp)


def _ratio(numerator, denominator, xnp):
    """Returns numerator / denominator, nan where the denominator is 0."""
    safe = xnp.where(denominator > 0, denominator, 1.0)
    return xnp.where(denominator > 0, numerator / safe, np.nan)


def _nanmean(values, xnp):
    """Returns the mean of the values that are not nan, nan if there are none."""
    known = ~xnp.isnan(values)
    total = xnp.sum(xnp.where(known, values, 0.0))
    return _ratio(total, xnp.sum(xnp.asarray(known, dtype=np.float64)), xnp)
