"""Looks over a source: at its file list, at its files, or at every pixel."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import tensorflow_datasets as tfds
from absl import logging

from lunar_tfds import kaggle_layout, palette
from lunar_tfds.lunar_rocks import (
    annotations,
    frame_files,
    parallel,
    verify,
)
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.frame_to_example import Job, look_at
from lunar_tfds.lunar_rocks.label_statistics import Statistics
from lunar_tfds.lunar_rocks.sources import Source
from lunar_tfds.lunar_rocks.verdict import verdict

Found = TypeVar("Found")


@dataclasses.dataclass
class Findings:
    """What a source holds.

    Attributes:
        jobs: the frames that take part, with what the text files say of them.
        left_out: frame id to the reason why it takes no part.
        defect_lists: names of the author's lists of defects that are present, sorted.
    """

    jobs: list[Job]
    left_out: dict[str, str]
    defect_lists: list[str]


def look_over(
    source: Source, *, leave_out: bool, read_files: bool, max_frames: int | None = None
) -> Findings:
    """Returns the Findings of a source, for a build.

    Args:
        source: where the files are.
        leave_out: leave frames with missing or damaged files out instead of stopping.
        read_files: read every picture and check its chunks; else only the file list.
        max_frames: how many frames of each split to keep, or None for all.

    Raises:
        ValueError: problems, the first 20 of them listed, or no frame at all.
    """
    findings = list_frames(source, max_frames)
    bad = findings.left_out
    if read_files:
        bad |= _damaged(source, findings.jobs)
    findings.jobs = [job for job in findings.jobs if job.frame.frame_id not in bad]
    if findings.jobs and (leave_out or not bad):
        return findings
    statistics = Statistics()
    if read_files:  # What only pixels show comes in the same list.
        statistics, more = look_at_all(source, findings.jobs)
        bad |= more
    raise ValueError(verdict(source, statistics, bad, leave_out=leave_out).stops)


def list_frames(source: Source, max_frames: int | None = None) -> Findings:
    """Returns the Findings of a source's file list; it reads the text files alone.

    Args:
        source: where the files are.
        max_frames: how many frames of each split to keep, or None for all.

    Raises:
        ValueError: a text file that is not as its author made it.
    """
    boxes = _read_boxes(source)
    defects = _read_defects(source)
    frames, bad, lone_photos = frame_files.find_frames(source.sizes)
    for photo_id, partner in sorted(lone_photos.items()):
        logging.warning("There is no %s: %s is left out.", partner, photo_id)
    jobs = []
    for frame in _first_of_each_split(frames, max_frames):
        named = [name for name, ids in defects.items() if frame.frame_id in ids]
        jobs.append(Job(frame, boxes.get(frame.frame_id, []), named))
    return Findings(jobs, bad, sorted(defects))


def look_at_all(
    source: Source, jobs: list[Job], rock_threshold: int = palette.ROCK_THRESHOLD
) -> tuple[Statistics, dict[str, str]]:
    """Returns the Statistics of all frames, and the problem of each that has one.

    Every file is read and every mask decoded, as in a build, on all cores.
    """
    statistics, bad = Statistics(), {}

    def look(job: Job) -> tuple[str, Statistics, str | None]:
        seen = look_at(source, job, rock_threshold)
        return job.frame.frame_id, seen.statistics, seen.problem

    for frame_id, found, problem in _on_all_cores(look, jobs, "Looking at frames..."):
        statistics.add(found)
        if problem:
            bad[frame_id] = problem
    return statistics, bad


def _first_of_each_split(frames: list[Frame], count: int | None) -> list[Frame]:
    return [
        frame
        for split in frame_files.SPLITS
        for frame in [frame for frame in frames if frame.split == split][:count]
    ]


def _damaged(source: Source, jobs: list[Job]) -> dict[str, str]:
    def check(job: Job) -> tuple[str, str | None]:
        return job.frame.frame_id, verify.find_problem(source, job.frame)

    found = _on_all_cores(check, jobs, "Checking files...")
    return {frame_id: problem for frame_id, problem in found if problem}


def _on_all_cores(
    function: Callable[[Job], Found], jobs: list[Job], says: str
) -> Iterable[Found]:
    """Returns function(job) of each, as they come, behind a progress bar."""
    return tfds.core.utils.tqdm(
        parallel.ordered_map(function, jobs),
        desc=says,
        unit=" frames",
        total=len(jobs),
        leave=False,
    )


def _read_boxes(source: Source) -> dict[str, list[annotations.Box]]:
    if kaggle_layout.BOXES_FILE not in source.sizes:
        logging.warning("No %s: `objects` stays empty.", kaggle_layout.BOXES_FILE)
        return {}
    return _parse(annotations.read_boxes, source, kaggle_layout.BOXES_FILE)


def _read_defects(source: Source) -> dict[str, set[str]]:
    files = {name: kaggle_layout.defects_file(name) for name in kaggle_layout.DEFECTS}
    return {
        name: _parse(annotations.read_defect_list, source, file)
        for name, file in files.items()
        if file in source.sizes
    }


def _parse(parser: Callable[[bytes], Any], source: Source, name: str) -> Any:
    try:
        return parser(source.read(name))
    except ValueError as error:
        raise ValueError(
            f"{name} of the {source.description} is not as its author made it: "
            f"{error}. Restore it, or remove it to build without."
        ) from error
