"""From visible classes to the dataset's mask files and bounding boxes."""

import numpy as np
from scipy import ndimage

from lunar_tfds import image_arrays, kaggle_layout, palette

FADE_DISTANCE = 60.0  # Distance at which a rock's colour has halved, m.
CLEAN_RADIUS = 8  # Blobs narrower than about twice this vanish from `clean`, px.
BOX_INTENSITY, BOX_SIDE = 150, 20  # Boxes: blue over this, sides over this, px.


def fade(distance: np.ndarray) -> np.ndarray:
    """Returns uint8, the label intensity of rock at a distance in m: 255 nearby."""
    distance = np.minimum(distance, 1e4)
    return np.rint(1 + 254 / (1 + (distance / FADE_DISTANCE) ** 3)).astype(np.uint8)


def draw_ground(
    sky: np.ndarray, small: np.ndarray, large: np.ndarray, distance: np.ndarray
) -> np.ndarray:
    """Returns the `ground` mask.

    Args:
        sky: bool [H, W].
        small: bool [H, W].
        large: bool [H, W]; overlaps `small` where a small rock is embedded in a large
            one.
        distance: float [H, W], m.

    Returns:
        uint8 [H, W, 3]: red sky, rock colours that fade with distance.
    """
    ground = np.zeros((*sky.shape, 3), np.uint8)
    intensity = fade(distance)
    ground[sky, 0] = palette.SKY_RED[1]
    ground[small, 1] = intensity[small]
    ground[large, 2] = intensity[large]
    return ground


def draw_clean(ground: np.ndarray) -> np.ndarray:
    """Returns the `clean` mask: primaries, no specks, no holes in large rocks.

    Args:
        ground: uint8 [H, W, 3] of `draw_ground`.
    """
    radius = CLEAN_RADIUS * ground.shape[1] / kaggle_layout.FRAME_WIDTH
    small, large = (ground[..., 1:] >= palette.ROCK_THRESHOLD).transpose(2, 0, 1)
    ids = np.zeros(ground.shape[:2], np.uint8)
    ids[opened(small, radius)] = palette.SMALL_ROCK
    large = ndimage.binary_fill_holes(large, image_arrays.TOUCHING)
    ids[opened(large, radius)] = palette.LARGE_ROCK
    ids[ground[..., 0] > 0] = palette.SKY
    return palette.colorize(ids)


def opened(mask: np.ndarray, radius: float) -> np.ndarray:
    """Returns bool [H, W]: the union of all discs of `radius` px that fit in `mask`.

    Outside the image counts as part of the mask, so rocks at the edge stay.
    """
    if not mask.any():
        return mask
    reach = int(np.ceil(radius))
    inside = slice(2 * reach, -2 * reach)
    outside = np.pad(~mask, 2 * reach)
    centres = ~dilated(outside, radius)
    return dilated(centres, radius)[inside, inside] & mask


def dilated(mask: np.ndarray, radius: float) -> np.ndarray:
    """Returns bool [H, W]: pixels within `radius` px of the mask."""
    if not mask.any():  # There is no distance to nothing.
        return mask
    return ndimage.distance_transform_edt(~mask) <= radius


def find_boxes(ground: np.ndarray) -> list[tuple[float, float, int, int]]:
    """Returns the boxes of large rocks, in the dataset's half-pixel convention.

    Args:
        ground: uint8 [H, W, 3].

    Returns:
        List of (x, y, length, height): x = first column + 0.5, y = first row + 0.5.
    """
    rocks, _ = image_arrays.connected_regions(ground[..., 2] > BOX_INTENSITY)
    boxes = []
    for rows, columns in ndimage.find_objects(rocks):
        height, length = rows.stop - rows.start, columns.stop - columns.start
        if height > BOX_SIDE and length > BOX_SIDE:
            left, top = (
                edge.start + kaggle_layout.BOXES_ORIGIN for edge in (columns, rows)
            )
            boxes.append((left, top, length, height))
    return sorted(boxes)
