"""The evaluation resize: half-pixel bilinear, averaged first where it shrinks a lot."""

import operator
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from pipeline import augmentation, warp

# Pixels pooled at once: a block's sum takes ten times the bytes of its pixels.
STRIP_PIXELS = 1 << 22


def output_size(size: Any) -> tuple[int, int]:
    """Returns (height, width) of `size`, an integer of any kind or a pair of them.

    Raises:
        ValueError: it is neither, or not positive.
    """
    try:
        sides = tuple(size) if isinstance(size, Iterable) else (size, size)
        height, width = map(operator.index, sides)
    except (TypeError, ValueError):  # No integers, or not two.
        height = width = 0
    if min(height, width) < 1 or any(isinstance(side, bool) for side in sides):
        raise ValueError(
            f"An image size is a positive int or (height, width): got {size!r}."
        )
    return height, width


def pool_factors(source_size: tuple, size: tuple[int, int]) -> tuple:
    """Returns how many source (rows, columns) are averaged into one before a resize.

    Two bilinear taps see every source pixel only while an axis shrinks by less than
    2, as 720x480 to 512 does. Where it shrinks more, blocks of the whole part of the
    ratio are averaged first, which leaves a ratio in [1, 2).

    Args:
        source_size: (height, width), px.
        size: (height, width) of the output, px.
    """
    return tuple(
        tf.maximum(length // target, 1)
        if tf.is_tensor(length)
        else max(1, length // target)
        for length, target in zip(source_size, size, strict=True)
    )


def pool(image: tf.Tensor, factors: tuple) -> tf.Tensor:
    """Returns the block averages of an image.

    The last block of an axis that is no multiple of its factor is filled up with its
    own mirror image.

    Args:
        image: uint8 or float [height, width, channels].
        factors: (rows, columns) in one block.

    Returns:
        The image's dtype (uint8 is rounded), [ceil(height / rows),
        ceil(width / columns), channels].
    """
    if all(not tf.is_tensor(f) and f == 1 for f in factors):
        return image
    height, width, _ = shape_of(image)
    if tf.is_tensor(height) or tf.is_tensor(width) or tf.is_tensor(factors[0]):
        return _pool(image, factors)
    step = max(1, STRIP_PIXELS // (width * factors[0])) * factors[0]
    starts = list(range(0, height, step))
    if len(starts) > 1 and height - starts[-1] < factors[0]:
        starts.pop()  # The last block is filled up from the one before.
    ends = [*starts[1:], height]
    strips = [_pool(image[a:b], factors) for a, b in zip(starts, ends, strict=True)]
    return strips[0] if len(strips) == 1 else tf.concat(strips, 0)


def _pool(image: tf.Tensor, factors: tuple) -> tf.Tensor:
    """Does the work of `pool`, at once."""
    height, width, channels = shape_of(image)
    rows, columns = -(-height // factors[0]), -(-width // factors[1])
    missing = rows * factors[0] - height, columns * factors[1] - width
    padded = tf.pad(image, [[0, missing[0]], [0, missing[1]], [0, 0]], "SYMMETRIC")
    blocks = tf.reshape(padded, [rows, factors[0], columns, factors[1], channels])
    if not image.dtype.is_integer:
        return tf.reduce_mean(blocks, axis=(1, 3))
    total = tf.reduce_sum(tf.cast(blocks, tf.int32), axis=(1, 3))
    count = tf.cast(factors[0] * factors[1], tf.int32)
    return tf.cast((total + count // 2) // count, image.dtype)


def shape_of(tensor: tf.Tensor) -> tuple:
    """Returns the shape of a tensor: ints where all are known, else int64 scalars."""
    if tensor.shape.is_fully_defined():
        return tuple(tensor.shape)
    return tuple(tf.unstack(tf.shape(tensor, tf.int64)))


def resize_image(image: Any, size: Any) -> tf.Tensor:
    """Returns an image resized as evaluation resizes it.

    Bilinear with half-pixel centres, edges repeated: what `tf.image.resize` calls
    `bilinear` without `antialias`, to within 0.02 grey levels, while no axis shrinks
    to half or less. There, `pool` averages first (see `pool_factors`).

    Args:
        image: [height, width, 3]; uint8 in 0..255 or floating point in [0, 1].
        size: int or (height, width), px.

    Returns:
        float32 [height, width, 3] in [0, 1].

    Raises:
        ValueError: the image is not of that shape or dtype, or the size is no size.
    """
    image = tf.convert_to_tensor(image)
    size = output_size(size)
    if image.shape.rank != 3:
        raise ValueError(
            f"An image has the shape [height, width, 3]: got {image.shape}. "
            "Resize one image at a time."
        )
    if image.dtype != tf.uint8 and not image.dtype.is_floating:
        raise ValueError(
            f"An image is uint8 in 0..255 or float in [0, 1]: got {image.dtype.name}. "
            "Divide by its largest value."
        )
    source_size = shape_of(image)[:2]
    factors = pool_factors(source_size, size)
    lengths = tf.cast([*source_size, *factors], tf.int64)  # No trace for each size.
    return _interpolate(pool(image, factors), lengths, size)


# Three to six times as fast as the same operations one by one.
@tf.function(reduce_retracing=True, autograph=False)
def _interpolate(
    pixels: tf.Tensor, lengths: tf.Tensor, size: tuple[int, int]
) -> tf.Tensor:
    """Returns pixels, pooled, at `size`, float32 in [0, 1]; see `resize_image`.

    Args:
        pixels: [rows, columns, 3], see `pool`.
        lengths: int64 [4]: (height, width) of the source, and `pool`'s factors.
        size: (height, width), px.
    """
    height, width, *factors = tf.unstack(lengths)
    column, _, _, row = warp.source_coordinates(
        augmentation.draw(None, 0, 0, 1), (height, width), size, tf.int64
    )
    rows, columns, _ = shape_of(pixels)
    top, weight_y = warp.neighbours(row[0], rows, factors[0])
    left, weight_x = warp.neighbours(column[0], columns, factors[1])
    is_uint8 = pixels.dtype == tf.uint8
    pixels = tf.cast(pixels, tf.float32)
    if is_uint8:
        pixels /= 255.0
    upper = tf.gather(pixels, top)
    lower = tf.gather(pixels, tf.minimum(top + 1, rows - 1))
    pixels = upper + (lower - upper) * weight_y[:, None, None]
    before = tf.gather(pixels, left, axis=1)
    after = tf.gather(pixels, tf.minimum(left + 1, columns - 1), axis=1)
    return before + (after - before) * weight_x[:, None]
