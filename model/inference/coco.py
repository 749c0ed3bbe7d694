"""Rocks as COCO instances, which annotation tools open for correction."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from lunar_tfds.palette import CLASS_NAMES
from model.inference.rocks import ROCK_IDS, Rock

# How a rock's pixels are written.
FORMATS = ("rle", "polygons")
# The ids are those of the masks.
CATEGORIES = [
    {"id": class_id, "name": CLASS_NAMES[class_id], "supercategory": "rock"}
    for class_id in ROCK_IDS
]


def image_entry(image_id: int, file_name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Returns an entry of COCO's `images`; `size` is (height, width), px."""
    height, width = size
    return {"id": image_id, "file_name": file_name, "width": width, "height": height}


def annotations(
    rocks: Iterable[Rock], size: tuple[int, int], coco_format: str = "rle"
) -> Iterator[dict[str, Any]]:
    """Yields an entry of COCO's `annotations`, but for its ids, for each rock.

    Args:
        rocks: of one image.
        size: (height, width) of the image, px.
        coco_format: of `FORMATS`.
    """
    for rock in rocks:
        as_polygon = coco_format == "polygons"
        yield {
            "category_id": rock.class_id,
            "segmentation": [polygon(rock)] if as_polygon else run_lengths(rock, size),
            "area": rock.area,
            "bbox": list(rock.box),
            "iscrowd": 0,
            "score": round(rock.probability, 4),
        }


def run_lengths(rock: Rock, size: tuple[int, int]) -> dict[str, Any]:
    """Returns a rock as COCO's compressed RLE: `size` and `counts`, as text.

    Only the bounding box is read: the whole image, once a rock, would take minutes for
    a large photo.
    """
    # Only here, so that what imports this module does without the package.
    import pycocotools.mask

    height, width = size
    counts = _counts(rock, height, height * width)
    packed = pycocotools.mask.frPyObjects(
        {"size": [height, width], "counts": counts}, height, width
    )
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}


def _counts(rock: Rock, height: int, total: int) -> list[int]:
    """Returns the lengths of runs outside and inside in turn, column by column."""
    _, _, box_width, box_height = rock.box
    columns = np.zeros((box_width, box_height + 2), bool)
    columns[:, 1:-1] = rock.pixels.T
    column, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
    edges = (rock.left + column) * height + rock.top + row
    if box_height == height:  # A run may end a column and go on in the next.
        edges, times = np.unique(edges, return_counts=True)
        edges = edges[times == 1]
    stops = [0, *edges.tolist(), total]
    counts = [stop - start for start, stop in itertools.pairwise(stops)]
    return counts if counts[-1] else counts[:-1]  # The library ends so, too.


def polygon(rock: Rock) -> list[int]:
    """Returns the outline of a rock, exactly along the edges of its pixels.

    x and y in turn, px; (0, 0) is the outer corner of the image's first pixel. COCO
    fills every ring of an annotation, holes too, and Label Studio's converter reads the
    first ring alone. So a hole is cut open by a line that leads to it and back, and a
    rock is one ring.
    """
    import contourpy  # Only here, as above.

    # Each pixel becomes a square of four points, so that outlines are its edges.
    height, width = rock.pixels.shape
    generator = contourpy.contour_generator(
        np.repeat(np.arange(width + 1.0), 2)[1:-1],
        np.repeat(np.arange(height + 1.0), 2)[1:-1],
        np.kron(rock.pixels, np.ones((2, 2))),
        fill_type=contourpy.FillType.OuterOffset,
    )
    # Below 0.5, pixels that touch at a corner belong together, as in `find_rocks`.
    filled: Any = generator.filled(0.25, 2)  # Its type depends on the fill type.
    (points,), (offsets,) = filled
    outline, *holes = (
        _corners(points[start:stop]) for start, stop in itertools.pairwise(offsets)
    )
    # From the left, so that what lies left of a hole is part of the outline by then.
    for hole in sorted(holes, key=lambda ring: ring[:, 0].min()):
        outline = _cut_open(outline, hole)
    corners: list[int] = (outline + (rock.left, rock.top)).astype(int).ravel().tolist()
    return corners


def _corners(ring: np.ndarray) -> np.ndarray:
    """Returns the corners, int [n, 2], of a closed ring without points between them."""
    ring = np.rint(ring).astype(int)
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return ring[(before != 0).argmax(axis=1) != (after != 0).argmax(axis=1)]


def _cut_open(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Returns the outline with a hole in it, joined by a horizontal line."""
    start = hole[:, 0].argmin()
    x, y = hole[start]
    after = np.roll(outline, -1, axis=0)
    lows, highs = np.minimum(outline, after), np.maximum(outline, after)
    is_left = (lows[:, 0] == highs[:, 0]) & (lows[:, 0] <= x)
    is_left &= (lows[:, 1] <= y) & (y <= highs[:, 1])
    nearest = np.where(is_left, lows[:, 0], -1).argmax()
    end = [[lows[nearest, 0], y]]
    rest = np.roll(hole, -start, axis=0)
    bridge = np.concatenate([end, rest, rest[:1], end])
    return np.insert(outline, nearest + 1, bridge, axis=0)
