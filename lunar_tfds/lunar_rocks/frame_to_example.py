"""The way of one frame through a build, a module for each step.

load      its files as bytes
verify    are they whole, and of the right size?
decode    files become pixels
classify  colours become classes
judge     do the labels mean what the palette says?
encode    classes become small files, and all of it an example
"""

import dataclasses
from typing import Any

from lunar_tfds.lunar_rocks import problems
from lunar_tfds.lunar_rocks.annotations import Box
from lunar_tfds.lunar_rocks.classify import classify
from lunar_tfds.lunar_rocks.decode import decode
from lunar_tfds.lunar_rocks.encode import encode
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.judge import Statistics, judge
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
class Outcome:
    """What became of a frame: an example or a problem.

    Attributes:
        frame_id: its id.
        problem: why the frame cannot be used; without one:
        example: as `encode` returns it.
        statistics: of its labels.
    """

    frame_id: str
    problem: str | None = None
    example: dict[str, Any] | None = None
    statistics: Statistics = dataclasses.field(default_factory=Statistics)


def make_example(source: Source, job: Job, rock_threshold: int) -> Outcome:
    """Returns what becomes of a frame.

    Args:
        source: where the files are.
        job: the frame.
        rock_threshold: intensity from which a rock counts in a `ground` file.

    Raises:
        problems.OffPaletteError: a mask has other colours than a mask of its kind.
    """
    frame = job.frame
    try:
        files = load(source, frame)
        verify(files, frame)
        pixels = decode(files, frame)
        ids = classify(pixels.masks, frame, rock_threshold)
    except problems.UnusableFileError as error:
        return Outcome(frame.frame_id, problem=str(error))
    statistics = judge(frame, pixels, ids, rock_threshold, job.boxes)
    example = encode(frame, pixels.image, ids, job.boxes, job.defects)
    return Outcome(frame.frame_id, example=example, statistics=statistics)
