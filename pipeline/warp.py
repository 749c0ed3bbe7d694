"""One resample of image and mask: resize, flip, rotate, scale, shift, brighten.

Source coordinates are int32 fixed-point numbers, the sum of one term per output row
and one per output column, both computed in float64. So the nearest pixel and the two
bilinear weights are exact, the same compiled or not, and the inner loop adds two
integers where an affine map takes four multiplications.
"""

import numpy as np
import tensorflow as tf

FRACTION_BITS = 16  # Of a source pixel: 1.5e-5 px; coordinates reach 32,767 px.
ONE = 1 << FRACTION_BITS
HALF = ONE // 2

# Standard deviation of the noise table's int8 entries: +-127 is 4 deviations.
NOISE_UNIT = 127 / 4
NOISE_STARTS = 1 << 16  # Places in the table where an example's noise may start.


def source_coordinates(changes, source_size, size):
    """Returns where each output pixel's centre falls in the source.

    Pixel (i, j) covers [i, i + 1) x [j, j + 1) and its centre is at the half, in the
    source as in the output. The content is first scaled and rotated about the centre
    in source pixels (so a rotation stays one although 720x480 becomes square), then
    mirrored, then shifted; this is the inverse of that.

    Args:
        changes: dict of float32 [batch], see `augmentation.draw`.
        source_size: (height, width) of the source, px.
        size: (height, width) of the output, px.

    Returns:
        (x_of_column, x_of_row, y_of_column, y_of_row): int32 [batch, width or height]
        in 1/65536 px. Output (i, j) shows the source at
        x = x_of_column[:, j] + x_of_row[:, i], y likewise.
    """
    value = {k: tf.cast(v, tf.float64)[:, None] for k, v in changes.items()}
    height, width = (tf.cast(length, tf.float64) for length in source_size)

    def centred(length, target):
        place = (tf.range(target, dtype=tf.float64) + 0.5) / target - 0.5
        return place[None] * length

    down = value["flip_y"] * (centred(height, size[0]) - value["shift_y"] * height)
    right = value["flip_x"] * (centred(width, size[1]) - value["shift_x"] * width)
    cos = tf.cos(value["angle"]) / value["scale"]
    sin = tf.sin(value["angle"]) / value["scale"]

    def fixed(coordinate):
        return tf.cast(tf.round(coordinate * ONE), tf.int32)

    return (
        fixed(cos * right + width / 2),
        fixed(-sin * down),
        fixed(sin * right),
        fixed(cos * down + height / 2),
    )


def _mirrored(coordinate, length):
    """Returns coordinates folded into [0, length], the source mirrored at its edges."""
    end = length * ONE
    folded = end - tf.abs(end - tf.abs(coordinate))
    return tf.clip_by_value(folded, 0, end)


def whole_part(coordinate):
    """Returns the source pixel that a coordinate lies in."""
    return tf.bitwise.right_shift(coordinate, FRACTION_BITS)


def neighbours(coordinate, length, factor):
    """Returns (low index, high index, weight of the high one) along one axis."""
    centre = tf.clip_by_value(coordinate // factor - HALF, 0, (length - 1) * ONE)
    low = whole_part(centre)
    weight = tf.cast(tf.bitwise.bitwise_and(centre, ONE - 1), tf.float32) * (1 / ONE)
    return low, tf.minimum(low + 1, length - 1), weight


def warp(images, masks, coordinates, changes, noise_table, pool):
    """Returns the resampled images float32 [b, h, w, 3] and masks int32 [b, h, w]."""
    x_of_column, x_of_row, y_of_column, y_of_row = coordinates
    height, width = masks.shape[1:]
    rows, columns = images.shape[1:3]
    x = _mirrored(x_of_column[:, None] + x_of_row[:, :, None], width)
    y = _mirrored(y_of_column[:, None] + y_of_row[:, :, None], height)
    batch = tf.range(tf.shape(images)[0])[:, None, None]

    nearest_x = tf.minimum(whole_part(x), width - 1)
    nearest_y = tf.minimum(whole_part(y), height - 1)
    place = (batch * height + nearest_y) * width + nearest_x
    mask = tf.cast(tf.gather(tf.reshape(masks, [-1]), place), tf.int32)

    left, right, weight_x = neighbours(x, columns, pool[1])
    top, bottom, weight_y = neighbours(y, rows, pool[0])
    pixels = tf.reshape(images, [-1, images.shape[-1]])
    top, bottom = ((batch * rows + row) * columns for row in (top, bottom))
    weight_x, weight_y = weight_x[..., None], weight_y[..., None]

    def along_x(row):
        low, high = (
            tf.cast(tf.gather(pixels, row + column), tf.float32)
            for column in (left, right)
        )
        return low + (high - low) * weight_x

    upper = along_x(top)
    image = upper + (along_x(bottom) - upper) * weight_y
    if images.shape[-1] == 1:
        image = tf.repeat(image, 3, axis=-1)
    return _photometric(image, changes, noise_table), mask


def _photometric(image, changes, noise_table):
    """Returns grey levels 0..255 as [0, 1] pixels, with gain, bias, gamma and noise."""
    value = {k: v[:, None, None, None] for k, v in changes.items()}
    image = image * (value["gain"] / 255.0) + value["bias"]
    if "gamma" in value:
        image = tf.clip_by_value(image, 0.0, 1.0) ** value["gamma"]
    if noise_table is not None:
        count = int(np.prod(image.shape[1:]))
        starts = tf.cast(changes["noise_start"] * NOISE_STARTS, tf.int32)
        noise = tf.stack(
            [noise_table[start : start + count] for start in tf.unstack(starts)]
        )
        noise = tf.reshape(tf.cast(noise, tf.float32), image.shape)
        image = image + noise * (value["noise"] / NOISE_UNIT)
    return tf.clip_by_value(image, 0.0, 1.0)


def noise_table(count, seed=0):
    """Returns standard normal noise to cut an example's noise from.

    Drawing 512x512x3 normal numbers under XLA costs about 45 ms an image; reading
    them from a table costs less than 1 ms.

    Args:
        count: numbers an example needs.
        seed: int.

    Returns:
        int8 [count + 65536] tensor, in units of 1/31.75 standard deviations,
        clipped at 4.
    """
    normal = np.random.default_rng(seed).standard_normal(count + NOISE_STARTS)
    return tf.constant(np.clip(np.rint(normal * NOISE_UNIT), -127, 127), tf.int8)
