import numpy as np

from lunar_tfds import palette
from model.inference import rocks


def test_rock_is_small_rock_and_large_rock():
    ids = np.array([[palette.GROUND, palette.SKY, palette.SMALL_ROCK, 3]])
    assert rocks.is_rock(ids).tolist() == [[False, False, True, True]]


def test_rocks_by_hand():
    mask = np.zeros((6, 9), np.uint8)
    mask[1:3, 2:6] = palette.LARGE_ROCK
    mask[3, 4:7] = palette.SMALL_ROCK  # Touches it, and is a rock of its own.
    mask[5, 0] = palette.SMALL_ROCK  # Too small.
    mask[0, 8] = palette.SKY
    probabilities = np.full((6, 9, 4), 0.1, np.float32)
    probabilities[1, :, palette.LARGE_ROCK] = 0.5
    probabilities[2, :, palette.LARGE_ROCK] = 0.9
    large, small = rocks.find_rocks(mask, probabilities, 2)
    assert (large.class_id, small.class_id) == (palette.LARGE_ROCK, palette.SMALL_ROCK)
    assert large.box == (2, 1, 4, 2) and small.box == (4, 3, 3, 1)
    assert large.area == 8 and small.area == 3
    assert large.centroid == (3.5, 1.5) and small.centroid == (5, 3)
    np.testing.assert_allclose([large.probability, small.probability], [0.7, 0.1])
    np.testing.assert_allclose(large.diameter, np.sqrt(4 * 8 / np.pi))
    assert large.pixels.all() and large.pixels.base is None
    assert len(rocks.find_rocks(mask, probabilities, 1)) == 3
    assert rocks.find_rocks(mask, probabilities, 9) == []


def test_rocks_that_touch_at_a_corner_are_one():
    mask = np.diag([2, 2, 2]).astype(np.uint8)
    (rock,) = rocks.find_rocks(mask, np.eye(4, dtype=np.float32)[mask], 1)
    assert rock.area == 3 and rock.centroid == (1, 1) and rock.probability == 1
