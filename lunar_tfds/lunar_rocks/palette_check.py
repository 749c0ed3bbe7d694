"""Do the colours of a set of frames mean what the palette says?

Channels, classes or folders that are swapped in every file leave only legal colours.
Each meaning that the colours could have is compared with what the whole set shows: sky
is dark and above, ground is common, boxes hold large rock, and both masks agree.
"""

import dataclasses
import itertools
from collections.abc import Iterator

from lunar_tfds import palette
from lunar_tfds.kaggle_layout import CLEAN, GROUND
from lunar_tfds.lunar_rocks.label_statistics import (
    FRAME,
    MAX_OFF_PALETTE,
    Statistics,
)

# Fewer frames prove nothing.
MIN_FRAMES = 20
# A meaning is clearly better or worse from this difference in votes a frame. A swap of
# small and large rock, the hardest to see, shows only in frames with boxes: 0.64.
CLEARLY = 0.1
# Share of a kind's masks that may be off the palette. Beyond this the whole set is
# wrong, not single frames.
MANY = 0.25
# Undecided meanings that a message lists.
MAX_NAMED = 3
PALETTE = tuple(range(palette.NUM_CLASSES))


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What the colours of a set could mean.

    Attributes:
        classes: (kind of mask, class of each colour) for each kind that the set has.
        exchanged: whether `ground` and `clean` lie in each other's folder.
    """

    classes: tuple[tuple[str, tuple[int, ...]], ...]
    exchanged: bool = False

    @property
    def moved(self) -> int:
        """How many colours do not mean what the palette says."""
        pairs = [(i, c) for _, ids in self.classes for i, c in enumerate(ids)]
        return sum(index != id for index, id in pairs) + self.exchanged

    def __str__(self) -> str:
        if self.exchanged:
            return f"the masks of {GROUND} and {CLEAN} in each other's folder"
        texts: dict[str, list[str]] = {}
        for kind, ids in self.classes:
            moves = [
                f"{palette.COLOR_NAMES[color]} as {palette.CLASS_NAMES[id]}"
                for color, id in enumerate(ids)
                if color != id
            ]
            if moves:
                texts.setdefault(", ".join(moves), []).append(kind)
        parts = [f"{text} in {' and '.join(kinds)}" for text, kinds in texts.items()]
        return "; ".join(parts)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How well the palette fits a set, compared with every other meaning.

    Attributes:
        frames: number of frames compared.
        better: the meaning that fits best, if it fits clearly better.
        lead: votes for it minus votes for the palette, in frames.
        undecided: meanings that fit neither clearly better nor clearly worse.
    """

    frames: int
    better: Meaning | None
    lead: float
    undecided: tuple[Meaning, ...]

    @property
    def stops(self) -> bool:
        """Whether a build must stop."""
        return self.better is not None and self.frames >= MIN_FRAMES


def compare(statistics: Statistics) -> Comparison:
    """Return the Comparison of all meanings over a set."""
    kinds = sorted(statistics.votes, reverse=True)
    leads: dict[Meaning, int] = {}
    if kinds:
        right = _votes_for(_meaning(kinds, [PALETTE] * len(kinds)), statistics)
        for meaning in _others(kinds):
            leads[meaning] = _votes_for(meaning, statistics) - right
    frames = statistics.renders
    if statistics.pairs:
        brightest = statistics.brightest
        lead = brightest.get(GROUND, 0) - brightest.get(CLEAN, 0)
        exchanged = Meaning((), exchanged=True)
        leads[exchanged] = lead
        if lead > CLEARLY * FRAME * statistics.pairs:
            # Raw colours in `clean` are off the palette, so there may be no votes.
            return Comparison(statistics.pairs, exchanged, lead / FRAME, ())
    margin = CLEARLY * FRAME * frames
    best = max(leads, key=lambda meaning: leads[meaning], default=None)
    if best is None or leads[best] <= margin:
        best = None
    undecided = [meaning for meaning, lead in leads.items() if abs(lead) < margin]
    undecided.sort(key=lambda meaning: meaning.moved)
    most = leads[best] / FRAME if best else 0.0
    return Comparison(frames, best, most, tuple(undecided))


def _meaning(kinds: list[str], orders: list[tuple[int, ...]]) -> Meaning:
    return Meaning(tuple(zip(kinds, orders, strict=True)))


def _others(kinds: list[str]) -> Iterator[Meaning]:
    """Yield every meaning of the colours except the palette's."""
    orders = list(itertools.permutations(PALETTE))
    for chosen in itertools.product(orders, repeat=len(kinds)):
        if any(order != PALETTE for order in chosen):
            yield _meaning(kinds, list(chosen))


def _votes_for(meaning: Meaning, statistics: Statistics) -> int:
    """Return the votes and the agreement for a meaning, in thousandths of a frame."""
    total = 0
    for kind, ids in meaning.classes:
        total += sum(statistics.votes[kind][id][color] for color, id in enumerate(ids))
    if len(meaning.classes) == 2 and statistics.agreement:
        by_kind = dict(meaning.classes)
        for color, id in enumerate(by_kind[GROUND]):
            total += statistics.agreement[color][by_kind[CLEAN].index(id)]
    return total


def explain(comparison: Comparison) -> str:
    """Return what a comparison found; nothing where the palette clearly fits best."""
    frames = comparison.frames
    if comparison.stops:
        return (
            f"The labels do not fit the pictures: over {frames} frames another meaning "
            f"of the colours explains them clearly better: {comparison.better} "
            f"({comparison.lead / frames:.2f} of a frame's votes more in each). Red "
            f"is sky, green small rock, blue large rock. Restore the original files; "
            f"were channels (BGR), classes or folders swapped?"
        )
    if comparison.better:
        return (
            f"Another meaning of the colours explains the labels better: "
            f"{comparison.better}. {frames} frames are too few to be sure (at least "
            f"{MIN_FRAMES}), so the build goes on. Look at them."
        )
    if comparison.undecided:
        named = [str(meaning) for meaning in comparison.undecided[:MAX_NAMED]]
        more = len(comparison.undecided) - len(named)
        return (
            f"{frames} frames cannot decide between the palette and: "
            + " | ".join(named)
            + (f" | {more} more" if more else "")
        )
    return ""


def explain_wrong_colors(statistics: Statistics) -> str:
    """Return which kinds of mask are off the palette in too many frames, or ''."""
    texts = []
    for kind, off in statistics.off_palette.items():
        total, wrong = statistics.masks[kind], statistics.wrong_colors[kind]
        if off < 2 or off <= MANY * total:
            continue
        worst = max(wrong, key=lambda color: wrong[color])
        clean_sky = palette.CLASS_COLORS[palette.SKY][0]
        sky = palette.SKY_RED[1] if kind == GROUND else clean_sky
        texts.append(
            f"{off} of {total} {kind.removesuffix(' mask')} masks have other "
            f"colours than the palette, most often RGB {worst}. At most "
            f"{MAX_OFF_PALETTE:.0%} of a mask may: sky is RGB ({sky}, 0, 0), small "
            f"rock green, large rock blue. Restore the original files; were they saved "
            f"as BGR or as JPEG?"
        )
    return " ".join(texts)
