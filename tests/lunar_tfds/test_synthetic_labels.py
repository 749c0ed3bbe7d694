"""Checks the mask files' conventions on hand-drawn cases."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lunar_tfds.synthetic import labels


def blank():
    return np.zeros((60, 80), bool)


def test_ground_fades_and_overlaps():
    sky, small, large = blank(), blank(), blank()
    sky[:10] = True
    small[20:30, 10:30] = True
    large[20:30, 20:50] = True
    distance = np.full(sky.shape, 5.0)
    distance[:, 40:] = 100.0
    ground = labels.draw_ground(sky, small, large, distance)
    assert (ground[:10] == (226, 0, 0)).all()
    assert (ground[25, 15] == (0, 255, 0)).all()
    assert (ground[25, 25] == (0, 255, 255)).all()
    assert ground[25, 45, 2] in range(30, 100) and ground[25, 45, :2].max() == 0
    assert ground[30:].max() == 0
    far = labels.fade(np.array([0.0, 60.0, 1e5]))
    assert far.tolist() == [255, 128, 1]  # Rock is never wholly black.


def test_clean_drops_specks_and_fills_holes():
    ground = np.zeros((120, 180, 3), np.uint8)
    ground[:20, :, 0] = 226
    ground[60:110, 20:70, 2] = 255
    ground[80:84, 40:44, 2] = 0  # A hole.
    ground[50:52, 100:102, 1] = 255  # A speck.
    ground[80:110, 100:130, 1] = 220
    ground[30:58, 140:170, 1] = 60  # Too far.
    clean = labels.draw_clean(ground)
    assert set(map(tuple, clean.reshape(-1, 3))) == {
        (0, 0, 0),
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    }
    assert (clean[:20] == (255, 0, 0)).all()
    assert (clean[82, 42] == (0, 0, 255)).all()
    assert (clean[95, 115] == (0, 255, 0)).all()
    assert not clean[50:52, 100:102].any() and not clean[30:58, 140:170].any()


def test_a_small_rock_in_a_large_one_is_large_in_clean():
    ground = np.zeros((100, 100, 3), np.uint8)
    ground[20:80, 20:80, 2] = 255
    ground[40:70, 40:70, 1] = 255
    clean = labels.draw_clean(ground)
    assert (clean[55, 55] == (0, 0, 255)).all()


def test_boxes_follow_the_half_pixel_convention():
    ground = np.zeros((480, 720, 3), np.uint8)
    ground[100:130, 200:240, 2] = 151  # Brighter than 150 and over 20 px: a box.
    ground[200:230, 200:240, 2] = 150  # Not brighter than 150.
    ground[300:320, 100:200, 2] = 255  # 20 px high: not over 20.
    ground[400:421, 699:720, 2] = 255
    assert labels.find_boxes(ground) == [
        (200.5, 100.5, 40, 30),
        (699.5, 400.5, 21, 21),
    ]


def test_rocks_that_touch_at_a_corner_are_one_box():
    ground = np.zeros((60, 80, 3), np.uint8)
    ground[5:17, 5:17, 2] = 255
    ground[17:30, 17:30, 2] = 255
    ground[32:55, 32:55, 2] = 255  # A row and a column lie between.
    assert labels.find_boxes(ground) == [(5.5, 5.5, 25, 25), (32.5, 32.5, 23, 23)]


def test_a_gap_open_at_a_corner_is_no_hole():
    ground = np.zeros((60, 80, 3), np.uint8)
    ground[10:50, 10:60, 2] = 255
    ground[20:30, 20:30, 2] = 0  # Closed.
    ground[30:50, 45:60, 2] = 0  # Open at the corner of the rock.
    ground[25:30, 40:45, 2] = 0  # Touches the open one at a corner alone.
    clean = labels.draw_clean(ground)
    assert (clean[25, 25] == (0, 0, 255)).all()
    assert not clean[27, 42].any() and not clean[40, 50].any()


@settings(max_examples=40)
@given(hnp.arrays(bool, (12, 15)), st.floats(1, 3.5))
def test_opening_is_the_union_of_discs_that_fit(mask, radius):
    rows, columns = np.mgrid[-4:5, -4:5]
    disc = rows**2 + columns**2 <= radius**2
    padded = np.pad(mask, 10, constant_values=True)
    expected = np.zeros_like(padded)
    for i in range(4, padded.shape[0] - 4):
        for j in range(4, padded.shape[1] - 4):
            window = (slice(i - 4, i + 5), slice(j - 4, j + 5))
            if padded[window][disc].all():
                expected[window] |= disc
    np.testing.assert_array_equal(
        labels.opened(mask, radius), expected[10:-10, 10:-10] & mask
    )
