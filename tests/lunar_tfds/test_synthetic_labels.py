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


def test_regions_touching_at_a_corner_are_one():
    mask = blank()
    mask[5:10, 5:10] = True
    mask[10:15, 10:15] = True
    mask[30:33, 60:80] = True
    regions = labels.label_regions(mask)
    assert regions.max() == 2
    assert regions[6, 6] == regions[12, 12] != regions[31, 70]


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14))))
def test_regions_are_the_connected_ones(mask):
    regions = labels.label_regions(mask)
    assert ((regions > 0) == mask).all()
    expected, count = np.zeros(mask.shape, int), 0
    for start in zip(*np.nonzero(mask), strict=True):
        if expected[start]:
            continue
        count += 1
        stack = [start]
        while stack:
            row, column = stack.pop()
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
            if inside and mask[row, column] and not expected[row, column]:
                expected[row, column] = count
                stack += [(row + i - 1, column + j - 1) for i, j in np.ndindex(3, 3)]
    assert regions.max(initial=0) == count
    pairs = set(zip(regions[mask].tolist(), expected[mask].tolist(), strict=True))
    assert len(pairs) == count


@settings(max_examples=40, deadline=None)
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
