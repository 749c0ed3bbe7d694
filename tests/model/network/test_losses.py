import keras
import numpy as np
import pytest
import tensorflow as tf

from model.network import losses

LOG_PROBABILITIES = np.log([0.5, 0.25, 0.125, 0.125])


def random_batch(seed=0, shape=(3, 8, 8), num_classes=4):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(*shape, num_classes)).astype("float32")
    return rng.integers(0, num_classes, shape).astype("int32"), logits


def test_cross_entropy_is_the_mean_negative_log_probability_of_the_true_class():
    mask = np.array([[[0, 1], [2, 3]], [[0, 0], [0, 0]]], "int32")
    logits = np.broadcast_to(LOG_PROBABILITIES, (2, 2, 2, 4)).astype("float32")
    value = losses.build_loss("ce", 4).per_example(mask, logits)
    expected = [np.log([2, 4, 8, 8]).mean(), np.log(2)]
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_focal_loss_multiplies_by_the_missing_probability_squared():
    mask = np.zeros((1, 2, 2), "int32")
    logits = np.broadcast_to(LOG_PROBABILITIES, (1, 2, 2, 4)).astype("float32")
    value = losses.build_loss("focal", 4).per_example(mask, logits)
    np.testing.assert_allclose(value, [0.25 * np.log(2)], rtol=1e-6)


@pytest.mark.parametrize("overlap", ["dice", "jaccard", "tversky"])
def test_overlap_term_on_a_hand_computed_case(overlap):
    # Classes 0 and 1 in 2 and 4 of 6 pixels, each pixel given 0.5 of both.
    # Class 0: TP 1, FP 2, FN 1. Class 1: TP 2, FP 1, FN 2. One pixel of smoothing.
    mask = np.array([[[0, 0], [1, 1], [1, 1]]], "int32")
    logits = np.broadcast_to([0.0, 0.0, -1e4, -1e4], (1, 3, 2, 4)).astype("float32")
    by_hand = {
        "dice": (2 / (2 + 1.5) + 3 / (3 + 1.5)) / 2,
        "jaccard": (2 / (2 + 3) + 3 / (3 + 3)) / 2,
        "tversky": (2 / (2 + 0.6 + 0.7) + 3 / (3 + 0.3 + 1.4)) / 2,
    }
    value = losses.build_loss(f"ce_{overlap}", 4).per_example(mask, logits)
    expected = 0.5 * np.log(2) + 0.5 * (1 - by_hand[overlap])
    np.testing.assert_allclose(value, [expected], rtol=1e-6)


@pytest.mark.parametrize("name", losses.LOSS_NAMES)
def test_a_perfect_prediction_costs_nothing_and_an_absent_class_is_left_out(name):
    mask = np.zeros((1, 8, 8), "int32")  # Only ground; three classes are absent.
    logits = 50.0 * np.eye(4, dtype="float32")[mask]
    value = losses.build_loss(name, 4).per_example(mask, logits)
    np.testing.assert_allclose(value, [0.0], atol=1e-6)
    wrong = losses.build_loss(name, 4).per_example(mask, np.roll(logits, 1, axis=-1))
    assert np.isfinite(wrong).all() and wrong[0] > 0.4


@pytest.mark.parametrize("name", losses.LOSS_NAMES)
def test_gradient_equals_finite_differences(name):
    mask, logits = random_batch(shape=(2, 4, 4))
    mask[1] = 0  # The second example lacks three classes.
    loss = losses.build_loss(name, 4, class_weights=(0.5, 1.0, 2.0, 3.0))
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(mask, variable)
    gradient = np.asarray(tape.gradient(value, variable))
    rng = np.random.default_rng(1)
    for _ in range(4):
        direction = rng.normal(size=logits.shape).astype("float32")
        direction /= np.linalg.norm(direction)
        above, below = (
            float(loss(mask, logits + sign * 0.02 * direction)) for sign in (1, -1)
        )
        slope = (above - below) / 0.04
        np.testing.assert_allclose(
            np.sum(gradient * direction), slope, rtol=5e-3, atol=2e-5
        )


