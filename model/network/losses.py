"""Losses on class ids and float32 logits, made of cross-entropy and an overlap term.

Every loss is a mean of one number per example: what a global batch costs does not
depend on how it is split over replicas, and an example of weight 0 weighs nothing.
Written with keras.ops; this module imports no TensorFlow.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

# Pixels added to numerator and denominator of an overlap term: a class of a few
# pixels then gives a bounded gradient, and one of hundreds is not changed.
SMOOTH = 1.0

# Tversky's weights of false positives and false negatives. 0.5 and 0.5 is Dice, 1 and
# 1 is Jaccard (IoU); 0.3 and 0.7 asks for recall (Salehi et al. 2017).
OVERLAP_WEIGHTS = {"dice": (0.5, 0.5), "jaccard": (1.0, 1.0), "tversky": (0.3, 0.7)}

# Focal loss's exponent (Lin et al. 2017, table 1b: best of 0 to 5).
FOCAL_GAMMA = 2.0

LOSS_NAMES = ("ce", "ce_dice", "ce_jaccard", "ce_tversky", "focal", "focal_dice")


def build_loss(
    name: str,
    num_classes: int,
    class_weights: Sequence[float] | None = None,
) -> "SegmentationLoss":
    """Returns a loss by its name.

    Args:
        name: 'ce' or 'focal' alone, or with '_dice', and for 'ce' also '_jaccard' or
            '_tversky', which is half the one plus half the other.
        num_classes: C, classes of the logits.
        class_weights: C numbers by which a pixel's cross-entropy is multiplied by
            its true class, see `class_weights_from_counts`; None weighs all alike.

    Returns:
        SegmentationLoss.

    Raises:
        ValueError: an unknown name, or a wrong number of weights.
    """
    if name not in LOSS_NAMES:
        raise ValueError(f"loss must be one of {', '.join(LOSS_NAMES)}: got {name!r}.")
    pixel_term, _, overlap_term = name.partition("_")
    return SegmentationLoss(
        num_classes=num_classes,
        gamma=FOCAL_GAMMA if pixel_term == "focal" else 0.0,
        overlap=overlap_term or None,
        class_weights=class_weights,
        name=name,
    )


class SegmentationLoss(keras.losses.Loss):
    """Half cross-entropy (or focal loss) plus half an overlap loss, per example.

    Attributes:
        num_classes: C.
        gamma: focal exponent; 0 is plain cross-entropy.
        overlap: 'dice', 'jaccard', 'tversky', or None for the first term alone.
        class_weights: tuple of C numbers or None.
    """

    def __init__(
        self,
        num_classes: int,
        gamma: float,
        overlap: str | None,
        name: str,
        class_weights: Sequence[float] | None = None,
        reduction: str = "mean_with_sample_weight",
        dtype: str = "float32",
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if class_weights is not None:
            class_weights = tuple(float(weight) for weight in class_weights)
            if len(class_weights) != num_classes or min(class_weights) < 0:
                raise ValueError(
                    f"class_weights must be {num_classes} numbers of 0 or more, one "
                    f"per class: got {class_weights}."
                )
        self.num_classes = num_classes
        self.gamma = gamma
        self.overlap = overlap
        self.class_weights = class_weights

    def per_example(self, y_true: Any, logits: Any) -> Any:
        """Returns each example's loss.

        Args:
            y_true: int [batch, height, width], ids in [0, C).
            logits: float [batch, height, width, C], of any float type; the
                arithmetic is float32.

        Returns:
            float32 [batch], finite, 0 or more.
        """
        log_probabilities = ops.log_softmax(ops.cast(logits, "float32"))
        truth = ops.one_hot(ops.cast(y_true, "int32"), self.num_classes)
        pixel_loss = focal_cross_entropy(
            truth, log_probabilities, self.gamma, self.class_weights
        )
        if self.overlap is None:
            return pixel_loss
        index = tversky_index(
            truth, ops.exp(log_probabilities), *OVERLAP_WEIGHTS[self.overlap]
        )
        present = ops.cast(ops.any(truth > 0, axis=(1, 2)), "float32")
        overlap_loss = ops.sum((1.0 - index) * present, axis=-1) / ops.maximum(
            ops.sum(present, axis=-1), 1.0
        )
        return 0.5 * pixel_loss + 0.5 * overlap_loss

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns `per_example`; Keras then weighs and averages it over the batch."""
        return self.per_example(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild this loss."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "gamma": self.gamma,
            "overlap": self.overlap,
            "class_weights": self.class_weights,
            "dtype": self.dtype,
        }


