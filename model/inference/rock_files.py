"""rocks.csv and coco.json: every rock of every image, as a table and as instances."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from lunar_tfds.atomic_files import atomic_path
from lunar_tfds.palette import CLASS_NAMES
from model.inference import coco, result_files
from model.inference.outputs import WHERE, Result, Source, where
from model.inference.result_names import printable
from model.inference.rocks import Rock
from model.inference.spool import Spool
from model.inference.video import VideoFrame

COLUMNS = (
    *(*WHERE, "id", "class"),
    *("box_left", "box_top", "box_width", "box_height", "area_px"),
    *("centroid_x", "centroid_y", "diameter_px", "mean_probability"),
)


class RockTable:
    """rocks.csv: a row for each rock; px, the largest of an image first.

    Args:
        folder: where.
        min_rock_area: px; smaller rocks are left out.
    """

    def __init__(self, folder: pathlib.Path, min_rock_area: int):
        self._folder, self._min_rock_area = folder, min_rock_area
        self._rows = Spool()

    def make(self, result: Result) -> list[list[Any]]:
        """Returns a row, but for `WHERE`, of each rock of an image."""
        return rows(result.rocks(self._min_rock_area))

    def add(self, file: Source, made: list[list[Any]]) -> None:
        """Takes the rows of an image."""
        for row in made:
            self._rows.append([*where(file).values(), *row])

    def fail(self, file: Source, error: str) -> None:
        """Does nothing: an image that was left out has no rocks."""

    def close(self) -> None:
        """Writes the table."""
        with (
            atomic_path(self._folder / result_files.ROCKS) as path,
            open(path, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(self._rows.values())


def rows(rocks: list[Rock]) -> list[list[Any]]:
    """Returns the columns of each rock from `id` on, counted from 1."""
    return [
        [
            *(number, CLASS_NAMES[rock.class_id], *rock.box, rock.area),
            *(f"{value:.2f}" for value in (*rock.centroid, rock.diameter)),
            f"{rock.probability:.4f}",
        ]
        for number, rock in enumerate(rocks, 1)
    ]


@dataclasses.dataclass
class _Instances:
    """What coco.json needs of one image: its (height, width), px, and its rocks."""

    size: tuple[int, int]
    annotations: list[dict[str, Any]]


class CocoFile:
    """coco.json: every photo's rocks as COCO instances, equal to its mask.

    Args:
        folder: where.
        min_rock_area: px; smaller rocks are left out.
        coco_format: of `coco.FORMATS`.
    """

    def __init__(
        self, folder: pathlib.Path, min_rock_area: int, coco_format: str = "rle"
    ):
        self._folder, self._min_rock_area = folder, min_rock_area
        self._format = coco_format
        self._images, self._annotations = Spool(), Spool()

    def make(self, result: Result) -> _Instances | None:
        """Returns the rocks of a photo, packed; of a frame of a video nothing."""
        if isinstance(result.file, VideoFrame):
            return None  # No tool would find it as a file.
        height, width = result.prediction.mask.shape
        rocks = result.rocks(self._min_rock_area)
        made = coco.annotations(rocks, (height, width), self._format)
        return _Instances((height, width), list(made))

    def add(self, file: Source, made: _Instances | None) -> None:
        """Takes a photo and its rocks, and numbers both from 1."""
        if made is None:
            return
        number = len(self._images) + 1
        name = printable(file.relative)
        self._images.append(coco.image_entry(number, name, made.size))
        for annotation in made.annotations:
            ids = {"id": len(self._annotations) + 1, "image_id": number}
            self._annotations.append(ids | annotation)

    def fail(self, file: Source, error: str) -> None:
        """Does nothing: an image that was left out is not among those to correct."""

    def close(self) -> None:
        """Writes the file."""
        with (
            atomic_path(self._folder / result_files.COCO) as path,
            open(path, "w", encoding="utf-8") as file,
        ):
            file.writelines(self._text())

    def _text(self) -> Iterator[str]:
        """Yields the file piece by piece: a large job has millions of rocks."""
        info = {"description": "Rocks found by predict.py of lunar_rocks"}
        yield f'{{"info": {json.dumps(info)},\n"licenses": [],\n'
        yield f'"categories": {json.dumps(coco.CATEGORIES)},\n'
        for name, spool in (
            ("images", self._images),
            ("annotations", self._annotations),
        ):
            yield f'"{name}": ['
            for index, line in enumerate(spool.lines()):
                yield f"{',' if index else ''}\n{line}"
            yield "]" + (",\n" if spool is self._images else "}\n")
