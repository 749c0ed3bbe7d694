"""Rocks as COCO instances, which annotation tools open for correction."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from lunar_tfds.palette import CLASS_NAMES
from model.inference.rocks import ROCK_IDS, Rock

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
    rocks: Iterable[Rock], size: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    """Yields an entry of COCO's `annotations`, but for its ids, for each rock.

    Args:
        rocks: of one image.
        size: (height, width) of the image, px.
    """
    for rock in rocks:
        yield {
            "category_id": rock.class_id,
            "segmentation": run_lengths(rock, size),
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
