"""From an example's number to its decoded pixels, as they wait for the warp."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from lunar_tfds.kaggle_layout import FRAME_HEIGHT, FRAME_WIDTH, mask_name
from pipeline import warp
from pipeline.records import Examples
from pipeline.resize import pool, pool_factors, resize_image


def crop(
    examples: Examples, image: tf.Tensor, ids: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns image and mask cut to the protocol's part of a frame, if it has one."""
    if examples.crop is None:
        return image, ids
    top, left, height, width = examples.crop
    window = slice(top, top + height), slice(left, left + width)
    return image[window], ids[window]


def decoder(
    examples: Examples, mask: str, channels: int = 3
) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a function from an example's number to its image and mask.

    Args:
        examples: `records.Examples`.
        mask: 'ground' or 'clean'; the other one is not decoded.
        channels: of the image: 3, or 4 with an opaque fourth.

    Returns:
        A function of an int64 scalar that returns uint8 [height, width, channels] and
        uint8 [height, width, 1].
    """
    name = mask_name(mask)
    spec = {key: tf.io.FixedLenFeature([], tf.string) for key in ("image", name)}

    def decode(number):
        parsed = tf.io.parse_single_example(examples.read(number), spec)
        image = tf.io.decode_png(parsed["image"], channels=channels)
        ids = tf.io.decode_png(parsed[name], channels=1)
        return crop(examples, image, ids)

    return decode


class Source:
    """Reads examples and packs them for `warp.warp`, photos at a frame's size.

    Attributes:
        count: number of examples.
        source_size: (height, width) of what is packed, px.
        factors: (rows, columns) averaged into one.
        specs: tf.TensorSpec of what a call returns.
    """

    def __init__(
        self, examples: Examples, mask: str, size: tuple[int, int], grey: bool = False
    ):
        """Looks at the first example.

        Args:
            examples: `records.Examples`.
            mask: 'ground' or 'clean'.
            size: (height, width) of the warp's output, px.
            grey: keep one channel, the mean of the three, rounded.
        """
        decode = _of_frame_size if examples.varied_sizes else decoder
        image, _ = decode(examples, mask)(0)
        self.count = len(examples)
        self.source_size = tuple(image.shape[:2])
        self.factors = pool_factors(self.source_size, size)
        # With an opaque fourth channel, decoded pixels are packed as they come.
        self._channels = 4 if self.factors == (1, 1) and not grey else 3
        self._decode = decode(examples, mask, self._channels)
        self._grey = grey
        self.specs = tuple(tf.TensorSpec(t.shape, t.dtype) for t in self(0))

    def __call__(self, number: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the packed pixels of an example and its mask.

        Args:
            number: int64 scalar.

        Returns:
            (int32 or, if grey, uint8 [rows, columns], see `warp.pack`;
            uint8 [height, width]).
        """
        image, ids = self._decode(number)
        image = tf.ensure_shape(image, [*self.source_size, self._channels])
        ids = tf.ensure_shape(ids, [*self.source_size, 1])[..., 0]
        if self._grey:
            total = tf.reduce_sum(tf.cast(image, tf.int32), axis=-1, keepdims=True)
            image = tf.cast((total + 1) // 3, tf.uint8)
        return warp.pack(pool(image, self.factors)), ids


def resized(
    examples: Examples, mask: str, size: tuple[int, int]
) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a function from a number to an image and a mask resized to `size`.

    For photos, whose sizes vary; the mask may have another size than the image.

    Returns:
        A function of an int64 scalar that returns float32 [h, w, 3] in [0, 1] and
        int32 [h, w].
    """
    decode = decoder(examples, mask)

    def source(number):
        image, ids = decode(number)
        lengths = tf.unstack(tf.cast(tf.shape(ids)[:2], tf.float64))
        rows, columns = (
            tf.cast((tf.range(target, dtype=tf.float64) + 0.5) * (n / target), tf.int32)
            for n, target in zip(lengths, size, strict=True)
        )
        ids = tf.gather(tf.gather(ids[..., 0], rows), columns, axis=1)
        image = tf.ensure_shape(resize_image(image, size), [*size, 3])
        return image, tf.ensure_shape(tf.cast(ids, tf.int32), size)

    return source


def _of_frame_size(examples, mask, channels=3):
    """Returns a `decoder` of photos of any size, which it resizes to a frame's."""
    read = resized(examples, mask, (FRAME_HEIGHT, FRAME_WIDTH))

    def decode(number):
        image, ids = read(number)
        image = tf.cast(tf.round(image * 255.0), tf.uint8)
        if channels == 4:
            image = tf.pad(image, [[0, 0], [0, 0], [0, 1]], constant_values=255)
        return image, tf.cast(ids, tf.uint8)[..., None]

    return decode
