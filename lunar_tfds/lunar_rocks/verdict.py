"""May a dataset be built from what a source turned out to hold?"""

import dataclasses
from collections.abc import Mapping

from lunar_tfds.lunar_rocks import colors, hypotheses, partners, problems
from lunar_tfds.lunar_rocks.label_statistics import Statistics
from lunar_tfds.lunar_rocks.sources import Source


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What to say of a source that has been looked at.

    Attributes:
        stops: why a build must stop, as an error says it; '' if it need not.
        note: what the colours may mean besides; '' where nothing is to be said.
        undecided: meanings of the colours that nothing tells from the right one.
    """

    stops: str
    note: str
    undecided: list[str]


def verdict(
    source: Source, statistics: Statistics, bad: Mapping[str, str], *, leave_out: bool
) -> Verdict:
    """Returns the Verdict on a source.

    A frame with a problem stops a build that is not to leave it out. A set stops it
    when many of its masks have wrong colours, or its colours clearly mean something
    else. Nothing else does.

    Args:
        source: what was looked at.
        statistics: of all its frames.
        bad: reason by frame id, for the frames that cannot be used.
        leave_out: whether those frames may be missing.
    """
    compared = hypotheses.compare(statistics)
    meaning = hypotheses.explanation(compared)
    faults = [colors.explanation(statistics), meaning if compared.stops else ""]
    stops = fault = " ".join(filter(None, faults))
    if bad and not leave_out:
        hint = " ".join(filter(None, [fault, partners.hint(source, bad)]))
        stops = problems.message(bad, source.description, hint)
    elif not (fault or statistics.pixel_counts):
        stops = partners.no_frame(source) + problems.listing(bad)
    note = "" if compared.stops else meaning
    return Verdict(stops, note, [str(meaning) for meaning in compared.undecided])
