"""Evidence that the labels mean what the palette says, and class statistics.

Channels or classes swapped in every file leave colours that are all legal. They cannot
leave labels that fit the pictures, each other and the boxes.
"""

import dataclasses

import numpy as np
from absl import logging

from lunar_tfds import palette
from lunar_tfds.lunar_rocks import color_runs
from lunar_tfds.palette import GROUND, LARGE_ROCK, NUM_CLASSES, SKY, SMALL_ROCK

# A rendered sky is black: 99.2 % of its pixels are below 8 in frame 0001.
DARK = 8
# Sky reaches the upper edge of every frame that has any, so these rows tell, px.
TOP_ROWS = 16


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

    pixel_counts: dict = dataclasses.field(default_factory=dict)
    cases: dict = dataclasses.field(default_factory=lambda: {r: [0, 0] for r in RULES})
    broken: dict = dataclasses.field(default_factory=lambda: dict.fromkeys(RULES, 0))
    frames: dict = dataclasses.field(default_factory=lambda: dict.fromkeys(RULES, 0))

    def add(self, other):
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

    def check(self):
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


def summary(statistics):
    """Returns what became of each rule, a dict for the dataset's metadata."""
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


def gather(frame, top, found, labels, boxes):
    """Returns the Statistics of one frame.

    Args:
        frame: layout.Frame.
        top: uint8 [TOP_ROWS, width, 3], the upper rows of a render, or None where its
            labels have no sky there.
        found: color_runs.Runs of its label images.
        labels: color_runs.Labels of them as stored, from some threshold on.
        boxes: list of (top, left, bottom, right), px.
    """
    statistics = Statistics()
    table = labels.table
    masks = {"ground_mask": table.sum(axis=1), "clean_mask": table.sum(axis=0)}
    statistics.pixel_counts[frame.split] = {k: v.tolist() for k, v in masks.items()}
    if not frame.is_photo:
        # The rules speak of the author's threshold, whatever is stored.
        if labels.rock_threshold != palette.ROCK_THRESHOLD:
            labels = found.labels()
        _judge(statistics, top, found, labels, boxes)
    return statistics


def _judge(statistics, top, found, labels, boxes):
    table, ground = labels.table, labels.ground
    bare, sky, small, _ = table.sum(axis=1).tolist()
    both_sky = int(table[SKY, SKY])
    rocks = table[SMALL_ROCK:, SMALL_ROCK:]
    overlap = _overlap(found)
    cases = statistics.cases
    cases["skies_agree"] = [both_sky, sky + int(table[:, SKY].sum()) - both_sky]
    cases["rocks_agree"] = [int(rocks.trace()), int(rocks.sum())]
    if top is not None:
        brightest = np.maximum(np.maximum(top[..., 0], top[..., 1]), top[..., 2])
        dark = brightest[ground[:TOP_ROWS] == SKY] < DARK
        cases["sky_is_dark"] = [int(np.count_nonzero(dark)), dark.size]
    if sky:
        cases["sky_is_above"] = _sky_above(ground[:, ::8])
    cases["overlaps_are_large"] = [
        int(overlap[LARGE_ROCK]),
        int(overlap[SMALL_ROCK:].sum()),
    ]
    cases["ground_is_common"] = [bare, bare + small]
    cases["boxes_hold_large_rocks"] = _boxes(ground, boxes)
    for name, (holds, total) in cases.items():
        statistics.frames[name] = int(total > 0)
        statistics.broken[name] = int(holds < RULES[name].share * total)


def _overlap(found):
    """Returns the pixels of each class in clean where ground is green and blue."""
    overlap = (found.ground[:, 1] != 0) & (found.ground[:, 2] != 0)
    ids = palette.class_ids(found.clean)[overlap]
    return color_runs.count_pixels(ids, found.lengths[overlap])


def _sky_above(ground):
    columns = np.ascontiguousarray(ground.T)
    bare = columns == GROUND
    # The row of the first ground in each column; below the frame where there is none.
    first = np.where(bare.any(axis=1), bare.argmax(axis=1), len(ground))
    sky = columns == SKY
    above = np.arange(len(ground)) < first[:, np.newaxis]
    return [int(np.count_nonzero(sky & above)), int(np.count_nonzero(sky))]


def _boxes(ground, boxes):
    holds = 0
    for box in boxes:
        top, left, bottom, right = (round(edge) for edge in box)
        inside = ground[top:bottom, left:right]
        large = _count(inside, LARGE_ROCK)
        holds += large > _count(inside, SMALL_ROCK) and 3 * large >= inside.size
    return [holds, len(boxes)]


def _count(ids, value):
    return int(np.count_nonzero(ids == value))
