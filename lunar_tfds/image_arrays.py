"""Pixels and masks as arrays: turned, coloured, overlaid, written as PNG."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, PngImagePlugin

from lunar_tfds import palette

# Refuse pictures whose header claims more: a photo of the Moon has 4 megapixels.
MAX_PIXELS = 64_000_000
STRIP_PIXELS = 1 << 20
# zlib's level for photos and drawn scenes: the default level takes two to four times as
# long, and makes a PNG of grainy pictures no smaller.
GRAINY_LEVEL = 3
ORIENTATION = 0x0112  # EXIF's tag.
TOUCHING = np.ones((3, 3), int)  # Pixels that touch at a corner belong together.


def to_png(
    pixels: np.ndarray, *, compress_level: int = 6, text: dict[str, str] | None = None
) -> bytes:
    """Return a PNG file.

    Args:
        pixels: uint8 [height, width] or [height, width, 3], RGB.
        compress_level: zlib's, 0 to 9.
        text: entries to store beside the pixels.
    """
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(file, "PNG", pnginfo=info, compress_level=compress_level)
    return file.getvalue()


def orientation_of(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1, as stored, where EXIF is unreadable."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Unreadable EXIF is ignored.
        return 1


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels [height, width, ...] upright, by EXIF's orientation, 1 to 8.

    Pillow's own function also rewrites the EXIF, and fails where a tag is odd.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def class_colors(mask: np.ndarray) -> np.ndarray:
    """Return `palette.colorize` of a mask [height, width]; needs little memory."""
    colors = np.empty((*mask.shape, 3), np.uint8)
    for rows in row_strips(mask.shape):
        colors[rows] = palette.colorize(mask[rows])
    return colors


def row_strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of rows that cover a picture, of about `STRIP_PIXELS` each.

    Computing strip by strip needs no float64 copy of a large picture.

    Args:
        shape: (height, width, ...), px.
    """
    height, width = shape[:2]
    step = max(1, STRIP_PIXELS // max(1, width))
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def borders(mask: np.ndarray) -> np.ndarray:
    """Return bool [height, width]: where the left or upper neighbour differs.

    Args:
        mask: int [height, width], class ids.
    """
    border = np.zeros(mask.shape, bool)
    border[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    border[1:] |= mask[1:] != mask[:-1]
    return border


def overlay(
    image: np.ndarray,
    mask: np.ndarray,
    opacity: float,
    border_opacity: float | None = None,
) -> np.ndarray:
    """Return an image tinted by class; ground keeps its colour.

    Args:
        image: uint8 [height, width, 3].
        mask: int [height, width], class ids.
        opacity: how strongly a class's colour covers the image, 0 to 1.
        border_opacity: the same at borders of classes; by default `opacity`.

    Returns:
        uint8 [height, width, 3].
    """
    tables = _tints(opacity, opacity if border_opacity is None else border_opacity)
    kinds = tint_kinds(mask)
    result = np.empty((*mask.shape, 3), np.uint8)
    for rows in row_strips(mask.shape):
        first = kinds[rows].astype(np.uint16) * 256
        for channel, table in enumerate(tables):
            values = first + image[rows][..., channel]
            result[rows][..., channel] = np.take(table, values)
    return result


def tint_kinds(mask: np.ndarray) -> np.ndarray:
    """Return the kind of each pixel: its class id, plus `NUM_CLASSES` at a border.

    Args:
        mask: int [height, width], class ids.
    """
    return mask + palette.NUM_CLASSES * borders(mask).astype(mask.dtype)


def tint_strengths(opacity: float, border_opacity: float) -> np.ndarray:
    """Return how strongly each of `tint_kinds` is tinted, float64; ground never is."""
    strengths = np.repeat([opacity, border_opacity], palette.NUM_CLASSES)
    strengths[palette.GROUND :: palette.NUM_CLASSES] = 0
    return strengths


def _tints(opacity: float, border_opacity: float) -> np.ndarray:
    """Return the tinted value of each channel value, uint8 [3, tint kinds * 256].

    A table is five times as fast as computing each pixel.
    """
    strengths = tint_strengths(opacity, border_opacity)[:, np.newaxis]
    colors = np.tile(palette.CLASS_COLORS, (2, 1)) * strengths
    values = np.arange(256) * (1 - strengths)
    tinted = colors.T[:, :, np.newaxis] + values
    return np.rint(tinted).astype(np.uint8).reshape(3, -1)


def connected_regions(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (labels, areas) of the 8-connected regions of a mask, such as rocks.

    Args:
        mask: bool [height, width].

    Returns:
        labels: int32 [height, width], 0 outside, regions from 1 in reading order.
        areas: int64 [number of regions], px.
    """
    from scipy import ndimage  # Slow to import, and needed only here.

    labels, count = ndimage.label(mask, TOUCHING)
    areas = np.zeros(count + 1, np.int64)
    for rows in row_strips(mask.shape):  # bincount makes 8 bytes of each number.
        inside = labels[rows][mask[rows]]
        if inside.size:
            counts = np.bincount(inside)
            areas[: counts.size] += counts
    return labels, areas[1:]
