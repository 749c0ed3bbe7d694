"""One resample of image and mask: resize, flip, rotate, scale, shift, brighten.

Source coordinates are int32 fixed-point numbers, the sum of one term per output row
and one per output column, both computed in float64. So the nearest pixel and the two
bilinear weights are exact, the same compiled or not, and the inner loop adds two
integers where an affine map takes four multiplications.

A source pixel is packed: one int32 holds its colours. XLA turns the four gathers of it,
and everything after them, into one vectorized loop over the output as long as the
gathers have the output's shape: hence indices that are repeated for each channel, where
gathering once and unpacking would be three kernels and three times slower.

The loop takes one example at a time, whose pixels were just read and still lie in the
processor's cache: gathers from main memory would take twice the time.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from lunar_tfds.machine import has_avx512

# Of a source pixel: 1.5e-5 px.
FRACTION_BITS = 16
ONE = 1 << FRACTION_BITS
HALF = ONE // 2
# Pixels of the longest side that can be warped: twice as much fits into an int32
# coordinate. A frame of 720x480 leaves room for every strength of an augmentation.
LONGEST_SIDE = (1 << 31 - FRACTION_BITS) // 2 - 1

# The noise table holds int8 entries in units of 4/127 standard deviations.
NOISE_UNIT = 4 / 127
NOISE_STARTS = 1 << 16  # Places in the table where an example's noise may start.


def pack(image: tf.Tensor) -> tf.Tensor:
    """Returns packed pixels, each of which a gather reads in one piece.

    Args:
        image: uint8 [..., 4], red in the lowest byte and the fourth of any value;
            [..., 3]; or [..., 1] (grey).

    Returns:
        int32 [...] for colours, uint8 [...] for grey.
    """
    if image.shape[-1] == 1:
        return image[..., 0]
    if image.shape[-1] == 3:
        image = tf.concat([image, tf.zeros_like(image[..., :1])], axis=-1)
    return tf.bitcast(image, tf.int32)


def noise_table(count: int, seed: int = 0) -> tf.Tensor:
    """Returns standard normal noise to cut an example's noise from.

    Drawing 512x512x3 normal numbers under XLA costs about 45 ms an image; reading
    them from a table costs less than 1 ms.

    Args:
        count: numbers an example needs.
        seed: int.

    Returns:
        int8 [count + 65536] tensor, in units of `NOISE_UNIT` standard deviations,
        clipped at 4.
    """
    normal = np.random.default_rng(seed).standard_normal(count + NOISE_STARTS)
    return tf.constant(np.clip(np.rint(normal / NOISE_UNIT), -127, 127), tf.int8)


def source_coordinates(
    params: dict[str, tf.Tensor],
    source_size: tuple,
    size: tuple[int, int],
    dtype: tf.DType = tf.int32,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns where each output pixel's centre falls in the source.

    Pixel (i, j) covers [i, i + 1) x [j, j + 1) and its centre is at the half, in the
    source as in the output. The content is first scaled and rotated about the centre
    in source pixels (so a rotation stays one although 720x480 becomes square), then
    mirrored, then shifted; this is the inverse of that.

    Args:
        params: dict of float32 [batch], see `augmentation.draw`.
        source_size: (height, width) of the source, px.
        size: (height, width) of the output, px.
        dtype: of the coordinates: tf.int32, which `warp` takes, or tf.int64, which
            holds any length.

    Returns:
        (x_of_column, x_of_row, y_of_column, y_of_row): [batch, width or height] in
        1/65536 px. Output (i, j) shows the source at
        x = x_of_column[:, j] + x_of_row[:, i], y likewise.

    Raises:
        ValueError: a side is too long for int32.
    """
    if dtype == tf.int32 and max(source_size) > LONGEST_SIDE:
        raise ValueError(
            f"A frame that is augmented has sides of at most {LONGEST_SIDE} px: got "
            f"{source_size[0]}x{source_size[1]}. Cut it into tiles first."
        )
    value = {k: tf.cast(v, tf.float64)[:, None] for k, v in params.items()}
    height, width = (tf.cast(length, tf.float64) for length in source_size)

    def centred(length, target):
        place = (tf.range(target, dtype=tf.float64) + 0.5) / target - 0.5
        return place[None] * length

    down = value["flip_y"] * (centred(height, size[0]) - value["shift_y"] * height)
    right = value["flip_x"] * (centred(width, size[1]) - value["shift_x"] * width)
    cos = tf.cos(value["angle"]) / value["scale"]
    sin = tf.sin(value["angle"]) / value["scale"]

    def fixed(coordinate):
        return tf.cast(tf.round(coordinate * ONE), dtype)

    return (
        fixed(cos * right + width / 2),
        fixed(-sin * down),
        fixed(sin * right),
        fixed(cos * down + height / 2),
    )


