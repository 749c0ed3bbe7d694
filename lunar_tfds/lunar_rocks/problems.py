"""Why a dataset cannot be built, or frames of it cannot: collected, then told at once.

A frame with a problem stops a build that is not asked to leave such frames out. A set
stops it when many of its masks have wrong colours, or when its colours clearly mean
something else. Nothing else does.
"""

import dataclasses
import os
from collections.abc import Mapping

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks import frame_files, palette_check
from lunar_tfds.lunar_rocks.label_statistics import Statistics
from lunar_tfds.lunar_rocks.read_frame import Result
from lunar_tfds.lunar_rocks.sources import DatasetFiles

# How many problems an error lists.
MAX_LISTED = 20
# This many frames that lack the same file, or half of all, were removed on purpose.
MANY_LACKING = 300
LEAVE_OUT_VARIABLE = "LUNAR_ROCKS_LEAVE_OUT_BAD_FRAMES"


@dataclasses.dataclass
class Findings:
    """What was found out about the frames of a source.

    Attributes:
        statistics: of the labels.
        problems: frame id to the reason why it gives no example.
    """

    statistics: Statistics = dataclasses.field(default_factory=Statistics)
    problems: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Add what reading a frame found out."""
        self.statistics.add(result.statistics)
        if result.problem:
            self.problems[result.frame_id] = result.problem

    def merge(self, other: "Findings") -> None:
        """Add the findings about other frames."""
        self.statistics.add(other.statistics)
        self.problems |= other.problems


@dataclasses.dataclass(frozen=True)
class Conclusion:
    """What the findings about all frames mean for a build.

    Attributes:
        error: why the build must stop, or ''.
        note: what else the colours may mean, or ''.
        undecided: meanings of the colours that cannot be ruled out.
    """

    error: str
    note: str
    undecided: list[str]


def conclude(
    source: DatasetFiles, findings: Findings, *, leave_out: bool
) -> Conclusion:
    """Return the Conclusion about a source.

    Args:
        source: what was read.
        findings: about all its frames.
        leave_out: whether frames with a problem may be missing.
    """
    compared = palette_check.compare(findings.statistics)
    meaning = palette_check.explain(compared)
    colors = palette_check.explain_wrong_colors(findings.statistics)
    error = " ".join(filter(None, [colors, meaning if compared.stops else ""]))
    problems = findings.problems
    if problems and not leave_out:
        hint = " ".join(filter(None, [error, missing_files_hint(source, problems)]))
        error = message(problems, source.description, hint)
    elif not (error or findings.statistics.pixel_counts):
        error = no_frame(source) + listing(problems)
    note = "" if compared.stops else meaning
    return Conclusion(error, note, [str(meaning) for meaning in compared.undecided])


def leave_out_by_environment() -> bool:
    """Return whether the environment asks to leave out frames with a problem.

    Raises:
        ValueError: the variable is neither 0 nor 1.
    """
    value = os.environ.get(LEAVE_OUT_VARIABLE, "0")
    if value not in ("", "0", "1"):
        raise ValueError(f"{LEAVE_OUT_VARIABLE} is 0 or 1: got {value!r}.")
    return value == "1"


def message(
    problems: Mapping[str, str], source_description: str, hint: str = ""
) -> str:
    """Return the message of an error about frames that cannot be used.

    Args:
        problems: reason by frame id.
        source_description: what and where the source is.
        hint: what they have in common.
    """
    return (
        f"{len(problems)} frames of the {source_description} cannot be used:"
        f"{listing(problems)}\n{hint}{' ' if hint else ''}Restore these files, or "
        f"leave the frames out with the builder argument leave_out_bad_frames=True (in "
        f"the shell: {LEAVE_OUT_VARIABLE}=1)."
    )


def listing(problems: Mapping[str, str], most: int = MAX_LISTED) -> str:
    """Return the first problems by frame id, a line each."""
    lines = [f"\n  {key}: {reason}" for key, reason in sorted(problems.items())]
    if len(lines) > most:
        lines[most:] = [f"\n  ... and {len(lines) - most} more"]
    return "".join(lines)


def missing_files_hint(source: DatasetFiles, problems: Mapping[str, str]) -> str:
    """Return what to do where many frames lack the same file; '' if anything else.

    Args:
        source: where the files are.
        problems: reason by frame id.
    """
    missing = frame_files.missing_files(source.sizes)
    lacking = {tuple(kinds) for kinds in missing.values()}
    if len(lacking) != 1 or problems.keys() != missing.keys():
        return ""
    kind, *more = lacking.pop()
    frames, _, _ = frame_files.find_frames(source.sizes)
    complete = sum(not frame.is_photo for frame in frames)
    if more or len(missing) <= min(MANY_LACKING, complete):
        return ""
    remedy = f"{LEAVE_OUT_VARIABLE}=1 builds without them"
    others = [other for other in source.masks if other != kind]
    if kind != kaggle_layout.RENDER and others and len(missing) > complete:
        folder = f"{kaggle_layout.IMAGES}/{kind}"
        remedy += f"; or remove {folder} to build with {others[0]} alone"
    return (
        f"{len(missing)} frames lack their {kind} alone, and nothing else is wrong: "
        f"was it removed on purpose? {remedy}."
    )


def no_frame(source: DatasetFiles) -> str:
    """Return the message about a source without any usable frame."""
    render, *masks = (kaggle_layout.frame_file(k, "0001") for k in kaggle_layout.KINDS)
    return (
        f"No complete frame in the {source.description}: a frame is {render} with "
        f"{' or '.join(masks)}, or with both."
    )
