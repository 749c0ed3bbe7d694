"""From visible classes to the dataset's mask files and bounding boxes."""

import numpy as np

SKY_IN_GROUND = 226  # Red of the sky in `ground` files; never 255 there.
FADE_DISTANCE = 60.0  # Distance at which a rock's colour has halved, m.
CLEAN_THRESHOLD = 100  # Intensity from which the author's clean masks keep rock.
CLEAN_RADIUS = 8  # Blobs narrower than about twice this vanish from `clean`, px.
BOX_INTENSITY, BOX_SIDE = 150, 20  # Boxes: blue over this, sides over this, px.


def fade(distance):
    """Returns uint8, the label intensity of rock at a distance in m: 255 nearby."""
    distance = np.minimum(distance, 1e4)
    return np.rint(1 + 254 / (1 + (distance / FADE_DISTANCE) ** 3)).astype(np.uint8)


def draw_ground(sky, small, large, distance):
    """Returns the `ground` mask.

    Args:
        sky: bool [H, W].
        small: bool [H, W].
        large: bool [H, W]; overlaps `small` where a small rock is embedded in a large
            one.
        distance: float [H, W], m.

    Returns:
        uint8 [H, W, 3]: sky (226, 0, 0), rock colours that fade with distance.
    """
    ground = np.zeros((*sky.shape, 3), np.uint8)
    intensity = fade(distance)
    ground[sky, 0] = SKY_IN_GROUND
    ground[small, 1] = intensity[small]
    ground[large, 2] = intensity[large]
    return ground


def draw_clean(ground):
    """Returns the `clean` mask: primaries, no specks, no holes in large rocks.

    Args:
        ground: uint8 [H, W, 3] of `draw_ground`.
    """
    radius = CLEAN_RADIUS * ground.shape[1] / 720
    large = ground[..., 2] >= CLEAN_THRESHOLD
    small = ground[..., 1] >= CLEAN_THRESHOLD
    large = opened(fill_holes(large), radius)
    small = opened(small, radius) & ~large
    clean = np.zeros_like(ground)
    clean[..., 0] = np.where(ground[..., 0] > 0, 255, 0)
    for channel, rock in ((1, small), (2, large)):
        clean[rock & (ground[..., 0] == 0), channel] = 255
    return clean


def opened(mask, radius):
    """Returns bool [H, W]: the union of all discs of `radius` px that fit in `mask`.

    Outside the image counts as part of the mask, so rocks at the edge stay.
    """
    reach = int(np.ceil(radius))
    padded = np.pad(mask, 2 * reach, constant_values=True)
    inside = slice(2 * reach, -2 * reach)
    return dilated(~dilated(~padded, radius), radius)[inside, inside] & mask


def dilated(mask, radius):
    """Returns bool [H, W]: pixels within `radius` px of the mask."""
    height, width = mask.shape
    reach = int(radius)
    grown = np.zeros_like(mask)
    # Marked pixels left of each column, with `reach` columns more on either side.
    counts = np.zeros((height, width + 2 * reach + 1), np.int32)
    np.cumsum(mask, axis=1, out=counts[:, reach + 1 : reach + 1 + width])
    counts[:, reach + 1 + width :] = counts[:, [reach + width]]
    for dy in range(-reach, reach + 1):
        half = int(np.sqrt(radius**2 - dy**2))
        last, first = reach + half + 1, reach - half
        near = counts[:, last : last + width] != counts[:, first : first + width]
        to = slice(max(dy, 0), height + min(dy, 0))
        source = slice(max(-dy, 0), height + min(-dy, 0))
        grown[to] |= near[source]
    return grown


def fill_holes(mask):
    """Returns bool [H, W]: the mask and every gap in it that touches no image edge."""
    regions = label_regions(~mask)
    edge = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    return mask | ~np.isin(regions, np.unique(edge[edge > 0])) & (regions > 0)


def find_boxes(ground):
    """Returns the boxes of large rocks, in the dataset's half-pixel convention.

    Args:
        ground: uint8 [H, W, 3].

    Returns:
        List of (x, y, length, height): x = first column + 0.5, y = first row + 0.5.
    """
    regions = label_regions(ground[..., 2] > BOX_INTENSITY)
    boxes = []
    for region in range(1, regions.max(initial=0) + 1):
        rows, columns = np.nonzero(regions == region)
        height = int(rows.max() - rows.min()) + 1
        length = int(columns.max() - columns.min()) + 1
        if height > BOX_SIDE and length > BOX_SIDE:
            corner = (int(columns.min()) + 0.5, int(rows.min()) + 0.5)
            boxes.append((*corner, length, height))
    return sorted(boxes)


def label_regions(mask):
    """Returns int32 [H, W]: 8-connected regions numbered from 1, 0 outside the mask."""
    height, width = mask.shape
    padded = np.zeros((height, width + 2), np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    rows, starts = np.nonzero(change == 1)
    _, stops = np.nonzero(change == -1)
    parent = list(range(len(rows)))

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    firsts = np.searchsorted(rows, np.arange(height + 1)).tolist()
    begin, end = starts.tolist(), stops.tolist()
    for row in range(1, height):
        above, here = firsts[row - 1], firsts[row]
        while above < firsts[row] and here < firsts[row + 1]:
            if begin[here] <= end[above] and begin[above] <= end[here]:
                parent[root(here)] = root(above)
            if end[above] < end[here]:
                above += 1
            else:
                here += 1
    roots = np.array([root(i) for i in range(len(parent))], np.int64)
    _, numbers = np.unique(roots, return_inverse=True)
    regions = np.zeros((height, width + 1), np.int32)
    np.add.at(regions, (rows, starts), numbers + 1)
    np.add.at(regions, (rows, stops), -(numbers + 1))
    return np.cumsum(regions, axis=1)[:, :-1].astype(np.int32)