def focal_cross_entropy(
    truth: Any,
    log_probabilities: Any,
    gamma: float = 0.0,
    class_weights: Sequence[float] | None = None,
) -> Any:
    """Returns each example's focal loss, the mean over its pixels.

    -w[c] (1 - p[c])^gamma log p[c] with c the true class (Lin et al. 2017, equation
    5); gamma 0 is cross-entropy. The mean divides by the number of pixels, not by the
    sum of their weights, so one pixel weighs the same in every frame.

    Args:
        truth: float32 [batch, height, width, C], one-hot.
        log_probabilities: float32 [batch, height, width, C], 0 or less.
        gamma: 0 or more.
        class_weights: C numbers or None.

    Returns:
        float32 [batch].
    """
    log_probability = ops.sum(truth * log_probabilities, axis=-1)
    pixel_loss = -log_probability
    if gamma:
        # The floor keeps the power's gradient finite where p is 1.
        missing = ops.maximum(1.0 - ops.exp(log_probability), 1e-7)
        pixel_loss = pixel_loss * missing**gamma
    if class_weights is not None:
        weights = ops.convert_to_tensor(class_weights, dtype="float32")
        pixel_loss = pixel_loss * ops.sum(truth * weights, axis=-1)
    return ops.mean(pixel_loss, axis=(1, 2))


def tversky_index(
    truth: Any,
    probabilities: Any,
    false_positive_weight: float,
    false_negative_weight: float,
) -> Any:
    """Returns the soft Tversky index of each class in each example.

    (TP + s) / (TP + a FP + b FN + s) with s = SMOOTH, counts being sums of
    probabilities (Tversky 1977; Salehi et al. 2017); a = b = 0.5 is the Dice
    coefficient with unsquared denominator terms, a = b = 1 is IoU. A mean over
    classes should take only those that occur in the truth: for an absent one the
    index says nothing but how small its sum of probabilities is, and every pixel
    wrongly given to it is already missing from a class that occurs.

    Args:
        truth: float32 [batch, height, width, C], one-hot.
        probabilities: float32 [batch, height, width, C], in [0, 1].
        false_positive_weight: a.
        false_negative_weight: b.

    Returns:
        float32 [batch, C], in (0, 1].
    """
    true_positives = ops.sum(truth * probabilities, axis=(1, 2))
    false_positives = ops.sum(probabilities, axis=(1, 2)) - true_positives
    false_negatives = ops.sum(truth, axis=(1, 2)) - true_positives
    return (true_positives + SMOOTH) / (
        true_positives
        + false_positive_weight * false_positives
        + false_negative_weight * false_negatives
        + SMOOTH
    )


def class_weights_from_counts(
    pixel_counts: Sequence[int], power: float
) -> tuple[float, ...]:
    """Returns the weight of each class, from the training split's pixel counts.

    A class that fills the fraction f of all pixels gets f^-power, scaled so that the
    mean over pixels is 1: the loss keeps its size. Power 1 is inverse frequency, where
    every class weighs the same in total; 0.5 is half way to no weights, the square
    root by which Mikolov et al. 2013, section 2.3, thin out frequent words. A class
    without pixels gets 0.

    Args:
        pixel_counts: C ints, 0 or more, not all 0.
        power: in [0, 1].

    Returns:
        tuple of C floats.

    Raises:
        ValueError: no pixels, a negative count, or a power out of range.
    """
    total = sum(pixel_counts)
    if total <= 0 or min(pixel_counts) < 0 or not 0 <= power <= 1:
        raise ValueError(
            "class weights need counts of 0 or more that are not all 0, and a power "
            f"in [0, 1]: got {list(pixel_counts)} and {power}."
        )
    fractions = [count / total for count in pixel_counts]
    raw = [fraction**-power if fraction else 0.0 for fraction in fractions]
    mean = sum(f * w for f, w in zip(fractions, raw, strict=True))
    return tuple(weight / mean for weight in raw)
