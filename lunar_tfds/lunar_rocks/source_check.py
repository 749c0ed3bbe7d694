"""Looks over a source before anything is written."""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks import annotations, frame_files, parallel, problems, verify
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.frame_to_example import Job
from lunar_tfds.lunar_rocks.sources import Source


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
    """Returns the Findings of a source.

    Args:
        source: where the files are.
        leave_out: leave frames with missing or damaged files out instead of stopping.
        read_files: read every picture and check its chunks; else only the file list.
        max_frames: how many frames of each split to keep, or None for all.

    Raises:
        ValueError: problems, the first 20 of them listed, or no frame at all.
    """
    boxes = _read_boxes(source)
    defects = _read_defects(source)
    frames, bad, without_mask = frame_files.find_frames(source.sizes)
    for frame_id in without_mask:
        mask = kaggle_layout.photo_mask_file(frame_id)
        logging.warning("Photo %s has no mask, %s, and is left out.", frame_id, mask)
    frames = _first_of_each_split(frames, max_frames)
    if read_files:
        bad |= _damaged(source, frames)
    if bad and not leave_out:
        raise ValueError(problems.message(bad, source.description))
    frames = [frame for frame in frames if frame.frame_id not in bad]
    if not frames:
        example = [kaggle_layout.frame_file(k, "0001") for k in kaggle_layout.KINDS]
        raise ValueError(
            f"No complete frame in the {source.description}: a frame is "
            f"{example[0]} with {example[1]} and {example[2]}." + problems.listing(bad)
        )
    jobs = []
    for frame in frames:
        named = [name for name, ids in defects.items() if frame.frame_id in ids]
        jobs.append(Job(frame, boxes.get(frame.frame_id, []), named))
    return Findings(jobs, bad, sorted(defects))


def _first_of_each_split(frames: list[Frame], count: int | None) -> list[Frame]:
    return [
        frame
        for split in frame_files.SPLITS
        for frame in [frame for frame in frames if frame.split == split][:count]
    ]


def _damaged(source: Source, frames: list[Frame]) -> dict[str, str]:
    def check(frame: Frame) -> tuple[str, str | None]:
        return frame.frame_id, verify.find_problem(source, frame)

    found = tfds.core.utils.tqdm(
        parallel.ordered_map(check, frames),
        desc="Checking files...",
        unit=" frames",
        total=len(frames),
        leave=False,
    )
    return {frame_id: problem for frame_id, problem in found if problem}


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
