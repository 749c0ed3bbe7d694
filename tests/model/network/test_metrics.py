import functools

import numpy as np
import pytest
import tensorflow as tf

from lunar_tfds.palette import CLASS_NAMES
from model.network import metrics


def random_masks(seed=0, shape=(5, 16, 16), num_classes=4):
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, num_classes, shape).astype("int32")
    keep = rng.random(shape) < 0.6
    return mask, np.where(keep, mask, rng.integers(0, num_classes, shape)).astype(
        "int32"
    )


def test_counts_equal_tensorflow_s_and_scores_the_definitions():
    mask, prediction = random_masks()
    matrix = metrics.confusion_matrix(mask, prediction, num_classes=4)
    assert matrix.dtype == tf.int64
    flat = mask.ravel(), prediction.ravel()
    np.testing.assert_array_equal(matrix, tf.math.confusion_matrix(*flat))
    scores = metrics.scores_from_confusion(matrix, CLASS_NAMES)
    iou, dice = np.transpose([iou_and_dice(*flat, [index]) for index in range(4)])
    for index, name in enumerate(CLASS_NAMES):
        assert scores[f"iou_{name}"] == pytest.approx(iou[index], rel=1e-12)
        assert scores[f"dice_{name}"] == pytest.approx(dice[index], rel=1e-12)
    assert scores["mean_iou"] == pytest.approx(iou.mean(), rel=1e-12)
    assert scores["mean_dice"] == pytest.approx(dice.mean(), rel=1e-12)
    assert scores["pixel_accuracy"] == np.mean(mask == prediction)
    rock_iou, rock_dice = iou_and_dice(*flat, [2, 3])
    assert scores["rock_iou"] == pytest.approx(rock_iou)
    assert scores["rock_dice"] == pytest.approx(rock_dice)


def iou_and_dice(truth, prediction, ids):
    """Returns both by their definitions on sets of pixels."""
    a, b = (set(np.flatnonzero(np.isin(mask, ids))) for mask in (truth, prediction))
    return len(a & b) / len(a | b), 2 * len(a & b) / (len(a) + len(b))


def test_a_hand_computed_matrix():
    matrix = [[6, 0, 2, 0], [0, 0, 0, 0], [1, 0, 3, 0], [0, 0, 0, 0]]
    scores = metrics.scores_from_confusion(matrix, CLASS_NAMES, prefix="val_")
    assert scores["val_iou_ground"] == pytest.approx(6 / 9)
    assert scores["val_iou_small_rock"] == pytest.approx(3 / 6)
    assert scores["val_dice_small_rock"] == pytest.approx(6 / 9)
    assert scores["val_mean_iou"] == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert scores["val_rock_iou"] == pytest.approx(3 / 6)
    assert scores["val_pixel_accuracy"] == pytest.approx(9 / 12)
    # Neither in truth nor in prediction: no score, and no share in the mean.
    assert np.isnan(scores["val_iou_sky"]) and np.isnan(scores["val_dice_large_rock"])


def test_a_class_only_predicted_scores_zero_and_counts_in_the_mean():
    scores = metrics.scores_from_confusion([[3, 1], [0, 0]], ("ground", "sky"))
    assert scores["iou_sky"] == 0.0
    assert scores["mean_iou"] == pytest.approx(3 / 8)
    assert "rock_iou" not in scores


def test_no_pixels_give_nan_everywhere():
    scores = metrics.scores_from_confusion(np.zeros((4, 4), int), CLASS_NAMES)
    assert all(np.isnan(value) for value in scores.values())


def test_taking_one_rock_for_the_other_is_no_rock_error():
    matrix = np.zeros((4, 4), int)
    matrix[2, 3], matrix[3, 2], matrix[0, 0] = 5, 7, 1
    scores = metrics.scores_from_confusion(matrix, CLASS_NAMES)
    assert scores["rock_iou"] == scores["rock_dice"] == 1.0
    assert scores["iou_small_rock"] == 0.0


def test_a_matrix_of_another_size_is_refused():
    with pytest.raises(ValueError, match="4 by 4: got .3, 3."):
        metrics.scores_from_confusion(np.zeros((3, 3)), CLASS_NAMES)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
def test_any_batch_size_with_a_padded_last_batch_gives_the_same_counts(batch_size):
    mask, prediction = random_masks()
    total = 0
    for start in range(0, 5, batch_size):
        size = min(batch_size, 5 - start)
        padding = ((0, batch_size - size), (0, 0), (0, 0))
        total += metrics.confusion_matrix(
            np.pad(mask[start : start + size], padding),
            np.pad(prediction[start : start + size], padding),
            np.arange(batch_size) < size,
            num_classes=4,
        )
    np.testing.assert_array_equal(
        total, metrics.confusion_matrix(mask, prediction, num_classes=4)
    )


def test_counts_do_not_overflow_at_the_whole_dataset():
    # 9,766 frames of 512x512, all ground: 2,560,098,304 pixels in one cell, beyond
    # int32 (2,147,483,647) and far beyond float32's last exact integer (2^24).
    frame = np.zeros((1, 512, 512), "int32")
    total = tf.add_n([metrics.confusion_matrix(frame, frame, num_classes=4)] * 9766)
    expected = 9766 * 512 * 512
    assert expected > 2**31
    assert int(total[0, 0]) == expected == int(np.sum(total))
    one_more = np.zeros((1, 512, 512), "int32")
    one_more[0, 0, 0] = 1
    total += metrics.confusion_matrix(one_more, frame, num_classes=4)
    assert int(total[1, 0]) == 1
    assert int(total[0, 0]) == expected + 512 * 512 - 1


def test_the_count_of_one_large_image_is_exact():
    # 2,352 x 1,728 pixels, the largest photo of the dataset: below 2^24.
    mask = np.zeros((1, 2352, 1728), "int32")
    mask[0, 0, :3] = 1
    matrix = np.asarray(
        metrics.confusion_matrix(mask, np.zeros_like(mask), num_classes=4)
    )
    assert matrix[0, 0] == 2352 * 1728 - 3 and matrix[1, 0] == 3


def test_ids_that_are_no_class_are_not_counted():
    mask = np.array([[[0, 255], [1, -1]]], "int32")
    matrix = metrics.confusion_matrix(mask, np.zeros_like(mask), num_classes=2)
    np.testing.assert_array_equal(matrix, [[1, 0], [1, 0]])


def test_counting_compiles_under_xla():
    mask, prediction = random_masks()
    compiled = tf.function(
        functools.partial(metrics.confusion_matrix, num_classes=4), jit_compile=True
    )
    np.testing.assert_array_equal(
        compiled(tf.constant(mask), tf.constant(prediction)),
        metrics.confusion_matrix(mask, prediction, num_classes=4),
    )