def neighbours(
    coordinate: tf.Tensor, length: Any, factor: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the two pixels that a coordinate lies between, along one axis.

    Args:
        coordinate: int32 or int64, in 1/65536 px of the source before pooling.
        length: pixels along the axis, at least 1.
        factor: source pixels averaged into one of these.

    Returns:
        (index of the lower one, of the coordinate's type; weight of the higher one,
        float32 in [0, 1]). The higher one is 1 further, or the same if there is but
        one.
    """
    if not (isinstance(factor, int) and factor == 1):
        coordinate //= factor
    length = tf.cast(length, coordinate.dtype)
    centre = tf.clip_by_value(coordinate - HALF, 0, (length - 1) * ONE)
    low = tf.minimum(whole_part(centre), tf.maximum(length - 2, 0))
    rest = centre - tf.bitwise.left_shift(low, FRACTION_BITS)
    return low, tf.cast(rest, tf.float32) * (1 / ONE)


def whole_part(coordinate: tf.Tensor) -> tf.Tensor:
    """Returns the source pixel that a coordinate lies in."""
    return tf.bitwise.right_shift(coordinate, FRACTION_BITS)


def locate(coordinates: tuple, shape: tuple, pooled: tuple, pool: tuple) -> tuple:
    """Return where each output pixel lies in the source's arrays.

    Beyond the source's edges lies its mirror image, in image and mask alike.

    Args:
        coordinates: one example's of what `source_coordinates` returned.
        shape: (height, width) of the source, px.
        pooled: (rows, columns) of it once pooled.
        pool: (rows, columns) of the source averaged into one pixel.

    Returns:
        (index of the mask's pixel, index of the image's upper left one, weight of the
        right ones, weight of the lower ones), each [h, w]: int32, int32, float32 twice.
    """
    x_of_column, x_of_row, y_of_column, y_of_row = coordinates
    height, width = shape
    x = _mirrored(x_of_column[None] + x_of_row[:, None], width)
    y = _mirrored(y_of_column[None] + y_of_row[:, None], height)
    nearest = tf.clip_by_value(whole_part(y), 0, height - 1) * width
    nearest += tf.clip_by_value(whole_part(x), 0, width - 1)
    left, weight_x = neighbours(x, pooled[1], pool[1])
    top, weight_y = neighbours(y, pooled[0], pool[0])
    return nearest, top * pooled[1] + left, weight_x, weight_y


def resample(
    packed: tf.Tensor,
    ids: tf.Tensor,
    located: tuple,
    params: dict[str, tf.Tensor],
    table: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a resampled and brightened image, and its mask.

    Args:
        packed: [rows, columns], see `pack`.
        ids: uint8 [height, width]; rows and columns, unless those are pooled.
        located: what `locate` returned.
        params: dict of float32 scalars: `gain` and `bias`, optionally `gamma` and
            `cast` [3]; `noise` and `noise_start` where there is a table.
        table: what `noise_table` returned, or None.

    Returns:
        (float32 [h, w, 3] in [0, 1], int32 [h, w]).
    """
    nearest, first, weight_x, weight_y = located
    rows, columns = packed.shape
    mask = tf.gather(tf.reshape(ids, [-1]), nearest)
    weight_x, weight_y = weight_x[..., None], weight_y[..., None]
    first = tf.repeat(first[..., None], 3, axis=-1)
    pixels = tf.reshape(packed, [-1])

    def level(offset):
        value = tf.gather(pixels, first + offset)
        if value.dtype == tf.int32:
            value = tf.bitwise.right_shift(value, (0, 8, 16))
            value = tf.bitwise.bitwise_and(value, 255)
        return tf.cast(value, tf.float32)

    across, along = min(columns - 1, 1), columns * min(rows - 1, 1)
    upper, lower = level(0), level(along)
    upper += (level(across) - upper) * weight_x
    lower += (level(along + across) - lower) * weight_x
    image = _photometric(upper + (lower - upper) * weight_y, params, table)
    return image, tf.cast(mask, tf.int32)


def warp(
    packed: tf.Tensor,
    ids: tf.Tensor,
    coordinates: tuple,
    params: dict[str, tf.Tensor],
    table: tf.Tensor | None,
    pool: tuple,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what `resample` returns, from what `locate` and `resample` take."""
    located = locate(coordinates, tuple(ids.shape), tuple(packed.shape), pool)
    return resample(packed, ids, located, params, table)


def compiled(whole: bool | None = None) -> Callable:
    """Return `warp`, compiled by XLA as a whole or in its two parts.

    Both give equal values. As a whole it computes each coordinate again for each
    channel, which is faster with AVX-512 alone (docs/benchmarks.md).

    Args:
        whole: by the processor if None.
    """
    if has_avx512() if whole is None else whole:
        return tf.function(warp, jit_compile=True, autograph=False)
    first, second = (
        tf.function(part, jit_compile=True, autograph=False)
        for part in (locate, resample)
    )

    def in_parts(packed, ids, coordinates, params, table, pool):
        located = first(coordinates, tuple(ids.shape), tuple(packed.shape), pool)
        return second(packed, ids, located, params, table)

    return in_parts


def _mirrored(coordinate, length):
    """Returns coordinates folded at the source's edges, at most `length`.

    Those more than one length beyond an edge come out negative, and are clipped later.
    """
    distance = tf.abs(coordinate)
    return tf.minimum(distance, 2 * length * ONE - distance)


def _photometric(level, params, table):
    """Returns levels 0..255 as [0, 1] pixels, with all of `params` applied."""
    image = level * (params["gain"] / 255.0) + params["bias"]
    if "cast" in params:
        image *= params["cast"]
    if "gamma" in params:
        # XLA calls a library's pow pixel by pixel; log and exp it computes in vectors.
        logarithm = tf.math.log(tf.clip_by_value(image, 0.0, 1.0))
        image = tf.exp(logarithm * params["gamma"])
    if table is not None:
        start = tf.cast(params["noise_start"] * NOISE_STARTS, tf.int32)
        place = tf.reshape(tf.range(int(np.prod(image.shape))), image.shape)
        # A gather joins the loop over the output; slices would be loops of their own.
        noise = tf.gather(table, start + place)
        image += tf.cast(noise, tf.float32) * (params["noise"] * NOISE_UNIT)
    return tf.clip_by_value(image, 0.0, 1.0)
