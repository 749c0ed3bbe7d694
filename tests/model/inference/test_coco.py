import numpy as np
import pycocotools.mask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lunar_tfds import palette
from model.inference import coco
from model.inference.rocks import find_rocks

masks = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7),
    elements=st.integers(0, palette.NUM_CLASSES - 1),
)


def rocks_of(mask):
    return find_rocks(mask, np.eye(4, dtype=np.float32)[mask], 1)


@settings(max_examples=200)
@given(masks)
def test_the_instances_are_the_mask(mask):
    found = rocks_of(mask)
    entries = list(coco.annotations(found, mask.shape))
    painted = np.zeros_like(mask)
    for entry, rock in zip(entries, found, strict=True):
        run_lengths = entry["segmentation"]
        assert isinstance(run_lengths["counts"], str)
        whole = pycocotools.mask.decode(run_lengths)
        # The same text as the library makes of the whole image.
        packed = pycocotools.mask.encode(np.asfortranarray(whole))
        assert packed["counts"].decode() == run_lengths["counts"]
        assert pycocotools.mask.area(run_lengths) == entry["area"] == rock.area
        assert pycocotools.mask.toBbox(run_lengths).tolist() == entry["bbox"]
        assert entry["iscrowd"] == 0
        assert not painted[whole > 0].any()
        painted[whole > 0] = entry["category_id"]
    expected = np.where(mask >= palette.SMALL_ROCK, mask, 0)
    np.testing.assert_array_equal(painted, expected)


def painted_by(ring, shape):
    return pycocotools.mask.decode(pycocotools.mask.frPyObjects([ring], *shape))[..., 0]


def area_of(ring):
    """Return the area inside a ring, px, as other tools than pycocotools take it."""
    x, y = np.reshape(ring, (-1, 2)).T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


@pytest.mark.parametrize(
    "rows",
    [
        ("###", "#.#", "###"),  # A hole, and every side at the border.
        ("####.", "#.#.#", "##.##", ".#.#.", "#####"),  # Holes that meet at corners.
        ("#.", ".#"),  # One rock that hangs together at a corner.
        ("#########", "#.##.##.#", "#########"),  # Holes behind one another.
        ("#####", "#...#", "#.#.#", "#...#", "#####"),  # A rock in the hole of a rock.
    ],
)
def test_holes_corners_and_borders(rows):
    mask = np.array([[2 * (sign == "#") for sign in row] for row in rows], np.uint8)
    entries = list(coco.annotations(rocks_of(mask), mask.shape, "polygons"))
    rings = [ring for entry in entries for ring in entry["segmentation"]]
    assert len(rings) == len(entries) == (2 if rows[0] == "#####" else 1)
    assert sum(area_of(ring) for ring in rings) == (mask > 0).sum()
    painted = sum(painted_by(ring, mask.shape) for ring in rings)
    np.testing.assert_array_equal(painted, mask > 0)


@settings(max_examples=500)
@given(masks)
def test_a_polygon_is_the_rock_with_its_holes(mask):
    found = rocks_of(mask)
    entries = list(coco.annotations(found, mask.shape, "polygons"))
    painted = np.zeros_like(mask)
    for entry, rock in zip(entries, found, strict=True):
        (ring,) = entry["segmentation"]
        assert all(type(number) is int for number in ring) and len(ring) >= 8
        pixels = painted_by(ring, mask.shape) > 0
        assert pixels.sum() == entry["area"] == rock.area
        painted[pixels] = entry["category_id"]
    expected = np.where(mask >= palette.SMALL_ROCK, mask, 0)
    np.testing.assert_array_equal(painted, expected)
