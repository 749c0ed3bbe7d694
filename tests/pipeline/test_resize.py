"""The evaluation resize against independent references."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline import resize
from pipeline.resize import output_size, pool, pool_factors, resize_image


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [512, (300, 500), 480])
def test_agrees_with_tensorflow_to_0_02_grey_levels(size):
    image = picture(480, 720)
    shape = (size, size) if isinstance(size, int) else size
    expected = tf.image.resize(tf.cast(image, tf.float32), shape)
    np.testing.assert_allclose(resize_image(image, size) * 255, expected, atol=0.02)


def test_enlarging_agrees_with_pillow_within_one_grey_level():
    image = picture(60, 90)
    expected = Image.fromarray(image).resize((200, 130), Image.Resampling.BILINEAR)
    # Pillow rounds twice, after each axis; the hundredth is for float32.
    resized = resize_image(image, (130, 200)) * 255
    np.testing.assert_allclose(resized, expected, atol=1.01)


def test_a_strong_reduction_averages_first():
    image = picture(480, 720)
    blocks = image.reshape(120, 4, 120, 6, 3).mean((1, 3))
    np.testing.assert_allclose(resize_image(image, 120) * 255, blocks, atol=0.51)
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::4] = 200  # Finer than the output's pixels: seen as grey, not as bars.
    assert np.ptp(resize_image(stripes, 64)) < 0.01


def test_uint8_float_eager_and_graph_agree_at_sizes_that_divide_badly():
    image = picture(101, 333)
    eager = resize_image(image, 40)
    as_float = resize_image(tf.constant(image / 255.0, tf.float32), 40)
    np.testing.assert_allclose(eager, as_float, atol=0.6 / 255)
    signature = [tf.TensorSpec([None, None, 3], tf.uint8)]
    graph = tf.function(lambda x: resize_image(x, 40), input_signature=signature)
    # Graphs may contract a product and a sum, depending on the processor.
    np.testing.assert_allclose(graph(image), eager, atol=1e-6)


@pytest.mark.parametrize("shape", [(32, 40_000), (70_000, 16)])
def test_a_very_long_side_is_resized_like_any_other(shape):
    image = np.zeros((*shape, 3), np.uint8)
    bright = tuple(slice(n // 2 if n > 32 else 0, None) for n in shape)
    image[bright] = 200  # The right or the lower half.
    expected = np.zeros((64, 64, 3))
    expected[tuple(slice(32 if n > 32 else 0, None) for n in shape)] = 200
    signature = [tf.TensorSpec([None, None, 3], tf.uint8)]
    graph = tf.function(lambda x: resize_image(x, 64), input_signature=signature)
    for resized in (resize_image(image, 64), graph(image)):
        # The output pixel at the border may see both sides.
        np.testing.assert_allclose(resized[:31, :31] * 255, expected[:31, :31])
        np.testing.assert_allclose(resized[33:, 33:] * 255, expected[33:, 33:])


@pytest.mark.parametrize("height", [60, 63, 64, 61])
def test_pooling_in_strips_changes_nothing(monkeypatch, height):
    image = tf.constant(picture(height, 50))
    whole = pool(image, (6, 5)), pool(tf.cast(image, tf.float32), (6, 5))
    monkeypatch.setattr(resize, "STRIP_PIXELS", 50 * 13)  # Two blocks of rows.
    np.testing.assert_array_equal(pool(image, (6, 5)), whole[0])
    np.testing.assert_array_equal(pool(tf.cast(image, tf.float32), (6, 5)), whole[1])


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.int64])
def test_a_size_may_be_any_integer(kind):
    for size in (kind(40), (kind(40), 40), np.array([40, 40], kind)):
        assert output_size(size) == (40, 40)
        assert {type(side) for side in output_size(size)} == {int}
    image = tf.constant(picture(90, 90))
    factors = pool_factors((kind(90), kind(90)), (40, 80))
    assert factors == (2, 1) and not any(map(tf.is_tensor, factors))
    assert pool(image, (kind(1), kind(1))) is image


@pytest.mark.parametrize(
    "size",
    [True, (64, True), np.True_, 64.0, (64, 64.5), "64", None, (64,), (64, 64, 3)]
    + [0, (64, -1)],
)
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match="positive int or .height, width.: got"):
        output_size(size)


def test_errors_name_what_came():
    with pytest.raises(ValueError, match=r"positive int or \(height, width\): got 0"):
        resize_image(picture(4, 4), 0)
    with pytest.raises(ValueError, match="float in .0, 1.: got uint16"):
        resize_image(picture(4, 4).astype(np.uint16), 4)
    with pytest.raises(ValueError, match="shape .height, width, 3."):
        resize_image(picture(4, 4)[None], 4)
