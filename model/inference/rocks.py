"""The rocks of a mask: which pixels, one by one, and their classes by size."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from lunar_tfds.image_arrays import connected_regions
from lunar_tfds.palette import CLASS_NAMES
from model.network.metrics import ROCK_CLASSES

ROCK_IDS = tuple(CLASS_NAMES.index(name) for name in ROCK_CLASSES)
# Lower edges of the size classes, as the diameter of a disk of equal area, px. A
# 720x480 frame shows most small rocks under 16 px.
SIZE_EDGES = (0, 8, 16, 32, 64)
# Smaller rocks are neither counted nor listed unless asked for, px.
MIN_AREA = 10


@dataclasses.dataclass(frozen=True)
class Rock:
    """One rock: a connected region of one class.

    Attributes:
        class_id: of `ROCK_IDS`.
        left: px from the image's left edge to the bounding box.
        top: px from the image's upper edge to the bounding box.
        pixels: bool [height, width], the rock in its bounding box.
        area: px.
        centroid: (x, y), px; the centre of the image's first pixel is (0, 0).
        probability: mean over its pixels of the probability of its class, 0 to 1.
    """

    class_id: int
    left: int
    top: int
    pixels: np.ndarray
    area: int
    centroid: tuple[float, float]
    probability: float

    @property
    def diameter(self) -> float:
        """px, of a disk of the same area."""
        return float(equivalent_diameter(self.area))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, width, height), px."""
        height, width = self.pixels.shape
        return self.left, self.top, width, height


def is_rock(mask: np.ndarray) -> np.ndarray:
    """Returns bool [height, width]: where class ids, int [height, width], are rock."""
    rock = mask == ROCK_IDS[0]
    for class_id in ROCK_IDS[1:]:
        rock |= mask == class_id
    return rock


def find_rocks(
    mask: np.ndarray, probabilities: np.ndarray, min_area: int
) -> list[Rock]:
    """Returns the rocks of an image, the largest first.

    A small rock that touches a large one is a rock of its own, so that every pixel of
    a rock has its class, as in the mask.

    Args:
        mask: uint8 [height, width], class ids.
        probabilities: float [height, width, num_classes], in [0, 1].
        min_area: px; smaller ones are left out.
    """
    rocks = [
        rock
        for class_id in ROCK_IDS
        for rock in _rocks_of_class(mask, probabilities, class_id, min_area)
    ]
    return sorted(rocks, key=lambda rock: (-rock.area, rock.top, rock.left))


def _rocks_of_class(
    mask: np.ndarray, probabilities: np.ndarray, class_id: int, min_area: int
) -> Iterator[Rock]:
    labels, areas = connected_regions(mask == class_id)
    boxes = ndimage.find_objects(labels)
    for index in np.flatnonzero(areas >= min_area):
        rows, columns = boxes[index]
        # A copy: a view would keep the labels of the whole image.
        pixels = labels[rows, columns] == index + 1
        area = int(areas[index])
        x, y = (
            np.arange(len(counts)) @ counts / area
            for counts in (pixels.sum(axis=0), pixels.sum(axis=1))
        )
        seen = probabilities[rows, columns, class_id][pixels]
        yield Rock(
            class_id=class_id,
            left=columns.start,
            top=rows.start,
            pixels=pixels,
            area=area,
            centroid=(float(columns.start + x), float(rows.start + y)),
            probability=float(seen.sum(dtype=np.float64) / area),
        )


def equivalent_diameter(areas: np.ndarray | int) -> np.ndarray:
    """Returns the diameters of disks of these areas (px), float64 px."""
    return 2 * np.sqrt(np.asarray(areas, np.float64) / np.pi)


def size_class(areas: np.ndarray) -> np.ndarray:
    """Returns the index into `SIZE_EDGES` of regions of these areas (px), int."""
    return np.searchsorted(SIZE_EDGES, equivalent_diameter(areas), side="right") - 1


def size_names() -> list[str]:
    """Returns how the size classes are called, such as `8 to 16 px`."""
    spans = zip(SIZE_EDGES, SIZE_EDGES[1:], strict=False)
    names = [f"{low} to {high} px" for low, high in spans]
    return [f"under {SIZE_EDGES[1]} px", *names[1:], f"{SIZE_EDGES[-1]} px and more"]
