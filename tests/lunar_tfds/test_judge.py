"""What the rules count is what is true of the pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lunar_tfds import palette
from lunar_tfds.lunar_rocks import decode, frame_files, judge

COLORS = np.array(
    [(0, 0, 0), (226, 0, 0), (0, 90, 0), (0, 255, 0), (0, 0, 255), (0, 200, 200)],
    np.uint8,
)
INDICES = hnp.arrays(np.uint8, (2, 20, 8), elements=st.integers(0, len(COLORS) - 1))
FRAME = frame_files.Frame("0001", "train", "", {"ground": "", "clean": ""})


def judged(ground, clean, threshold=palette.ROCK_THRESHOLD, top=None):
    masks = {"ground": ground, "clean": clean}
    ids = {kind: palette.class_ids(rgb, threshold) for kind, rgb in masks.items()}
    return judge.judge(FRAME, decode.Pixels(b"", top, masks), ids, threshold, [])


@given(INDICES, st.sampled_from([50, 100, 255]))
def test_statistics_count_pixels(indices, threshold):
    ground_rgb, clean_rgb = COLORS[indices]
    found = judged(ground_rgb, clean_rgb, threshold)
    for mask, rgb in (("ground_mask", ground_rgb), ("clean_mask", clean_rgb)):
        ids = palette.class_ids(rgb, threshold)
        expected = np.bincount(ids.ravel(), minlength=4).tolist()
        assert found.pixel_counts["train"][mask] == expected
    ground, clean = palette.class_ids(ground_rgb), palette.class_ids(clean_rgb)
    sky, rock = (ground == 1, clean == 1), (ground > 1) & (clean > 1)
    assert found.cases["skies_agree"] == [
        (sky[0] & sky[1]).sum(),
        (sky[0] | sky[1]).sum(),
    ]
    assert found.cases["rocks_agree"] == [(rock & (ground == clean)).sum(), rock.sum()]
    overlap = (ground_rgb[..., 1] > 0) & (ground_rgb[..., 2] > 0)
    assert found.cases["overlaps_are_large"] == [
        (overlap & (clean == 3)).sum(),
        (overlap & (clean > 1)).sum(),
    ]
    bare, small = (ground == 0).sum(), (ground == 2).sum()
    assert found.cases["ground_is_common"] == [bare, bare + small]


def test_rules_keep_the_authors_threshold():
    ground = np.zeros((20, 8, 3), np.uint8)
    ground[10:, :, 1] = 60  # A rock from 50 on, none from the author's 100 on.
    low = judged(ground, np.zeros_like(ground), 50)
    assert low.pixel_counts["train"]["ground_mask"] == [80, 0, 80, 0]
    assert low.cases["ground_is_common"] == [160, 160]


def test_only_the_sky_of_the_upper_rows_must_be_dark():
    ground = np.zeros((20, 8, 3), np.uint8)
    ground[:, :4, 0] = 226
    top = np.zeros((decode.TOP_ROWS, 8, 3), np.uint8)
    top[:, 4:] = 200  # Ground may be bright.
    top[0, :3, 2] = judge.DARK  # Three pixels of sky are, in one channel.
    found = judged(ground, ground, top=top)
    sky = decode.TOP_ROWS * 4
    assert found.cases["sky_is_dark"] == [sky - 3, sky]
    assert judged(ground, ground).cases["sky_is_dark"] == [0, 0]
