"""Step 5 of a frame: do its labels mean what the palette says? And class statistics.

Channels or classes swapped in every file leave colours that are all legal. They cannot
leave labels that fit the pictures, each other and the boxes.
"""

import dataclasses

import numpy as np
from absl import logging
from PIL import Image

from lunar_tfds import palette
from lunar_tfds.kaggle_layout import CLEAN as CLEAN_MASK
from lunar_tfds.kaggle_layout import GROUND as GROUND_MASK
from lunar_tfds.kaggle_layout import mask_name
from lunar_tfds.lunar_rocks.annotations import Box
from lunar_tfds.lunar_rocks.decode import TOP_ROWS, Pixels
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.palette import GROUND, LARGE_ROCK, NUM_CLASSES, SKY, SMALL_ROCK

# A rendered sky is black: 99.2 % of its pixels are below 8 in frame 0001.
DARK = 8


@dataclasses.dataclass(frozen=True)
class Rule:
    """Something that holds of most of its cases in a rightly labelled set.

    Attributes:
        says: the rule in words.
        min_cases: fewer cases in a whole set prove nothing.
        unit: of the cases.
        share: of the cases that it must hold of.
    """

    says: str
    min_cases: int
    unit: str = "pixels"
    share: float = 0.9


RULES = {
    "sky_is_dark": Rule(
        f"sky in the upper {TOP_ROWS} rows is below {DARK} in the render", 1000
    ),
    # Over columns 0, 8, 16 and so on.
    "sky_is_above": Rule("sky has no ground above it", 500),
    "skies_agree": Rule("what ground or clean calls sky is sky in both", 1000),
    "rocks_agree": Rule(
        "what is rock in ground and in clean is of the same class", 1000
    ),
    # Over real frames 0001 to 0003 it holds of 789 of 789 pixels.
    "overlaps_are_large": Rule(
        "what is green and blue at once in ground (small rock inside a large one) and "
        "rock in clean is large rock there",
        50,
    ),
    # Ground covers 0.84 of both together in frame 0003, more in others.
    "ground_is_common": Rule("there is more ground than small rock", 1000, share=0.5),
    # A disk fills 0.79 of its box, the rocks of frames 0001 to 0003 0.68 to 0.86.
    "boxes_hold_large_rocks": Rule(
        "large rock fills a third of the box around it and more than small rock",
        5,
        "boxes",
    ),
}


@dataclasses.dataclass
class Statistics:
    """Sums over frames.

    Attributes:
        pixel_counts: dict of split to mask name to int list [NUM_CLASSES].
        cases: dict of rule name to [cases where it holds, all cases].
        broken: dict of rule name to the number of frames that break it on their own.
        frames: dict of rule name to the number of frames with a case of it.
    """

    pixel_counts: dict[str, dict[str, list[int]]] = dataclasses.field(
        default_factory=dict
    )
    cases: dict[str, list[int]] = dataclasses.field(
        default_factory=lambda: {rule: [0, 0] for rule in RULES}
    )
    broken: dict[str, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(RULES, 0)
    )
    frames: dict[str, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(RULES, 0)
    )

    def add(self, other: "Statistics") -> None:
        """Adds the sums of other frames."""
        for split, masks in other.pixel_counts.items():
            mine = self.pixel_counts.setdefault(split, {})
            for mask, counts in masks.items():
                zeros = [0] * NUM_CLASSES
                pairs = zip(mine.get(mask, zeros), counts, strict=True)
                mine[mask] = [a + b for a, b in pairs]
        for rule in RULES:
            self.cases[rule][0] += other.cases[rule][0]
            self.cases[rule][1] += other.cases[rule][1]
            self.broken[rule] += other.broken[rule]
            self.frames[rule] += other.frames[rule]

    def check(self) -> None:
        """Logs the frames that break rules.

        Raises:
            ValueError: the set as a whole breaks a rule.
        """
        failed = []
        for name, rule in RULES.items():
            holds, total = self.cases[name]
            broken, frames = self.broken[name], self.frames[name]
            if broken:
                logging.warning(
                    "%d of %d frames break the rule: %s.", broken, frames, rule.says
                )
            # One frame among several may be wrong; that is no swap.
            if (broken > 1 or frames == 1) and total >= rule.min_cases:
                if holds < rule.share * total:
                    failed.append(
                        f"  {rule.says}: {holds / total:.1%} of {total} {rule.unit}, "
                        f"at least {rule.share:.0%} must"
                    )
        if failed:
            raise ValueError(
                "The labels do not fit the pictures. Over the whole set:\n"
                + "\n".join(failed)
                + "\nRed is sky, green small rock, blue large rock. Restore the "
                "original files; were channels (BGR), classes or folders swapped?"
            )


def summary(statistics: Statistics) -> dict[str, dict]:
    """Returns what became of each rule, for the dataset's metadata."""
    return {
        name: {
            "rule": rule.says,
            "holds": statistics.cases[name][0],
            "of": statistics.cases[name][1],
            "unit": rule.unit,
            "frames_breaking_it": statistics.broken[name],
        }
        for name, rule in RULES.items()
    }


