"""Does another meaning of the colours explain a set better than the palette?

Channels, classes or folders swapped in every file leave colours that are all legal.
Each meaning that they could have is held against the evidence of the whole set.
"""

import dataclasses
import itertools
from collections.abc import Iterator

from lunar_tfds import palette
from lunar_tfds.kaggle_layout import CLEAN, GROUND
from lunar_tfds.lunar_rocks.evidence import FRAME
from lunar_tfds.lunar_rocks.label_statistics import Statistics

# Fewer frames prove nothing.
MIN_FRAMES = 20
# A meaning is clearly better or worse from this much evidence a frame on. A swap of
# small and large rock, the hardest to see, shows in the frames with boxes alone: 0.64.
CLEARLY = 0.1
# Undecided meanings that a message spells out.
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
    """How the palette does against every other meaning.

    Attributes:
        frames: the evidence is of.
        better: the meaning that explains the set best, if clearly better.
        lead: of that one over the palette, in frames' worth of evidence.
        undecided: meanings that are neither clearly better nor clearly worse.
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
    """Returns the Comparison of all meanings over a set."""
    kinds = sorted(statistics.votes, reverse=True)
    leads: dict[Meaning, int] = {}
    if kinds:
        right = _evidence(_meaning(kinds, [PALETTE] * len(kinds)), statistics)
        for meaning in _others(kinds):
            leads[meaning] = _evidence(meaning, statistics) - right
    frames = statistics.renders
    if statistics.pairs:
        pure = statistics.primaries
        lead = pure.get(GROUND, 0) - pure.get(CLEAN, 0)
        exchanged = Meaning((), exchanged=True)
        leads[exchanged] = lead
        if lead > CLEARLY * FRAME * statistics.pairs:
            # Raw colours among the clean ones are off the palette: no render may be
            # left to judge.
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
    """Yields every meaning of the colours but the palette's."""
    orders = list(itertools.permutations(PALETTE))
    for chosen in itertools.product(orders, repeat=len(kinds)):
        if any(order != PALETTE for order in chosen):
            yield _meaning(kinds, list(chosen))


def _evidence(meaning: Meaning, statistics: Statistics) -> int:
    """Returns the evidence for a meaning, in thousandths of a frame."""
    total = 0
    for kind, ids in meaning.classes:
        total += sum(statistics.votes[kind][id][color] for color, id in enumerate(ids))
    if len(meaning.classes) == 2 and statistics.agreement:
        by_kind = dict(meaning.classes)
        for color, id in enumerate(by_kind[GROUND]):
            total += statistics.agreement[color][by_kind[CLEAN].index(id)]
    return total


def explanation(comparison: Comparison) -> str:
    """Returns what a comparison found, or nothing where the palette is clearly best."""
    frames = comparison.frames
    if comparison.stops:
        return (
            f"The labels do not fit the pictures: over {frames} frames another meaning "
            f"of the colours explains them clearly better: {comparison.better} "
            f"({comparison.lead / frames:.2f} of a frame's evidence more in each). Red "
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
            f"{frames} frames do not tell the right meaning of the colours from: "
            + " | ".join(named)
            + (f" | {more} more" if more else "")
        )
    return ""
