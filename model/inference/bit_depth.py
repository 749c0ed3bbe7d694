"""How many bits the values of a 16-bit file really use: one rule for grey and colour.

Many cameras fill 10, 12 or 14 of them. It is `--bit_depth` if given; else what the file
declares below 16; else the smallest of `DEPTHS` that holds the largest value, over all
16-bit files of a folder where there are several, so that their brightness compares.
"""

from typing import NamedTuple

import numpy as np

from lunar_tfds.image_arrays import row_strips

DEPTHS = (8, 10, 12, 14, 16)


class Picture(NamedTuple):
    """Pixels as a file stores them.

    Attributes:
        pixels: uint8 [height, width, 3], or uint16 [height, width, 3 or 1 (grey)].
        declared: bits that the file says its values use; None where it says nothing.
    """

    pixels: np.ndarray
    declared: int | None

    @property
    def largest(self) -> int:
        """The largest value."""
        return int(self.pixels.max())

    @property
    def is_deep(self) -> bool:
        """Whether the file stores more than 8 bits."""
        return self.pixels.dtype == np.uint16


def depth_of(picture: Picture, given: int | None, folder_largest: int = 0) -> int:
    """Returns the bits that a picture's values use, 8 to 16.

    Args:
        picture: the picture; 8 for one that is not `is_deep`.
        given: --bit_depth, or None.
        folder_largest: the largest value of such files of its folder.

    Raises:
        ValueError: a value does not fit what was given.
    """
    if not picture.is_deep:
        return 8
    largest = picture.largest
    if given is not None:
        if largest >> given:
            raise ValueError(
                f"a value of {largest} does not fit --bit_depth={given}. Pass a larger "
                "one, or leave it out"
            )
        return given
    # PNG's sBIT is also written for values scaled up to all 16 bits.
    if picture.declared and not largest >> picture.declared:
        return picture.declared
    largest = max(largest, folder_largest)
    return next(depth for depth in DEPTHS if not largest >> depth)


def to_8_bits(picture: Picture, bits: int) -> np.ndarray:
    """Returns a picture whose values use so many bits, uint8 [height, width, 3]."""
    pixels = picture.pixels
    if not picture.is_deep:
        return pixels
    table = np.rint(np.arange(1 << bits) * (255.0 / ((1 << bits) - 1)))
    table = table.astype(np.uint8)
    rgb = np.empty((*pixels.shape[:2], 3), np.uint8)
    for rows in row_strips(pixels.shape):
        rgb[rows] = table[pixels[rows]]
    return rgb


def from_numbers(values: np.ndarray) -> np.ndarray:
    """Returns whole numbers as uint16, floats as uint8; of the shape of `values`.

    Raises:
        ValueError: whole numbers beyond 0 to 65535; floats neither in [0, 1] nor in
            [0, 255]; numbers of another kind.
    """
    low, high = values.min(), values.max()
    if values.dtype.kind in "iu":
        if low < 0 or high >= 1 << 16:
            raise ValueError(
                f"{values.dtype} samples must lie in 0..65535: got {low} to {high}"
            )
        return values.astype(np.uint16)
    if values.dtype.kind != "f":
        raise ValueError(f"{values.dtype} samples are not read. Save as 8 or 16 bits")
    if not (low >= 0 and high <= 255):  # Also catches nan.
        raise ValueError(
            f"floats must lie in [0, 1] or [0, 255]: got {low:g} to {high:g}"
        )
    pixels = np.empty(values.shape, np.uint8)
    for rows in row_strips(values.shape):
        pixels[rows] = np.rint(values[rows] * (255.0 if high <= 1 else 1.0))
    return pixels
