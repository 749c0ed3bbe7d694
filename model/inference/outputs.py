"""What becomes of predicted images: the form of an output, and pictures and summary.

An output is any object with the four methods of `Output`. `segmenting.segment` calls
`make` of several images at once, in threads, and the others one at a time, in the order
of the images.
"""

import csv
import dataclasses
import io
import pathlib
from typing import Any, Protocol

import numpy as np

from lunar_tfds import palette
from lunar_tfds.atomic_files import atomic_path, write_bytes, write_text
from lunar_tfds.image_arrays import GRAINY_LEVEL, class_colors, to_png
from model.inference import pictures, result_files
from model.inference.predictor import Prediction
from model.inference.result_names import harmless
from model.inference.rocks import Rock, find_rocks
from model.inference.video import VideoFrame

# The columns that say where a row comes from, in every table.
WHERE = ("image", "time_s")
COLUMNS = (
    *(*WHERE, "width", "height", "bit_depth"),
    *palette.CLASS_NAMES,
    *("rocks", "largest_rock_px", "error"),
)


class Source(Protocol):
    """Where an image comes from; `str` of it is what people read.

    Attributes:
        name: what its results are called, without a suffix; unique in a run.
        relative: its path in the folder or zip that was searched.
        details: what is known of it once it was read, by column of the summary.
    """

    @property
    def name(self) -> str:
        """See the class."""

    @property
    def relative(self) -> str:
        """See the class."""

    @property
    def details(self) -> dict[str, Any]:
        """See the class."""

    def read(self) -> np.ndarray:
        """Returns the image, uint8 [height, width, 3] RGB."""


@dataclasses.dataclass
class Result:
    """One image and what the network sees in it.

    Attributes:
        file: where it comes from.
        image: uint8 [height, width, 3].
        prediction: of the image, at its size.
    """

    file: Source
    image: np.ndarray
    prediction: Prediction
    _rocks: dict[int, list[Rock]] = dataclasses.field(default_factory=dict)

    def rocks(self, min_area: int) -> list[Rock]:
        """Returns the rocks of `min_area` px and more, found once for all outputs."""
        if min_area not in self._rocks:
            self._rocks[min_area] = find_rocks(*self.prediction, min_area)
        return self._rocks[min_area]

    @property
    def name(self) -> str:
        """What the image's results are called, without an ending."""
        return self.file.name


class Output(Protocol):
    """Something that a run leaves behind."""

    def make(self, result: Result) -> Any:
        """Returns what `add` needs of an image, after all the heavy work.

        Called in several threads at once, in any order, so it changes nothing of the
        output; files of this image alone are written here. What it returns is held
        until the images before it are done, so few are of an image's size.
        """

    def add(self, file: Source, made: Any) -> None:
        """Takes what `make` returned: one call at a time, in the order of the images.

        An error of `make` or `add` counts the image as left out, and is told to the
        outputs that have not added it yet.
        """

    def fail(self, file: Source, error: str) -> None:
        """Takes note, in the same order, of an image that was left out, and why."""

    def close(self) -> None:
        """Finishes the output: called once, also after an error and after Ctrl-C."""


class Pictures:
    """NAME_mask.png and NAME_overlay.png, and more of each image where asked for.

    Args:
        folder: where.
        masks: whether to write the masks, in the classes' colours.
        overlays: whether to write the masks laid over their photos.
        save_probabilities: whether to write them, float16 [height, width, classes].
        save_uncertainty: whether to write it, as a grey picture.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        masks: bool = True,
        overlays: bool = True,
        save_probabilities: bool = False,
        save_uncertainty: bool = False,
    ):
        self._folder = folder
        self._masks, self._overlays = masks, overlays
        self._probabilities, self._uncertainty = save_probabilities, save_uncertainty

    def make(self, result: Result) -> None:
        """Writes all files of one photo, each whole or not at all."""
        if isinstance(result.file, VideoFrame):
            return  # See `overlay_videos`.
        prediction = result.prediction
        if self._masks:
            mask = to_png(class_colors(prediction.mask))
            self._write(result, result_files.MASK, mask)
        if self._overlays:
            overlay = to_png(_overlay(result), compress_level=GRAINY_LEVEL)
            self._write(result, result_files.OVERLAY, overlay)
        if self._uncertainty:
            grey = np.rint(prediction.uncertainty * 255).astype(np.uint8)
            self._write(result, result_files.UNCERTAINTY, to_png(grey))
        if self._probabilities:
            path = self._folder / f"{result.name}{result_files.PROBABILITIES}"
            with atomic_path(path) as temporary:
                np.savez_compressed(
                    temporary,
                    probabilities=prediction.probabilities.astype(np.float16),
                    class_names=palette.CLASS_NAMES,
                )

    def _write(self, result: Result, ending: str, data: bytes) -> None:
        write_bytes(self._folder / f"{result.name}{ending}", data)

    def add(self, file: Source, made: Any) -> None:
        """Does nothing: the files are written."""

    def fail(self, file: Source, error: str) -> None:
        """Does nothing: the summary tells it."""

    def close(self) -> None:
        """Does nothing."""


def _overlay(result: Result) -> np.ndarray:
    mask = result.prediction.mask
    return pictures.with_legend(pictures.overlay(result.image, mask), mask)


class Summary:
    """summary.csv: a row for each image, with class shares, rocks, or an error.

    Args:
        folder: where.
        min_rock_area: px; smaller rocks are not counted.
    """

    def __init__(self, folder: pathlib.Path, min_rock_area: int):
        self._folder, self._min_rock_area = folder, min_rock_area
        self._rows: list[dict[str, Any]] = []

    def make(self, result: Result) -> dict[str, Any]:
        """Returns the image's row: size, class shares, rock count, largest rock."""
        mask = result.prediction.mask
        shares = palette.class_shares(mask)
        rocks = result.rocks(self._min_rock_area)
        return {
            "width": mask.shape[1],
            "height": mask.shape[0],
            **{n: f"{s:.6f}" for n, s in zip(palette.CLASS_NAMES, shares, strict=True)},
            "rocks": len(rocks),
            "largest_rock_px": max((rock.area for rock in rocks), default=0),
        }

    def add(self, file: Source, made: dict[str, Any]) -> None:
        """Takes an image's row."""
        self._rows.append({**where(file), **file.details, **made})

    def fail(self, file: Source, error: str) -> None:
        """Takes the row of an image that was left out."""
        self._rows.append({**where(file), "error": harmless(error)})

    def close(self) -> None:
        """Writes the summary."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._folder / result_files.SUMMARY, text.getvalue())


def where(file: Source) -> dict[str, str]:
    """Returns the columns `WHERE` of an image."""
    return {"image": harmless(str(file)), "time_s": file.details.get("time_s", "")}
