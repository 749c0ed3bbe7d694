"""Checks a source as a build would: reads everything, writes nothing.

Run `python -m lunar_tfds.check FOLDER_OR_ZIP`. The exit status is 0 if a build would
succeed and 1 if it would stop. As in a build, LUNAR_ROCKS_LEAVE_OUT_BAD_FRAMES=1 leaves
frames with problems out.
"""

import collections
import dataclasses
import itertools
import sys
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from lunar_tfds import command_line, kaggle_layout, palette, settings
from lunar_tfds.lunar_rocks import frame_files, jobs, problems, sources
from lunar_tfds.lunar_rocks.jobs import JobList
from lunar_tfds.lunar_rocks.label_statistics import Statistics
from lunar_tfds.settings import at_least, setting


@dataclasses.dataclass(frozen=True)
class Check:
    """What to check."""

    POSITIONAL = "source"

    source: str = setting(
        None,
        "Folder or zip of the dataset.",
        is_path=True,
        missing="name a folder or a zip of the dataset",
    )
    max_examples_per_split: int | None = setting(
        None, "Check the first frames of each split only.", at_least(1)
    )

    def __post_init__(self):
        settings.check(self)


def main(check: Check) -> int:
    """Print what the source holds, and return whether a build would stop."""
    leave_out = problems.leave_out_by_environment()
    source = sources.open_source(check.source)
    print(source.description)
    listed = jobs.list_jobs(source, check.max_examples_per_split)
    print("\n".join(contents(source, listed)), flush=True)
    findings = problems.Findings(problems=listed.problems)
    every_job = list(itertools.chain(*listed.jobs.values()))
    for result in tfds.core.utils.tqdm(
        jobs.read_all(source, every_job, palette.ROCK_THRESHOLD),
        desc="Reading frames...",
        unit=" frames",
        total=len(every_job),
        leave=False,
    ):
        findings.add(result)
    conclusion = problems.conclude(source, findings, leave_out=leave_out)
    print("\n".join(class_shares(findings.statistics)))
    if conclusion.note:
        print(conclusion.note)
    if conclusion.error:
        print(f"A build stops. {conclusion.error}")
        return command_line.EXIT_ERROR
    if bad := findings.problems:
        print(f"{len(bad)} frames are left out:{problems.listing(bad)}")
    print("A build goes through.")
    return command_line.EXIT_DONE


def contents(source: sources.DatasetFiles, listed: JobList) -> Iterator[str]:
    """Yield lines on the files and frames of a source."""
    parsed = map(kaggle_layout.parse, source.sizes)
    kinds = collections.Counter(name[0] for name in parsed if name)
    boxes = sum(len(job.boxes) for jobs in listed.jobs.values() for job in jobs)
    order = (*kaggle_layout.KINDS, kaggle_layout.PHOTO, kaggle_layout.PHOTO_MASK)
    yield "  files: " + ", ".join(f"{kind} {kinds[kind]}" for kind in order)
    yield "  frames: " + ", ".join(f"{s} {len(j)}" for s, j in listed.jobs.items())
    yield f"  masks: {', '.join(source.masks)}; boxes of large rocks: {boxes}"
    yield f"  lists of defects: {', '.join(listed.defect_lists) or 'none'}"


def class_shares(statistics: Statistics) -> Iterator[str]:
    """Yield a table of the share of each class, by kind of mask."""
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


if __name__ == "__main__":
    sys.exit(command_line.run(Check, main))
