"""Tells what a build would say of a source: reads everything, writes nothing.

Run `python -m lunar_tfds.check FOLDER_OR_ZIP`. The status is 0 where a build goes
through and 1 where it stops. As in a build, LUNAR_ROCKS_LEAVE_OUT_BAD_FRAMES=1 leaves
bad frames out.
"""

import collections
import dataclasses
import sys
from collections.abc import Iterator

import numpy as np

from lunar_tfds import command_line, kaggle_layout, palette, settings
from lunar_tfds.lunar_rocks import frame_files, judge, problems, source_check, sources
from lunar_tfds.lunar_rocks.label_statistics import Statistics
from lunar_tfds.lunar_rocks.source_check import Findings
from lunar_tfds.lunar_rocks.verdict import verdict
from lunar_tfds.settings import at_least, setting


@dataclasses.dataclass(frozen=True)
class Check:
    """What to look at."""

    POSITIONAL = "source"

    source: str = setting(
        None,
        "Folder or zip of the dataset.",
        is_path=True,
        missing="name a folder or a zip of the dataset",
    )
    max_examples_per_split: int | None = setting(
        None, "Look at the first frames of each split only.", at_least(1)
    )

    def __post_init__(self):
        settings.check(self)


def main(check: Check) -> int:
    """Prints what the source holds and returns whether a build would stop."""
    leave_out = problems.leave_out_by_environment()
    source = sources.open_source(check.source)
    print(source.description)
    findings = source_check.list_frames(source, check.max_examples_per_split)
    print("\n".join(contents(source, findings)), flush=True)
    statistics, bad = source_check.look_at_all(source, findings.jobs)
    bad |= findings.left_out
    judged = verdict(source, statistics, bad, leave_out=leave_out)
    print("\n".join([*class_shares(statistics), *rules(statistics)]))
    if judged.note:
        print(judged.note)
    if judged.stops:
        print(f"A build stops. {judged.stops}")
        return command_line.EXIT_ERROR
    if bad:
        print(f"{len(bad)} frames are left out:{problems.listing(bad)}")
    print("A build goes through.")
    return command_line.EXIT_DONE


def contents(source: sources.Source, findings: Findings) -> Iterator[str]:
    """Yields lines on the files and frames of a source."""
    parsed = map(kaggle_layout.parse, source.sizes)
    kinds = collections.Counter(name[0] for name in parsed if name)
    splits = collections.Counter(job.frame.split for job in findings.jobs)
    boxes = sum(len(job.boxes) for job in findings.jobs)
    order = (*kaggle_layout.KINDS, kaggle_layout.PHOTO, kaggle_layout.PHOTO_MASK)
    yield "  files: " + ", ".join(f"{kind} {kinds[kind]}" for kind in order)
    yield "  frames: " + ", ".join(f"{s} {splits[s]}" for s in frame_files.SPLITS)
    yield f"  masks: {', '.join(source.masks)}; boxes of large rocks: {boxes}"
    yield f"  lists of defects: {', '.join(findings.defect_lists) or 'none'}"


def class_shares(statistics: Statistics) -> Iterator[str]:
    """Yields a table of the share of each class, by kind of mask."""
    yield "Share of pixels, %".ljust(24) + "".join(
        f"{name:>12}" for name in palette.CLASS_NAMES
    )
    for title, splits in (
        ("renders", frame_files.RENDER_SPLITS),
        ("photos", (frame_files.REAL,)),
    ):
        totals: dict[str, np.ndarray] = {}
        for split in splits:
            for mask, counts in statistics.pixel_counts.get(split, {}).items():
                totals[mask] = totals.get(mask, 0) + np.array(counts)
        for mask, total in totals.items():
            shares = 100 * total / total.sum()
            cells = "".join(f"{share:12.2f}" for share in shares)
            yield f"  {title} {mask}".ljust(24) + cells


def rules(statistics: Statistics) -> Iterator[str]:
    """Yields how well labels and pictures fit; none of it stops a build by itself."""
    yield "Rules"
    for name, (holds, total, broken, frames) in statistics.rules.items():
        if total:
            rule = judge.RULES[name]
            yield f"  {rule.says}: {holds / total:.1%} of {total} {rule.unit}" + (
                f"; {broken} of {frames} frames break it" if broken else ""
            )


if __name__ == "__main__":
    sys.exit(command_line.run(Check, main))
