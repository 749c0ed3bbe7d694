"""What rules and evidence count is what is true of the pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lunar_tfds import palette
from lunar_tfds.lunar_rocks import decode, evidence, frame_files, judge
from lunar_tfds.lunar_rocks.label_statistics import Statistics

COLORS = np.array(
    [(0, 0, 0), (226, 0, 0), (0, 90, 0), (0, 255, 0), (0, 0, 255), (0, 200, 200)],
    np.uint8,
)
INDICES = hnp.arrays(np.uint8, (2, 20, 8), elements=st.integers(0, len(COLORS) - 1))
IDS = hnp.arrays(np.uint8, (30, 24), elements=st.integers(0, 3))
FRAME = frame_files.Frame("0001", "train", "", {"ground": "", "clean": ""})


def judged(masks, threshold=palette.ROCK_THRESHOLD, top=None, boxes=()):
    ids = {kind: palette.class_ids(rgb, threshold) for kind, rgb in masks.items()}
    pixels = decode.Pixels(b"", top, masks)
    return judge.judge(FRAME, pixels, ids, threshold, list(boxes))


@given(INDICES, st.sampled_from([50, 100, 255]))
def test_statistics_count_pixels(indices, threshold):
    ground_rgb, clean_rgb = COLORS[indices]
    found = judged({"ground": ground_rgb, "clean": clean_rgb}, threshold)
    for mask, rgb in (("ground_mask", ground_rgb), ("clean_mask", clean_rgb)):
        ids = palette.class_ids(rgb, threshold)
        expected = np.bincount(ids.ravel(), minlength=4).tolist()
        assert found.pixel_counts["train"][mask] == expected
    ground, clean = palette.class_ids(ground_rgb), palette.class_ids(clean_rgb)
    sky, rock = (ground == 1, clean == 1), (ground > 1) & (clean > 1)
    cases = {name: counts[:2] for name, counts in found.rules.items()}
    assert cases["skies_agree"] == [(sky[0] & sky[1]).sum(), (sky[0] | sky[1]).sum()]
    assert cases["rocks_agree"] == [(rock & (ground == clean)).sum(), rock.sum()]
    overlap = (ground_rgb[..., 1] > 0) & (ground_rgb[..., 2] > 0)
    assert cases["overlaps_are_large"] == [
        (overlap & (clean == 3)).sum(),
        (overlap & (clean > 1)).sum(),
    ]
    bare, small = (ground == 0).sum(), (ground == 2).sum()
    assert cases["ground_is_common"] == [bare, bare + small]


@pytest.mark.parametrize("kind", ["ground", "clean"])
def test_one_mask_has_the_rules_of_one(kind):
    mask = np.zeros((20, 8, 3), np.uint8)
    mask[:5, :, 0] = 255
    found = judged({kind: mask})
    assert found.pixel_counts == {"train": {f"{kind}_mask": [120, 40, 0, 0]}}
    assert found.rules["ground_is_common"] == [120, 120, 0, 1]
    assert found.rules["sky_is_above"] == [5, 5, 0, 1]
    assert "skies_agree" not in found.rules and list(found.votes) == [kind]
    assert judge.summary(found)["skies_agree"]["of"] == 0


def test_rules_keep_the_authors_threshold():
    ground = np.zeros((20, 8, 3), np.uint8)
    ground[10:, :, 1] = 60  # A rock from 50 on, none from the author's 100 on.
    low = judged({"ground": ground, "clean": np.zeros_like(ground)}, 50)
    assert low.pixel_counts["train"]["ground_mask"] == [80, 0, 80, 0]
    assert low.rules["ground_is_common"][:2] == [160, 160]


def test_only_the_sky_of_the_upper_rows_must_be_dark():
    ground = np.zeros((20, 8, 3), np.uint8)
    ground[:, :4, 0] = 226
    top = np.zeros((decode.TOP_ROWS, 8, 3), np.uint8)
    top[:, 4:] = 200  # Ground may be bright.
    top[0, :3, 2] = evidence.DARK  # Three pixels of sky are, in one channel.
    masks = {"ground": ground, "clean": ground}
    sky = decode.TOP_ROWS * 4
    assert judged(masks, top=top).rules["sky_is_dark"] == [sky - 3, sky, 0, 1]
    assert judged(masks).rules["sky_is_dark"] == [0, 0, 0, 0]


def test_a_frame_that_breaks_a_rule_is_counted_and_told():
    ground = np.zeros((20, 8, 3), np.uint8)
    ground[:8, :, 0] = 226
    top = np.full((decode.TOP_ROWS, 8, 3), 200, np.uint8)
    found = judged({"ground": ground}, top=top)
    found.add(judged({"ground": ground}, top=np.zeros_like(top)))
    assert found.rules["sky_is_dark"] == [64, 128, 1, 2]
    (line,) = judge.broken_rules(found)
    assert line.startswith("1 of 2 frames break the rule: sky in the upper 16 rows")
    assert "50.0% of 128 pixels" in line


@given(IDS, st.integers(0, 1))
def test_a_tally_counts_every_colour(ids, dark):
    top = np.full((16, 24, 3), 7 if dark else 8, np.uint8)
    box = (2.0, 3.0, 9.0, 11.0)
    found = evidence.tally(ids, evidence.count(ids), top, [box])
    columns = ids[:, ::8]
    inside = ids[2:9, 3:11]
    for color in range(4):
        assert found.pixels[color] == (ids == color).sum()
        assert found.top[color] == (ids[:16] == color).sum()
        assert found.dark[color] == dark * found.top[color]
        assert found.columns[color] == (columns == color).sum()
        above = [
            (column[: row + 1] == color).all()
            for column in columns.T
            for row in range(len(column))
        ]
        assert found.uppermost[color] == sum(above)
        share = (inside == color).mean()
        others = [(inside == other).mean() for other in range(4) if other != color]
        if share > max(others):
            assert found.boxes[color] == (share >= 1 / 3)
    assert found.num_boxes == 1 and found.boxes.sum() <= 1


def test_votes_are_shares_of_a_frame():
    ids = np.zeros((480, 720), np.uint8)
    ids[:100] = 1
    ids[300:340, 100:140] = 3
    top = np.zeros((16, 720, 3), np.uint8)
    top[:, :180] = 100  # A quarter of the sky is not dark.
    boxes = [(300.0, 100.0, 340.0, 140.0), (400.0, 100.0, 440.0, 140.0)]
    votes = evidence.votes(evidence.tally(ids, evidence.count(ids), top, boxes))
    assert votes[palette.GROUND] == [1000, 0, 0, 0]
    assert votes[palette.SKY] == [0, 750, 0, 0]
    assert votes[palette.SMALL_ROCK] == [0, 0, 0, 0]
    assert votes[palette.LARGE_ROCK] == [500, 0, 0, 500]  # The second box is empty.


def test_agreement_is_overlap_over_union():
    ground = np.zeros((100, 100), np.uint8)
    ground[:20], ground[50, :50] = 1, 2
    clean = np.zeros((100, 100), np.uint8)
    clean[:10], clean[50, 25:75] = 1, 2
    found = evidence.agreement(evidence.count_pairs(ground, clean))
    assert found[1][1] == 500
    assert found[0][1] == 0 and found[1][0] == round(1000 * 1000 / 9950)
    assert found[2][2] == 0  # 75 pixels tell nothing.


def test_primaries_tell_raw_colours_from_clean_ones():
    mask = np.zeros((16, 8, 3), np.uint8)
    assert evidence.primaries(mask) is None
    mask[:8, :4, 2], mask[8:, :4, 1] = 255, 90
    assert evidence.primaries(mask) == 500


@given(st.lists(INDICES, min_size=3, max_size=3))
def test_statistics_add_up_in_any_order(many):
    found = [
        judged(dict(zip(("ground", "clean"), COLORS[two], strict=True))) for two in many
    ]
    forth, back = Statistics(), Statistics()
    for one, other in zip(found, reversed(found), strict=True):
        forth.add(one)
        back.add(other)
    assert forth == back and forth.renders == 3
    assert found[0].renders == 1  # The parts are as they were.
