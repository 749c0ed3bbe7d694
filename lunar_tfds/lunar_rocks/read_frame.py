"""Reads one frame: load, verify, decode, classify, encode.

Every problem of a frame is collected, so that a build can list all of them at once.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from lunar_tfds import image_arrays, kaggle_layout, palette
from lunar_tfds.kaggle_layout import FRAME_HEIGHT, FRAME_WIDTH, mask_name
from lunar_tfds.lunar_rocks import label_statistics, picture_files
from lunar_tfds.lunar_rocks.annotations import Box
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.label_statistics import Statistics
from lunar_tfds.lunar_rocks.sources import DatasetFiles

# Rows in which to look at the sky: it reaches the upper edge wherever there is any, px.
TOP_ROWS = 16


@dataclasses.dataclass(frozen=True)
class Job:
    """A frame to read.

    Attributes:
        frame: its files.
        boxes: of its large rocks.
        defects: the author's lists of defects that name it.
    """

    frame: Frame
    boxes: list[Box]
    defects: list[str]


@dataclasses.dataclass(frozen=True)
class Pixels:
    """What a frame shows.

    Attributes:
        image: the render or photo as an 8-bit RGB PNG file, its own if it is one; b""
            if it cannot be used.
        top: uint8 [TOP_ROWS, width, 3], the upper rows of a render; None for a photo.
        masks: the usable label images, uint8 [height, width, 3] by kind. The one mask
            of a photo stands for every kind.
    """

    image: bytes
    top: np.ndarray | None
    masks: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a frame: an example or a problem.

    Attributes:
        frame_id: its id.
        statistics: of its labels; with a problem, of their colours alone.
        problem: why the frame cannot be used, or None.
        example: as `encode` returns it, or None.
    """

    frame_id: str
    statistics: Statistics
    problem: str | None = None
    example: dict[str, Any] | None = None


def read_frame(source: DatasetFiles, job: Job, rock_threshold: int) -> Result:
    """Return the example or the problem of a frame.

    Args:
        source: where the files are.
        job: the frame.
        rock_threshold: intensity from which a rock counts in a `ground` file.
    """
    frame, problems = job.frame, list[str]()
    pixels = decode(load(source, frame, problems), frame, problems)
    statistics = label_statistics.of_colors(frame, pixels.masks, problems)
    if problems:
        return Result(frame.frame_id, statistics, "; ".join(problems))
    ids = {
        kind: palette.class_ids(rgb, rock_threshold)
        for kind, rgb in pixels.masks.items()
    }
    statistics.add(label_statistics.of_classes(frame, ids))
    if not frame.is_photo:
        # The check of the palette takes the author's threshold, whatever the config.
        if rock_threshold != palette.ROCK_THRESHOLD:
            ids_to_check = {k: palette.class_ids(m) for k, m in pixels.masks.items()}
        else:
            ids_to_check = ids
        statistics.add(label_statistics.of_render(ids_to_check, pixels.top, job.boxes))
    example = encode(job, pixels.image, ids)
    return Result(frame.frame_id, statistics, example=example)


@contextlib.contextmanager
def _collect(name: str, problems: list[str]) -> Iterator[None]:
    """Add an error of the `with` block to the problems, after the file's name."""
    try:
        yield
    except (ValueError, OSError, SyntaxError) as error:  # Pillow raises all of these.
        problems.append(f"{name}: {error}")


def load(source: DatasetFiles, frame: Frame, problems: list[str]) -> dict[str, bytes]:
    """Return the bytes of each sound file of a frame, by name.

    A sound file has whole chunks (PNG) or can be decoded (JPEG, which has no
    checksums), and a render and its masks have the size of a frame.

    Args:
        source: where the files are.
        frame: whose files they are.
        problems: each other file adds one.
    """
    files = {}
    for name in frame.files:
        with _collect(name, problems):
            data = source.read(name)
            if kaggle_layout.is_jpeg(name):
                height, width, _ = picture_files.decode_jpeg(data).shape
            else:
                width, height, _ = picture_files.verify_png(data)
            if not frame.is_photo and (width, height) != kaggle_layout.FRAME_SIZE:
                raise ValueError(
                    f"wrong size: {width}x{height}, a frame is "
                    f"{FRAME_WIDTH}x{FRAME_HEIGHT}"
                )
            files[name] = data
    return files


def decode(files: dict[str, bytes], frame: Frame, problems: list[str]) -> Pixels:
    """Return the Pixels of a frame.

    Args:
        files: what `load` returned.
        frame: whose files they are.
        problems: each file with damaged pixels adds one.
    """
    image, top = b"", None
    if frame.image in files:
        with _collect(frame.image, problems):
            image = _as_rgb_png(frame.image, files[frame.image])
            if not frame.is_photo:
                upper = picture_files.top_rows(image, TOP_ROWS)
                top = picture_files.decode_png(upper)[:TOP_ROWS]
    decoded: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(frame.masks.values()):
        if name in files:
            with _collect(name, problems):
                decoded[name] = picture_files.decode_png(files[name])
    masks = {
        kind: decoded[name] for kind, name in frame.masks.items() if name in decoded
    }
    return Pixels(image, top, masks)


def _as_rgb_png(name: str, data: bytes) -> bytes:
    """Return a picture as an 8-bit RGB PNG file; unchanged if it is one."""
    if kaggle_layout.is_jpeg(name):
        return image_arrays.to_png(picture_files.decode_jpeg(data), compress_level=1)
    if picture_files.is_rgb(data):
        return data
    return image_arrays.to_png(picture_files.decode_png(data), compress_level=1)


def encode(job: Job, image: bytes, ids: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the example of a frame, as the dataset's features take it.

    Args:
        job: the frame.
        image: an 8-bit RGB PNG file.
        ids: class ids, uint8 [height, width] by kind of mask.
    """
    return {
        "image": image,
        **{mask_name(kind): picture_files.encode_ids(ids[kind]) for kind in ids},
        "frame_id": job.frame.frame_id,
        "objects": [{"bbox": _bbox(*box)} for box in job.boxes],
        "defects": {name: name in job.defects for name in kaggle_layout.DEFECTS},
    }


def _bbox(top: float, left: float, bottom: float, right: float) -> tfds.features.BBox:
    return tfds.features.BBox(
        ymin=top / FRAME_HEIGHT,
        xmin=left / FRAME_WIDTH,
        ymax=bottom / FRAME_HEIGHT,
        xmax=right / FRAME_WIDTH,
    )
