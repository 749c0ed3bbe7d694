"""Looks over a source before anything is written."""

import dataclasses

import tensorflow_datasets as tfds
from absl import logging

from lunar_tfds.lunar_rocks import annotations, frame_files, frame_reader, parallel

# How many problems an error spells out.
MAX_LISTED = 20
LEAVE_OUT_VARIABLE = "LUNAR_ROCKS_LEAVE_OUT_BAD_FRAMES"


@dataclasses.dataclass
class Survey:
    """What a source holds.

    Attributes:
        frames: list of frame_files.Frame that take part.
        left_out: dict of frame id to the reason why it does not.
        boxes: dict of frame id to a list of (top, left, bottom, right), px.
        defects: dict of defect name to a set of frame ids, of the lists present.
    """

    frames: list
    left_out: dict
    boxes: dict
    defects: dict


def look_over(source, *, leave_out, read_files, max_frames=None):
    """Returns the Survey of a source.

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
    frames, problems, without_mask = frame_files.find_frames(source.sizes)
    for frame_id in without_mask:
        logging.warning("Photo %s has no mask and is left out.", frame_id)
    if max_frames is not None:
        frames = [
            frame
            for split in frame_files.SPLITS
            for frame in [f for f in frames if f.split == split][:max_frames]
        ]
    if read_files:
        problems |= _damaged(source, frames)
    if problems and not leave_out:
        raise ValueError(list_problems(problems, source))
    frames = [frame for frame in frames if frame.frame_id not in problems]
    if not frames:
        raise ValueError(
            f"No complete frame in the {source.description}: a frame is "
            f"images/render/render0001.png with images/ground/ground0001.png and "
            f"images/clean/clean0001.png." + _listing(problems)
        )
    return Survey(frames, problems, boxes, defects)


def _damaged(source, frames):
    def check(frame):
        return frame.frame_id, frame_reader.find_problem(source, frame)

    found = tfds.core.utils.tqdm(
        parallel.ordered_map(check, frames),
        desc="Checking files...",
        unit=" frames",
        total=len(frames),
        leave=False,
    )
    return {frame_id: problem for frame_id, problem in found if problem}


def list_problems(problems, source):
    """Returns the message of an error about frames that cannot be used.

    Args:
        problems: dict of frame id to reason.
        source: where the files are.
    """
    return (
        f"{len(problems)} frames of the {source.description} cannot be used:"
        f"{_listing(problems)}\nRestore these files, or leave the frames out with the "
        f"builder argument leave_out_bad_frames=True (in the shell: "
        f"{LEAVE_OUT_VARIABLE}=1)."
    )


def _listing(problems):
    lines = [f"\n  {key}: {reason}" for key, reason in sorted(problems.items())]
    if len(lines) > MAX_LISTED:
        lines[MAX_LISTED:] = [f"\n  ... and {len(lines) - MAX_LISTED} more"]
    return "".join(lines)


def _read_boxes(source):
    if annotations.BOXES_FILE not in source.sizes:
        logging.warning("No %s: `objects` stays empty.", annotations.BOXES_FILE)
        return {}
    return _parse(annotations.read_boxes, source, annotations.BOXES_FILE)


def _read_defects(source):
    files = {name: f"{name}_IDs.txt" for name in annotations.DEFECTS}
    present = {name: file for name, file in files.items() if file in source.sizes}
    return {
        name: _parse(annotations.read_defect_list, source, file)
        for name, file in present.items()
    }


def _parse(parser, source, name):
    try:
        return parser(source.read(name))
    except ValueError as error:
        raise ValueError(
            f"{name} of the {source.description} is not as its author made it: "
            f"{error}. Restore it, or remove it to build without."
        ) from error
