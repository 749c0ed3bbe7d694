"""The way of one frame through a build, a module for each step.

load      its files as bytes
verify    are they whole, and of the right size?
decode    files become pixels
colors    are the colours of the label images the palette's?
classify  colours become classes
judge     do the labels fit the picture?
encode    classes become small files, and all of it an example
"""

import dataclasses
from typing import Any

import numpy as np

from lunar_tfds.lunar_rocks import colors, problems
from lunar_tfds.lunar_rocks.annotations import Box
from lunar_tfds.lunar_rocks.classify import classify
from lunar_tfds.lunar_rocks.decode import decode
from lunar_tfds.lunar_rocks.encode import encode
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.judge import judge
from lunar_tfds.lunar_rocks.label_statistics import Statistics
from lunar_tfds.lunar_rocks.load import load
from lunar_tfds.lunar_rocks.sources import Source
from lunar_tfds.lunar_rocks.verify import verify


@dataclasses.dataclass(frozen=True)
class Job:
    """A frame to build.

    Attributes:
        frame: its files.
        boxes: of its large rocks.
        defects: the author's lists of defects that name it.
    """

    frame: Frame
    boxes: list[Box]
    defects: list[str]


@dataclasses.dataclass(frozen=True)
class Look:
    """What a frame turned out to be.

    Attributes:
        statistics: of its labels; of their colours alone if it has a problem.
        problem: why the frame cannot be used; without one:
        image: the render or photo, an 8-bit RGB PNG file.
        ids: class ids, uint8 [height, width] by kind of mask.
    """

    statistics: Statistics
    problem: str | None = None
    image: bytes = b""
    ids: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a frame: an example or a problem.

    Attributes:
        frame_id: its id.
        statistics: of its labels.
        problem: why the frame cannot be used; without one:
        example: as `encode` returns it.
    """

    frame_id: str
    statistics: Statistics
    problem: str | None = None
    example: dict[str, Any] | None = None


def look_at(source: Source, job: Job, rock_threshold: int) -> Look:
    """Returns the Look of a frame: every step but the last.

    Args:
        source: where the files are.
        job: the frame.
        rock_threshold: intensity from which a rock counts in a `ground` file.
    """
    frame = job.frame
    reasons: list[str] = []
    files = verify(load(source, frame, reasons), frame, reasons)
    pixels = decode(files, frame, reasons)
    statistics = colors.check(pixels.masks, frame, reasons)
    if reasons:
        return Look(statistics, problems.of_frame(reasons))
    ids = classify(pixels.masks, rock_threshold)
    statistics.add(judge(frame, pixels, ids, rock_threshold, job.boxes))
    return Look(statistics, image=pixels.image, ids=ids)


def make_example(source: Source, job: Job, rock_threshold: int) -> Outcome:
    """Returns what becomes of a frame; see `look_at`."""
    look = look_at(source, job, rock_threshold)
    frame_id = job.frame.frame_id
    if look.problem:
        return Outcome(frame_id, look.statistics, look.problem)
    example = encode(job.frame, look.image, look.ids, job.boxes, job.defects)
    return Outcome(frame_id, look.statistics, example=example)
