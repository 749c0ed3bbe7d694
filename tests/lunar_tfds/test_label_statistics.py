"""What the statistics of labels count is what is true of the pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lunar_tfds import image_arrays, palette
from lunar_tfds.lunar_rocks import frame_files, label_statistics, read_frame
from lunar_tfds.lunar_rocks.label_statistics import Statistics

COLORS = np.array(
    [(0, 0, 0), (226, 0, 0), (0, 90, 0), (0, 255, 0), (0, 0, 255), (0, 200, 200)],
    np.uint8,
)
INDICES = hnp.arrays(np.uint8, (2, 20, 8), elements=st.integers(0, len(COLORS) - 1))
IDS = hnp.arrays(np.uint8, (30, 24), elements=st.integers(0, 3))
FRAME = frame_files.Frame("0001", "train", "", {"ground": "g", "clean": "c"})


def counted(masks, threshold=palette.ROCK_THRESHOLD, top=None, boxes=()):
    ids = {kind: palette.class_ids(rgb, threshold) for kind, rgb in masks.items()}
    statistics = label_statistics.of_classes(FRAME, ids)
    statistics.add(label_statistics.of_render(ids, top, list(boxes)))
    return statistics


@given(INDICES, st.sampled_from([50, 100, 255]))
def test_statistics_count_pixels(indices, threshold):
    ground_rgb, clean_rgb = COLORS[indices]
    found = counted({"ground": ground_rgb, "clean": clean_rgb}, threshold)
    for mask, rgb in (("ground_mask", ground_rgb), ("clean_mask", clean_rgb)):
        ids = palette.class_ids(rgb, threshold)
        expected = np.bincount(ids.ravel(), minlength=4).tolist()
        assert found.pixel_counts["train"][mask] == expected


@pytest.mark.parametrize("kind", ["ground", "clean"])
def test_one_mask_has_votes_and_no_agreement(kind):
    mask = np.zeros((20, 8, 3), np.uint8)
    mask[:5, :, 0] = 255
    found = counted({kind: mask})
    assert found.pixel_counts == {"train": {f"{kind}_mask": [120, 40, 0, 0]}}
    assert list(found.votes) == [kind] and found.agreement == []


class OneFrame:
    """A source with the files of one frame, in memory."""

    def __init__(self, ground):
        files = {"r": np.zeros_like(ground), "g": ground, "c": np.zeros_like(ground)}
        self.files = {name: image_arrays.to_png(rgb) for name, rgb in files.items()}

    def read(self, name):
        return self.files[name]


def test_votes_take_the_authors_threshold():
    ground = np.zeros((480, 720, 3), np.uint8)
    ground[:300, :, 1] = 60  # Rock from 50, ground by the author's 100.
    frame = frame_files.Frame("0001", "train", "r", {"ground": "g", "clean": "c"})
    job = read_frame.Job(frame, [], [])
    low, author = (
        read_frame.read_frame(OneFrame(ground), job, threshold).statistics
        for threshold in (50, 100)
    )
    assert low.pixel_counts["train"]["ground_mask"] == [180 * 720, 0, 300 * 720, 0]
    assert author.pixel_counts["train"]["ground_mask"] == [480 * 720, 0, 0, 0]
    assert low.votes == author.votes and low.agreement == author.agreement


@given(IDS, st.integers(0, 1))
def test_shares_of_every_colour(ids, dark):
    rgb = np.full((*ids.shape, 3), 7 if dark else 8, np.uint8)
    dark_shares = label_statistics.dark_shares(ids, rgb)
    uppermost_shares = label_statistics.uppermost_shares(ids)
    box_shares = label_statistics.box_shares(ids, [(2.0, 3.0, 9.0, 11.0)])
    columns = ids[:, ::8]
    inside = ids[2:9, 3:11]
    for color in range(4):
        enough = (ids == color).sum() >= label_statistics.MIN_PIXELS
        assert dark_shares[color] == dark * enough
        above = [
            (column[: row + 1] == color).all()
            for column in columns.T
            for row in range(len(column))
        ]
        total = (columns == color).sum()
        assert uppermost_shares[color] == sum(above) / max(total, 1)
        share = (inside == color).mean()
        others = [(inside == other).mean() for other in range(4) if other != color]
        if share > max(others):
            assert box_shares[color] == (share >= 1 / 3)
    assert box_shares.sum() <= 1


def test_votes_are_shares_of_a_frame():
    ids = np.zeros((480, 720), np.uint8)
    ids[:100] = 1
    ids[300:340, 100:140] = 3
    top = np.zeros((16, 720, 3), np.uint8)
    top[:, :180] = 100  # A quarter of the sky is not dark.
    boxes = [(300.0, 100.0, 340.0, 140.0), (400.0, 100.0, 440.0, 140.0)]
    votes = label_statistics.votes(ids, top, boxes)
    assert votes[palette.GROUND] == [1000, 0, 0, 0]
    assert votes[palette.SKY] == [0, 750, 0, 0]
    assert votes[palette.SMALL_ROCK] == [0, 0, 0, 0]
    assert votes[palette.LARGE_ROCK] == [500, 0, 0, 500]  # The second box is empty.


def test_agreement_is_overlap_over_union():
    ground = np.zeros((100, 100), np.uint8)
    ground[:20], ground[50, :50] = 1, 2
    clean = np.zeros((100, 100), np.uint8)
    clean[:10], clean[50, 25:75] = 1, 2
    found = label_statistics.agreement(label_statistics.count_pairs(ground, clean))
    assert found[1][1] == 500
    assert found[0][1] == 0 and found[1][0] == round(1000 * 1000 / 9950)
    assert found[2][2] == 0  # 75 pixels tell nothing.


def test_the_share_of_full_intensity_tells_raw_colours_from_clean_ones():
    mask = np.zeros((16, 8, 3), np.uint8)
    assert label_statistics.brightest_share(mask) is None
    mask[:8, :4, 2], mask[8:, :4, 1] = 255, 90
    assert label_statistics.brightest_share(mask) == 500


@given(st.lists(INDICES, min_size=3, max_size=3))
def test_statistics_add_up_in_any_order(many):
    found = [
        counted(dict(zip(("ground", "clean"), COLORS[two], strict=True)))
        for two in many
    ]
    forth, back = Statistics(), Statistics()
    for one, other in zip(found, reversed(found), strict=True):
        forth.add(one)
        back.add(other)
    assert forth == back and forth.renders == 3
    assert found[0].renders == 1  # The parts are as they were.
