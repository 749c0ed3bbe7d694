"""What is asked of runs of colours is what is true of the pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lunar_tfds import palette
from lunar_tfds.lunar_rocks import color_runs, frame_files, label_rules
from tests.support import building

COLORS = np.array(
    [(0, 0, 0), (226, 0, 0), (0, 90, 0), (0, 255, 0), (0, 0, 255), (0, 200, 200)],
    np.uint8,
)
INDICES = hnp.arrays(np.uint8, (2, 20, 8), elements=st.integers(0, len(COLORS) - 1))


@given(INDICES, st.sampled_from([50, 100, 255]))
def test_runs_hold_the_colours_and_classes_of_the_images(indices, threshold):
    ground, clean = COLORS[indices]
    found = color_runs.find(building.rgbx(ground), building.rgbx(clean))
    assert found.lengths.sum() == 160 and found.lengths.min() > 0
    for image, colors in ((ground, found.ground), (clean, found.clean)):
        spread = np.repeat(colors, found.lengths, axis=0).reshape(image.shape)
        np.testing.assert_array_equal(spread, image)
    labels = found.labels(threshold)
    ids = [palette.class_ids(image, threshold) for image in (ground, clean)]
    np.testing.assert_array_equal(labels.ground, ids[0])
    np.testing.assert_array_equal(labels.clean, ids[1])
    np.testing.assert_array_equal(
        labels.table,
        [[((ids[0] == g) & (ids[1] == c)).sum() for c in range(4)] for g in range(4)],
    )


def test_a_run_ends_where_either_image_changes_and_goes_on_in_the_next_row():
    ground, clean = np.zeros((2, 2, 3, 3), np.uint8)
    ground[1, 1], clean[0, 1] = (0, 255, 0), (255, 0, 0)
    found = color_runs.find(building.rgbx(ground), building.rgbx(clean))
    assert found.lengths.tolist() == [1, 1, 2, 1, 1]
    assert found.clean[:, 0].tolist() == [0, 255, 0, 0, 0]
    assert found.ground[:, 1].tolist() == [0, 0, 0, 255, 0]
    assert color_runs.find(
        building.rgbx(clean), building.rgbx(clean)
    ).lengths.tolist() == [
        1,
        1,
        4,
    ]


@given(INDICES)
def test_statistics_count_pixels(indices):
    ground_rgb, clean_rgb = COLORS[indices]
    ground, clean = palette.class_ids(ground_rgb), palette.class_ids(clean_rgb)
    frame = frame_files.Frame("0001", "train", "", "", "")
    pair = color_runs.find(building.rgbx(ground_rgb), building.rgbx(clean_rgb))
    found = label_rules.gather(frame, None, pair, pair.labels(), [])
    for mask, ids in (("ground_mask", ground), ("clean_mask", clean)):
        expected = np.bincount(ids.ravel(), minlength=4).tolist()
        assert found.pixel_counts["train"][mask] == expected
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
    found = color_runs.find(building.rgbx(ground), building.rgbx(np.zeros_like(ground)))
    frame = frame_files.Frame("0001", "train", "", "", "")
    low = label_rules.gather(frame, None, found, found.labels(50), [])
    assert low.pixel_counts["train"]["ground_mask"] == [80, 0, 80, 0]
    assert low.cases["ground_is_common"] == [160, 160]
