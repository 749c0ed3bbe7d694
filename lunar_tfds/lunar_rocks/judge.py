"""Step 6 of a frame: do its labels fit its picture? And class statistics.

What is counted here never stops a frame. The evidence of a whole set may show that its
colours mean something else, see `hypotheses`; the rules are kept in the metadata.
"""

import dataclasses

import numpy as np

from lunar_tfds import palette
from lunar_tfds.kaggle_layout import CLEAN as CLEAN_MASK
from lunar_tfds.kaggle_layout import GROUND as GROUND_MASK
from lunar_tfds.kaggle_layout import mask_name
from lunar_tfds.lunar_rocks import evidence
from lunar_tfds.lunar_rocks.annotations import Box
from lunar_tfds.lunar_rocks.decode import TOP_ROWS, Pixels
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.label_statistics import Statistics
from lunar_tfds.palette import GROUND, LARGE_ROCK, NUM_CLASSES, SKY, SMALL_ROCK


@dataclasses.dataclass(frozen=True)
class Rule:
    """Something that holds of most of its cases in a rightly labelled frame.

    Attributes:
        says: the rule in words.
        unit: of the cases.
        share: of a frame's cases that it must hold of, or the frame breaks it.
    """

    says: str
    unit: str = "pixels"
    share: float = 0.9


# Rules about one mask look at `ground` where there is one.
RULES = {
    "sky_is_dark": Rule(
        f"sky in the upper {TOP_ROWS} rows is below {evidence.DARK} in the render"
    ),
    # Over columns 0, 8, 16 and so on.
    "sky_is_above": Rule("sky has nothing but sky above it"),
    "skies_agree": Rule("what ground or clean calls sky is sky in both"),
    "rocks_agree": Rule("what is rock in ground and in clean is of the same class"),
    # It holds of 789 of 789 pixels in frames 0001 to 0003. In six others 17 to 40 % of
    # such pixels are greener than blue, and what clean calls those nobody has seen.
    "overlaps_are_large": Rule(
        "what is green and blue at once in ground (small rock inside a large one) and "
        "rock in clean is large rock there"
    ),
    # Ground covers 0.84 of both together in frame 0003, more in others.
    "ground_is_common": Rule("there is more ground than small rock", share=0.5),
    # A disk fills 0.79 of its box, the rocks of frames 0001 to 0003 0.68 to 0.86.
    "boxes_hold_large_rocks": Rule(
        "large rock fills a third of the box around it and more than any other class",
        "boxes",
    ),
}


def judge(
    frame: Frame,
    pixels: Pixels,
    ids: dict[str, np.ndarray],
    rock_threshold: int,
    boxes: list[Box],
) -> Statistics:
    """Returns the Statistics of one frame's classes, rules and evidence.

    Args:
        frame: whose pixels these are.
        pixels: what it shows.
        ids: the class ids to store, uint8 [height, width] by kind of mask.
        rock_threshold: of these ids. Rules speak of the author's, whatever it is.
        boxes: of its large rocks.
    """
    if frame.is_photo:
        statistics, counts = (
            Statistics(),
            {k: evidence.count(i) for k, i in ids.items()},
        )
    elif rock_threshold == palette.ROCK_THRESHOLD:
        statistics, counts = _look(pixels, ids, boxes)
    else:
        author = {kind: palette.class_ids(rgb) for kind, rgb in pixels.masks.items()}
        statistics, _ = _look(pixels, author, boxes)
        counts = {kind: evidence.count(values) for kind, values in ids.items()}
    statistics.pixel_counts[frame.split] = {
        mask_name(kind): count.tolist() for kind, count in counts.items()
    }
    return statistics


def _look(
    pixels: Pixels, ids: dict[str, np.ndarray], boxes: list[Box]
) -> tuple[Statistics, dict[str, np.ndarray]]:
    """Returns the Statistics of a render, and the pixels of each class by kind."""
    statistics = Statistics(renders=1)
    cases: dict[str, tuple[int, int]] = {}
    if len(ids) > 1:
        pairs = evidence.count_pairs(ids[GROUND_MASK], ids[CLEAN_MASK])
        counts = {GROUND_MASK: pairs.sum(axis=1), CLEAN_MASK: pairs.sum(axis=0)}
        statistics.agreement = evidence.agreement(pairs)
        cases |= _cases_of_both(pairs, pixels.masks[GROUND_MASK], ids[CLEAN_MASK])
    else:
        counts = {kind: evidence.count(values) for kind, values in ids.items()}
    for kind, pixels_of in counts.items():
        found = evidence.tally(ids[kind], pixels_of, pixels.top, boxes)
        statistics.votes[kind] = evidence.votes(found)
        cases = _cases_of_one(found) | cases  # Those of the first kind, `ground`.
    for name, (holds, total) in cases.items():
        broken = holds < RULES[name].share * total
        statistics.rules[name] = [holds, total, int(broken), int(total > 0)]
    return statistics, counts


def _cases_of_one(found: evidence.Tally) -> dict[str, tuple[int, int]]:
    """Returns (cases where it holds, all cases) of each rule about one mask."""
    bare, small = int(found.pixels[GROUND]), int(found.pixels[SMALL_ROCK])
    return {
        "sky_is_dark": (int(found.dark[SKY]), int(found.top[SKY])),
        "sky_is_above": (int(found.uppermost[SKY]), int(found.columns[SKY])),
        "ground_is_common": (bare, bare + small),
        "boxes_hold_large_rocks": (int(found.boxes[LARGE_ROCK]), found.num_boxes),
    }


def _cases_of_both(
    pairs: np.ndarray, ground: np.ndarray, clean: np.ndarray
) -> dict[str, tuple[int, int]]:
    """Returns (cases where it holds, all cases) of each rule about two masks.

    Args:
        pairs: int [class in ground, class in clean], pixels.
        ground: uint8 [height, width, 3], colours.
        clean: uint8 [height, width], ids.
    """
    both_sky = int(pairs[SKY, SKY])
    any_sky = int(pairs[SKY].sum() + pairs[:, SKY].sum()) - both_sky
    rocks = pairs[SMALL_ROCK:, SMALL_ROCK:]
    inside = (ground[..., 1] != 0) & (ground[..., 2] != 0)
    overlap = np.bincount(clean[inside], minlength=NUM_CLASSES)
    return {
        "skies_agree": (both_sky, any_sky),
        "rocks_agree": (int(rocks.trace()), int(rocks.sum())),
        "overlaps_are_large": (
            int(overlap[LARGE_ROCK]),
            int(overlap[SMALL_ROCK:].sum()),
        ),
    }


def summary(statistics: Statistics) -> dict[str, dict]:
    """Returns what became of each rule, for the dataset's metadata."""
    return {
        name: dict(
            zip(("holds", "of", "frames_breaking_it", "frames"), found, strict=True),
            rule=RULES[name].says,
            unit=RULES[name].unit,
        )
        for name in RULES
        if (found := statistics.rules.get(name, [0, 0, 0, 0]))
    }


def broken_rules(statistics: Statistics) -> list[str]:
    """Returns a line for each rule that some frame breaks."""
    return [
        f"{broken} of {frames} frames break the rule: {RULES[name].says} (it holds of "
        f"{holds / total:.1%} of {total} {RULES[name].unit})."
        for name, (holds, total, broken, frames) in statistics.rules.items()
        if broken
    ]