def judge(
    frame: Frame,
    pixels: Pixels,
    ids: dict[str, np.ndarray],
    rock_threshold: int,
    boxes: list[Box],
) -> Statistics:
    """Returns the Statistics of one frame.

    Args:
        frame: whose pixels these are.
        pixels: what it shows.
        ids: the class ids to store, uint8 [height, width] by kind of mask.
        rock_threshold: of these ids. The rules speak of the author's, whatever it is.
        boxes: of its large rocks.
    """
    statistics = Statistics()
    statistics.pixel_counts[frame.split] = {
        mask_name(kind): Image.fromarray(of_kind).histogram()[:NUM_CLASSES]
        for kind, of_kind in ids.items()
    }
    if frame.is_photo:
        return statistics
    if rock_threshold != palette.ROCK_THRESHOLD:
        ids = {kind: palette.class_ids(rgb) for kind, rgb in pixels.masks.items()}
    statistics.cases |= _cases(pixels, ids, boxes)
    for name, (holds, total) in statistics.cases.items():
        statistics.frames[name] = int(total > 0)
        statistics.broken[name] = int(holds < RULES[name].share * total)
    return statistics


def _cases(
    pixels: Pixels, ids: dict[str, np.ndarray], boxes: list[Box]
) -> dict[str, list[int]]:
    """Returns [cases where it holds, all cases] of each rule that can be asked."""
    labels = ids.get(GROUND_MASK, ids.get(CLEAN_MASK))
    assert labels is not None
    bare, small = _count(labels, GROUND), _count(labels, SMALL_ROCK)
    cases = {
        "sky_is_dark": _sky_dark(labels, pixels.top),
        "sky_is_above": _sky_above(labels[:, ::8]),
        "ground_is_common": [bare, bare + small],
        "boxes_hold_large_rocks": _boxes(labels, boxes),
    }
    return cases | _cases_of_both(pixels, ids) if len(ids) > 1 else cases


def _cases_of_both(pixels: Pixels, ids: dict[str, np.ndarray]) -> dict[str, list[int]]:
    """Returns the same of the rules between the two masks."""
    table = _count_pairs(ids)
    both_sky = int(table[SKY, SKY])
    all_sky = int(table[SKY].sum() + table[:, SKY].sum())
    rocks = table[SMALL_ROCK:, SMALL_ROCK:]
    overlap = _overlap(pixels.masks[GROUND_MASK], ids[CLEAN_MASK])
    return {
        "skies_agree": [both_sky, all_sky - both_sky],
        "rocks_agree": [int(rocks.trace()), int(rocks.sum())],
        "overlaps_are_large": [
            int(overlap[LARGE_ROCK]),
            int(overlap[SMALL_ROCK:].sum()),
        ],
    }


def _count_pairs(ids: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the pixels of each class in ground (rows) that are each in clean."""
    pairs = ids[GROUND_MASK] * np.uint8(NUM_CLASSES) + ids[CLEAN_MASK]
    # Pillow counts bytes in half the time that numpy's bincount takes.
    counts = Image.fromarray(pairs).histogram()[: NUM_CLASSES**2]
    return np.array(counts).reshape(NUM_CLASSES, NUM_CLASSES)


def _overlap(ground: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Returns the pixels of each class in clean where ground is green and blue."""
    overlap = (ground[..., 1] != 0) & (ground[..., 2] != 0)
    return np.bincount(clean[overlap], minlength=NUM_CLASSES)


def _sky_dark(ground: np.ndarray, top: np.ndarray | None) -> list[int]:
    if top is None:
        return [0, 0]
    brightest = np.maximum(np.maximum(top[..., 0], top[..., 1]), top[..., 2])
    dark = brightest[ground[:TOP_ROWS] == SKY] < DARK
    return [int(np.count_nonzero(dark)), dark.size]


def _sky_above(ground: np.ndarray) -> list[int]:
    columns = np.ascontiguousarray(ground.T)
    bare = columns == GROUND
    # The row of the first ground in each column; below the frame where there is none.
    first = np.where(bare.any(axis=1), bare.argmax(axis=1), len(ground))
    sky = columns == SKY
    above = np.arange(len(ground)) < first[:, np.newaxis]
    return [int(np.count_nonzero(sky & above)), int(np.count_nonzero(sky))]


def _boxes(ground: np.ndarray, boxes: list[Box]) -> list[int]:
    holds = 0
    for box in boxes:
        top, left, bottom, right = (round(edge) for edge in box)
        inside = ground[top:bottom, left:right]
        large = _count(inside, LARGE_ROCK)
        holds += large > _count(inside, SMALL_ROCK) and 3 * large >= inside.size
    return [holds, len(boxes)]


def _count(ids: np.ndarray, value: int) -> int:
    return int(np.count_nonzero(ids == value))