@pytest.mark.parametrize("name", losses.LOSS_NAMES)
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gradient_is_finite_for_confident_and_for_wrong_pixels(name, scale):
    mask, _ = random_batch(shape=(1, 8, 8))
    logits = tf.Variable(scale * np.eye(4, dtype="float32")[(mask + mask % 2) % 4])
    with tf.GradientTape() as tape:
        value = losses.build_loss(name, 4)(mask, logits)
    assert np.isfinite(value)
    assert np.isfinite(tape.gradient(value, logits)).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", losses.LOSS_NAMES)
def test_arithmetic_is_float32_whatever_the_logits_are(name, dtype):
    mask, logits = random_batch()
    low = tf.cast(logits, dtype)
    loss = losses.build_loss(name, 4)
    value = loss.per_example(mask, low)
    assert value.dtype == tf.float32
    np.testing.assert_array_equal(
        value, loss.per_example(mask, np.asarray(tf.cast(low, tf.float32)))
    )


def test_padded_examples_weigh_nothing_and_a_batch_of_padding_costs_zero():
    mask, logits = random_batch()
    loss = losses.build_loss("ce_dice", 4)
    padded = loss(mask, logits, sample_weight=np.array([1.0, 1.0, 0.0], "float32"))
    np.testing.assert_allclose(padded, loss(mask[:2], logits[:2]), rtol=1e-6)
    assert float(loss(mask, logits, sample_weight=np.zeros(3, "float32"))) == 0.0


@pytest.mark.parametrize("name", losses.LOSS_NAMES)
def test_the_mean_over_a_batch_does_not_depend_on_how_it_is_split(name):
    mask, logits = random_batch(shape=(4, 8, 8))
    mask[2:] = 0
    loss = losses.build_loss(name, 4)
    halves = [loss.per_example(mask[i : i + 2], logits[i : i + 2]) for i in (0, 2)]
    np.testing.assert_allclose(np.mean(halves), loss(mask, logits), rtol=1e-6)


def test_class_weights_multiply_the_cross_entropy_of_their_class():
    mask, logits = random_batch(shape=(1, 4, 4))
    weights = (1.0, 2.0, 3.0, 4.0)
    weighted = losses.build_loss("ce", 4, class_weights=weights)
    pixels = -np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    pixels = np.take_along_axis(pixels, mask[..., None], -1)[..., 0]
    expected = np.mean(np.array(weights)[mask] * pixels)
    np.testing.assert_allclose(weighted.per_example(mask, logits), [expected], 1e-5)


def test_class_weights_from_counts():
    counts = [900, 0, 75, 25]
    weights = losses.class_weights_from_counts(counts, power=1.0)
    # Inverse frequency: the three classes that occur share the total equally.
    np.testing.assert_allclose(
        np.multiply(weights, counts) / 1000, [1 / 3, 0, 1 / 3, 1 / 3]
    )
    roots = losses.class_weights_from_counts(counts, power=0.5)
    assert np.dot(roots, counts) == pytest.approx(1000)
    assert roots[3] / roots[0] == pytest.approx(6)
    assert losses.class_weights_from_counts([7, 1], power=0.0) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("counts", "power"), [([0, 0], 0.5), ([1, -1], 0.5), ([1, 2], 1.5)]
)
def test_class_weights_refuse_impossible_counts(counts, power):
    with pytest.raises(ValueError, match="counts of 0 or more"):
        losses.class_weights_from_counts(counts, power)


def test_unknown_name_and_wrong_weights_are_refused():
    with pytest.raises(ValueError, match="ce_dice.*'dice_ce'"):
        losses.build_loss("dice_ce", 4)
    with pytest.raises(ValueError, match="4 numbers"):
        losses.build_loss("ce_dice", 4, class_weights=(1, 2, 3))


def test_loss_survives_its_config():
    loss = losses.build_loss("ce_tversky", 4, class_weights=(1, 2, 3, 4))
    copy = losses.SegmentationLoss.from_config(loss.get_config())
    mask, logits = random_batch()
    np.testing.assert_array_equal(loss(mask, logits), copy(mask, logits))


def test_plain_compile_and_fit_lower_the_loss():
    mask, _ = random_batch(shape=(8, 8, 8))
    image = np.eye(4, dtype="float32")[mask]
    model = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2D(4, 1)])
    model.compile(keras.optimizers.SGD(5.0), losses.build_loss("ce_dice", 4))
    history = model.fit(image, mask, batch_size=8, epochs=20, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
